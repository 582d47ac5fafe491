import { isIP } from 'node:net';
import { Connection as Wire } from 'pg';
import type { ConnectionConfig } from 'pg';
import { internalsOf } from './pg-internals.js';
import { beginTls, type TlsWire } from './tls-begin.js';

interface CancelWire extends TlsWire {
  stream: { destroy(): void; unref?(): void };
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
 */
export async function sendCancel(client: object, timeoutMs: number, stream?: unknown): Promise<void> {
  const { processID, secretKey, host, port, ssl, sslNegotiation, connection } = internalsOf(client);
  if (!processID || secretKey === null || secretKey === undefined) return;
  const own = typeof stream === 'function';
  const config = { ssl, sslNegotiation, ...(own && { stream }) } as ConnectionConfig;
  let wire: CancelWire;
  try {
    wire = new Wire(config) as unknown as CancelWire;
  } catch {
    // The caller's function gives no stream.
    return;
  }
  const named = !own && host !== undefined && isIP(host) === 0;
  const address = (named ? connection?.stream.remoteAddress : undefined) ?? host;
  // The certificate is for the name.
  const upgrade = wire.upgradeToSSL?.bind(wire);
  if (upgrade) wire.upgradeToSSL = (to, report) => upgrade(to === address ? host : to, report);
  await new Promise<void>((resolve) => {
    const timer = setTimeout(() => wire.stream.destroy(), timeoutMs);
    const done = () => {
      clearTimeout(timer);
      resolve();
    };
    // A cancel that fails changes nothing: who asked for it destroys the socket after its grace.
    wire.on('error', () => wire.stream.destroy());
    wire.on('end', done);
    beginTls(wire, () => wire.stream.destroy());
    wire.on('connect', () => {
      if (!ssl) wire.cancel(processID, secretKey);
      else if (sslNegotiation !== 'direct') wire.requestSsl();
    });
    wire.on('sslconnect', () => wire.cancel(processID, secretKey));
    if (host?.startsWith('/')) wire.connect(`${host}/.s.PGSQL.${port}`);
    else wire.connect(port ?? 5432, address);
  });
}
