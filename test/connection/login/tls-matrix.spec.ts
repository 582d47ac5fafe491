import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { SslMode, SslSettings } from 'nestjs-database';
import { createAuthority, selfSigned } from '../../support/certificates.js';
import type { CertificateAuthority, IssuedCertificate } from '../../support/certificates.js';
import { NestModule } from '../../support/nest-module.js';
import { startPostgres } from '../../support/postgres-server.js';
import type { PostgresServer } from '../../support/postgres-server.js';
import { ManInTheMiddle } from './man-in-the-middle.js';
import type { Attack } from './man-in-the-middle.js';

const HOST = '127.0.0.1';
/** The result of a mode: a connection in plain text, an encrypted one, or the code of the error. */
type Outcome = 'plain' | 'encrypted' | `${Uppercase<string>}`;
type Outcomes = Readonly<Record<SslMode, Outcome>>;

/** A server or an attacker, and the TLS settings of the client. */
interface Peer {
  /** The TLS settings of the client; not used with the mode `disable`. Without it, `ca` alone. */
  readonly ssl?: () => SslSettings;
  readonly url?: (url: string) => string;
  readonly certificate?: () => Promise<IssuedCertificate & { ca?: string }>;
  readonly hba?: string[];
  readonly attack?: Attack;
  readonly outcomes: Outcomes;
}

let authority: CertificateAuthority;
let otherAuthority: CertificateAuthority;
let selfSignedCertificate: IssuedCertificate;
let clientCertificate: IssuedCertificate;
let untrustedClientCertificate: IssuedCertificate;
let expiredClientCertificate: IssuedCertificate;
let server: PostgresServer;
const nest = new NestModule();
let attacker: ManInTheMiddle | undefined;

const validCertificate = () => authority.issueServer({ hosts: [HOST] });
const requiringClientCertificate = async () => ({ ...(await validCertificate()), ca: authority.cert });
const CLIENT_CERTIFICATE_HBA = ['hostssl all app all scram-sha-256 clientcert=verify-ca'];
const all = (disable: Outcome, others: Outcome): Outcomes => ({
  disable,
  require: others,
  'verify-ca': others,
  'verify-full': others,
});

const PEERS: Record<string, Peer> = {
  'A server without TLS': { outcomes: all('plain', 'TLS_NOT_OFFERED') },
  'A server with a self-signed certificate': {
    certificate: async () => selfSignedCertificate,
    outcomes: all('plain', 'TLS_CERTIFICATE_UNTRUSTED'),
  },
  'A server with a self-signed certificate that is also the CA of the client': {
    certificate: async () => selfSignedCertificate,
    ssl: () => ({ ca: selfSignedCertificate.cert }),
    outcomes: all('plain', 'encrypted'),
  },
  'A server with a certificate of the CA': {
    certificate: validCertificate,
    outcomes: all('plain', 'encrypted'),
  },
  'A server with a certificate of a CA that the client is not given': {
    certificate: validCertificate,
    ssl: () => ({}),
    outcomes: {
      ...all('plain', 'TLS_CERTIFICATE_UNTRUSTED'),
      'verify-ca': 'DATABASE_CONFIG_INVALID',
    },
  },
  'A server with a certificate of another CA': {
    certificate: () => otherAuthority.issueServer({ hosts: [HOST] }),
    outcomes: all('plain', 'TLS_CERTIFICATE_UNTRUSTED'),
  },
  'A server whose certificate is for another name': {
    certificate: () => authority.issueServer({ hosts: ['db.example.com'] }),
    outcomes: {
      disable: 'plain',
      require: 'TLS_HOST_MISMATCH',
      'verify-ca': 'encrypted',
      'verify-full': 'TLS_HOST_MISMATCH',
    },
  },
  'A server whose certificate is for the name in ssl.servername': {
    certificate: () => authority.issueServer({ hosts: ['db.example.com'] }),
    ssl: () => ({ ca: authority.cert, servername: 'db.example.com' }),
    outcomes: all('plain', 'encrypted'),
  },
  'A server whose certificate has expired': {
    certificate: () => authority.issueServer({ hosts: [HOST], validForDays: -1 }),
    outcomes: all('plain', 'TLS_CERTIFICATE_EXPIRED'),
  },
  'A server that accepts only encrypted connections': {
    certificate: validCertificate,
    hba: ['hostssl all app all scram-sha-256'],
    outcomes: all('TLS_REQUIRED', 'encrypted'),
  },
  'A server that requires a client certificate and gets none': {
    certificate: requiringClientCertificate,
    hba: CLIENT_CERTIFICATE_HBA,
    outcomes: all('TLS_REQUIRED', 'TLS_CLIENT_CERTIFICATE_MISSING'),
  },
  'A server that requires a client certificate and gets a valid one': {
    certificate: requiringClientCertificate,
    hba: CLIENT_CERTIFICATE_HBA,
    ssl: () => ({ ca: authority.cert, ...clientCertificate }),
    outcomes: all('TLS_REQUIRED', 'encrypted'),
  },
  'A server that requires a client certificate and gets one of another CA': {
    certificate: requiringClientCertificate,
    hba: CLIENT_CERTIFICATE_HBA,
    ssl: () => ({ ca: authority.cert, ...untrustedClientCertificate }),
    outcomes: all('TLS_REQUIRED', 'TLS_CLIENT_CERTIFICATE_REFUSED'),
  },
  'A server that requires a client certificate and gets an expired one': {
    certificate: requiringClientCertificate,
    hba: CLIENT_CERTIFICATE_HBA,
    ssl: () => ({ ca: authority.cert, ...expiredClientCertificate }),
    outcomes: all('TLS_REQUIRED', 'TLS_CLIENT_CERTIFICATE_REFUSED'),
  },
  'A server that refuses a client certificate during the handshake': {
    certificate: requiringClientCertificate,
    hba: CLIENT_CERTIFICATE_HBA,
    ssl: () => ({ ca: authority.cert, ...untrustedClientCertificate, maxVersion: 'TLSv1.2' }),
    outcomes: all('TLS_REQUIRED', 'TLS_CLIENT_CERTIFICATE_REFUSED'),
  },
  'A man in the middle that refuses TLS': {
    certificate: validCertificate,
    attack: 'deny',
    outcomes: all('plain', 'TLS_NOT_OFFERED'),
  },
  'A man in the middle that accepts TLS and goes on in plain text': {
    certificate: validCertificate,
    attack: 'strip',
    outcomes: all('plain', 'TLS_TAMPERED'),
  },
  'A man in the middle that answers as a server without TLS support': {
    certificate: validCertificate,
    attack: 'error',
    outcomes: all('plain', 'SERVER_OVERLOADED'),
  },
  'A man in the middle that injects plain text after accepting TLS': {
    certificate: validCertificate,
    attack: 'inject',
    outcomes: all('plain', 'TLS_TAMPERED'),
  },
  'A man in the middle with its selfSignedCertificate certificate': {
    certificate: validCertificate,
    attack: 'impersonate',
    outcomes: all('plain', 'TLS_CERTIFICATE_UNTRUSTED'),
  },
};

