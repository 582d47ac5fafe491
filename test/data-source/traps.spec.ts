import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Test } from '@nestjs/testing';
import type { TestingModule } from '@nestjs/testing';
import { DatabaseModule } from 'nestjs-database';
import type { DatabaseModuleOptions } from 'nestjs-database';
import { DataSource } from 'typeorm';
import type { QueryRunner } from 'typeorm';
import { CapturingLogger } from '../support/capturing-logger.js';
import { createTestDatabase } from '../support/database.js';
import type { TestDatabase } from '../support/database.js';
import { User } from '../support/entities.js';
import { startTcpProxy } from '../support/tcp-proxy.js';
import type { TcpProxy } from '../support/tcp-proxy.js';
import { until } from '../support/until.js';

/**
 * Known defects of TypeORM and `pg` that this package prevents. With PLAIN_TYPEORM=1 the same tests run on a plain
 * DataSource, where they fail: this shows that they test the defects.
 */
const plain = process.env.PLAIN_TYPEORM === '1';

describe('a known defect of TypeORM or pg is prevented:', () => {
  let database: TestDatabase;
  let proxy: TcpProxy;
  let module: TestingModule | undefined;
  let dataSource: DataSource;
  let logger: CapturingLogger;

  const open = async (options: DatabaseModuleOptions & { size?: number } = {}) => {
    const { size = 1, url = database.url, ...rest } = options;
    if (plain) {
      dataSource = new DataSource({
        type: 'postgres',
        url: url as string,
        poolSize: size,
        entities: [User],
        applicationName: 'traps',
        extra: {
          connectionTimeoutMillis: 3000,
          statement_timeout: 30_000,
          query_timeout: rest.timeouts?.statementMs,
        },
      });
      return dataSource.initialize();
    }
    logger = new CapturingLogger();
    module = await Test.createTestingModule({
      imports: [
        DatabaseModule.forRoot({
          url,
          entities: [User],
          applicationName: 'traps',
          pool: { size, maxOverflow: 0, acquireTimeoutMs: 3000 },
          ...rest,
          timeouts: { shutdownMs: 1000, ...rest.timeouts },
        }),
      ],
    })
      .setLogger(logger)
      .compile();
    return (dataSource = module.get(DataSource));
  };
  const count = async () => (await database.sql<{ count: string }>('SELECT count(*) FROM users'))[0]?.count;
  const kill = async () => {
    await database.sql(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'traps' AND datname = current_database()`,
    );
    await until(async () => {
      const left = await database.sql(
        `SELECT 1 FROM pg_stat_activity WHERE application_name = 'traps' AND datname = current_database()`,
      );
      return left.length === 0;
    });
  };
  const poolOf = (source: DataSource): NodeJS.EventEmitter => (source.driver as any).master;
  const failure = async (work: Promise<unknown>): Promise<any> => {
    try {
      await work;
    } catch (error) {
      return error;
    }
    throw new Error('It did not fail.');
  };

  beforeAll(async () => {
    database = await createTestDatabase();
    await database.sql('CREATE TABLE users (id serial PRIMARY KEY, name text NOT NULL)');
    await database.sql('ALTER TABLE users OWNER TO app');
    proxy = await startTcpProxy({ port: Number(new URL(database.url).port) });
  });
  afterEach(async () => {
    await proxy.pass();
    await (module ? module.close() : dataSource.isInitialized && dataSource.destroy());
    module = undefined;
    await database.sql('TRUNCATE users');
  });
  afterAll(async () => {
    await proxy.close();
    await database.drop();
  });

  it('a transaction left open at release is not committed by the next borrower', async () => {
    await open();
    const first = dataSource.createQueryRunner();
    await first.startTransaction();
    await first.query(`INSERT INTO users (name) VALUES ('of the first borrower')`);
    await first.release();
    const second = dataSource.createQueryRunner();
    await second.query('COMMIT');
    await second.release();
    expect(await count()).toBe('0');
  });

  it('a runner that is released while it waits for a connection leaks none, and the data source can be destroyed', async () => {
    await open();
    const holder = dataSource.createQueryRunner();
    await holder.connect();
    const waiting = dataSource.createQueryRunner();
    const connected = failure(waiting.connect());
    await waiting.release();
    expect(await connected).toMatchObject({ code: 'POOL_ACQUIRE_CANCELLED' });
    await holder.release();
    expect(await dataSource.query('SELECT 1 AS one')).toEqual([{ one: 1 }]);
    await dataSource.destroy();
  });

  it('await using rolls back an uncommitted transaction when an exception leaves the block, and logs the call site', async () => {
    await open();
    await failure(
      (async () => {
        await using runner = dataSource.createQueryRunner();
        await runner.startTransaction();
        await runner.query(`INSERT INTO users (name) VALUES ('half')`);
        throw new Error('on its way out');
      })(),
    );
    expect(await count()).toBe('0');
    expect(logger.text).toMatch(/error \[DatabaseModule\] A transaction was still open.*traps\.spec/s);
  });

  it('a killed backend surfaces with its SQLSTATE, while busy and while idle in a transaction', async () => {
    await open();
    const busy = dataSource.createQueryRunner();
    const answer = failure(busy.query('SELECT pg_sleep(20)'));
    await busy.connect();
    await kill();
    expect(await answer).toMatchObject({ code: '57P01' });
    await busy.release();

    const idle = dataSource.createQueryRunner();
    await idle.startTransaction();
    const connection = (await idle.connect()) as NodeJS.EventEmitter;
    const lost = new Promise((resolve) => connection.once('end', resolve));
    await kill();
    await lost;
    expect(await failure(idle.query('SELECT 1'))).toMatchObject({
      code: '57P01',
      driverError: { code: '57P01' },
    });
    await idle.release();
    expect(await dataSource.query('SELECT 1 AS one')).toEqual([{ one: 1 }]);
  });

  it('a connect() that nothing awaits is no unhandled rejection when it fails', async () => {
    await open();
    const unhandled: unknown[] = [];
    const onUnhandled = (reason: unknown) => unhandled.push(reason);
    process.on('unhandledRejection', onUnhandled);
    const holder = dataSource.createQueryRunner();
    await holder.connect();
    const waiting = dataSource.createQueryRunner();
    void waiting.connect();
    const asked = failure(waiting.query('SELECT 1'));
    await waiting.release();
    expect(await asked).toMatchObject({ code: 'POOL_ACQUIRE_CANCELLED' });
    await new Promise(setImmediate);
    process.off('unhandledRejection', onUnhandled);
    expect(unhandled).toEqual([]);
    await holder.release();
  });

  it('a runner whose connect() failed works when the database is available again', async () => {
    await open({ url: proxy.through(database.url) });
    await proxy.refuse();
    const noticed = new Promise((resolve) => poolOf(dataSource).once('remove', resolve));
    proxy.reset();
    await noticed;
    const runner = dataSource.createQueryRunner();
    await failure(runner.query('SELECT 1'));
    await proxy.pass();
    expect(await runner.query('SELECT 1 AS one')).toEqual([{ one: 1 }]);
    await runner.release();
  });

  it('a failed startTransaction() leaves no transaction, neither on the runner nor on the server', async () => {
    await open();
    const runner = dataSource.createQueryRunner();
    await runner.connect();
    const query = runner.query.bind(runner);
    runner.query = ((sql: string) =>
      query(sql.replace('ISOLATION LEVEL SERIALIZABLE', 'ISOLATION LEVEL NONSENSE'))) as never;
    await failure(runner.startTransaction('SERIALIZABLE'));
    expect(runner.isTransactionActive).toBe(false);
    expect(await runner.query('SELECT now() = statement_timestamp() AS outside')).toEqual([
      { outside: true },
    ]);
    await runner.release();
  });

  it('a statement that exceeds its timeout is cancelled on the server, and its connection is not reused while busy', async () => {
    await open({ timeouts: { statementMs: 300 } });
    await failure(dataSource.query('SELECT pg_sleep(20)'));
    expect(await dataSource.query('SELECT 1 AS one')).toEqual([{ one: 1 }]);
    const running = await database.sql(
      `SELECT query FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(20)%' AND state = 'active'`,
    );
    expect(running).toEqual([]);
  });

  it('destroy() lets running queries finish', async () => {
    await open();
    const answer = dataSource.query(`SELECT pg_sleep(0.3), 'done' AS state`);
    // Until the statement runs.
    await until(
      async () =>
        (await database.sql(`SELECT 1 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(0.3)%'`))
          .length > 0,
    );
    await Promise.all([dataSource.destroy(), answer]);
    expect(await answer).toMatchObject([{ state: 'done' }]);
  });

  it('a failing ROLLBACK does not return a connection with an open transaction', async () => {
    await open();
    await failure(
      dataSource.transaction(async (manager) => {
        await manager.query(`INSERT INTO users (name) VALUES ('never')`);
        const runner = manager.queryRunner as QueryRunner;
        const query = runner.query.bind(runner);
        runner.query = ((sql: string, parameters?: unknown[]) =>
          sql === 'ROLLBACK'
            ? Promise.reject(new Error('no rollback today'))
            : query(sql, parameters)) as never;
        throw new Error('rolled back');
      }),
    );
    await dataSource.query('COMMIT');
    expect(await count()).toBe('0');
  });

  it('sslmode=require and a CA in code still require TLS', async () => {
    await open();
    const refused = failure(
      plain
        ? new DataSource({
            type: 'postgres',
            url: `${database.url}?sslmode=disable`,
            ssl: { rejectUnauthorized: true },
          }).initialize()
        : Test.createTestingModule({
            imports: [
              DatabaseModule.forRoot({ url: `${database.url}?sslmode=disable`, ssl: { mode: 'require' } }),
            ],
          })
            .setLogger(new CapturingLogger())
            .compile(),
    );
    expect(await refused).toMatchObject({ code: 'TLS_NOT_OFFERED' });
  });

  it('concurrent queries on one runner are sent one after the other, in order', async () => {
    await open();
    const runner = dataSource.createQueryRunner();
    const connection = await runner.connect();
    const answers = Promise.all([1, 2, 3, 4, 5].map((n) => runner.query(`SELECT ${n} AS n`)));
    // The queue in which pg 8 warns of a second statement, and pg 9 refuses it.
    let queuedByPg = 0;
    connection.on('drain', () => (queuedByPg += connection._queryQueue.length));
    await new Promise(setImmediate);
    queuedByPg += connection._queryQueue.length;
    expect((await answers).flat()).toEqual([1, 2, 3, 4, 5].map((n) => ({ n })));
    expect(queuedByPg).toBe(0);
    await runner.release();
  });

  it('a failed transaction is recognised although its error arrives before its status', async () => {
    await open();
    const runner = dataSource.createQueryRunner();
    const connection = await runner.connect();
    // Both in one message: the error's callback is called before ReadyForQuery reports that the transaction has failed.
    const failed = failure(connection.query('BEGIN; SELECT 1 / 0'));
    await failed;
    await runner.release();
    expect(await dataSource.query('SELECT now() = statement_timestamp() AS outside')).toEqual([
      { outside: true },
    ]);
  });

  it('a commit after a failed statement is an error and not a silent rollback', async () => {
    await open();
    const runner = dataSource.createQueryRunner();
    // Repeated: the error and the transaction status arrive in one packet or in two.
    for (let i = 0; i < 100; i++) {
      await runner.startTransaction();
      await runner.query(`INSERT INTO users (name) VALUES ('lost')`);
      await failure(runner.query('SELECT 1 / 0'));
      expect(await failure(runner.commitTransaction())).toMatchObject({ code: 'TRANSACTION_ABORTED' });
    }
    await runner.release();
    expect(await count()).toBe('0');
  });

  it('a runner that is used after its release rejects with the call site of the release', async () => {
    await open();
    const runner = dataSource.createQueryRunner();
    await runner.query('SELECT 1');
    await runner.release();
    expect(await failure(runner.query('SELECT 1'))).toMatchObject({
      message: expect.stringMatching(/already released.*traps\.spec/s),
    });
  });

  it('an undefined statement beside a running one fails alone', async () => {
    await open();
    const runner = dataSource.createQueryRunner();
    const [slow, none, last] = await Promise.allSettled([
      runner.query('SELECT pg_sleep(0.1)'),
      runner.query(undefined as never),
      runner.query('SELECT 3 AS three'),
    ]);
    expect([slow.status, none.status, last.status]).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    await runner.release();
  });

  it('session state of one borrower is reset for the next', async () => {
    await open();
    const runner = dataSource.createQueryRunner();
    await runner.query(`SET TIME ZONE 'Asia/Tokyo'`);
    await runner.query(`SELECT set_config('app.tenant', 'other', false)`);
    await runner.query('CREATE TEMP TABLE leftovers (id int)');
    await runner.query('SELECT pg_advisory_lock(42)');
    await runner.query('LISTEN news');
    await runner.release();
    expect(
      await dataSource.query(
        `SELECT current_setting('TimeZone') AS zone, current_setting('app.tenant', true) AS tenant,
                to_regclass('pg_temp.leftovers') AS temp, pg_listening_channels() AS channel`,
      ),
    ).toEqual([]);
    expect(
      await dataSource.query(
        `SELECT current_setting('TimeZone') AS zone, current_setting('app.tenant', true) AS tenant, to_regclass('pg_temp.leftovers') AS temp`,
      ),
    ).toEqual([{ zone: 'UTC', tenant: expect.not.stringMatching('other'), temp: null }]);
    expect(
      await database.sql(
        `SELECT 1 FROM pg_locks WHERE locktype = 'advisory'
          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
      ),
    ).toEqual([]);
  });
});
