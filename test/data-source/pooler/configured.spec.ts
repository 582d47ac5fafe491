import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { DatabaseConnectionError } from 'nestjs-database';
import type { DatabaseModuleOptions } from 'nestjs-database';
import type { DataSource } from 'typeorm';
import type { QueryRunner } from 'typeorm';
import { createTestDatabase } from '../../support/database.js';
import type { TestDatabase } from '../../support/database.js';
import { describeWithPgBouncer } from '../../support/describe-with-pgbouncer.js';
import { NestModule } from '../../support/nest-module.js';
import { startPgBouncer } from '../../support/pgbouncer.js';
import type { PgBouncer } from '../../support/pgbouncer.js';

describeWithPgBouncer('a pooler', () => {
  let database: TestDatabase;
  let bouncer: PgBouncer | undefined;
  const nest = new NestModule();

  const start = async (options: DatabaseModuleOptions = {}) => {
    // The warnings are those of a data source without multiplexing.
    return nest.start({ url: bouncer?.url ?? database.url, multiplex: false, ...options });
  };
  const show = async (dataSource: DataSource, name: string) => {
    const [row] = await dataSource.query<{ value: string }[]>(`SELECT current_setting($1, true) AS value`, [
      name,
    ]);
    return row!.value;
  };
  const started = () =>
    nest.logger.of('DatabaseModule').find((line) => line.startsWith('Connected to database')) ?? '';
  const warnings = () =>
    nest.logger.lines
      .filter(({ level, message }) => level === 'warn' && !message.includes('is very short'))
      .map(({ message }) => message);

  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterEach(async () => {
    await nest.close();
    await bouncer?.dispose();
    bouncer = undefined;
  });
  afterAll(() => database.drop());

  describe('that ignores the settings of the startup packet', () => {
    const ignoring = {
      ignore_startup_parameters: 'statement_timeout,lock_timeout,idle_in_transaction_session_timeout,options',
    };

    it('is detected by a process id that differs from that of the server session', async () => {
      bouncer = await startPgBouncer({ url: database.url, mode: 'transaction', settings: ignoring });
      const dataSource = await start({ timeouts: { statementMs: 300, lockMs: 3_000 } });
      expect(started()).toContain('pooler (detected');
      expect(started()).toContain('statement_timeout 300 ms by the client');
      expect(warnings()).toEqual([expect.stringContaining('DB_LOCK_TIMEOUT')]);
      await expect(dataSource.query('SELECT pg_sleep(60)')).rejects.toMatchObject({ code: '57014' });
    });

    it('is detected by a lazy data source with its first query', async () => {
      bouncer = await startPgBouncer({ url: database.url, mode: 'transaction', settings: ignoring });
      const dataSource = await start({ startup: 'lazy', timeouts: { statementMs: 300 } });
      await expect(dataSource.query('SELECT pg_sleep(60)')).rejects.toMatchObject({ code: '57014' });
    });
  });

  describe('configured to be in session mode', () => {
    it('receives the settings after the login and again after DISCARD ALL', async () => {
      bouncer = await startPgBouncer({ url: database.url, mode: 'session' });
      const dataSource = await start({
        pooler: 'session',
        pool: { size: 1, maxOverflow: 0 },
        timeouts: { lockMs: 4_321 },
        session: { 'app.tenant': `it's "mine"`, jit: false },
      });
      expect(started()).toContain('pooler in session mode');
      expect(warnings()).toEqual([]);
      expect(nest.logger.text).not.toContain('refused');
      // The second query runs on the same connection, after a reset.
      for (let i = 0; i < 2; i += 1) {
        expect(await show(dataSource, 'statement_timeout')).toBe('30s');
        expect(await show(dataSource, 'lock_timeout')).toBe('4321ms');
        expect(await show(dataSource, 'app.tenant')).toBe(`it's "mine"`);
        expect(await show(dataSource, 'jit')).toBe('off');
        await dataSource.query(`SET app.tenant = 'other'`);
      }
    });

    it('leaves nothing to the next client of the pooler', async () => {
      bouncer = await startPgBouncer({
        url: database.url,
        mode: 'session',
        settings: { default_pool_size: 1 },
      });
      await start({ pooler: 'session', timeouts: { lockMs: 4_321 } });
      await nest.close();
      const dataSource = await start({ pooler: 'transaction' });
      expect(await show(dataSource, 'lock_timeout')).toBe('0');
    });
  });

  it('configured to be in transaction mode is sent no settings that it could refuse', async () => {
    bouncer = await startPgBouncer({ url: database.url, mode: 'transaction' });
    await start({ pooler: 'transaction' });
    expect(started()).toContain('pooler in transaction mode');
    expect(started()).toContain('statement_timeout 30 s by the client');
    expect(bouncer.log).not.toContain('unsupported');
  });

  it('is not sent PGOPTIONS, which is no setting of the module', async () => {
    bouncer = await startPgBouncer({ url: database.url, mode: 'transaction' });
    process.env.PGOPTIONS = '-c geqo=off';
    try {
      const dataSource = await start({ connectRetry: 0 });
      expect(await dataSource.query('SELECT 1 AS one')).toEqual([{ one: 1 }]);
    } finally {
      delete process.env.PGOPTIONS;
    }
  });

  it('is not expected on the direct connection: migrations have their settings from the server', async () => {
    bouncer = await startPgBouncer({ url: database.url, mode: 'transaction' });
    const seen: unknown[] = [];
    class Look1700000000000 {
      async up(runner: QueryRunner) {
        seen.push(await runner.query(`SELECT current_setting('geqo_effort') AS value`));
      }
      async down() {}
    }
    await start({
      pooler: 'transaction',
      directUrl: database.url,
      session: { geqo_effort: '3' },
      migrations: [Look1700000000000],
      migrationsRun: true,
    });
    expect(seen).toEqual([[{ value: '3' }]]);
  });

  it('that contradicts DB_POOLER=none fails the start without a retry, with its own error', async () => {
    bouncer = await startPgBouncer({ url: database.url, mode: 'transaction' });
    const failing = start({ pooler: 'none' });
    await expect(failing).rejects.toThrow(DatabaseConnectionError);
    await expect(failing).rejects.toThrow('unsupported startup parameter: statement_timeout');
    expect(nest.logger.text).not.toContain('Trying again');
  });

  it('that refuses options of the URL is sent none, and a warning says so', async () => {
    bouncer = await startPgBouncer({ url: database.url, mode: 'transaction' });
    await start({ url: `${bouncer.url}?options=-c%20geqo%3Doff`, connectRetry: 0 });
    expect(warnings()).toEqual([expect.stringContaining('options of the URL')]);
  });

  it('without a free connection keeps no statement waiting for longer than its timeout', async () => {
    bouncer = await startPgBouncer({
      url: database.url,
      mode: 'transaction',
      settings: { default_pool_size: 1 },
    });
    const dataSource = await start({ timeouts: { statementMs: 300 } });
    const runner = dataSource.createQueryRunner();
    await runner.startTransaction();
    await expect(dataSource.query('SELECT 1')).rejects.toMatchObject({
      driverError: { code: 'QUERY_TIMEOUT', hint: expect.stringContaining('DB_STATEMENT_TIMEOUT') },
    });
    expect(await runner.query('SELECT 1 AS one')).toEqual([{ one: 1 }]);
    await runner.commitTransaction();
    await runner.release();
    expect(await dataSource.query('SELECT 1 AS one')).toEqual([{ one: 1 }]);
  });

  it('is detected once: eight concurrent connects are all repeated without the settings', async () => {
    bouncer = await startPgBouncer({ url: database.url, mode: 'transaction' });
    const dataSource = await start({ startup: 'off', pool: { size: 8, minIdle: 8 }, connectRetry: 0 });
    await dataSource.initialize();
    const runners = Array.from({ length: 8 }, () => dataSource.createQueryRunner());
    await Promise.all(runners.map((runner) => runner.query('SELECT 1')));
    await Promise.all(runners.map((runner) => runner.release()));
    expect(dataSource.pool!.snapshot().counters.connectFailures).toBe(0);
  });

  it('that is configured but does not exist is reported by a warning', async () => {
    const dataSource = await start({ pooler: 'transaction', timeouts: { statementMs: 300 } });
    expect(warnings()).toEqual([expect.stringContaining('there is no pooler in between')]);
    await expect(dataSource.query('SELECT pg_sleep(60)')).rejects.toMatchObject({ code: '57014' });
  });

  it('that is neither configured nor present is not mentioned: the server enforces the timeouts', async () => {
    const dataSource = await start({ timeouts: { lockMs: 4_321 }, session: { work_mem: '8192' } });
    expect(started()).not.toContain('pooler');
    expect(started()).not.toContain('by the client');
    expect(warnings()).toEqual([]);
    expect(await show(dataSource, 'lock_timeout')).toBe('4321ms');
  });

  it('is not needed for a warning of a timeout that a hook of the app has changed', async () => {
    await start({
      extra: { onConnect: (client: { query(sql: string): unknown }) => client.query('SET lock_timeout = 0') },
      timeouts: { lockMs: 4_321 },
    });
    expect(warnings()).toEqual([
      expect.stringContaining('timeouts.lockMs (DB_LOCK_TIMEOUT) is not in force'),
    ]);
  });
});
