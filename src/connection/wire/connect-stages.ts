import type { Socket } from 'node:net';
import type { PeerCertificate, TLSSocket } from 'node:tls';
import { ConnectTimeoutError, PasswordError } from '../../errors/connection.errors.js';
import type { ConnectionError } from '../../errors/connection.errors.js';
import { isWaitingForPassword } from '../auth/password.js';
import { PgInternals } from './pg-internals.js';

/** A stage that a connect has reached. A connect without a host name has no stage `name`, one without TLS no stage `tls`. */
export type ConnectStage =
  | { readonly stage: 'name'; readonly addresses: readonly string[] }
  | { readonly stage: 'tcp'; readonly address: string }
  | ({ readonly stage: 'tls' } & TlsFacts);

/** The properties of an encrypted connection. */
export interface TlsFacts {
  /** `TLSv1.3` */
  readonly protocol: string;
  /** `TLS_AES_256_GCM_SHA384` */
  readonly cipher: string;
  /** The common name of the issuer of the server's certificate, or else its organization. */
  readonly issuer: string | undefined;
  /** The common name of the server's certificate. */
  readonly subject: string | undefined;
  readonly validUntil: Date | undefined;
}

/**
 * Calls `onStage` for each stage that the connect of `client` reaches.
 * @param client a `pg.Client` that is not connected yet; one of another class may show no stages
 */
export function watchConnect(client: object, onStage: (stage: ConnectStage) => void): void {
  const { wire } = new PgInternals(client);
  if (!wire) return;
  const addresses: string[] = [];
  wire.stream.on('lookup', (error: Error | null, address: string) => {
    if (!error) addresses.push(address);
  });
  wire.stream.once('connectionAttempt', () => {
    if (addresses.length > 0) onStage({ stage: 'name', addresses: [...new Set(addresses)] });
  });
  wire.stream.once('connect', () => onStage({ stage: 'tcp', address: addressOf(wire.stream) }));
  wire.on('sslconnect', () => {
    const secure = wire.stream as TLSSocket;
    secure.once('secureConnect', () => onStage({ stage: 'tls', ...factsOf(secure) }));
  });
}

function addressOf({ remoteAddress, remotePort }: Socket): string {
  if (remoteAddress === undefined) return 'the socket';
  return remoteAddress.includes(':') ? `[${remoteAddress}]:${remotePort}` : `${remoteAddress}:${remotePort}`;
}

function factsOf(socket: TLSSocket): TlsFacts {
  // An empty object when the server has no certificate.
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

/** A certificate may hold several names of one kind. */
function first(name: string | string[] | undefined): string | undefined {
  return Array.isArray(name) ? name[0] : name;
}

/** The error of a connect that took longer than `timeoutMs`. It names what the client has waited for at the end. */
export function connectTimeoutError(client: object, timeoutMs: number): ConnectionError {
  // The password source has not answered.
  if (isWaitingForPassword(client)) return PasswordError.timeout(timeoutMs);
  const pg = new PgInternals(client);
  const { host, port } = pg.target;
  const server = typeof host === 'string' ? `${host}:${String(port)}` : 'the server';
  // Undefined for a fake, or a stream of the caller: then the server counts as not reached.
  const isReached = pg.stream?.connecting === false;
  return new ConnectTimeoutError(server, timeoutMs, isReached);
}
