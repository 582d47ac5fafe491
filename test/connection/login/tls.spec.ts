import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { DatabaseModuleOptions } from 'nestjs-database';
import { createAuthority } from '../../support/certificates.js';
import type { CertificateAuthority } from '../../support/certificates.js';
import { NestModule } from '../../support/nest-module.js';
import { startPostgres } from '../../support/postgres-server.js';
import type { PostgresServer } from '../../support/postgres-server.js';

const HBA = ['hostssl all app all scram-sha-256', 'host all postgres all scram-sha-256'];

describe('TLS', () => {
  let authority: CertificateAuthority;
  let server: PostgresServer;
  let folder: string;
  let caFile: string;
  const nest = new NestModule();
  const environment = { ...process.env };

  beforeAll(async () => {
    authority = await createAuthority();
    const { cert, key } = await authority.issueServer({ hosts: ['127.0.0.1'] });
    server = await startPostgres({
      tls: { cert, key },
      hba: HBA,
    });
    folder = await mkdtemp(join(tmpdir(), 'nestjs-database-ca-'));
    caFile = join(folder, 'ca.pem');
    await writeFile(caFile, authority.cert);
  });
  afterEach(async () => {
    await nest.close();
    process.env = { ...environment };
  });
  afterAll(async () => {
    await server?.dispose();
    await rm(folder, { recursive: true });
  });

  const start = async (options: DatabaseModuleOptions) => {
    const dataSource = await nest.start(options);
    const [row] = await dataSource.query<{ ssl: boolean }[]>(
      'SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()',
    );
    return row?.ssl;
  };

  it.each<[string, () => DatabaseModuleOptions]>([
    [
      'verify-full with a CA as text',
      () => ({ url: server.url, ssl: { mode: 'verify-full', ca: authority.cert } }),
    ],
    ['verify-ca with a CA as a file', () => ({ url: server.url, ssl: { mode: 'verify-ca', ca: caFile } })],
    ['require with a CA', () => ({ url: server.url, ssl: { mode: 'require', ca: authority.cert } })],
    ['a CA alone, which means verify-full', () => ({ url: server.url, ssl: { ca: caFile } })],
    [
      'sslmode and sslrootcert in the URL',
      () => ({ url: `${server.url}?sslmode=verify-full&sslrootcert=${caFile}` }),
    ],
  ])('encrypts the connection with %s', async (_how, options) => {
    expect(await start(options())).toBe(true);
    expect(nest.logger.of('DatabaseModule').at(-1)).toMatch(
      /TLSv1\.[23] \((require|verify-ca|verify-full)\)/,
    );
  });

  it('takes DB_SSL_MODE and DB_SSL_CA from the environment', async () => {
    process.env.DB_URL = server.url;
    process.env.DB_SSL_MODE = 'verify-full';
    process.env.DB_SSL_CA = authority.cert.replaceAll('\n', '\\n');
    expect(await start({})).toBe(true);
  });

  it('names the setting for the CA when the certificate is untrusted', async () => {
    await expect(start({ url: server.url, ssl: true })).rejects.toMatchObject({
      code: 'TLS_CERTIFICATE_UNTRUSTED',
      message: expect.stringContaining('DB_SSL_CA'),
    });
  });

  describe('channel_binding=require in the URL', () => {
    const url = () => `${server.url}?sslmode=verify-full&sslrootcert=${caFile}&channel_binding=require`;

    it('accepts a login that is bound to the TLS connection', async () => {
      expect(await start({ url: url() })).toBe(true);
    });

    it.each(['password', 'trust'])(
      'refuses a server that requests %s, before the password is sent',
      async (method) => {
        await server.hba([`hostssl all app all ${method}`]);
        await expect(start({ url: url() })).rejects.toMatchObject({ code: 'CHANNEL_BINDING_MISSING' });
        await server.hba(HBA);
      },
    );
  });

  it('does not verify the certificate with rejectUnauthorized: false, and warns', async () => {
    expect(await start({ url: server.url, ssl: { rejectUnauthorized: false } })).toBe(true);
    expect(nest.logger.text).toMatch(/warn .*not verified/);
  });
});
