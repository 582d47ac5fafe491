const SOCKET_ERRORS = new Set([
  'ECONNRESET',
  'ECONNREFUSED',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'ENETDOWN',
  'ENETUNREACH',
  'EHOSTDOWN',
  'EHOSTUNREACH',
]);

/** The words of `pg` for a socket that has ended; it gives them no code. */
const ENDED = /^Connection terminated|^Client (has encountered a connection error|was closed)/;

/** Whether the server has ended the session with this answer. */
export function isFatal(error: unknown): boolean {
  const severity = (error as { severity?: unknown } | null | undefined)?.severity;
  return severity === 'FATAL' || severity === 'PANIC';
}

/** SQLSTATEs of a session that the server ends by itself: `pg_terminate_backend` or a shutdown, and a time limit. */
const TERMINATED: ReadonlySet<unknown> = new Set(['57P01', '57P05']);

/**
 * Whether the server has ended the session in order, by its own FATAL: what ran had no transactional effect then. A crash
 * (57P02) can strike between a commit and its answer.
 */
export function isTermination(error: unknown): boolean {
  const { severity, code } = (error ?? {}) as { severity?: unknown; code?: unknown };
  return severity === 'FATAL' && TERMINATED.has(code);
}

/**
 * Whether an error means that the connection is gone: severity FATAL or PANIC, or the end of the socket. Never an
 * SQLSTATE class: a wrong bind count is 08P01, a dead foreign server 08001, and RAISE can say 08006, each on a healthy
 * connection.
 */
export function isDisconnect(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if (isFatal(error)) return true;
  const { code, syscall, severity } = error as { code?: unknown; syscall?: unknown; severity?: unknown };
  if (severity !== undefined) return false;
  if (typeof code === 'string' && SOCKET_ERRORS.has(code)) return syscall !== undefined;
  return ENDED.test(error.message);
}

/** Whether a write was refused as read-only: perhaps a primary has become a standby; only the server can say. */
export function isReadOnlyRefusal(error: unknown): boolean {
  return (error as { code?: unknown } | null | undefined)?.code === '25006';
}
