import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { ManagedDataSource, DatabaseModuleOptions } from 'nestjs-database';
import type { DataSource } from 'typeorm';
import { createAuthority } from '../../support/certificates.js';
import type { CertificateAuthority } from '../../support/certificates.js';
import { NestModule } from '../../support/nest-module.js';
import { startPostgres } from '../../support/postgres-server.js';
import type { PostgresServer } from '../../support/postgres-server.js';
import { ManInTheMiddle } from './man-in-the-middle.js';
import { until } from '../../support/until.js';

let authority: CertificateAuthority;
let server: PostgresServer;
let serverCertificate: string;
const nest = new NestModule();
let attacker: ManInTheMiddle | undefined;

beforeAll(async () => {
  authority = await createAuthority();
  const { cert, key } = await authority.issueServer({ hosts: ['localhost', '127.0.0.1', 'db.example.com'] });
  serverCertificate = cert;
  server = await startPostgres({ tls: { cert, key } });
});
afterAll(() => server?.dispose());
afterEach(async () => {
  await nest.close();
  await attacker?.close();
  attacker = undefined;
});

async function start(options: DatabaseModuleOptions): Promise<ManagedDataSource> {
  return nest.start({ connectRetry: 0, pool: { size: 1 }, ...options });
}

const encryption = async (dataSource: DataSource) =>
  (
    await dataSource.query<{ ssl: boolean; version: string }[]>(
      'SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()',
    )
  )[0];

/** A man in the middle with a certificate that the client trusts, so that it can read what the client sends. */
const startTrustedAttacker = async (hosts: string[], tls: object = {}) =>
  ManInTheMiddle.start(server.port, 'impersonate', { ...(await authority.issueServer({ hosts })), ...tls });

const local = (url: string) => url.replace('127.0.0.1', 'localhost');

describe('Direct TLS negotiation', () => {
  it.each<[string, (url: string) => DatabaseModuleOptions]>([
    [
      'sslnegotiation=direct in the URL',
      (url) => ({ url: `${url}?sslnegotiation=direct`, ssl: { ca: authority.cert } }),
    ],
    ['ssl.negotiation', (url) => ({ url, ssl: { ca: authority.cert, negotiation: 'direct' } })],
  ])('is used with %s', async (_how, options) => {
    attacker = await startTrustedAttacker(['127.0.0.1']);
    await start(options(attacker.through(server.url)));
    expect(attacker.handshakes).toEqual([{ servername: false, alpn: 'postgresql' }]);
    expect(attacker.sslRequests).toBe(0);
    await nest.close();
    expect(await encryption(await start(options(server.url)))).toMatchObject({ ssl: true });
  });

  it('is used to cancel a statement too', async () => {
    const dataSource = await start({
      url: server.url,
      ssl: { ca: authority.cert, negotiation: 'direct' },
      pool: { size: 2 },
    });
    const connection = await dataSource.pool!.acquire({ borrower: 'spec' });
    const sleeping = connection.query('SELECT pg_sleep(60)');
    const [refused] = await Promise.all([
      sleeping.catch((error: unknown) => error),
      (async () => {
        await until(
          async () =>
            (await server.sql("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'")).length > 0,
        );
        await connection.cancelRunning();
      })(),
    ]);
    expect(refused).toMatchObject({ code: '57014' });
    connection.release();
  });

  it('is refused by a server that does not support it, even with a valid certificate', async () => {
    attacker = await startTrustedAttacker(['127.0.0.1'], { ALPNProtocols: undefined });
    const options = {
      url: attacker.through(server.url),
      ssl: { ca: authority.cert, negotiation: 'direct' },
    } as const;
    await expect(start(options)).rejects.toMatchObject({ code: 'TLS_DIRECT_REFUSED' });
    expect(attacker.received).not.toContain('SCRAM');
  });

  it('is refused by a server that speaks another protocol', async () => {
    attacker = await startTrustedAttacker(['127.0.0.1'], { ALPNProtocols: ['h2'] });
    const options = {
      url: attacker.through(server.url),
      ssl: { ca: authority.cert, negotiation: 'direct' },
    } as const;
    await expect(start(options)).rejects.toMatchObject({ code: 'TLS_DIRECT_REFUSED' });
  });

  it('is not enabled by PGSSLNEGOTIATION, which the module does not read', async () => {
    process.env.PGSSLNEGOTIATION = 'direct';
    try {
      attacker = await startTrustedAttacker(['127.0.0.1']);
      await start({ url: attacker.through(server.url), ssl: { ca: authority.cert } });
      expect(attacker.sslRequests).toBe(1);
      await nest.close();
      await start({ url: server.url, ssl: false });
    } finally {
      delete process.env.PGSSLNEGOTIATION;
    }
  });
});

