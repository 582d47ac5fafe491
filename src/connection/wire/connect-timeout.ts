import { ConnectTimeoutError, PasswordError } from '../../errors/connection.errors.js';
import type { ConnectionError } from '../../errors/connection.errors.js';
import { waitsForPassword } from '../auth/password.js';
import { internalsOf } from './pg-internals.js';

/**
 * The error of a dial that took too long; it tells a server that is not reached from one that keeps silent, and both from a
 * password that did not come.
 */
export function connectTimeoutError(client: object, timeoutMs: number): ConnectionError {
  if (waitsForPassword(client)) return PasswordError.late(timeoutMs);
  const { host, port, connection } = internalsOf(client);
  const server = typeof host === 'string' ? `${host}:${String(port)}` : 'the server';
  // A fake or a stream of one's own may not tell.
  const reached = connection?.stream?.connecting === false;
  return new ConnectTimeoutError(server, timeoutMs, reached);
}
