import dns from 'node:dns';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { ManagedDataSource, DatabaseModuleOptions } from 'nestjs-database';
import { DataSource } from 'typeorm';
import type { MigrationInterface, QueryRunner } from 'typeorm';
import { createAuthority } from '../../support/certificates.js';
import type { CertificateAuthority } from '../../support/certificates.js';
import { createTestDatabase } from '../../support/database.js';
import type { TestDatabase } from '../../support/database.js';
import { startNeonProxy } from '../../support/neon-proxy.js';
import type { NeonProxy } from '../../support/neon-proxy.js';
import { NestModule } from '../../support/nest-module.js';
import { until } from '../../support/until.js';

const POOLED = 'ep-cool-1-pooler.eu-central-1.aws.neon.tech';
const DIRECT = 'ep-cool-1.eu-central-1.aws.neon.tech';

class CreateNotes implements MigrationInterface {
  name = 'CreateNotes1700000000000';
  up(runner: QueryRunner) {
    return runner.query('CREATE TABLE notes (id int)') as Promise<void>;
  }
  down(runner: QueryRunner) {
    return runner.query('DROP TABLE notes') as Promise<void>;
  }
}

/** The proxy in test/support/neon-proxy.ts imitates Neon. */
describe('a data source on Neon', () => {
  let authority: CertificateAuthority;
  let database: TestDatabase;
  let proxy: NeonProxy;
  const nest = new NestModule();
  const { lookup } = dns;

  beforeAll(async () => {
    authority = await createAuthority();
    database = await createTestDatabase();
  });
  beforeEach(async () => {
    const certificate = await authority.issueServer({ hosts: [POOLED, DIRECT, '127.0.0.1'] });
    proxy = await startNeonProxy({ port: Number(new URL(database.url).port), ...certificate });
    // Replaces the lookup, so that no name server is queried.
    dns.lookup = ((_host: string, options: { all?: boolean }, done: (...answer: unknown[]) => void) =>
      process.nextTick(() => {
        if (options.all) done(null, [{ address: '127.0.0.1', family: 4 }]);
        else done(null, '127.0.0.1', 4);
      })) as never;
  });
  afterEach(async () => {
    await nest.close();
    dns.lookup = lookup;
    await proxy.close();
  });
  afterAll(() => database.drop());

  const urlOf = (host: string, parameters = '') => {
    const url = new URL(database.url);
    url.hostname = host;
    url.port = String(proxy.port);
    return `${url.href}${parameters}`;
  };
  const start = async (options: DatabaseModuleOptions = {}) => {
    return nest.start({ url: urlOf(DIRECT), ssl: { ca: authority.cert }, ...options });
  };
  /** Suspends the compute, as after five minutes without a query: the sockets are closed, and the pool has noticed. */
  const suspended = async (dataSource: DataSource) => {
    proxy.suspend();
    await until(() => (dataSource as ManagedDataSource).pool!.totalCount === 0);
  };
  const fast = { retries: 3, initialDelayMs: 10, maxDelayMs: 10 };

  describe('a pooled host', () => {
    it('is recognised by its name: the startup packet contains nothing that PgBouncer refuses', async () => {
      const dataSource = await start({ url: urlOf(POOLED), timeouts: { statementMs: 12_000 } });
      expect(await dataSource.query('SHOW statement_timeout')).toEqual([{ statement_timeout: '0' }]);
      expect(nest.logger.of('DatabaseModule').join('\n')).toMatch(
        /transaction.*statement_timeout 12 s by the client/s,
      );
    });

    it('is bypassed for migrations, at start and later', async () => {
      const dataSource = await start({
        url: urlOf(POOLED),
        migrations: [CreateNotes],
        migrationsRun: true,
        migrationsTableName: 'direct_migrations',
      });
      expect(proxy.endpoints).toContain('ep-cool-1');
      const until = proxy.endpoints.length;
      await dataSource.query('SELECT * FROM notes');
      expect(proxy.endpoints.slice(until)).not.toContain('ep-cool-1');
      expect(await dataSource.showMigrations()).toBe(false);
      await dataSource.undoLastMigration();
      expect(proxy.endpoints.slice(until)).toContain('ep-cool-1');
      expect(await dataSource.runMigrations()).toHaveLength(1);
      await dataSource.undoLastMigration();
      expect(await database.sql("SELECT to_regclass('notes') AS notes")).toEqual([{ notes: null }]);
    });

    it('is bypassed by directUrl', async () => {
      await start({
        url: urlOf(POOLED),
        directUrl: urlOf('ep-other-2.eu-central-1.aws.neon.tech'),
        ssl: { ca: authority.cert, mode: 'verify-ca' },
        migrations: [CreateNotes],
        migrationsRun: true,
        migrationsTableName: 'other_migrations',
      });
      expect(proxy.endpoints).toContain('ep-other-2');
      expect(proxy.endpoints).not.toContain('ep-cool-1');
      await nest.get(DataSource).undoLastMigration();
    });
  });

  describe('a suspended compute', () => {
    it('may take long to wake up at the start', async () => {
      proxy.wakes(700);
      const dataSource = await start();
      expect(await dataSource.query('SELECT 1 AS one')).toEqual([{ one: 1 }]);
      expect(nest.logger.text).not.toContain('Trying again');
    });

    it.each([
      ['Control plane request failed', 'XX000'],
      ["Couldn't connect to compute node", 'XX000'],
      ['the database system is starting up', '57P03'],
    ])('is retried at the start while it refuses with: %s', async (words, code) => {
      proxy.refuses(words, 2, code);
      const dataSource = await start({ connectRetry: fast });
      expect(dataSource.isInitialized).toBe(true);
      expect(nest.logger.text.match(/Trying again/g)).toHaveLength(2);
    });

    it.each([
      ['suspended while idle', 0],
      ['suspended and slow to wake', 700],
    ])('that is %s costs the next caller one connect and no error', async (_how, afterMs) => {
      const dataSource = await start({ profile: 'serverless' });
      await Promise.all([1, 2].map(() => dataSource.query('SELECT pg_sleep(0.05)')));
      const before = proxy.endpoints.length;
      await suspended(dataSource);
      proxy.wakes(afterMs);
      expect(await dataSource.query('SELECT 1 AS one')).toEqual([{ one: 1 }]);
      expect(proxy.endpoints.length - before).toBe(1);
    });

    it('keeps a query waiting while it wakes up', async () => {
      const dataSource = await start({ profile: 'serverless' });
      await suspended(dataSource);
      proxy.refuses('the database system is starting up', 2, '57P03');
      proxy.refuses("Couldn't connect to compute node", 2);
      expect(await dataSource.query('SELECT 1 AS one')).toEqual([{ one: 1 }]);
    });

    it('fails a query with its own error when waking up takes longer than the acquire timeout', async () => {
      const dataSource = await start({ pool: { acquireTimeoutMs: 1000 } });
      await suspended(dataSource);
      proxy.refuses('Control plane request failed', 100);
      await expect(dataSource.query('SELECT 1')).rejects.toMatchObject({
        code: 'POOL_ACQUIRE_TIMEOUT',
        cause: { message: 'Control plane request failed' },
      });
    });
  });

  it.each([
    ['Endpoint ID is not specified.', 'NEON_ENDPOINT_UNNAMED'],
    ['Control plane request failed: endpoint cannot be found', 'NEON_ENDPOINT_NOT_FOUND'],
    [
      "The requested endpoint could not be found, or you don't have access to it. Please check the provided ID and try again.",
      'NEON_ENDPOINT_NOT_FOUND',
    ],
    ['Control plane request failed: endpoint is disabled', 'NEON_ENDPOINT_DISABLED'],
    [
      'Your account or project has exceeded the compute time quota. Upgrade your plan to increase limits.',
      'NEON_QUOTA_EXCEEDED',
    ],
    ['You have exceeded the limit of concurrently active endpoints.', 'NEON_QUOTA_EXCEEDED'],
    [
      'This IP address 192.0.2.1 is not allowed to connect to this endpoint. Please add it to the allowed list in the Neon console.',
      'CLIENT_NOT_ALLOWED',
    ],
    ["password authentication failed for user 'app'", 'PASSWORD_WRONG'],
  ])('fails its start without a retry when Neon refuses with: %s', async (words, code) => {
    proxy.refuses(words, 10);
    await expect(start({ connectRetry: fast })).rejects.toMatchObject({
      code,
      message: expect.stringContaining(DIRECT),
    });
    expect(proxy.endpoints).toHaveLength(1);
  });

  it.each([
    ['Too many connections attempts', 'NEON_TOO_MANY_ATTEMPTS'],
    [
      'Failed to acquire permit to connect to the database. Too many database connection attempts are currently ongoing.',
      'NEON_TOO_MANY_ATTEMPTS',
    ],
    ['Too many connections to this endpoint. Please try again later.', 'NEON_TOO_MANY_ATTEMPTS'],
    [
      'Control plane request failed: endpoint is temporarily unavailable. Check your quotas and/or contact our support.',
      'NEON_UNAVAILABLE',
    ],
  ])('retries its start when Neon refuses with: %s', async (words, code) => {
    proxy.refuses(words, 10);
    await expect(start({ connectRetry: fast })).rejects.toMatchObject({ code });
    expect(proxy.endpoints).toHaveLength(4);
  });

  it('reports that TLS is required when it is disabled', async () => {
    await expect(start({ ssl: { mode: 'disable' } })).rejects.toMatchObject({ code: 'TLS_REQUIRED' });
  });

  it('sends the name of the endpoint from ssl.servername when the host is an address', async () => {
    await start({ url: urlOf('127.0.0.1'), ssl: { ca: authority.cert, servername: DIRECT } });
    expect(proxy.endpoints).toEqual(['ep-cool-1']);
  });

  it('needs the name of the endpoint in the options when the host is an address and TLS does not carry it', async () => {
    await expect(start({ url: urlOf('127.0.0.1') })).rejects.toMatchObject({ code: 'NEON_ENDPOINT_UNNAMED' });
    const dataSource = await start({ url: urlOf('127.0.0.1', '?options=endpoint%3Dep-cool-1') });
    expect(await dataSource.query('SELECT 1 AS one')).toEqual([{ one: 1 }]);
    expect(proxy.endpoints.at(-1)).toBe('ep-cool-1');
  });
});
