import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { DatabaseHealthModule, DatabaseModule } from 'nestjs-database';
import type { DatabaseModuleOptions, ManagedDataSource } from 'nestjs-database';
import { DataSource } from 'typeorm';
import { createTestDatabase } from '../support/database.js';
import type { TestDatabase } from '../support/database.js';
import { startHttpApp } from '../support/http-app.js';
import type { HttpApp } from '../support/http-app.js';
import { startTcpProxy } from '../support/tcp-proxy.js';
import type { TcpProxy } from '../support/tcp-proxy.js';
import { migrationClass } from '../data-source/migrations/migration-classes.js';

const first = migrationClass('first', 1, 'SELECT 1');
const second = migrationClass('second', 2, 'SELECT 1');

describe('a health check of the migrations', () => {
  let database: TestDatabase;
  let proxy: TcpProxy;
  let http: HttpApp;

  const start = async (options: DatabaseModuleOptions, health: { timeoutMs?: number } = {}) => {
    http = await startHttpApp({
      imports: [
        DatabaseModule.forRoot({ url: database.url, ...options }),
        DatabaseHealthModule.forRoot({ migrations: true, ...health }),
      ],
    });
    return http.app.get<DataSource, ManagedDataSource>(DataSource);
  };

  beforeAll(async () => {
    database = await createTestDatabase();
    proxy = await startTcpProxy({ port: Number(new URL(database.url).port) });
  });
  afterEach(async () => {
    await http.close();
    await database.sql('DROP TABLE IF EXISTS migrations');
  });
  afterAll(async () => {
    await proxy.close();
    await database.drop();
  });

  it('answers 503 until all migrations of the app are executed, without the table as well', async () => {
    const dataSource = await start({ migrations: [first, second] });
    const answers = [await http.fetch('/health/db')];
    await dataSource.migrator.run({ fake: true });
    await database.sql(`UPDATE migrations SET name = 'other' WHERE id = 2`);
    answers.push(await http.fetch('/health/db'));
    for (const { status, body } of answers) {
      expect(status).toBe(503);
      expect(body.error.db).toEqual({
        status: 'down',
        code: 'MIGRATION_PENDING',
        message: 'the database lacks migrations of this version of the app',
        migrations: 'pending',
        latency_ms: expect.any(Number),
        database: database.name,
        pool: expect.objectContaining({ status: 'ok' }),
      });
    }
    await database.sql(`UPDATE migrations SET name = 'second1700000000002' WHERE id = 2`);
    const { status, body } = await http.fetch('/health/db');
    expect([status, body.info.db]).toEqual([200, expect.objectContaining({ migrations: 'up-to-date' })]);
  });

  it('no longer reads the table when all are executed', async () => {
    const dataSource = await start({ migrations: [first] });
    await dataSource.runMigrations();
    await http.fetch('/health/db');
    await database.sql('DROP TABLE migrations');
    const { status, body } = await http.fetch('/health/db');
    expect([status, body.info.db.migrations]).toEqual([200, 'up-to-date']);
  });

  it('is not made without the option, and finds nothing pending without migrations', async () => {
    await start({});
    expect((await http.fetch('/health/db')).body.info.db.migrations).toBe('up-to-date');
    await http.close();
    http = await startHttpApp({
      imports: [DatabaseModule.forRoot({ url: database.url, migrations: [first] }), DatabaseHealthModule],
    });
    const { status, body } = await http.fetch('/health/db');
    expect([status, body.info.db]).toEqual([
      200,
      expect.not.objectContaining({ migrations: expect.anything() }),
    ]);
  });

  it('reads the table that the options name', async () => {
    await database.sql('CREATE SCHEMA "Own" AUTHORIZATION app');
    const dataSource = await start({ migrations: [first], schema: 'Own', migrationsTableName: 'History' });
    expect((await http.fetch('/health/db')).status).toBe(503);
    await dataSource.runMigrations();
    expect(await database.sql('SELECT name FROM "Own"."History"')).toEqual([{ name: 'first1700000000001' }]);
    expect((await http.fetch('/health/db')).status).toBe(200);
    await database.sql('DROP SCHEMA "Own" CASCADE');
  });

  it('ends at its timeout when the table is locked, and releases its connection', async () => {
    const dataSource = await start(
      { migrations: [first], pool: { size: 1, maxOverflow: 0 } },
      { timeoutMs: 300 },
    );
    await dataSource.runMigrations();
    const runner = dataSource.createQueryRunner();
    await runner.startTransaction();
    await runner.query('LOCK TABLE migrations');
    const answers = await Promise.all([1, 2, 3].map(() => http.fetch('/health/db')));
    expect(answers.map(({ status }) => status)).toEqual([503, 503, 503]);
    await runner.rollbackTransaction();
    await runner.release();
    expect((await http.fetch('/health/db')).status).toBe(200);
    expect(dataSource.pool?.snapshot()).toMatchObject({ leased: 0 });
  });

  it('answers 503 on a frozen network, as without the option', async () => {
    await start({ url: proxy.through(database.url), migrations: [first] }, { timeoutMs: 300 });
    proxy.freeze();
    const { status, body } = await http.fetch('/health/db');
    expect([status, body.error.db]).toEqual([
      503,
      expect.not.objectContaining({ migrations: expect.anything() }),
    ]);
    await proxy.pass();
  });
});
