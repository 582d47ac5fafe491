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
/** What a mode comes to: a connection in plain text or encrypted, or the code of the error. */
type Outcome = 'plain' | 'encrypted' | `${Uppercase<string>}`;
type Outcomes = Readonly<Record<SslMode, Outcome>>;

/** Who answers, and what the client is given for it. */
interface Peer {
  /** Nothing but `ca` unless it says otherwise; `disable` takes none. */
  readonly ssl?: () => SslSettings;
  readonly url?: (url: string) => string;
  readonly certificate?: () => Promise<IssuedCertificate & { ca?: string }>;
  readonly hba?: string[];
  readonly attack?: Attack;
  readonly outcomes: Outcomes;
}

let authority: CertificateAuthority;
let stranger: CertificateAuthority;
let own: IssuedCertificate;
let client: IssuedCertificate;
let clientOfStranger: IssuedCertificate;
let clientOfOld: IssuedCertificate;
let server: PostgresServer;
const nest = new NestModule();
let man: ManInTheMiddle | undefined;

const right = () => authority.issueServer({ hosts: [HOST] });
const demanding = async () => ({ ...(await right()), ca: authority.cert });
const DEMANDED = ['hostssl all app all scram-sha-256 clientcert=verify-ca'];
const all = (disable: Outcome, others: Outcome): Outcomes => ({
  disable,
  require: others,
  'verify-ca': others,
  'verify-full': others,
});

const PEERS: Record<string, Peer> = {
  'a server without TLS': { outcomes: all('plain', 'TLS_NOT_OFFERED') },
  'a server with a certificate of its own making': {
    certificate: async () => own,
    outcomes: all('plain', 'TLS_CERTIFICATE_UNTRUSTED'),
  },
  'a server with a certificate of its own making, which is given as the CA': {
    certificate: async () => own,
    ssl: () => ({ ca: own.cert }),
    outcomes: all('plain', 'encrypted'),
  },
  'a server of our authority': { certificate: right, outcomes: all('plain', 'encrypted') },
  'a server of our authority, without its CA': {
    certificate: right,
    ssl: () => ({}),
    outcomes: {
      ...all('plain', 'TLS_CERTIFICATE_UNTRUSTED'),
      'verify-ca': 'DATABASE_CONFIG_INVALID',
    },
  },
  'a server of another authority': {
    certificate: () => stranger.issueServer({ hosts: [HOST] }),
    outcomes: all('plain', 'TLS_CERTIFICATE_UNTRUSTED'),
  },
  'a server of our authority with another name': {
    certificate: () => authority.issueServer({ hosts: ['db.example.com'] }),
    outcomes: {
      disable: 'plain',
      require: 'TLS_HOST_MISMATCH',
      'verify-ca': 'encrypted',
      'verify-full': 'TLS_HOST_MISMATCH',
    },
  },
  'a server of our authority with another name, which is said': {
    certificate: () => authority.issueServer({ hosts: ['db.example.com'] }),
    ssl: () => ({ ca: authority.cert, servername: 'db.example.com' }),
    outcomes: all('plain', 'encrypted'),
  },
  'a server whose certificate has expired': {
    certificate: () => authority.issueServer({ hosts: [HOST], validForDays: -1 }),
    outcomes: all('plain', 'TLS_CERTIFICATE_EXPIRED'),
  },
  'a server that takes encrypted connections only': {
    certificate: right,
    hba: ['hostssl all app all scram-sha-256'],
    outcomes: all('TLS_REQUIRED', 'encrypted'),
  },
  'a server that demands a client certificate, and gets none': {
    certificate: demanding,
    hba: DEMANDED,
    outcomes: all('TLS_REQUIRED', 'TLS_CLIENT_CERTIFICATE_MISSING'),
  },
  'a server that demands a client certificate, and gets it': {
    certificate: demanding,
    hba: DEMANDED,
    ssl: () => ({ ca: authority.cert, ...client }),
    outcomes: all('TLS_REQUIRED', 'encrypted'),
  },
  'a server that demands a client certificate, and gets one of another authority': {
    certificate: demanding,
    hba: DEMANDED,
    ssl: () => ({ ca: authority.cert, ...clientOfStranger }),
    outcomes: all('TLS_REQUIRED', 'TLS_CLIENT_CERTIFICATE_REFUSED'),
  },
  'a server that demands a client certificate, and gets one that has expired': {
    certificate: demanding,
    hba: DEMANDED,
    ssl: () => ({ ca: authority.cert, ...clientOfOld }),
    outcomes: all('TLS_REQUIRED', 'TLS_CLIENT_CERTIFICATE_REFUSED'),
  },
  'a server that refuses a client certificate during the handshake': {
    certificate: demanding,
    hba: DEMANDED,
    ssl: () => ({ ca: authority.cert, ...clientOfStranger, maxVersion: 'TLSv1.2' }),
    outcomes: all('TLS_REQUIRED', 'TLS_CLIENT_CERTIFICATE_REFUSED'),
  },
  'somebody in between who denies TLS': {
    certificate: right,
    attack: 'deny',
    outcomes: all('plain', 'TLS_NOT_OFFERED'),
  },
  'somebody in between who promises TLS and goes on without': {
    certificate: right,
    attack: 'strip',
    outcomes: all('plain', 'TLS_TAMPERED'),
  },
  'somebody in between who answers as a server without a notion of TLS': {
    certificate: right,
    attack: 'error',
    outcomes: all('plain', 'SERVER_OVERLOADED'),
  },
  'somebody in between who puts plain text behind the promise of TLS': {
    certificate: right,
    attack: 'inject',
    outcomes: all('plain', 'TLS_TAMPERED'),
  },
  'somebody in between with a certificate of his own': {
    certificate: right,
    attack: 'impersonate',
    outcomes: all('plain', 'TLS_CERTIFICATE_UNTRUSTED'),
  },
};

