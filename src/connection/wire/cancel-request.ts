import { isIP } from 'node:net';
import { verifyTlsStart } from './handshake-checks.js';
import { createWire, PgInternals } from './pg-internals.js';
import type { PgWire } from './pg-internals.js';

/**
 * Asks the server to cancel the active statement of `client`, on a second socket.
 *
 * The request is encrypted when the connection is: `cancel` of `pg` sends the key in plain text, and an eavesdropper could
 * cancel every later statement with it. The request is sent to the address that the connection has reached, since the name
 * may resolve to another server now. It uses the caller's stream when the connection does.
 * @param timeoutMs milliseconds after which the request is given up
 * @param stream the option `stream` of the connection
 * @returns false when the cancel may still arrive: the key was sent, and the server has not closed the socket in time. True
 * otherwise, also when the key was not sent. Never rejects
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
    // The stream function of the caller has thrown.
    return true;
  }
  const isNamed = !hasOwnStream && host !== undefined && isIP(host) === 0;
  const address = (isNamed ? pg.stream?.remoteAddress : undefined) ?? host;
  // The certificate is for the name of the server, not for its address.
  const upgrade = wire.upgradeToSSL?.bind(wire);
  if (upgrade) wire.upgradeToSSL = (target, report) => upgrade(target === address ? host : target, report);
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
      // The socket sends the key after the handshake. If the handshake fails, the server does not receive it.
      wire.stream.once('secureConnect', () => (isSent = !hasFailed));
      wire.cancel(key.processId, key.secretKey);
    });
    try {
      if (host?.startsWith('/')) wire.connect(`${host}/.s.PGSQL.${port}`);
      else wire.connect(port ?? 5432, address);
    } catch {
      // The stream of the caller has thrown.
      fail();
      clearTimeout(timer);
      resolve(true);
    }
  });
}
