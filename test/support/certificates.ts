import 'reflect-metadata';
import { X509Certificate, webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';

// Uses a library: small container images do not have the openssl program. This one has types and generates
// elliptic-curve keys, so that a certificate takes a few milliseconds.
x509.cryptoProvider.set(webcrypto);

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const day = 86_400_000;

/** PEM texts. */
export interface IssuedCertificate {
  cert: string;
  key: string;
}

export interface CertificateRequest {
  /** For a client certificate the name of the PostgreSQL user. */
  commonName: string;
  /** DNS names and IP addresses; by default `localhost`, 127.0.0.1 and ::1. */
  hosts?: string[];
  /** The validity from now on, in days; negative for an expired certificate. */
  validForDays?: number;
}

export interface CertificateAuthority {
  /** The authority's own certificate (PEM), what `sslrootcert` and DB_SSL_CA want. */
  readonly cert: string;
  issueServer(request?: Partial<CertificateRequest>): Promise<IssuedCertificate>;
  issueClient(request: CertificateRequest): Promise<IssuedCertificate>;
  /** Creates a revocation list (PEM), for `sslcrl`. */
  revoke(...certificates: string[]): Promise<string>;
  /** An authority below this one: its certificate is signed by this one. */
  createIntermediate(name: string): Promise<CertificateAuthority>;
}

/** Creates a certificate authority. */
export async function createAuthority(name = 'Test authority'): Promise<CertificateAuthority> {
  const keys = await generateKeys();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: `CN=${name}`,
    keys,
    signingAlgorithm: algorithm,
    ...validity(30),
    extensions: authorityExtensions(),
  });
  return new Authority(certificate, keys);
}

class Authority implements CertificateAuthority {
  constructor(
    private readonly certificate: x509.X509Certificate,
    private readonly keys: webcrypto.CryptoKeyPair,
  ) {}

  get cert(): string {
    return this.certificate.toString('pem');
  }

  async issueServer(request: Partial<CertificateRequest> = {}): Promise<IssuedCertificate> {
    const hosts = request.hosts ?? ['localhost', '127.0.0.1', '::1'];
    return this.issue(
      { commonName: hosts[0] ?? 'server', ...request, hosts },
      x509.ExtendedKeyUsage.serverAuth,
    );
  }

  async issueClient(request: CertificateRequest): Promise<IssuedCertificate> {
    return this.issue({ hosts: [], ...request }, x509.ExtendedKeyUsage.clientAuth);
  }

  async revoke(...certificates: string[]): Promise<string> {
    const list = await x509.X509CrlGenerator.create({
      issuer: this.certificate.subject,
      signingKey: this.keys.privateKey,
      signingAlgorithm: algorithm,
      thisUpdate: new Date(Date.now() - day),
      nextUpdate: new Date(Date.now() + day),
      entries: certificates.map((certificate) => ({
        serialNumber: new x509.X509Certificate(certificate).serialNumber,
        revocationDate: new Date(Date.now() - day),
      })),
    });
    return x509.PemConverter.encode(list.rawData, 'X509 CRL');
  }

  async createIntermediate(name: string): Promise<CertificateAuthority> {
    const keys = await generateKeys();
    return new Authority(await this.sign(`CN=${name}`, keys, 30, authorityExtensions()), keys);
  }

  private async issue(
    { commonName, hosts = [], validForDays = 30 }: CertificateRequest,
    usage: x509.ExtendedKeyUsage,
  ): Promise<IssuedCertificate> {
    const keys = await generateKeys();
    const names = hosts.map((host): x509.JsonGeneralName => ({
      type: isAddress(host) ? 'ip' : 'dns',
      value: host,
    }));
    const certificate = await this.sign(`CN=${commonName}`, keys, validForDays, [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.ExtendedKeyUsageExtension([usage]),
      ...(names.length > 0 ? [new x509.SubjectAlternativeNameExtension(names)] : []),
    ]);
    return { cert: certificate.toString('pem'), key: await toPem(keys.privateKey) };
  }

  private async sign(
    subject: string,
    keys: webcrypto.CryptoKeyPair,
    validForDays: number,
    extensions: x509.Extension[],
  ): Promise<x509.X509Certificate> {
    return x509.X509CertificateGenerator.create({
      subject,
      issuer: this.certificate.subject,
      publicKey: keys.publicKey,
      signingKey: this.keys.privateKey,
      signingAlgorithm: algorithm,
      ...validity(validForDays),
      extensions,
    });
  }
}

/** Creates a self-signed server certificate. */
export async function selfSigned(host: string): Promise<IssuedCertificate> {
  const keys = await generateKeys();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: `CN=${host}`,
    keys,
    signingAlgorithm: algorithm,
    ...validity(30),
    extensions: [
      new x509.SubjectAlternativeNameExtension([{ type: isAddress(host) ? 'ip' : 'dns', value: host }]),
    ],
  });
  return { cert: certificate.toString('pem'), key: await toPem(keys.privateKey) };
}

function authorityExtensions(): x509.Extension[] {
  return [
    new x509.BasicConstraintsExtension(true, undefined, true),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
  ];
}

function validity(days: number): { notBefore: Date; notAfter: Date } {
  // Valid since yesterday, for clocks that differ. An expired certificate was valid for the day before its end.
  const notAfter = new Date(Date.now() + days * day);
  return { notBefore: new Date(Math.min(Date.now(), notAfter.getTime()) - day), notAfter };
}

async function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
}

async function toPem(key: webcrypto.CryptoKey): Promise<string> {
  return x509.PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY');
}

function isAddress(host: string): boolean {
  return /^[\d.]+$/.test(host) || host.includes(':');
}

/** Parses a certificate. */
export function read(certificate: string): X509Certificate {
  return new X509Certificate(certificate);
}