describe('The server name that the client sends (SNI)', () => {
  it.each<[string, string, (url: string) => DatabaseModuleOptions]>([
    ['the host', 'localhost', (url) => ({ url: local(url), ssl: { ca: authority.cert } })],
    [
      'ssl.servername, through a tunnel by address',
      'db.example.com',
      (url) => ({ url, ssl: { ca: authority.cert, servername: 'db.example.com' } }),
    ],
    [
      'ssl.servername, through a tunnel by name',
      'db.example.com',
      (url) => ({ url: local(url), ssl: { ca: authority.cert, servername: 'db.example.com' } }),
    ],
  ])('is %s', async (_what, servername, options) => {
    attacker = await startTrustedAttacker(['localhost', 'db.example.com']);
    await start(options(attacker.through(server.url)));
    expect(attacker.handshakes).toEqual([expect.objectContaining({ servername })]);
  });

  it('is empty for an address', async () => {
    attacker = await startTrustedAttacker(['127.0.0.1']);
    await start({ url: attacker.through(server.url), ssl: { ca: authority.cert } });
    expect(attacker.handshakes).toEqual([expect.objectContaining({ servername: false })]);
  });
});

describe('The version of TLS', () => {
  it.each(['TLSv1.2', 'TLSv1.3'] as const)('is %s when the URL allows no other', async (version) => {
    const query = `ssl_min_protocol_version=${version}&ssl_max_protocol_version=${version}`;
    const dataSource = await start({ url: `${server.url}?${query}`, ssl: { ca: authority.cert } });
    expect(await encryption(dataSource)).toEqual({ ssl: true, version });
  });

  it.each(['TLSv1', 'TLSv1.1'] as const)(
    'is never %s, even if the server supports nothing newer',
    async (old) => {
      attacker = await startTrustedAttacker(['127.0.0.1'], {
        minVersion: 'TLSv1',
        maxVersion: old,
        // Without it, OpenSSL 3 does not offer these versions.
        ciphers: 'DEFAULT@SECLEVEL=0',
      });
      await expect(
        start({ url: attacker.through(server.url), ssl: { ca: authority.cert } }),
      ).rejects.toMatchObject({
        code: 'TLS_VERSION_UNSUPPORTED',
      });
      expect(attacker.received).toBe('');
    },
  );

  it('is refused by a server that requires a newer one', async () => {
    await server.reload({ ssl_min_protocol_version: 'TLSv1.3' });
    await expect(
      start({ url: server.url, ssl: { ca: authority.cert, maxVersion: 'TLSv1.2' } }),
    ).rejects.toMatchObject({ code: 'TLS_VERSION_UNSUPPORTED' });
    await server.reload({ ssl_min_protocol_version: 'TLSv1.2' });
  });
});

describe('A revocation list', () => {
  const startWithCrl = (crl: string) =>
    start({ url: `${server.url}?sslcrl=${encodeURIComponent(crl)}`, ssl: { ca: authority.cert } });

  it('accepts a server whose certificate is not on it', async () => {
    expect(await encryption(await startWithCrl(await authority.revoke()))).toMatchObject({ ssl: true });
  });

  it('refuses a server whose certificate is on it', async () => {
    await expect(startWithCrl(await authority.revoke(serverCertificate))).rejects.toMatchObject({
      code: 'TLS_CERTIFICATE_REVOKED',
    });
  });

  it('does not suffice when another authority has issued it', async () => {
    const other = await createAuthority('Other');
    await expect(startWithCrl(await other.revoke())).rejects.toMatchObject({
      code: 'TLS_REVOCATION_UNKNOWN',
    });
  });
});
