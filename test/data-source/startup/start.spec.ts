import dns from 'node:dns';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Test } from '@nestjs/testing';
import { TypeOrmModule } from '@nestjs/typeorm';
import { DatabaseConnectionError, DatabaseModule, DatabaseMonitor } from 'nestjs-database';
import type { DatabaseModuleOptions } from 'nestjs-database';
import type { DataSource } from 'typeorm';
import type { QueryRunner, Repository } from 'typeorm';
import { CapturingLogger } from '../../support/capturing-logger.js';
import { createTestDatabase } from '../../support/database.js';
import type { TestDatabase } from '../../support/database.js';
import { User } from '../../support/entities.js';
import { NestModule } from '../../support/nest-module.js';
import { startTcpProxy } from '../../support/tcp-proxy.js';
import type { TcpProxy } from '../../support/tcp-proxy.js';
import { until } from '../../support/until.js';

describe('a data source', () => {
  let database: TestDatabase;
  let proxy: TcpProxy;
  const nest = new NestModule();

  const start = async (options: DatabaseModuleOptions = {}) => {
    return nest.start({ url: database.url, ...options }, [DatabaseModule.forFeature([User])]);
  };
  const failing = async (options: DatabaseModuleOptions): Promise<DatabaseConnectionError> => {
    const error: unknown = await start(options).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(DatabaseConnectionError);
    return error as DatabaseConnectionError;
  };
  const changed = (change: (url: URL) => void) => {
    const url = new URL(database.url);
    change(url);
    return url.href;
  };

  beforeAll(async () => {
    database = await createTestDatabase();
    proxy = await startTcpProxy({ port: Number(new URL(database.url).port) });
  });
  afterEach(async () => {
    await nest.close();
    await proxy.pass();
  });
  afterAll(async () => {
    await proxy.close();
    await database.drop();
  });

  describe('applies the settings of its connections before the first query:', () => {
    const show = async (queryable: DataSource | QueryRunner, name: string) =>
      ((await queryable.query(`SELECT current_setting('${name}') AS value`)) as { value: string }[])[0]
        ?.value;

    it('timeouts and application name', async () => {
      const dataSource = await start({
        applicationName: 'my app',
        timeouts: { statementMs: 12_000, lockMs: 3000, idleInTransactionMs: 45_000 },
      });
      expect(await show(dataSource, 'application_name')).toBe('my app');
      expect(await show(dataSource, 'statement_timeout')).toBe('12s');
      expect(await show(dataSource, 'lock_timeout')).toBe('3s');
      expect(await show(dataSource, 'idle_in_transaction_session_timeout')).toBe('45s');
    });

    it('further session settings, with spaces, quotes and backslashes', async () => {
      const dataSource = await start({
        session: {
          search_path: 'app, public',
          'app.tenant': `it's a "back\\slash"`,
          work_mem: '8MB',
          jit: false,
        },
      });
      expect(await show(dataSource, 'search_path')).toBe('app, public');
      expect(await show(dataSource, 'app.tenant')).toBe(`it's a "back\\slash"`);
      expect(await show(dataSource, 'work_mem')).toBe('8MB');
      expect(await show(dataSource, 'jit')).toBe('off');
    });

    it('all of them again after DISCARD ALL, since they are part of the startup packet', async () => {
      const dataSource = await start({ session: { 'app.tenant': 'one' } });
      const runner = dataSource.createQueryRunner();
      await runner.query(`SET app.tenant = 'other'`);
      await runner.query('DISCARD ALL');
      expect(await show(runner, 'app.tenant')).toBe('one');
      expect(await show(runner, 'statement_timeout')).toBe('30s');
      await runner.release();
    });

    it('options of pg that this module does not know, by extra', async () => {
      const dataSource = await start({ extra: { keepAliveInitialDelayMillis: 12_345 } });
      const runner = dataSource.createQueryRunner();
      const connection = (await runner.connect()) as { connection: { _keepAliveInitialDelayMillis: number } };
      expect(connection.connection._keepAliveInitialDelayMillis).toBe(12_345);
      await runner.release();
    });

    it('the statement timeout on every connection', async () => {
      const dataSource = await start({ pool: { size: 3 }, timeouts: { statementMs: 7000 } });
      const runners = [1, 2, 3].map(() => dataSource.createQueryRunner());
      expect(await Promise.all(runners.map((runner) => show(runner, 'statement_timeout')))).toEqual([
        '7s',
        '7s',
        '7s',
      ]);
      await Promise.all(runners.map((runner) => runner.release()));
    });

    it('no timeout where the setting is 0; a timeout of the role stays in force', async () => {
      await database.sql(`ALTER ROLE app IN DATABASE ${database.name} SET lock_timeout = '1234ms'`);
      const dataSource = await start({ timeouts: { statementMs: 0, idleInTransactionMs: 0 } });
      await database.sql(`ALTER ROLE app IN DATABASE ${database.name} RESET lock_timeout`);
      expect(await show(dataSource, 'statement_timeout')).toBe('0');
      expect(await show(dataSource, 'idle_in_transaction_session_timeout')).toBe('0');
      expect(await show(dataSource, 'lock_timeout')).toBe('1234ms');
    });
  });

  describe('that verifies its start', () => {
    it('retries while the database is not available yet, and starts when it is', async () => {
      await proxy.refuse();
      const starting = start({
        url: proxy.through(database.url),
        connectRetry: { retries: 50, initialDelayMs: 20, maxDelayMs: 20 },
      });
      await until(() => nest.logger.text.includes('Trying again'));
      await proxy.pass();
      expect((await starting).isInitialized).toBe(true);
    });

    it('fails without a retry with a wrong password, names the setting and shows no secret', async () => {
      const error = await failing({ url: changed((url) => (url.password = 'wrong-secret')) });
      expect(error.code).toBe('PASSWORD_WRONG');
      expect(error.message).toContain(database.name);
      expect(error.message).toContain('DB_URL');
      expect(error.cause).toMatchObject({ code: '28P01' });
      expect(`${error.message}${error.stack}${nest.logger.text}`).not.toContain('wrong-secret');
      expect(nest.logger.text).not.toContain('Trying again');
    });

    it('fails without a retry when the database does not exist', async () => {
      const error = await failing({ url: changed((url) => (url.pathname = '/nowhere')) });
      expect(error.code).toBe('DATABASE_UNKNOWN');
      expect(nest.logger.text).not.toContain('Trying again');
    });

    it.each<[string, string, () => DatabaseModuleOptions]>([
      ['a wrong password', 'PASSWORD_WRONG', () => ({ url: changed((url) => (url.password = 'wrong')) })],
      [
        'an unknown database',
        'DATABASE_UNKNOWN',
        () => ({ url: changed((url) => (url.pathname = '/none')) }),
      ],
      ['TLS that is not offered', 'TLS_NOT_OFFERED', () => ({ url: database.url, ssl: { mode: 'require' } })],
    ])('fails within two seconds by %s, with the default retries', async (_what, code, options) => {
      const since = performance.now();
      expect((await failing(options())).code).toBe(code);
      expect(performance.now() - since).toBeLessThan(2000);
      expect(nest.logger.text).not.toContain('Trying again');
    });

    it('fails when the server requires a password and none is set', async () => {
      const error = await failing({ url: changed((url) => (url.password = '')) });
      expect(error.code).toBe('PASSWORD_MISSING');
    });

    describe('by an unknown host name', () => {
      const { lookup } = dns;
      afterEach(() => {
        dns.lookup = lookup;
      });
      /** Replaces the lookup, so that no name server is queried. */
      const unknown = () => {
        dns.lookup = ((host: string, _options: object, done: (error: Error) => void) =>
          process.nextTick(
            done,
            Object.assign(new Error(`getaddrinfo ENOTFOUND ${host}`), { code: 'ENOTFOUND' }),
          )) as never;
      };

      it('fails without a retry when the name is public', async () => {
        unknown();
        const since = performance.now();
        const error = await failing({ url: 'postgres://app:x@db.example.com/app' });
        expect(error.code).toBe('HOST_NOT_FOUND');
        expect(performance.now() - since).toBeLessThan(2000);
        expect(error.message).toContain('db.example.com');
        expect(nest.logger.text).not.toContain('Trying again');
      });

      it('retries when the name is local, since a service of a compose file appears late', async () => {
        unknown();
        const error = await failing({
          url: 'postgres://app:x@db/app',
          connectRetry: { retries: 1, initialDelayMs: 1, maxDelayMs: 1 },
        });
        expect(error.code).toBe('HOST_NOT_FOUND');
        expect(nest.logger.text).toContain('Trying again');
      });
    });

    it('gives up after its retries and leaves no connection open', async () => {
      await proxy.refuse();
      const error = await failing({
        url: proxy.through(database.url),
        connectRetry: { retries: 2, initialDelayMs: 1, maxDelayMs: 1 },
      });
      expect(error.code).toBe('CONNECTION_REFUSED');
      expect(nest.logger.text.match(/Trying again/g)).toHaveLength(2);
    });

    it('retries as toRetry of @nestjs/typeorm decides', async () => {
      await proxy.refuse();
      await failing({
        url: proxy.through(database.url),
        retryAttempts: 5,
        retryDelay: 1,
        toRetry: () => false,
      });
      expect(nest.logger.text).not.toContain('Trying again');
    });

    it.each([
      ['the socket', 'ECONNREFUSED', () => 'postgres://app:x@127.0.0.1:1/app'],
      ['the server', '28P01', () => changed((url) => (url.password = 'wrong'))],
    ])('calls toRetry with the error of %s, as @nestjs/typeorm does', async (_whose, code, url) => {
      const seen: unknown[] = [];
      const retry = { retryAttempts: 3, retryDelay: 1 };
      await failing({ url: url(), ...retry, toRetry: (error) => seen.push(error) < 2 });
      expect(seen).toEqual([expect.objectContaining({ code }), expect.objectContaining({ code })]);
      await expect(
        Test.createTestingModule({
          imports: [
            TypeOrmModule.forRoot({
              ...{ type: 'postgres', url: url(), ...retry },
              toRetry: (error: unknown) => seen.push(error) < 4,
            }),
          ],
        })
          .setLogger(new CapturingLogger())
          .compile(),
      ).rejects.toThrow();
      expect(seen.slice(2)).toEqual([expect.objectContaining({ code }), expect.objectContaining({ code })]);
    });

    it('leaves no connection behind when the schema cannot be built', async () => {
      await expect(
        start({
          applicationName: 'half start',
          migrations: [
            class {
              name = 'no timestamp';
              up() {}
              down() {}
            },
          ],
          migrationsRun: true,
        }),
      ).rejects.toThrow();
      // The server ends a session a moment after its socket has closed.
      const sessions = () =>
        database.sql(`SELECT pid FROM pg_stat_activity WHERE application_name = 'half start'`);
      await until(async () => (await sessions()).length === 0);
    });
  });

  describe("with startup 'lazy'", () => {
    it('lets the app start without a database and connects with the first query', async () => {
      await proxy.refuse();
      const dataSource = await start({ url: proxy.through(database.url), startup: 'lazy', connectRetry: 0 });
      expect(dataSource.getMetadata(User).tableName).toBe('users');
      await expect(dataSource.query('SELECT 1')).rejects.toMatchObject({ code: 'CONNECTION_REFUSED' });
      await proxy.pass();
      expect(await dataSource.query('SELECT 1 AS one')).toEqual([{ one: 1 }]);
      expect(nest.logger.of('DatabaseModule').at(-1)).toMatch(/^Connected to database/);
      expect(dataSource.driver.database).toBe(database.name);
    });
  });

  describe("with startup 'off'", () => {
    it('does not connect until its initialize() is called', async () => {
      await proxy.refuse();
      const dataSource = await start({ url: proxy.through(database.url), startup: 'off' });
      expect(dataSource.isInitialized).toBe(false);
      expect(nest.get(DatabaseMonitor).poolStats().status).toBe('closed');
      await proxy.pass();
      await dataSource.initialize();
      const users: Repository<User> = dataSource.getRepository(User);
      expect(users.metadata.tableName).toBe('users');
    });

    it('needs no server until then and names the missing setting', async () => {
      const dataSource = await start({ url: undefined, startup: 'off' });
      await expect(dataSource.initialize()).rejects.toMatchObject({
        code: 'DATABASE_CONFIG_INVALID',
        message: expect.stringMatching(/DB_URL: is not set/),
      });
    });
  });

  it("with startup 'lazy' fails after one attempt and cancels a query that waits when its runner is released", async () => {
    await proxy.refuse();
    const dataSource = await start({ url: proxy.through(database.url), startup: 'lazy' });
    await expect(dataSource.query('SELECT 1')).rejects.toMatchObject({ code: 'CONNECTION_REFUSED' });
    expect(nest.logger.text).not.toContain('Trying again');
    await proxy.pass();
    proxy.freeze();
    const runner = dataSource.createQueryRunner();
    const waiting = runner.query('SELECT 1');
    await runner.release();
    await expect(waiting).rejects.toMatchObject({ code: 'POOL_ACQUIRE_CANCELLED' });
    await proxy.pass();
  });

  it('opens one pool when initialized twice concurrently, and closes once when destroyed twice', async () => {
    const dataSource = await start({ startup: 'off', applicationName: 'twice' });
    await Promise.all([dataSource.initialize(), dataSource.initialize()]);
    await dataSource.destroy();
    await dataSource.destroy();
    expect(await database.sql(`SELECT 1 FROM pg_stat_activity WHERE application_name = 'twice'`)).toEqual([]);
  });

  it('can be destroyed and initialized again', async () => {
    const dataSource = await start();
    await dataSource.destroy();
    await dataSource.initialize();
    expect(await dataSource.query('SELECT 1 AS one')).toEqual([{ one: 1 }]);
  });

  it('waits for leased connections when it closes', async () => {
    const dataSource = await start();
    const runner = dataSource.createQueryRunner();
    const answer = runner.query(`SELECT pg_sleep(0.3), 'finished' AS state`);
    await runner.connect();
    const closing = nest.close();
    expect(((await answer) as { state: string }[])[0]?.state).toBe('finished');
    await runner.release();
    await closing;
    expect(dataSource.isInitialized).toBe(false);
  });
});
