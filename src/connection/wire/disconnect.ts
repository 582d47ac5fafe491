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

/** Messages of `pg` for a socket that has ended; these errors have no code. */
const ENDED_MESSAGE = /^Connection terminated|^Client (has encountered a connection error|was closed)/;

/** Whether an error has the severity FATAL or PANIC: the server has ended the session. */
export function isFatal(error: unknown): boolean {
  const severity = (error as { severity?: unknown } | null | undefined)?.severity;
  return severity === 'FATAL' || severity === 'PANIC';
}

/** SQLSTATEs of a session that the server ends on purpose: by `pg_terminate_backend` or a shutdown, and by an idle timeout. */
const TERMINATED: ReadonlySet<unknown> = new Set(['57P01', '57P05']);

/** Whether the server has ended the session on purpose, and not by a crash (57P02). */
export function isTermination(error: unknown): boolean {
  const { severity, code } = (error ?? {}) as { severity?: unknown; code?: unknown };
  return severity === 'FATAL' && TERMINATED.has(code);
}

/**
 * Whether PostgreSQL has ended the session in ProcessInterrupts. It never does so during a commit: the statement has had no
 * effect. The SQLSTATE alone is not enough: a pooler, or another server with the same protocol, may send it at any time.
 */
export function isInterrupt(error: unknown): boolean {
  return isTermination(error) && (error as { routine?: unknown }).routine === 'ProcessInterrupts';
}

/**
 * Whether an error means that the connection has ended: severity FATAL or PANIC, an error of the socket, or an error with
 * which `pg` reports an ended connection. An SQLSTATE class alone never counts: a wrong number of parameters is 08P01, an
 * unreachable foreign server 08001, and RAISE can use 08006, each on a healthy connection.
 * @param error anything that a `catch` receives
 * @returns false for what is not an Error
 * @example
 * try {
 *   await client.query('SELECT 1');
 * } catch (error) {
 *   if (isDisconnect(error)) await reconnect();
 *   else throw error;
 * }
 */
export function isDisconnect(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if (isFatal(error)) return true;
  const { code, syscall, severity } = error as { code?: unknown; syscall?: unknown; severity?: unknown };
  if (severity !== undefined) return false;
  if (typeof code === 'string' && SOCKET_ERRORS.has(code)) return syscall !== undefined;
  return ENDED_MESSAGE.test(error.message);
}

/** Whether the server has refused a write as read-only (25006). It may have become a standby, or the transaction is read-only. */
export function isReadOnlyRefusal(error: unknown): boolean {
  return (error as { code?: unknown } | null | undefined)?.code === '25006';
}
