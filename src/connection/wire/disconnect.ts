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

/** Whether the session was ended in order, by a FATAL, and not by a crash (57P02). */
export function isTermination(error: unknown): boolean {
  const { severity, code } = (error ?? {}) as { severity?: unknown; code?: unknown };
  return severity === 'FATAL' && TERMINATED.has(code);
}

/**
 * Whether PostgreSQL itself has ended the session where it looks for interrupts, which it never does inside of a commit. A
 * pooler, or another server that speaks the protocol, has its own reasons for the same code.
 */
export function isInterrupt(error: unknown): boolean {
  return isTermination(error) && (error as { routine?: unknown }).routine === 'ProcessInterrupts';
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
