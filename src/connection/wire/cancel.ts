import { isIP } from 'node:net';
import { Connection as Wire } from 'pg';
import type { ConnectionConfig } from 'pg';
import { internalsOf } from './pg-internals.js';
import { beginTls } from './tls-start.js';
import type { TlsWire } from './tls-start.js';

interface CancelWire extends TlsWire {
  stream: { destroy(): void; unref?(): void; once(event: string, listener: () => void): unknown };
  connect(port: number | string, host?: string): void;
  requestSsl(): void;
  cancel(processId: number, secretKey: number): void;
}

/**
 * Asks the server to stop what a connection is running, over a second socket, and resolves when that socket has closed
 * or `timeoutMs` is over. Encrypted when the connection is: `pg`'s own `cancel` sends the key in plain text, and who
 * reads it can cancel at will. To the address that the connection has reached, since its name may lead to another server
 * by now; and by the way that the connection went, when that is one of the caller's own.
 * @param stream what `pg` was given for it
 * @returns whether it is surely over; false when the key was sent and the server has not hung up: the cancel may still
 * arrive then, and stop whatever runs
 */
export async function sendCancel(client: object, timeoutMs: number, stream?: unknown): Promise<boolean> {
  const { processID, secretKey, host, port, ssl, sslNegotiation, connection } = internalsOf(client);
  if (!processID || secretKey === null || secretKey === undefined) return true;
  const own = typeof stream === 'function';
  const config = { ssl, sslNegotiation, ...(own && { stream }) } as ConnectionConfig;
  let wire: CancelWire;
  try {
    wire = new Wire(config) as unknown as CancelWire;
  } catch {
    // The caller's function gives no stream.
    return true;
  }
  const named = !own && host !== undefined && isIP(host) === 0;
  const address = (named ? connection?.stream.remoteAddress : undefined) ?? host;
  // The certificate is for the name.
  const upgrade = wire.upgradeToSSL?.bind(wire);
  if (upgrade) wire.upgradeToSSL = (to, report) => upgrade(to === address ? host : to, report);
  let sent = false;
  let failed = false;
  return new Promise((resolve) => {
    // A cancel that fails changes nothing at once: who asked for it destroys the socket after its grace.
    const fail = () => {
      failed = true;
      wire.stream.destroy();
    };
    const timer = setTimeout(fail, timeoutMs);
    wire.on('error', fail);
    wire.on('end', () => {
      clearTimeout(timer);
      resolve(!sent || !failed);
    });
    beginTls(wire, fail);
    wire.on('connect', () => {
      if (!ssl) {
        sent = true;
        wire.cancel(processID, secretKey);
      } else if (sslNegotiation !== 'direct') wire.requestSsl();
    });
    wire.on('sslconnect', () => {
      // It waits for the end of the handshake; a server that fails it hears nothing.
      wire.stream.once('secureConnect', () => (sent = !failed));
      wire.cancel(processID, secretKey);
    });
    try {
      if (host?.startsWith('/')) wire.connect(`${host}/.s.PGSQL.${port}`);
      else wire.connect(port ?? 5432, address);
    } catch {
      // Of a stream of the caller's own.
      fail();
      clearTimeout(timer);
      resolve(true);
    }
  });
}
