import { ConnectTimeoutError } from '../database.errors.js';
import { internalsOf } from './pg-internals.js';

/** The error of a dial that took too long; it tells a server that is not reached from one that keeps silent. */
export function dialTimeout(client: object, timeoutMs: number): ConnectTimeoutError {
  const { host, port, connection } = internalsOf(client);
  const server = typeof host === 'string' ? `${host}:${String(port)}` : 'the server';
  // A fake or a stream of one's own may not tell.
  const reached = connection?.stream?.connecting === false;
  return new ConnectTimeoutError(server, timeoutMs, reached);
}
