import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text as readAll } from 'node:stream/consumers';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Test } from '@nestjs/testing';
import type { TestingModule } from '@nestjs/testing';
import { DatabaseModule } from 'nestjs-database';
import type { DatabaseModuleOptions, ManagedDataSource } from 'nestjs-database';
import { DataSource, EntitySchema } from 'typeorm';
import type { MigrationInterface, QueryRunner } from 'typeorm';
import { CapturingLogger } from '../../support/capturing-logger.js';
import { createTestDatabase } from '../../support/database.js';
import type { TestDatabase } from '../../support/database.js';
import { describeWithPgBouncer } from '../../support/describe-with-pgbouncer.js';
import { startPgBouncer } from '../../support/pgbouncer.js';
import { until } from '../../support/until.js';

const entities = ['books', 'authors', 'shelves', 'loans'].map(
  (name) =>
    new EntitySchema({
      name,
      columns: {
        id: { type: 'uuid', primary: true, generated: 'uuid' },
        label: { type: 'text', unique: true },
        kind: { type: 'enum', enum: ['a', 'b'], enumName: `${name}_kind` },
      },
    }),
);

/** A migration whose work the test sets. */
class Working implements MigrationInterface {
  static work: (runner: QueryRunner) => Promise<unknown> = () => Promise.resolve();
  name = 'Working1700000000000';
  async up(runner: QueryRunner) {
    await Working.work(runner);
  }
  async down(runner: QueryRunner) {
    await runner.query('DROP TABLE shelf');
  }
}

