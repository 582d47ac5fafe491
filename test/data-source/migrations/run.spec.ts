import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { DatabaseModuleOptions, ManagedDataSource } from 'nestjs-database';
import { MigrationError } from 'nestjs-database';
import pg from 'pg';
import { ForbiddenTransactionModeOverrideError, TableColumn } from 'typeorm';
import type { QueryRunner } from 'typeorm';
import type { MigrationProgress } from '../../../src/data-source/migrations/migrator.js';
import { createTestDatabase } from '../../support/database.js';
import type { TestDatabase } from '../../support/database.js';
import { NestModule } from '../../support/nest-module.js';
import { until } from '../../support/until.js';
import { migrationClass } from './migration-classes.js';

const first = () => migrationClass('first', 1, 'CREATE TABLE first (id int)', { down: 'DROP TABLE first' });
const second = () =>
  migrationClass('second', 2, 'CREATE TABLE second (id int)', { down: 'DROP TABLE second' });

describe('migrations', () => {
  let database: TestDatabase;
  const nest = new NestModule();

  const start = (migrations: DatabaseModuleOptions['migrations'], options: DatabaseModuleOptions = {}) =>
    nest.start({ url: database.url, pool: { size: 1, maxOverflow: 0 }, migrations, ...options });
  const failure = async (promise: Promise<unknown>) => {
    const error: unknown = await promise.then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(MigrationError);
    return error as MigrationError;
  };
  const recorded = async () =>
    (await database.sql<{ name: string }>('SELECT name FROM migrations ORDER BY id')).map(({ name }) =>
      name.replace(/\d+$/, ''),
    );
  const exists = async (table: string) => {
    const [row] = await database.sql<{ found: boolean }>('SELECT to_regclass($1) IS NOT NULL AS found', [
      table,
    ]);
    return row!.found;
  };
  const observed = () => {
    const progress: MigrationProgress[] = [];
    return { progress, onProgress: (event: MigrationProgress) => void progress.push(event) };
  };
  const settings = (runner: QueryRunner | ManagedDataSource) =>
    runner.query(`SELECT current_setting('statement_timeout') AS statement, current_setting('lock_timeout') AS lock,
      current_setting('idle_in_transaction_session_timeout') AS idle, current_setting('client_connection_check_interval') AS check`);

  const searchPath = (runner: QueryRunner | ManagedDataSource) =>
    runner.query(`SELECT current_setting('search_path') AS path`) as Promise<{ path: string }[]>;

  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterEach(async () => {
    await nest.close();
    await database.sql('DROP SCHEMA public CASCADE');
    await database.sql('CREATE SCHEMA public AUTHORIZATION app');
  });
  afterAll(() => database.drop());

  describe('that succeed', () => {
    it('run in the order of their timestamps, each in a transaction of its own, and are reverted one by one', async () => {
      const ids: unknown[] = [];
      const transactionId = async (runner: QueryRunner) => {
        const [row] = (await runner.query('SELECT txid_current()::text AS id')) as { id: string }[];
        ids.push(row!.id);
      };
      const { migrator } = await start([
        migrationClass('later', 9, transactionId),
        migrationClass('sooner', 3, async (runner) => {
          await transactionId(runner);
          await transactionId(runner);
        }),
      ]);
      const { progress, onProgress } = observed();
      const results = await migrator.run({ onProgress });
      expect(results).toMatchObject([
        { migration: { name: 'sooner1700000000003' }, transaction: true, ms: expect.any(Number) },
        { migration: { name: 'later1700000000009' }, transaction: true },
      ]);
      expect(ids[0]).toBe(ids[1]);
      expect(ids[2]).not.toBe(ids[1]);
      expect(progress.map(({ type }) => type)).toEqual(['started', 'finished', 'started', 'finished']);
      expect(await recorded()).toEqual(['sooner', 'later']);
      expect(await migrator.run()).toEqual([]);
      expect((await migrator.revert())?.migration.name).toBe('later1700000000009');
      expect(await recorded()).toEqual(['sooner']);
      await migrator.revert();
      expect(await migrator.revert()).toBeUndefined();
    });

    it('leave the table that TypeORM would leave', async () => {
      const dataSource = await start([first()]);
      expect(await dataSource.runMigrations()).toMatchObject([
        { name: 'first1700000000001', timestamp: 1_700_000_000_001, transaction: true },
      ]);
      expect(
        await database.sql(
          `SELECT column_name, data_type, is_nullable, column_default FROM information_schema.columns
            WHERE table_name = 'migrations' ORDER BY ordinal_position`,
        ),
      ).toEqual([
        {
          column_name: 'id',
          data_type: 'integer',
          is_nullable: 'NO',
          column_default: `nextval('migrations_id_seq'::regclass)`,
        },
        { column_name: 'timestamp', data_type: 'bigint', is_nullable: 'NO', column_default: null },
        { column_name: 'name', data_type: 'character varying', is_nullable: 'NO', column_default: null },
      ]);
      expect(await database.sql('SELECT * FROM migrations')).toEqual([
        { id: 1, timestamp: '1700000000001', name: 'first1700000000001' },
      ]);
    });

    it('run in one transaction with the mode "all", as with TypeORM', async () => {
      const failing = migrationClass('failing', 3, 'SELECT 1/0');
      const dataSource = await start([first(), second(), failing]);
      const error = await failure(dataSource.runMigrations({ transaction: 'all' }));
      expect(error.message).toContain('It was rolled back with the 2 migrations before it.');
      expect([await exists('first'), await exists('second'), await recorded()]).toEqual([false, false, []]);
    });

    it('may not set `transaction` in the mode "all", as with TypeORM', async () => {
      const own = migrationClass('own', 2, undefined, { transaction: false });
      const dataSource = await start([first(), own], { migrationsTransactionMode: 'all' });
      await expect(dataSource.runMigrations()).rejects.toThrow(ForbiddenTransactionModeOverrideError);
      expect(await exists('first')).toBe(false);
      expect(await dataSource.runMigrations({ transaction: 'each' })).toHaveLength(2);
    });

    it('are recorded only with `fake`', async () => {
      const dataSource = await start([
        first(),
        migrationClass('index', 2, 'CREATE INDEX CONCURRENTLY i ON t (a)'),
      ]);
      expect(await dataSource.runMigrations({ fake: true })).toEqual([]);
      expect([await recorded(), await exists('first')]).toEqual([['first', 'index'], false]);
      await dataSource.undoLastMigration({ fake: true });
      expect(await recorded()).toEqual(['first']);
    });

    it('are shown without a change of the database', async () => {
      const dataSource = await start([first(), second()]);
      expect(await dataSource.showMigrations()).toBe(true);
      expect(await exists('migrations')).toBe(false);
      expect(await dataSource.migrator.status()).toMatchObject({
        executed: [],
        pending: [{ name: 'first1700000000001' }, { name: 'second1700000000002' }],
        unknown: [],
      });
      expect(await dataSource.migrator.plan()).toMatchObject([{ transaction: true }, { transaction: true }]);
      expect(await exists('migrations')).toBe(false);
      await dataSource.runMigrations();
      expect(await dataSource.showMigrations()).toBe(false);
      expect(await dataSource.migrator.plan({ direction: 'down' })).toMatchObject([
        { migration: { name: 'second1700000000002' } },
      ]);
    });

    it('log a line each at the start of the app', async () => {
      await start([first(), second()], { migrationsRun: true });
      const lines = nest.logger.lines.filter(({ level }) => level === 'log').map(({ message }) => message);
      expect(lines.filter((line) => line.startsWith('Migration'))).toEqual([
        expect.stringMatching(/^Migration first1700000000001 executed in \d+ ms$/),
        expect.stringMatching(/^Migration second1700000000002 executed in \d+ ms$/),
      ]);
    });

    it('have no time limits but 5 s for locks, and leave the settings of the session as they were', async () => {
      const seen: unknown[] = [];
      const look = async (runner: QueryRunner) => {
        await runner.query(`SET statement_timeout = '1s'`);
        seen.push(...((await settings(runner)) as unknown[]));
      };
      const dataSource = await start(
        [
          migrationClass(
            'within',
            1,
            async (runner) => void seen.push(...((await settings(runner)) as unknown[])),
          ),
          migrationClass('changing', 2, look),
          migrationClass(
            'without',
            3,
            async (runner) => void seen.push(...((await settings(runner)) as unknown[])),
            {
              transaction: false,
            },
          ),
        ],
        { pool: { size: 1, maxOverflow: 0, reset: 'none' } },
      );
      const before = await settings(dataSource);
      await dataSource.runMigrations();
      expect(seen).toEqual([
        { statement: '0', lock: '5s', idle: '0', check: '1s' },
        { statement: '1s', lock: '5s', idle: '0', check: '1s' },
        { statement: '0', lock: '0', idle: '0', check: '1s' },
      ]);
      expect(await settings(dataSource)).toEqual(before);
      expect(before).not.toEqual([expect.objectContaining({ statement: '0' })]);
      expect(
        await database.sql(`SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND database =
        (SELECT oid FROM pg_database WHERE datname = current_database())`),
      ).toEqual([]);
    });

    it('begin with the search path of the data source, also after one with the output of pg_dump', async () => {
      const paths: unknown[] = [];
      const look = async (runner: QueryRunner) => void paths.push(...(await searchPath(runner)));
      const dump = `SELECT pg_catalog.set_config('search_path', '', false); CREATE TABLE public.dumped (id int)`;
      const down = `SELECT pg_catalog.set_config('search_path', '', false); DROP TABLE public.dumped`;
      const dataSource = await start(
        [
          migrationClass('dump', 1, dump, { down, transaction: false }),
          migrationClass('next', 2, look),
          migrationClass('inTransaction', 3, dump.replace('dumped', 'dumped_again')),
          migrationClass('last', 4, look, { down: `SET search_path = ''` }),
        ],
        { session: { search_path: 'public, pg_catalog' }, pool: { size: 1, maxOverflow: 0, reset: 'none' } },
      );
      expect(await dataSource.runMigrations()).toHaveLength(4);
      expect(paths).toEqual(Array(2).fill({ path: 'public, pg_catalog' }));
      expect(await recorded()).toEqual(['dump', 'next', 'inTransaction', 'last']);
      await dataSource.undoLastMigration();
      expect(await recorded()).toEqual(['dump', 'next', 'inTransaction']);
      expect(await searchPath(dataSource)).toEqual([{ path: 'public, pg_catalog' }]);
    });

    it('may take longer than the time limit of statements', async () => {
      const dataSource = await start([migrationClass('slow', 1, 'SELECT pg_sleep(0.4)')], {
        timeouts: { statementMs: 100 },
      });
      expect(await dataSource.runMigrations()).toHaveLength(1);
    });

    it('may begin transactions and savepoints of their own', async () => {
      const dataSource = await start([
        migrationClass('nested', 1, async (runner) => {
          await runner.startTransaction();
          await runner.query('CREATE TABLE first (id int)');
          await runner.commitTransaction();
          await runner.startTransaction();
          await runner.query('SELECT nothing').catch(() => runner.rollbackTransaction());
        }),
        migrationClass(
          'own',
          2,
          async (runner) => {
            await runner.startTransaction();
            await runner.query('CREATE TABLE second (id int)');
            await runner.commitTransaction();
          },
          { transaction: false },
        ),
        migrationClass('between', 3, async (runner) => {
          await runner.query('CREATE TABLE third (id int)');
          await runner.commitTransaction();
          await runner.startTransaction();
        }),
      ]);
      expect(await dataSource.runMigrations()).toHaveLength(3);
      expect(await recorded()).toEqual(['nested', 'own', 'between']);
      for (const table of ['first', 'second', 'third']) expect(await exists(table)).toBe(true);
    });

    it('see the tables as SQL of the migrations before has left them', async () => {
      const addColumn = (name: string) => (runner: QueryRunner) =>
        runner.addColumn('first', new TableColumn({ name, type: 'int', isNullable: true }));
      const dataSource = await start([
        migrationClass('first', 1, 'CREATE TABLE first (id int)'),
        migrationClass('builder', 2, addColumn('a')),
        migrationClass('sql', 3, 'ALTER TABLE first RENAME a TO b'),
        migrationClass('renaming', 4, (runner) => runner.renameColumn('first', 'b', 'c')),
      ]);
      await dataSource.runMigrations({ transaction: 'all' });
      expect(
        await database.sql(
          `SELECT attname FROM pg_attribute WHERE attrelid = 'first'::regclass AND attnum > 0`,
        ),
      ).toEqual([{ attname: 'id' }, { attname: 'c' }]);
    });

    it('may run other migrations', async () => {
      const dataSource = await start(
        [
          migrationClass(
            'outer',
            1,
            async () => {
              expect(await dataSource.migrator.status()).toMatchObject({ executed: [] });
              await dataSource.runMigrations({ fake: true });
            },
            { transaction: false },
          ),
        ],
        { pool: { size: 3 } },
      );
      await dataSource.runMigrations();
      expect(await recorded()).toEqual(['outer', 'outer']);
    });

    it('may not run themselves again', async () => {
      const dataSource = await start(
        [migrationClass('outer', 1, async () => void (await dataSource.runMigrations()))],
        { pool: { size: 3 } },
      );
      const { message } = await failure(dataSource.runMigrations());
      expect(message).toContain('Migration outer1700000000001 runs already, and would run itself again.');
      expect(await recorded()).toEqual([]);
    });
  });

  describe('whose table the role may not read', () => {
    it('are not taken for pending', async () => {
      await database.sql(
        'CREATE TABLE migrations (id serial, timestamp bigint NOT NULL, name text NOT NULL)',
      );
      const dataSource = await start([first()]);
      await expect(dataSource.showMigrations()).rejects.toThrow('permission denied for table migrations');
      await expect(dataSource.runMigrations()).rejects.toThrow('permission denied for table migrations');
    });
  });

  describe('that the source code does not have', () => {
    it('cause a warning of a run, and the last one cannot be reverted', async () => {
      await (await start([first(), second()])).runMigrations();
      await nest.close();
      const dataSource = await start([first(), migrationClass('third', 3, 'SELECT 1')]);
      expect(await failure(dataSource.undoLastMigration())).toMatchObject({
        code: 'MIGRATION_UNKNOWN',
        message:
          'Migration second1700000000002 was executed last, and the source code does not have it. Nothing was changed.',
      });
      const { progress, onProgress } = observed();
      await dataSource.migrator.run({ onProgress });
      expect(progress[0]).toEqual({
        type: 'warning',
        message: 'The database has migrations that the source code does not have: second1700000000002',
      });
      expect((await dataSource.migrator.status()).unknown).toMatchObject([
        { id: 2, name: 'second1700000000002' },
      ]);
    });
  });

  describe('with CONCURRENTLY', () => {
    class Concurrent1700000000002 {
      async up(runner: QueryRunner) {
        await runner.query('CREATE INDEX CONCURRENTLY first_id ON first (id)');
      }
      async down(runner: QueryRunner) {
        await runner.query('DROP INDEX CONCURRENTLY first_id');
      }
    }
    class Outside1700000000002 extends Concurrent1700000000002 {
      transaction = false;
      override async up(runner: QueryRunner) {
        await runner.query('CREATE INDEX CONCURRENTLY first_id ON first (id)');
      }
      override async down(runner: QueryRunner) {
        await runner.query('DROP INDEX CONCURRENTLY first_id');
      }
    }

    it('are refused in a transaction by their file, before anything runs', async () => {
      const dataSource = await start([first(), Concurrent1700000000002]);
      const error = await failure(dataSource.runMigrations());
      expect(error).toMatchObject({
        code: 'MIGRATION_CONCURRENTLY',
        message:
          'PostgreSQL refuses CONCURRENTLY inside a transaction, and these migrations run in one: ' +
          'Concurrent1700000000002 (test/data-source/migrations/run.spec.ts): CREATE INDEX CONCURRENTLY. Nothing was changed.',
      });
      expect(await failure(dataSource.migrator.plan())).toMatchObject({ code: 'MIGRATION_CONCURRENTLY' });
      expect([await exists('first'), await exists('migrations')]).toEqual([false, false]);
    });

    it('run without a transaction, up and down', async () => {
      const dataSource = await start([first(), Outside1700000000002]);
      expect(await dataSource.runMigrations()).toMatchObject([{ transaction: true }, { transaction: false }]);
      expect(await exists('first_id')).toBe(true);
      await dataSource.undoLastMigration();
      expect(await exists('first_id')).toBe(false);
    });

    it('are explained when the statement comes from elsewhere', async () => {
      const sql = ['CREATE INDEX', 'CONCURRENTLY i ON first (id)'].join(' ');
      const dataSource = await start([first(), migrationClass('hidden', 2, sql)]);
      const error = await failure(dataSource.runMigrations());
      expect(error).toMatchObject({
        code: 'MIGRATION_FAILED',
        message: expect.stringContaining(
          'at its 1st statement, CREATE INDEX CONCURRENTLY i ON first (id): CREATE INDEX CONCURRENTLY cannot run inside a transaction block (25001). It was rolled back. The migration that ran before (first1700000000001) was not rolled back.',
        ),
        hint: expect.stringContaining('Set `transaction = false`'),
      });
    });

    it('that fail name the INVALID index with the statement that removes it', async () => {
      await database.sql('CREATE SCHEMA "Odd "" schema" AUTHORIZATION app');
      const sql = ['CREATE UNIQUE INDEX', 'CONCURRENTLY "my index" ON "Odd "" schema".doubled (id)'].join(
        ' ',
      );
      const dataSource = await start([
        migrationClass(
          'doubled',
          1,
          'CREATE TABLE "Odd "" schema".doubled AS SELECT 1 AS id FROM generate_series(1, 2)',
        ),
        migrationClass(
          'index',
          2,
          async (runner) => {
            await runner.query('CREATE TABLE kept (id int)');
            await runner.query(sql);
          },
          { transaction: false },
        ),
        migrationClass('swallows', 3, (runner) => runner.query(sql).catch(() => undefined), {
          transaction: false,
        }),
      ]);
      const error = await failure(dataSource.runMigrations());
      expect(error.message).toContain(
        'failed at its 2nd statement, CREATE UNIQUE INDEX CONCURRENTLY "my index" ON "Odd "" schema".doubled (id): could not create unique index "my index" (23505). ' +
          'One statement of it is in effect and was not rolled back, since the migration does not run in a transaction. ' +
          'The migration that ran before (doubled1700000000001) was not rolled back. ' +
          'Indexes that are INVALID, as a failed CREATE INDEX CONCURRENTLY leaves them; remove them with ' +
          'DROP INDEX CONCURRENTLY "Odd "" schema"."my index";',
      );
      expect(error.hint).toMatch(/^Undo by hand/);
      await dataSource.query('DROP TABLE kept');
      await dataSource.query(error.message.slice(error.message.indexOf('DROP INDEX')));
      // The second migration is recorded, so that the third runs.
      await dataSource.query(`INSERT INTO migrations (timestamp, name) VALUES (1, 'index1700000000002')`);
      const { progress, onProgress } = observed();
      await dataSource.migrator.run({ onProgress });
      expect(progress.at(-1)).toEqual({
        type: 'warning',
        message:
          'Indexes are INVALID after migration swallows1700000000003, and PostgreSQL does not use them; remove them with DROP INDEX CONCURRENTLY "Odd "" schema"."my index";',
      });
      await database.sql('DROP SCHEMA "Odd "" schema" CASCADE');
    });
  });

  describe('that fail', () => {
    it('say which statement failed, what was rolled back, what was not and what to do', async () => {
      const failing = migrationClass('failing', 3, async (runner) => {
        await runner.query('CREATE TABLE third (id int)');
        await runner.query('SELECT 1');
        await runner.query('ALTER TABLE missing\n  ADD COLUMN secret text');
      });
      const dataSource = await start([first(), second(), failing]);
      const error = await failure(dataSource.runMigrations());
      expect(error).toMatchObject({
        code: 'MIGRATION_FAILED',
        message: expect.stringMatching(
          /^Migration failing1700000000003 \(test\/data-source\/migrations\/migration-classes\.ts\) failed at its 3rd statement, ALTER TABLE missing ADD COLUMN secret text: relation "missing" does not exist \(42P01\)\. It was rolled back\. The 2 migrations that ran before \(first1700000000001, second1700000000002\) were not rolled back\.$/,
        ),
        hint: 'Correct the migration, or the data that it met, and run the migrations again.',
        cause: expect.objectContaining({ code: '42P01', query: expect.stringContaining('ALTER TABLE') }),
      });
      expect([await recorded(), await exists('third')]).toEqual([['first', 'second'], false]);
    });

    it('contain no value of a parameter', async () => {
      const failing = migrationClass('failing', 1, (runner) =>
        runner.query('SELECT $1::text::int', ['hunter2']),
      );
      const error = await failure((await start([failing])).runMigrations());
      expect(error.message).toContain('invalid input syntax for type integer (22P02)');
      expect(`${error.message} ${error.hint}`).not.toContain('hunter2');
    });

    it('by an error of their own code say so', async () => {
      const failing = migrationClass('failing', 1, async (runner) => {
        await runner.query('SELECT 1');
        throw new RangeError('too many rows');
      });
      const error = await failure((await start([failing])).runMigrations());
      expect(error.message).toContain(
        'failed after its 1st statement: RangeError: too many rows. It was rolled back.',
      );
      expect(error.cause).toBeInstanceOf(RangeError);
    });

    it('without a transaction count what is in effect, without what their own transaction has rolled back', async () => {
      const failing = migrationClass(
        'failing',
        1,
        async (runner) => {
          await runner.query('CREATE TABLE first (id int)');
          await runner.query('CREATE TABLE second (id int)');
          await runner.startTransaction();
          await runner.query('CREATE TABLE third (id int)');
          await runner.query('SELECT nothing');
        },
        { transaction: false },
      );
      const error = await failure((await start([failing])).runMigrations());
      expect(error.message).toContain(
        'failed at its 4th statement, SELECT nothing: column "nothing" does not exist (42703). 2 statements of it are in effect and were not rolled back',
      );
      expect([await exists('second'), await exists('third'), await recorded()]).toEqual([true, false, []]);
    });

    it('may have swallowed the error, which is found nevertheless', async () => {
      const swallows = migrationClass('swallows', 1, async (runner) => {
        await runner.query('SELECT nothing').catch(() => undefined);
      });
      const goesOn = migrationClass('goesOn', 1, async (runner) => {
        await runner.query('SELECT nothing').catch(() => undefined);
        await runner.query('SELECT 1');
      });
      for (const migration of [swallows, goesOn]) {
        const error = await failure((await start([migration])).runMigrations());
        expect(error.message).toContain(
          'failed at its 1st statement, SELECT nothing: column "nothing" does not exist (42703). The migration went on after this error, but the error had aborted its transaction. It was rolled back.',
        );
        expect(error.hint).toMatch(/^Let the error pass/);
        expect(await recorded()).toEqual([]);
        await nest.close();
      }
    });

    it.each<[string, RegExp, boolean, (runner: QueryRunner) => Promise<unknown>]>([
      [
        'end their transaction',
        /it has ended the transaction in which it runs/,
        true,
        (runner) => runner.commitTransaction(),
      ],
      [
        'end their transaction by SQL',
        /it has ended the transaction in which it runs/,
        true,
        (runner) => runner.query('COMMIT'),
      ],
      [
        'leave a savepoint open',
        /it has begun a nested transaction and not ended it/,
        true,
        (runner) => runner.startTransaction(),
      ],
      [
        'leave a transaction open',
        /it has begun a transaction and not ended it/,
        false,
        (runner) => runner.startTransaction(),
      ],
      [
        'leave a transaction of SQL open',
        /it has begun a transaction and not ended it/,
        false,
        (runner) => runner.query('BEGIN'),
      ],
    ])('since they %s are not recorded', async (_how, message, transaction, up) => {
      const dataSource = await start([migrationClass('failing', 1, up, { transaction })]);
      const error = await failure(dataSource.runMigrations());
      expect(error.message).toMatch(message);
      expect(await recorded()).toEqual([]);
      expect(await dataSource.query('SELECT 1 AS one')).toEqual([{ one: 1 }]);
    });

    it('at their COMMIT say so', async () => {
      const deferred = migrationClass('deferred', 2, async (runner) => {
        await runner.query('CREATE TABLE second (id int REFERENCES first DEFERRABLE INITIALLY DEFERRED)');
        await runner.query('INSERT INTO second VALUES (1)');
      });
      const dataSource = await start([
        migrationClass('first', 1, 'CREATE TABLE first (id int PRIMARY KEY)'),
        deferred,
      ]);
      const error = await failure(dataSource.runMigrations());
      expect(error.message).toMatch(
        /failed at its COMMIT: insert or update on table "second" violates foreign key/,
      );
      expect(error.message).toContain('(23503). It was rolled back. The migration that ran before');
      expect([await exists('second'), await recorded()]).toEqual([false, ['first']]);
    });

    it('since the connection is lost at their COMMIT say that the outcome is unknown', async () => {
      const deferred = migrationClass('lost', 1, async (runner) => {
        await runner.query('CREATE TABLE first (id int)');
        await runner.query(`CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS
          $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$`);
        await runner.query(`CREATE CONSTRAINT TRIGGER die AFTER INSERT ON first DEFERRABLE INITIALLY DEFERRED
          FOR EACH ROW EXECUTE FUNCTION die()`);
        await runner.query('INSERT INTO first VALUES (1)');
      });
      const dataSource = await start([deferred]);
      const error = await failure(dataSource.runMigrations());
      expect(error.message).toMatch(
        /failed at its COMMIT: .*\(57P01\)\. The connection was lost before the server confirmed the COMMIT: it is unknown whether the migration was executed\./,
      );
      expect(error.hint).toMatch(/^Look at the executed migrations/);
    });

    it('since the connection is lost without a transaction say that the last statement may be in effect', async () => {
      const lost = migrationClass(
        'lost',
        1,
        async (runner) => {
          await runner.query('CREATE TABLE first (id int)');
          await runner.query('SELECT pg_terminate_backend(pg_backend_pid())');
        },
        { transaction: false },
      );
      const error = await failure((await start([lost])).runMigrations());
      expect(error.message).toMatch(
        /failed at its 2nd statement, SELECT pg_terminate_backend.*\(57P01\)\. The connection was lost: it is unknown whether its last statement is in effect\. One statement of it is in effect/,
      );
    });

    it('when they are reverted say so, and stay recorded', async () => {
      const dataSource = await start([
        migrationClass('stuck', 1, 'CREATE TABLE first (id int)', { down: 'DROP TABLE nowhere' }),
      ]);
      await dataSource.runMigrations();
      const error = await failure(dataSource.undoLastMigration());
      expect(error.message).toMatch(
        /^The revert of migration stuck1700000000001 .* failed at its 1st statement, DROP TABLE nowhere/,
      );
      expect(await recorded()).toEqual(['stuck']);
    });
  });

  describe('that wait for a lock', () => {
    const reader = async () => {
      const client = new pg.Client({ connectionString: database.url, application_name: 'long reader' });
      await client.connect();
      await client.query('BEGIN');
      await client.query('SELECT * FROM first');
      return client;
    };
    const adding = () =>
      migrationClass('adding', 2, 'ALTER TABLE first ADD COLUMN name text', {
        down: 'ALTER TABLE first DROP COLUMN name',
      });

    it('are rolled back after 5 s and tried again', async () => {
      const dataSource = await start([first(), adding()], { pool: { size: 3 } });
      await dataSource.runMigrations();
      await dataSource.undoLastMigration();
      const client = await reader();
      const { progress, onProgress } = observed();
      const running = dataSource.migrator.run({
        onProgress: (event) => {
          onProgress(event);
          if (event.type === 'retrying') void client.query('COMMIT');
        },
      });
      // A reader of the app waits behind the migration, and not for longer than its lock timeout.
      await until(async () => {
        const waiting = await database.sql(
          `SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'first'::regclass`,
        );
        return waiting.length > 0;
      });
      await dataSource.query('SELECT * FROM first');
      expect(await running).toHaveLength(1);
      await client.end();
      expect(progress.map(({ type }) => type)).toEqual(['started', 'retrying', 'started', 'finished']);
      expect(progress[1]).toMatchObject({ attempt: 1, error: { code: '55P03' } });
    }, 40_000);

    it('fail after three tries, with the sessions that may hold the lock', async () => {
      const dataSource = await start([first(), adding()], { pool: { size: 3 } });
      await dataSource.migrator.run();
      await dataSource.undoLastMigration();
      // A shorter limit than 5 s, which the migration sets itself.
      const impatient = migrationClass('adding', 2, async (runner) => {
        await runner.query(`SET LOCAL lock_timeout = '2600ms'`);
        await runner.query('ALTER TABLE first ADD COLUMN name text');
      });
      await nest.close();
      const again = await start([first(), impatient], { pool: { size: 3 } });
      const client = await reader();
      const error = await failure(again.runMigrations());
      await client.end();
      expect(error.message).toMatch(
        /failed at its 2nd statement, ALTER TABLE first ADD COLUMN name text: canceling statement due to lock timeout \(55P03\)\. It was tried 3 times\. Transactions that have been open for more than 5 s: pid \d+, application "long reader", since \d{4}-[^ ]+Z\. It was rolled back\./,
      );
      expect(error.hint).toMatch(/^End what holds the lock/);
      expect(await recorded()).toEqual(['first']);
    }, 40_000);
  });

  describe('under the lock of another process', () => {
    it('name its session when the lock timeout has passed, and while they wait', async () => {
      const dataSource = await start([first()], { applicationName: 'orders' });
      let release = () => {};
      const held = new Promise<void>((resolve) => (release = resolve));
      let begun = () => {};
      const began = new Promise<void>((resolve) => (begun = resolve));
      const holder = new NestModule();
      const other = await holder.start({
        url: database.url,
        applicationName: 'the "holder"',
        migrations: [
          migrationClass('held', 1, () => {
            begun();
            return held;
          }),
        ],
      });
      const startedAt = Date.now();
      const running = other.runMigrations();
      await began;
      const { progress, onProgress } = observed();
      const error = await failure(dataSource.migrator.run({ lockTimeoutMs: 300, onProgress }));
      expect(error).toMatchObject({
        code: 'MIGRATION_LOCK_TIMEOUT',
        message: expect.stringMatching(
          /^Another process holds the migration lock of database "\w+": pid \d+, application "the "holder"", since [^ ]+Z\. It has not released it within the lock timeout of 300 ms\. Nothing was changed\.$/,
        ),
        hint: expect.stringMatching(/SELECT pg_terminate_backend\(\d+\)/),
      });
      expect(progress).toEqual([
        {
          type: 'waiting',
          holder: { pid: expect.any(Number), application: 'the "holder"', since: expect.any(Date) },
        },
      ]);
      const since = (progress[0] as { holder: { since: Date } }).holder.since.getTime();
      expect(Math.abs(since - startedAt)).toBeLessThan(10_000);
      const waiting = dataSource.runMigrations();
      // Nest has one logger for all modules: the last one.
      await until(() => /waiting for its end/.test(holder.logger.text));
      expect(holder.logger.text).toMatch(
        /Another instance is changing the schema of database "\w+" \(pid \d+, application "the "holder"", since [^)]+Z\); waiting for its end\./,
      );
      release();
      await running;
      expect(await waiting).toHaveLength(1);
      await holder.close();
    });
  });
});
