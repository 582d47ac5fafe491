import { withTimeout } from '../../connection/deadline.js';
import type { ResolvedDatabaseOptions } from '../../database.options.js';
import { ConnectionError } from '../../errors/connection.errors.js';

/**
 * Bounds the wait for an answer by the connect timeout. The statement timeout may be off, and the network may fail after the
 * login.
 * @throws ConnectionError `CONNECTION_SILENT` at the timeout
 */
export function withAnswerTimeout<T>(answer: Promise<T>, { timeouts }: ResolvedDatabaseOptions): Promise<T> {
  const { connectMs } = timeouts;
  return withTimeout(
    answer,
    connectMs,
    () => new ConnectionError(`no answer within ${connectMs} ms`, { code: 'CONNECTION_SILENT' }),
  );
}
