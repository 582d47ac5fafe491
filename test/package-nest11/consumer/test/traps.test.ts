import { DatabaseModule, type DatabaseModuleOptions, type ManagedDataSource } from 'nestjs-database';
import { DataSource, type MigrationInterface, type QueryRunner } from 'typeorm';
import { User } from '../src/entities';
import { emptyTable, failure, Gate, sql, start, type Started, url } from './support';

class CreateBooks1700000000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('CREATE TABLE books (id int)');
  }
  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE books');
  }
}

class Fails1700000000001 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('INSERT INTO books VALUES (1)');
    await runner.query('SELECT 1 / 0');
  }
  async down(): Promise<void> {}
}

/** Traps of TypeORM 0.3 and `pg` without this package. The numbers are those of the same tests on TypeORM 1. */
describe('Traps of TypeORM 0.3', () => {
  const gate = new Gate();
  let started: Started | undefined;
  let dataSource: DataSource;

  const open = async (options: DatabaseModuleOptions = {}) => {
    started = await start({
      imports: [
        DatabaseModule.forRoot({
          entities: [User],
          applicationName: 'traps',
          pool: { size: 1, maxOverflow: 0, acquireTimeoutMs: 3000 },
          timeouts: { shutdownMs: 1000 },
          ...options,
        }),
      ],
    });
    dataSource = started.module.get(DataSource);
  };
  const count = async () => (await sql('SELECT count(*)::int AS users FROM users'))[0].users as number;
  const kill = () =>
    sql(
      `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'traps' AND datname = current_database()`,
    );
  const untilRunning = async (statement: string) => {
    for (;;) {
      const rows = await sql(`SELECT query FROM pg_stat_activity WHERE state = 'active'`);
      if (rows.some(({ query }) => query === statement)) return;
    }
  };

  beforeAll(() => gate.open());
  beforeEach(() => emptyTable('users', 'id serial PRIMARY KEY, name text NOT NULL'));
  afterEach(async () => {
    await started?.module.close();
    started = undefined;
  });
  afterAll(() => gate.close());

  it('1: a transaction left open at release is not committed by the next borrower', async () => {
    await open();
    const first = dataSource.createQueryRunner();
    await first.startTransaction();
    await first.query(`INSERT INTO users (name) VALUES ('stranger')`);
    await first.release();
    const second = dataSource.createQueryRunner();
    await second.query('COMMIT');
    await second.release();
    expect(await count()).toBe(0);
  });

  it('2: a runner that is released while it waits for a connection does not cost a connection, and the data source can be destroyed', async () => {
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

  it('3: await using, which TypeORM 0.3 does not support, rolls back an open transaction and releases the runner', async () => {
    await open();
    await failure(
      (async () => {
        await using runner = (dataSource as ManagedDataSource).createQueryRunner();
        await runner.startTransaction();
        await runner.query(`INSERT INTO users (name) VALUES ('half')`);
        throw new Error('thrown in the block');
      })(),
    );
    expect(await count()).toBe(0);
    expect(started?.log.join('\n')).toMatch(/A transaction was still open/);
    expect(await dataSource.query('SELECT 1 AS one')).toEqual([{ one: 1 }]);
  });

  it('4: a killed backend surfaces with its SQLSTATE, while busy and while idle in a transaction', async () => {
    await open();
    const busy = dataSource.createQueryRunner();
    // A runner that was connected explicitly keeps its session: its statement is not sent again on another connection.
    await busy.connect();
    const answer = failure(busy.query('SELECT pg_sleep(20)'));
    await untilRunning('SELECT pg_sleep(20)');
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

  it('5b: a failed startTransaction leaves no transaction, neither in the runner nor on the server', async () => {
    await open();
    const runner = dataSource.createQueryRunner();
    await failure(runner.startTransaction('NONSENSE' as never));
    expect(runner.isTransactionActive).toBe(false);
    expect(await runner.query('SELECT now() = statement_timestamp() AS outside')).toEqual([
      { outside: true },
    ]);
    await runner.release();
  });

  it('5a: a runner whose connect() failed works when the database is available again', async () => {
    await open({ url: gate.url });
    const pool = (dataSource as ManagedDataSource).pool as NodeJS.EventEmitter;
    const noticed = new Promise((resolve) => pool.once('remove', resolve));
    await gate.close();
    await noticed;
    const runner = dataSource.createQueryRunner();
    await failure(runner.query('SELECT 1'));
    await gate.open();
    expect(await runner.query('SELECT 1 AS one')).toEqual([{ one: 1 }]);
    await runner.release();
  });

  it('a commit after a failed statement is an error, and not a silent rollback', async () => {
    await open();
    const runner = dataSource.createQueryRunner();
    // Repeated, since the error and the transaction status arrive in one packet or in two.
    for (let i = 0; i < 100; i++) {
      await runner.startTransaction();
      await runner.query(`INSERT INTO users (name) VALUES ('lost')`);
      await failure(runner.query('SELECT 1 / 0'));
      expect(await failure(runner.commitTransaction())).toMatchObject({ code: 'TRANSACTION_ABORTED' });
    }
    await runner.release();
    expect(await count()).toBe(0);
  });

  it('transactions commit, roll back and nest', async () => {
    await open();
    await dataSource.transaction('SERIALIZABLE', async (manager) => {
      await manager.save(User, { name: 'kept' });
      await failure(
        manager.transaction(async (nested) => {
          await nested.save(User, { name: 'lost' });
          throw new Error('only this part');
        }),
      );
    });
    await failure(
      dataSource.transaction(async (manager) => {
        await manager.save(User, { name: 'lost as well' });
        throw new Error('all of it');
      }),
    );
    expect(await sql('SELECT name FROM users')).toEqual([{ name: 'kept' }]);
  });

  it('9: a failing ROLLBACK does not return a connection with an open transaction', async () => {
    await open();
    await failure(
      dataSource.transaction(async (manager) => {
        await manager.query(`INSERT INTO users (name) VALUES ('never')`);
        const runner = manager.queryRunner as QueryRunner;
        const query = runner.query.bind(runner) as (...statement: unknown[]) => Promise<unknown>;
        runner.query = (async (text: string, ...rest: unknown[]) => {
          if (text === 'ROLLBACK') throw new Error('no rollback today');
          return query(text, ...rest);
        }) as never;
        throw new Error('rolled back');
      }),
    );
    await dataSource.query('COMMIT');
    expect(await count()).toBe(0);
  });

  it('12: concurrent queries on one runner are sent one after the other, in order', async () => {
    await open();
    const runner = dataSource.createQueryRunner();
    const connection = await runner.connect();
    const answers = Promise.all([1, 2, 3, 4, 5].map((n) => runner.query('SELECT $1::int AS n', [n])));
    // pg 8 would warn, and pg 9 will refuse them.
    let queuedByPg = 0;
    connection.on('drain', () => (queuedByPg += connection._queryQueue.length));
    await new Promise(setImmediate);
    queuedByPg += connection._queryQueue.length;
    expect((await answers).flat()).toEqual([1, 2, 3, 4, 5].map((n) => ({ n })));
    expect(queuedByPg).toBe(0);
    await runner.release();
  });

  it('6: a statement that exceeds its limit is cancelled on the server, and its connection is not released while it runs', async () => {
    await open({ timeouts: { statementMs: 300, shutdownMs: 1000 } });
    await failure(dataSource.query('SELECT pg_sleep(20)'));
    expect(await dataSource.query('SELECT 1 AS one')).toEqual([{ one: 1 }]);
    expect(
      await sql(
        `SELECT 1 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(20)%' AND state = 'active' AND datname = current_database()`,
      ),
    ).toEqual([]);
  });

  it('11: TLS that the code requires is used even with sslmode=disable in the URL', async () => {
    const plain = new URL(url);
    plain.searchParams.set('sslmode', 'disable');
    expect(await failure(open({ url: plain.href, ssl: { mode: 'require' } }))).toMatchObject({
      code: 'TLS_NOT_OFFERED',
    });
  });

  it('21: a failed transaction is recognised even if its error arrives before its status', async () => {
    await open();
    const runner = dataSource.createQueryRunner();
    const connection = await runner.connect();
    // Both in one message: the callback gets the error before ReadyForQuery reports the failed transaction.
    await failure(connection.query('BEGIN; SELECT 1 / 0'));
    await runner.release();
    expect(await dataSource.query('SELECT now() = statement_timestamp() AS outside')).toEqual([
      { outside: true },
    ]);
  });

  it('session state of one borrower is reset for the next', async () => {
    await open();
    const runner = dataSource.createQueryRunner();
    await runner.query(`SET TIME ZONE 'Asia/Tokyo'`);
    await runner.query('CREATE TEMP TABLE leftovers (id int)');
    await runner.release();
    expect(
      await dataSource.query(
        `SELECT current_setting('TimeZone') AS zone, to_regclass('pg_temp.leftovers') AS temp`,
      ),
    ).toEqual([{ zone: expect.not.stringMatching('Tokyo'), temp: null }]);
  });

  it('a runner that is used after its release fails with an error that names the place of the release', async () => {
    await open();
    const runner = dataSource.createQueryRunner();
    await runner.query('SELECT 1');
    await runner.release();
    expect(await failure(runner.query('SELECT 1'))).toMatchObject({
      message: expect.stringMatching(/already released.*traps\.test/s),
    });
  });

  it('a lazy start needs no database, and its first query connects', async () => {
    await gate.close();
    await open({ url: gate.url, startup: 'lazy', connectRetry: { retries: 0 } });
    expect(dataSource.isInitialized).toBe(true);
    expect(await failure(dataSource.query('SELECT 1'))).toMatchObject({ code: 'CONNECTION_REFUSED' });
    await gate.open();
    await dataSource.getRepository(User).save({ name: 'late' });
    expect(await count()).toBe(1);
  });

  it('a data source with startup off rejects statements with a reason, and can be initialized', async () => {
    await open({ startup: 'off' });
    expect(await failure(dataSource.query('SELECT 1'))).toMatchObject({
      name: 'CannotExecuteNotConnectedError',
      message: expect.not.stringContaining('undefined'),
    });
    await dataSource.initialize();
    expect(await dataSource.query('SELECT 1 AS one')).toEqual([{ one: 1 }]);
  });

  it('7: destroy() lets running queries finish, and the data source can be initialized again', async () => {
    await open();
    const statement = `SELECT pg_sleep(0.3), 'done' AS state`;
    const answer = dataSource.query(statement);
    await untilRunning(statement);
    await dataSource.destroy();
    expect(await answer).toMatchObject([{ state: 'done' }]);
    expect(await sql(`SELECT 1 FROM pg_stat_activity WHERE application_name = 'traps'`)).toEqual([]);
    await dataSource.initialize();
    expect(await dataSource.getRepository(User).count()).toBe(0);
  });

  it('has the older names of TypeORM 0.3 for initialize() and destroy()', async () => {
    await open();
    const statement = `SELECT pg_sleep(0.3), 'older' AS state`;
    const answer = dataSource.query(statement);
    await untilRunning(statement);
    await Promise.all([dataSource.close(), dataSource.destroy()]);
    expect(await answer).toMatchObject([{ state: 'older' }]);
    expect(dataSource.isConnected).toBe(false);
    await dataSource.connect();
    expect(await dataSource.query('SELECT 1 AS one')).toEqual([{ one: 1 }]);
  });

  it('migrations run and are reverted, and a failing one leaves no changes', async () => {
    await open({ migrations: [CreateBooks1700000000000] });
    expect((await dataSource.runMigrations()).map(({ name }) => name)).toEqual(['CreateBooks1700000000000']);
    expect(await dataSource.showMigrations()).toBe(false);
    await started?.module.close();

    await open({ migrations: [CreateBooks1700000000000, Fails1700000000001] });
    expect(await failure(dataSource.runMigrations())).toMatchObject({
      code: 'MIGRATION_FAILED',
      cause: { code: '22012' },
    });
    expect(await sql('SELECT * FROM books')).toEqual([]);
    await dataSource.undoLastMigration();
    expect(await sql(`SELECT to_regclass('books') AS books`)).toEqual([{ books: null }]);
  });

  it('migrations run at the start when asked for', async () => {
    await open({ migrations: [CreateBooks1700000000000], migrationsRun: true });
    expect(await sql('SELECT * FROM books')).toEqual([]);
    await dataSource.undoLastMigration();
  });

  it('a result is streamed, and its connection is released', async () => {
    await open();
    const runner = dataSource.createQueryRunner();
    const rows: unknown[] = [];
    for await (const row of await runner.stream('SELECT generate_series(1, 1000) AS n')) rows.push(row);
    expect(rows).toHaveLength(1000);
    await runner.release();
    expect(await dataSource.query('SELECT 1 AS one')).toEqual([{ one: 1 }]);
  });
});
