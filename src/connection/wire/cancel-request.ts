import { isIP } from 'node:net';
import { verifyTlsStart } from './handshake-checks.js';
import { createWire, PgInternals } from './pg-internals.js';
import type { PgWire } from './pg-internals.js';

/**
 * Asks the server to cancel what the connection of `client` runs, on a second socket, and resolves when that socket has
 * closed or `timeoutMs` is over. It never rejects: the caller destroys a connection that keeps running.
 *
 * The request is encrypted when the connection is. `pg`'s own `cancel` sends the key in plain text, and whoever reads the
 * key can cancel every later statement. It goes to the address that the connection has reached, since its name may resolve
 * to another server by now, and through the caller's own stream when the connection does.
 * @param stream the option `stream` of the connection
 * @returns whether no cancel can arrive any more; false when the key was sent and the server has not closed the socket
 */
export async function sendCancelRequest(
  client: object,
  timeoutMs: number,
  stream?: unknown,
): Promise<boolean> {
  const pg = new PgInternals(client);
  const key = pg.cancelKey;
  if (!key) return true;
  const { host, port, ssl, sslNegotiation } = pg.target;
  const hasOwnStream = typeof stream === 'function';
  let wire: PgWire;
  try {
    wire = createWire({ ssl, sslNegotiation, ...(hasOwnStream && { stream }) });
  } catch {
    // The caller's function has thrown.
    return true;
  }
  const isNamed = !hasOwnStream && host !== undefined && isIP(host) === 0;
  const address = (isNamed ? pg.stream?.remoteAddress : undefined) ?? host;
  // The server's certificate is for its name.
  const upgrade = wire.upgradeToSSL?.bind(wire);
  if (upgrade) wire.upgradeToSSL = (to, report) => upgrade(to === address ? host : to, report);
  let isSent = false;
  let hasFailed = false;
  return new Promise((resolve) => {
    const fail = () => {
      hasFailed = true;
      wire.stream.destroy();
    };
    const timer = setTimeout(fail, timeoutMs);
    wire.on('error', fail);
    wire.on('end', () => {
      clearTimeout(timer);
      resolve(!isSent || !hasFailed);
    });
    verifyTlsStart(wire, fail);
    wire.on('connect', () => {
      if (!ssl) {
        isSent = true;
        wire.cancel(key.processId, key.secretKey);
      } else if (sslNegotiation !== 'direct') wire.requestSsl();
    });
    wire.on('sslconnect', () => {
      // The socket sends the key when the handshake is complete; after a failed handshake the server has not got it.
      wire.stream.once('secureConnect', () => (isSent = !hasFailed));
      wire.cancel(key.processId, key.secretKey);
    });
    try {
      if (host?.startsWith('/')) wire.connect(`${host}/.s.PGSQL.${port}`);
      else wire.connect(port ?? 5432, address);
    } catch {
      // The caller's stream has thrown.
      fail();
      clearTimeout(timer);
      resolve(true);
    }
  });
}
