import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Test } from '@nestjs/testing';
import type { TestingModule } from '@nestjs/testing';
import { DatabaseModule, diagnose } from 'nestjs-database';
import type { DatabaseModuleOptions } from 'nestjs-database';
import pg from 'pg';
import { DataSource, QueryFailedError } from 'typeorm';
import type { QueryRunner } from 'typeorm';
import { CapturingLogger } from '../support/capturing-logger.js';
import { startPostgres } from '../support/postgres-server.js';
import type { PostgresServer } from '../support/postgres-server.js';

/** Failures of a server that is not an ordinary primary, or that ends connections and statements. */
describe('A server', () => {
  let server: PostgresServer;
  let module: TestingModule | undefined;

  const start = async (options: DatabaseModuleOptions = {}) => {
    module = await Test.createTestingModule({
      imports: [DatabaseModule.forRoot({ url: server.url, connectRetry: 0, ...options })],
    })
      .setLogger(new CapturingLogger())
      .compile();
    return module.get(DataSource);
  };
  const reasonOf = async (failing: Promise<unknown>): Promise<Error> => {
    const reason: unknown = await failing.then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(reason).toBeInstanceOf(Error);
    return reason as Error;
  };

  beforeAll(async () => {
    server = await startPostgres();
  });
  afterEach(async () => {
    await module?.close();
    module = undefined;
  });
  afterAll(() => server.dispose());

  describe('that accepts no ordinary connection', () => {
    afterEach(async () => {
      await server.stop('immediate');
      await server.setRecovery(undefined);
      await server.configure({ restore_command: '', hot_standby: true });
      await server.start();
    });

    it('is diagnosed while it is starting up', async () => {
      await server.stop();
      await server.setRecovery('recovery');
      // The recovery waits for a file that does not exist.
      await server.configure({ restore_command: 'sleep 600' });
      await server.startHeld();
      await expect(start()).rejects.toMatchObject({ code: 'SERVER_STARTING' });
    });

    it('is diagnosed as a standby that accepts no connections', async () => {
      await server.stop();
      await server.setRecovery('standby');
      await server.configure({ hot_standby: false });
      await server.start();
      await expect(start()).rejects.toMatchObject({
        code: 'SERVER_RECOVERING',
        message: expect.stringContaining(`127.0.0.1:${server.port}`),
      });
    });

    it('is diagnosed as a standby that is read-only', async () => {
      await server.stop();
      await server.setRecovery('standby');
      await server.start();
      const dataSource = await start();
      const reason = await reasonOf(dataSource.query('CREATE TABLE t (id int)'));
      expect(diagnose(reason)).toMatchObject({ code: 'SERVER_READ_ONLY', transient: false });
    });

    it('is diagnosed while it is shutting down and waits for its clients', async () => {
      const client = new pg.Client({ connectionString: server.url });
      await client.connect();
      const stopping = server.stop('smart');
      // It rejects new clients after it has logged this line.
      while (!server.log.includes('received smart shutdown request')) await new Promise(setImmediate);
      await expect(start()).rejects.toMatchObject({ code: 'SERVER_SHUTTING_DOWN' });
      await client.end();
      await stopping;
    });
  });

  describe('that ends a statement or a connection causes an error with a hint for', () => {
    let dataSource: DataSource;
    let runner: QueryRunner;

    beforeEach(async () => {
      dataSource = await start({
        timeouts: { statementMs: 300, lockMs: 100, idleInTransactionMs: 200 },
      });
      runner = dataSource.createQueryRunner();
    });
    afterEach(() => runner.release());
    const expectDiagnosis = (reason: Error, code: string, setting: string, sqlState: string) => {
      expect(diagnose(reason)).toMatchObject({ code, hint: expect.stringContaining(setting) });
      expect(reason).toBeInstanceOf(QueryFailedError);
      expect(reason).toMatchObject({ code: sqlState, hint: expect.stringContaining(setting) });
    };

    it('a statement timeout', async () => {
      const reason = await reasonOf(runner.query('SELECT pg_sleep(5)'));
      expectDiagnosis(reason, 'STATEMENT_TIMEOUT', 'DB_STATEMENT_TIMEOUT', '57014');
    });

    it('a statement that another session cancelled', async () => {
      const [{ pid }] = (await runner.query('SELECT pg_backend_pid() AS pid')) as [{ pid: number }];
      const failing = reasonOf(runner.query('SELECT pg_sleep(5)'));
      await server.sql('SELECT pg_cancel_backend($1)', [pid]);
      expect(diagnose(await failing).code).toBe('STATEMENT_CANCELLED');
    });

    it('a lock timeout', async () => {
      await runner.query('CREATE TABLE IF NOT EXISTS locked (id int)');
      await runner.startTransaction();
      await runner.query('LOCK TABLE locked');
      const reason = await reasonOf(dataSource.query('SELECT * FROM locked'));
      expectDiagnosis(reason, 'LOCK_TIMEOUT', 'DB_LOCK_TIMEOUT', '55P03');
    });

    it('a transaction that was idle for too long', async () => {
      await runner.startTransaction();
      const connection = (await runner.connect()) as pg.Client;
      await new Promise((ended) => connection.once('end', ended));
      const reason = await reasonOf(runner.query('SELECT 1'));
      expectDiagnosis(reason, 'IDLE_IN_TRANSACTION_TIMEOUT', 'DB_IDLE_IN_TRANSACTION_TIMEOUT', '25P03');
    });

    it('a connection that an administrator terminated', async () => {
      // Without a pinned connection, the statement would be sent again on another connection.
      await runner.connect();
      const [{ pid }] = (await runner.query('SELECT pg_backend_pid() AS pid')) as [{ pid: number }];
      const failing = reasonOf(runner.query('SELECT pg_sleep(5)'));
      await server.sql('SELECT pg_terminate_backend($1)', [pid]);
      expectDiagnosis(await failing, 'CONNECTION_KILLED', 'next connection', '57P01');
    });

    it('a missing privilege', async () => {
      await server.sql('CREATE TABLE IF NOT EXISTS secret (id int)');
      const reason = await reasonOf(runner.query('SELECT * FROM secret'));
      expectDiagnosis(reason, 'PERMISSION_DENIED', 'GRANT', '42501');
    });

    it.each([
      ['INSERT INTO kept VALUES (1)', 'UNIQUE_VIOLATION', false],
      ['INSERT INTO kept VALUES (NULL)', 'NOT_NULL_VIOLATION', false],
      ['INSERT INTO secured VALUES (1)', 'ROW_SECURITY_VIOLATION', false],
      ['SELECT * FROM kept WHERE id = 1 FOR UPDATE NOWAIT', 'LOCK_NOT_AVAILABLE', true],
      ["SELECT 'x'::int", 'VALUE_MALFORMED', false],
      ['SELECT * FROM nowhere', 'TABLE_UNKNOWN', false],
      ["SELECT current_setting('app.tenant')", 'OBJECT_UNKNOWN', false],
    ])('the statement alone: %s is a %s', async (sql, code, transient) => {
      await server.sql(`CREATE TABLE IF NOT EXISTS kept (id int PRIMARY KEY);
        CREATE TABLE IF NOT EXISTS secured (id int); ALTER TABLE secured ENABLE ROW LEVEL SECURITY;
        GRANT ALL ON kept, secured TO app; INSERT INTO kept VALUES (1) ON CONFLICT DO NOTHING`);
      await runner.startTransaction();
      await runner.query('SELECT * FROM kept FOR UPDATE');
      const client = new pg.Client({ connectionString: server.url });
      await client.connect();
      for (const reason of [await reasonOf(dataSource.query(sql)), await reasonOf(client.query(sql))]) {
        const diagnosis = diagnose(reason);
        expect(diagnosis).toMatchObject({ code, transient });
        expect(diagnosis.hint).not.toMatch(/DB_|connection|pooler/);
      }
      await client.end();
      await runner.rollbackTransaction();
    });

    it('nothing when the server sent a hint, or the hint would concern the statement alone', async () => {
      const own = await reasonOf(runner.query('SELECT * FROM pg_clas'));
      expect(own).toMatchObject({ code: '42P01' });
      expect((own as Error & { hint?: string }).hint).toBeUndefined();
      const hinted = await reasonOf(runner.query('SELECT lenght(1)'));
      expect(hinted).toMatchObject({ code: '42883', hint: expect.stringContaining('No function matches') });
    });

    it.each([
      ["SELECT current_setting('app.tenant')", [], '42704'],
      ["SET work_mem = 'much'", [], '22023'],
      ['SELECT $1::int, $2::int', [1], '08P01'],
      ['ALTER DATABASE nowhere SET work_mem = 64', [], '3D000'],
      ["DO $$ BEGIN RAISE 'rate limit of this tenant' USING ERRCODE = 'XX000'; END $$", [], 'XX000'],
    ])('nothing of the connection when it stays open: %s', async (sql, values, sqlState) => {
      const reason = await reasonOf(runner.query(sql, values));
      expect(reason).toMatchObject({ code: sqlState });
      expect(String((reason as Error & { hint?: string }).hint)).not.toMatch(/DB_|pooler|POOL/);
    });
  });

  it('that is down is named with its database in the error of a query', async () => {
    const dataSource = await start({ pool: { prePing: false } });
    await server.stop();
    const gone = await reasonOf(dataSource.query('SELECT 1'));
    const refused = gone instanceof QueryFailedError ? await reasonOf(dataSource.query('SELECT 1')) : gone;
    await server.start();
    expect(refused).toMatchObject({
      code: 'POOL_CONNECT_FAILED',
      hint: expect.stringContaining('DB_URL'),
      message: expect.stringContaining(`database "app" at 127.0.0.1:${server.port}`),
      cause: { code: 'ECONNREFUSED' },
    });
  });

  it('that answers is not blamed for an exhausted pool', async () => {
    const dataSource = await start({ pool: { size: 1, maxOverflow: 0, acquireTimeoutMs: 1000 } });
    const runner = dataSource.createQueryRunner();
    await runner.connect();
    const reason = await reasonOf(dataSource.query('SELECT 1'));
    await runner.release();
    expect(diagnose(reason)).toMatchObject({
      code: 'POOL_ACQUIRE_TIMEOUT',
      hint: expect.stringContaining('DB_POOL_SIZE'),
    });
  });
});