describe('instances that change the schema concurrently', () => {
  let database: TestDatabase;
  const logger = new CapturingLogger();
  const modules: TestingModule[] = [];

  const start = async (options: DatabaseModuleOptions) => {
    const module = await Test.createTestingModule({
      imports: [DatabaseModule.forRoot({ url: database.url, pool: { size: 1, maxOverflow: 0 }, ...options })],
    })
      .setLogger(logger)
      .compile();
    modules.push(module);
    return module.get<DataSource, ManagedDataSource>(DataSource);
  };
  const startAll = (count: number, options: DatabaseModuleOptions) =>
    Promise.all(Array.from({ length: count }, () => start(options)));
  const locks = () =>
    database.sql(`SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND database =
      (SELECT oid FROM pg_database WHERE datname = current_database())`);

  beforeAll(async () => {
    database = await createTestDatabase();
    await database.sql('CREATE EXTENSION IF NOT EXISTS "uuid-ossp"');
  });
  afterEach(async () => {
    await Promise.all(modules.splice(0).map((module) => module.close()));
    Working.work = () => Promise.resolve();
    await database.sql('DROP SCHEMA public CASCADE');
    await database.sql('CREATE SCHEMA public AUTHORIZATION app');
    await database.sql('CREATE EXTENSION IF NOT EXISTS "uuid-ossp"');
  });
  afterAll(() => database.drop());

  it('synchronize one after the other', async () => {
    const started = await startAll(6, { entities, synchronize: true });
    for (const dataSource of started) expect(await dataSource.getRepository('books').count()).toBe(0);
    expect(await locks()).toEqual([]);
  });

  it('synchronize one after the other in separate processes', async () => {
    const script = `
      import 'reflect-metadata';
      import { EntitySchema } from 'typeorm';
      import { NestFactory } from '@nestjs/core';
      import { DatabaseModule } from 'nestjs-database';
      const entities = ['books', 'authors', 'shelves', 'loans', 'readers', 'rooms'].map((name) => new EntitySchema({
        name,
        columns: { id: { type: 'int', primary: true, generated: true }, label: { type: 'text', unique: true } },
      }));
      class AppModule {}
      console.log('ready');
      await new Promise((resolve) => process.stdin.once('data', resolve));
      const app = await NestFactory.createApplicationContext(
        { module: AppModule, imports: [DatabaseModule.forRoot({ url: process.env.TEST_URL, entities, synchronize: true })] },
        { logger: ['error'] },
      );
      await app.close();
      process.exit(0);
    `;
    const children = [1, 2, 3].map(() =>
      spawn(process.execPath, ['--input-type=module', '-e', script], {
        env: { ...process.env, NODE_OPTIONS: '', TEST_URL: database.url },
        stdio: 'pipe',
      }),
    );
    await Promise.all(children.map((child) => once(child.stdout, 'data')));
    for (const child of children) child.stdin.write('go');
    const ends = await Promise.all(
      children.map(async (child) => {
        const [said, [code]] = await Promise.all([readAll(child.stderr), once(child, 'exit')]);
        return [code as number, said];
      }),
    );
    expect(ends).toEqual([
      [0, ''],
      [0, ''],
      [0, ''],
    ]);
  });

  it('run a migration once, whatever the size of their pools', async () => {
    let runs = 0;
    Working.work = async (runner) => {
      runs += 1;
      await runner.query('CREATE TABLE shelf (id int)');
    };
    const started = await startAll(5, { migrations: [Working], migrationsRun: true });
    expect(runs).toBe(1);
    await started[0]!.undoLastMigration();
    expect((await Promise.all(started.map((dataSource) => dataSource.runMigrations()))).flat()).toHaveLength(
      1,
    );
    expect(runs).toBe(2);
    expect(await locks()).toEqual([]);
  });

  it('log that they wait, and do not block CREATE INDEX CONCURRENTLY meanwhile', async () => {
    await database.sql('CREATE TABLE shelf (id int)');
    await database.sql('ALTER TABLE shelf OWNER TO app');
    const [first, second] = await startAll(2, { migrations: [Working], migrationsTransactionMode: 'none' });
    let waiting: Promise<unknown> | undefined;
    const waits = () => logger.of('DatabaseModule').filter((line) => line.startsWith('Another instance is'));
    const before = waits().length;
    Working.work = async (runner) => {
      waiting = second!.runMigrations();
      await until(() => waits().length !== before);
      await runner.query('CREATE INDEX CONCURRENTLY shelf_id ON shelf (id)');
    };
    expect(await first!.runMigrations()).toHaveLength(1);
    expect(await waiting).toEqual([]);
    const [index] = await database.sql<{ valid: boolean }>(
      `SELECT indisvalid AS valid FROM pg_index WHERE indexrelid = 'shelf_id'::regclass`,
    );
    expect(index).toEqual({ valid: true });
  });

  it('may synchronize inside a migration', async () => {
    const dataSource = await start({ entities, migrations: [Working], pool: { size: 2 } });
    Working.work = () => dataSource.synchronize();
    await dataSource.runMigrations({ transaction: 'none' });
    expect(await dataSource.getRepository('books').count()).toBe(0);
  });

  it('release the lock when the work fails', async () => {
    const dataSource = await start({ migrations: [Working] });
    Working.work = (runner) => runner.query('SELECT nothing');
    await expect(dataSource.runMigrations()).rejects.toMatchObject({
      code: 'MIGRATION_FAILED',
      cause: { code: '42703' },
    });
    expect(await locks()).toEqual([]);
  });

  it('stop waiting when their data source is destroyed', async () => {
    const [first, second] = await startAll(2, { migrations: [Working] });
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      Working.work = () => new Promise<void>((done) => ((release = done), resolve()));
    });
    const running = first!.runMigrations();
    await held;
    const waiting = second!.runMigrations().catch((error: unknown) => error);
    await second!.destroy();
    expect(await waiting).toMatchObject({ name: 'CannotExecuteNotConnectedError' });
    release();
    await running;
  });

  describeWithPgBouncer('behind PgBouncer in transaction mode', () => {
    it('use a transaction-level lock, which leaves nothing in a session of the pooler', async () => {
      const bouncer = await startPgBouncer({ url: database.url, mode: 'transaction' });
      try {
        await startAll(4, { url: bouncer.url, entities, synchronize: true });
        let runs = 0;
        Working.work = async () => void (runs += 1);
        await startAll(3, {
          url: bouncer.url,
          directUrl: database.url,
          migrations: [Working],
          migrationsRun: true,
        });
        expect(runs).toBe(1);
        expect(await locks()).toEqual([]);
      } finally {
        await Promise.all(modules.splice(0).map((module) => module.close()));
        await bouncer.dispose();
      }
    });
  });
});