beforeAll(async () => {
  authority = await createAuthority();
  stranger = await createAuthority('Stranger');
  own = await selfSigned(HOST);
  client = await authority.issueClient({ commonName: 'app' });
  clientOfStranger = await stranger.issueClient({ commonName: 'app' });
  clientOfOld = await authority.issueClient({ commonName: 'app', validForDays: -1 });
  server = await startPostgres();
});
afterAll(() => server?.dispose());
afterEach(async () => {
  await nest.close();
  await man?.close();
  man = undefined;
});

/** Starts an app as a user would, and asks the server how it is spoken to. */
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
    'ends with mode %s as: %s',
    async (mode, outcome) => {
      if (attack) man = await ManInTheMiddle.before(server.port, attack, own);
      const url = man ? man.through(server.url) : server.url;
      const given: SslSettings = mode === 'disable' ? { mode } : { ...ssl(), mode };
      if (outcome === 'plain' || outcome === 'encrypted') {
        const encrypted = outcome === 'encrypted';
        expect(await start(url, given)).toEqual({
          ssl: encrypted,
          version: encrypted ? expect.stringMatching(/^TLSv1\.[23]$/) : null,
          client_dn: encrypted && given.cert !== undefined ? '/CN=app' : null,
        });
        const told = encrypted ? new RegExp(`, TLSv1\\.[23] \\(${mode}\\), `) : /, no TLS, /;
        expect(nest.logger.of('DatabaseModule').at(-1)).toMatch(told);
        return;
      }
      const error = await start(url, given).then(
        () => undefined,
        (reason: unknown) => reason as Error & { code: string },
      );
      expect(error).toMatchObject({ code: outcome });
      if (outcome !== 'DATABASE_CONFIG_INVALID')
        expect(error!.message).toContain(`${HOST}:${new URL(url).port}`);
      // A server may lack resources for a moment; the rest does not pass by itself.
      expect(nest.logger.text.includes('Trying again')).toBe(outcome === 'SERVER_OVERLOADED');
      // What would come next is the user, the database, and an answer to whatever is asked for.
      expect(man?.heard ?? '').not.toMatch(/user\0|SCRAM|app\0/);
    },
  );
});