beforeAll(async () => {
  authority = await createAuthority();
  otherAuthority = await createAuthority('Other');
  selfSignedCertificate = await selfSigned(HOST);
  clientCertificate = await authority.issueClient({ commonName: 'app' });
  untrustedClientCertificate = await otherAuthority.issueClient({ commonName: 'app' });
  expiredClientCertificate = await authority.issueClient({ commonName: 'app', validForDays: -1 });
  server = await startPostgres();
});
afterAll(() => server?.dispose());
afterEach(async () => {
  await nest.close();
  await attacker?.close();
  attacker = undefined;
});

/** Starts an app as a user would, and returns what the server reports about the encryption of the connection. */
async function start(url: string, ssl: SslSettings) {
  const options = {
    url,
    ssl,
    connectRetry: { retries: 1, initialDelayMs: 0 },
    pool: { size: 1, maxOverflow: 0 },
  };
  const dataSource = await nest.start(options);
  const [row] = await dataSource.query<{ ssl: boolean; version: string | null; client_dn: string | null }[]>(
    'SELECT ssl, version, client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()',
  );
  return row!;
}

describe.each(Object.keys(PEERS))('%s', (name) => {
  const { certificate, hba, attack, ssl = () => ({ ca: authority.cert }), outcomes } = PEERS[name]!;

  beforeAll(async () => {
    if (certificate) await server.certificates(await certificate());
    else await server.reload({ ssl: false });
    await server.hba(hba);
  });

  it.each(Object.entries(outcomes) as [SslMode, Outcome][])(
    'with mode %s results in %s',
    async (mode, outcome) => {
      if (attack) attacker = await ManInTheMiddle.start(server.port, attack, selfSignedCertificate);
      const url = attacker ? attacker.through(server.url) : server.url;
      const settings: SslSettings = mode === 'disable' ? { mode } : { ...ssl(), mode };
      if (outcome === 'plain' || outcome === 'encrypted') {
        const encrypted = outcome === 'encrypted';
        expect(await start(url, settings)).toEqual({
          ssl: encrypted,
          version: encrypted ? expect.stringMatching(/^TLSv1\.[23]$/) : null,
          client_dn: encrypted && settings.cert !== undefined ? '/CN=app' : null,
        });
        const logged = encrypted ? new RegExp(`, TLSv1\\.[23] \\(${mode}\\), `) : /, no TLS, /;
        expect(nest.logger.of('DatabaseModule').at(-1)).toMatch(logged);
        return;
      }
      const error = await start(url, settings).then(
        () => undefined,
        (reason: unknown) => reason as Error & { code: string },
      );
      expect(error).toMatchObject({ code: outcome });
      if (outcome !== 'DATABASE_CONFIG_INVALID')
        expect(error!.message).toContain(`${HOST}:${new URL(url).port}`);
      // Only an overloaded server is worth a retry: the other errors need a change of settings.
      expect(nest.logger.text.includes('Trying again')).toBe(outcome === 'SERVER_OVERLOADED');
      // The client has sent neither the startup packet nor an answer to a login request.
      expect(attacker?.received ?? '').not.toMatch(/user\0|SCRAM|app\0/);
    },
  );
});
