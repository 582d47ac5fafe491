import type { Socket } from 'node:net';
import type { PeerCertificate, TLSSocket } from 'node:tls';
import { internalsOf } from './pg-internals.js';

/** What a dial has come to; those that it does not need (a name, TLS) are left out. */
export type ConnectStage =
  | { readonly stage: 'name'; readonly addresses: readonly string[] }
  | { readonly stage: 'tcp'; readonly address: string }
  | ({ readonly stage: 'tls' } & TlsFacts);

/** An encrypted connection as it has come about. */
export interface TlsFacts {
  /** `TLSv1.3` */
  readonly protocol: string;
  /** `TLS_AES_256_GCM_SHA384` */
  readonly cipher: string;
  /** Who signed the server's certificate; its organization where it has no name. */
  readonly issuer: string | undefined;
  /** Whom the certificate is for. */
  readonly subject: string | undefined;
  readonly validUntil: Date | undefined;
}

/** Tells the stages of the dial of `connection`, which is a `pg.Client` that has not been connected yet, as they are reached. */
export function watchConnect(connection: object, reached: (stage: ConnectStage) => void): void {
  const wire = internalsOf(connection).connection;
  if (!wire) return;
  const addresses: string[] = [];
  wire.stream.on('lookup', (error: Error | null, address: string) => {
    if (!error) addresses.push(address);
  });
  wire.stream.once('connectionAttempt', () => {
    if (addresses.length > 0) reached({ stage: 'name', addresses: [...new Set(addresses)] });
  });
  wire.stream.once('connect', () => reached({ stage: 'tcp', address: addressOf(wire.stream) }));
  wire.on('sslconnect', () => {
    const secure = wire.stream as TLSSocket;
    secure.once('secureConnect', () => reached({ stage: 'tls', ...factsOf(secure) }));
  });
}

function addressOf({ remoteAddress, remotePort }: Socket): string {
  if (remoteAddress === undefined) return 'the socket';
  return remoteAddress.includes(':') ? `[${remoteAddress}]:${remotePort}` : `${remoteAddress}:${remotePort}`;
}

function factsOf(socket: TLSSocket): TlsFacts {
  // Empty when the other side has none.
  const certificate: Partial<PeerCertificate> = socket.getPeerCertificate();
  const { subject, issuer, valid_to: validTo } = certificate;
  return {
    protocol: socket.getProtocol() ?? 'unknown',
    cipher: socket.getCipher().standardName,
    issuer: first(issuer?.CN ?? issuer?.O),
    subject: first(subject?.CN),
    validUntil: validTo ? new Date(validTo) : undefined,
  };
}

/** A name may be there several times. */
function first(name: string | string[] | undefined): string | undefined {
  return Array.isArray(name) ? name[0] : name;
}
