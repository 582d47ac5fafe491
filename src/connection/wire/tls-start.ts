import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { ConnectionError } from '../../errors/connection.errors.js';
import { notPostgres } from './greeting.js';

/** `S` */
const PROMISE = 0x53;

/** The half of `pg`'s protocol that begins TLS. */
export interface TlsWire {
  stream: object;
  ssl?: unknown;
  sslNegotiation?: string;
  upgradeToSSL?(host: string | undefined, report: (error: Error) => void): void;
  on(event: string, listener: () => void): unknown;
}

/**
 * What `pg` leaves open where TLS begins. It asks for the host's certificate, whatever `servername` says, so that a tunnel
 * (`localhost`) reaches no server that is told by its name. And it takes a direct connection to whatever speaks TLS; libpq
 * wants the other side to confirm that it speaks PostgreSQL.
 */
export function beginTls(wire: TlsWire, refuse: (error: Error) => void): void {
  const { ssl, sslNegotiation } = wire;
  if (!ssl) return;
  const { servername } = ssl as { servername?: string };
  const upgrade = wire.upgradeToSSL?.bind(wire);
  if (servername && upgrade) wire.upgradeToSSL = (_host, report) => upgrade(servername, report);
  if (sslNegotiation !== 'direct') {
    // `pg` takes it for a server without resources. See CVE-2021-23222.
    (wire.stream as Socket).prependOnceListener('data', (answer: Uint8Array) => {
      if (answer.length > 1 && answer[0] === PROMISE) refuse(tampered());
    });
    return;
  }
  wire.on('sslconnect', () => {
    const stream = wire.stream as TLSSocket;
    // Nothing was promised, so nobody broke in: a web server, MySQL, SSH. Told before `pg` tells of it.
    stream.prependOnceListener('error', (error: Error) => {
      if (error.message.includes('wrong version number')) refuse(notPostgres());
    });
    stream.once('secureConnect', () => {
      if (stream.alpnProtocol !== 'postgresql') refuse(notDirect());
    });
  });
}

/** @throws ConnectionError when this `pg` would ask in plain text first all the same */
export function assertDirect(wanted: string | undefined, wire: TlsWire): void {
  if (wanted === 'direct' && wire.sslNegotiation !== 'direct')
    throw new ConnectionError('This version of pg cannot begin TLS directly.', {
      code: 'TLS_DIRECT_REFUSED',
      hint: 'Use pg 8.23 or later, or leave sslnegotiation=direct out.',
    });
}

function tampered(): ConnectionError {
  return new ConnectionError(
    'Plain text came behind the promise of TLS; somebody in between may have sent it.',
    {
      code: 'TLS_TAMPERED',
      hint: 'See what stands between here and the server.',
    },
  );
}

function notDirect(): ConnectionError {
  return new ConnectionError('What answers speaks TLS and does not confirm that it is PostgreSQL.', {
    code: 'TLS_DIRECT_REFUSED',
    hint: 'Leave sslnegotiation=direct out: PostgreSQL knows it from version 17 on, and a proxy must pass it on.',
  });
}
