import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { ConnectionError } from '../../errors/connection.errors.js';
import type { PgWire } from './pg-internals.js';

/** The first bytes with which a PostgreSQL server may answer, by the request. */
const FIRST_BYTES = {
  /** Authentication, ErrorResponse, NoticeResponse, NegotiateProtocolVersion. */
  startup: 'RENv',
  /** TLS accepted, TLS refused, ErrorResponse; https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-SSL */
  ssl: 'SNE',
} as const;

/**
 * Calls `refuse` with a ConnectionError `NOT_POSTGRESQL` when a PostgreSQL server does not answer with the first byte that
 * arrives: a web server, MySQL or SSH does. `pg` would read it as the length of a message and wait until the connect timeout.
 */
export function verifyFirstByte(
  stream: Socket,
  request: keyof typeof FIRST_BYTES,
  refuse: (error: Error) => void,
): void {
  stream.prependOnceListener('data', (bytes: Uint8Array) => {
    if (FIRST_BYTES[request].includes(String.fromCharCode(bytes[0] ?? 0))) return;
    refuse(notPostgresError());
  });
}

/** `S`, with which a server accepts TLS. */
const TLS_ACCEPTED = 0x53;

/** The part of {@link PgWire} that starts TLS. */
export interface TlsWire extends Pick<PgWire, 'ssl' | 'sslNegotiation' | 'upgradeToSSL'> {
  stream: object;
  on(event: 'sslconnect', listener: () => void): unknown;
}

/**
 * Verifies what `pg` does not verify when TLS starts, and calls `refuse` with a ConnectionError:
 * - `TLS_TAMPERED` when plain text follows the server's agreement to TLS: an attacker may have inserted it (CVE-2021-23222);
 * - `TLS_DIRECT_REFUSED` when the server of a direct TLS connection does not confirm PostgreSQL by ALPN, as libpq requires;
 * - `NOT_POSTGRESQL` when the server of a direct TLS connection does not speak TLS.
 *
 * Also makes `pg` use `ssl.servername` for SNI and for the certificate. `pg` itself always uses the host, which is `localhost`
 * for a connection through a tunnel.
 */
export function verifyTlsStart(wire: TlsWire, refuse: (error: Error) => void): void {
  const { ssl, sslNegotiation } = wire;
  if (!ssl) return;
  const { servername } = ssl as { servername?: string };
  const upgrade = wire.upgradeToSSL?.bind(wire);
  if (servername && upgrade) wire.upgradeToSSL = (_host, report) => upgrade(servername, report);
  if (sslNegotiation !== 'direct') {
    (wire.stream as Socket).prependOnceListener('data', (answer: Uint8Array) => {
      if (answer.length > 1 && answer[0] === TLS_ACCEPTED) refuse(tlsTamperedError());
    });
    return;
  }
  wire.on('sslconnect', () => {
    const stream = wire.stream as TLSSocket;
    // The server does not speak TLS: a web server, MySQL, SSH. Prepended, so that this error precedes that of `pg`.
    stream.prependOnceListener('error', (error: Error) => {
      if (error.message.includes('wrong version number')) refuse(notPostgresError());
    });
    stream.once('secureConnect', () => {
      if (stream.alpnProtocol !== 'postgresql') refuse(tlsDirectRefusedError());
    });
  });
}

/** @throws ConnectionError `TLS_DIRECT_REFUSED` when this version of `pg` would send an SSLRequest in plain text first */
export function assertDirectTls(
  sslnegotiation: string | undefined,
  wire: Pick<PgWire, 'sslNegotiation'>,
): void {
  if (sslnegotiation === 'direct' && wire.sslNegotiation !== 'direct')
    throw new ConnectionError('This version of pg cannot start TLS directly.', {
      code: 'TLS_DIRECT_REFUSED',
      hint: 'Use pg 8.23 or later, or remove sslnegotiation=direct.',
    });
}

function notPostgresError(): ConnectionError {
  return new ConnectionError('The server at this address is not PostgreSQL.', {
    code: 'NOT_POSTGRESQL',
    hint: 'Correct host and port.',
  });
}

function tlsTamperedError(): ConnectionError {
  return new ConnectionError(
    'The server sent plain text after it had accepted TLS; an attacker in between may have inserted it.',
    {
      code: 'TLS_TAMPERED',
      hint: 'Look for a proxy or an attacker between this machine and the server.',
    },
  );
}

function tlsDirectRefusedError(): ConnectionError {
  return new ConnectionError('The server speaks TLS but does not confirm that it is PostgreSQL.', {
    code: 'TLS_DIRECT_REFUSED',
    hint: 'Remove sslnegotiation=direct: it needs PostgreSQL 17 or later, and every proxy in between must support it.',
  });
}
