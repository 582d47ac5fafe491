import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { DatabaseModuleOptions } from 'nestjs-database';
import { DatabaseModule } from 'nestjs-database';
import type { DataSource } from 'typeorm';
import type { MigrationInterface, QueryRunner } from 'typeorm';
import { createTestDatabase } from '../../support/database.js';
import type { TestDatabase } from '../../support/database.js';
import { NestModule } from '../../support/nest-module.js';
import { until } from '../../support/until.js';

/** A migration whose work the test sets. */
class Working implements MigrationInterface {
  static work: (runner: QueryRunner) => Promise<unknown> = () => Promise.resolve();
  name = 'Working1700000000000';
  async up(runner: QueryRunner) {
    await Working.work(runner);
  }
  async down() {
    // Nothing to be undone.
  }
}

/** The direct connection leads to the same server; its application_name identifies it. */
describe('a migration on the direct connection', () => {
  let database: TestDatabase;
  let other: TestDatabase;
  const nest = new NestModule();

  const start = async (options: DatabaseModuleOptions = {}) => {
    return nest.start(
      {
        url: database.url,
        directUrl: database.url,
        migrations: [Working],
        ...options,
      },
      [DatabaseModule.forRootAsync({ name: 'other', useFactory: () => ({ url: other.url }) })],
    );
  };
  const nameOf = async (dataSource: DataSource) => {
    const [row] = await dataSource.query<{ name: string }[]>('SELECT current_database() AS name');
    return row!.name;
  };

  beforeAll(async () => {
    database = await createTestDatabase();
    other = await createTestDatabase();
  });
  afterEach(async () => {
    await nest.close();
    Working.work = () => Promise.resolve();
    await database.sql('DROP TABLE IF EXISTS migrations');
  });
  afterAll(() => Promise.all([database.drop(), other.drop()]));

  it('queries the right server when it uses another data source', async () => {
    const dataSource = await start();
    const second = nest.get<DataSource>('otherDataSource');
    const names: string[] = [];
    Working.work = async () => names.push(await nameOf(dataSource), await nameOf(second));
    await dataSource.runMigrations();
    expect(names).toEqual([new URL(database.url).pathname.slice(1), new URL(other.url).pathname.slice(1)]);
  });

  it('may leave work behind, which continues on the connections of the pool', async () => {
    const dataSource = await start();
    let later: Promise<string> | undefined;
    let go = () => {};
    Working.work = () => {
      const over = new Promise<void>((resolve) => (go = resolve));
      later = over.then(() => nameOf(dataSource));
      return Promise.resolve();
    };
    await dataSource.runMigrations();
    go();
    expect(await later).toBe(new URL(database.url).pathname.slice(1));
  });

  it('that runs while the data source is destroyed may finish until the shutdown timeout, which cancels it', async () => {
    const dataSource = await start({ timeouts: { shutdownMs: 200 } });
    let begun = () => {};
    const running = new Promise<void>((resolve) => (begun = resolve));
    Working.work = async (runner) => {
      await runner.query('SELECT 1');
      const slow = runner.query('SELECT pg_sleep(20)');
      begun();
      await slow;
    };
    const failed = expect(dataSource.runMigrations()).rejects.toMatchObject({ cause: { code: '57014' } });
    await running;
    await dataSource.destroy();
    // The backend exits when it has read the end of the socket.
    await until(async () => {
      const sql = `SELECT FROM pg_stat_activity WHERE query LIKE '%pg_sleep(20)%' AND pid <> pg_backend_pid()`;
      return (await database.sql(sql)).length === 0;
    });
    await failed;
  });

  it('that fails leaves no connection, and the next migration runs', async () => {
    const dataSource = await start();
    Working.work = (runner) => runner.query('SELECT 1/0');
    await expect(dataSource.runMigrations()).rejects.toMatchObject({ cause: { code: '22012' } });
    Working.work = () => Promise.resolve();
    expect(await dataSource.runMigrations()).toHaveLength(1);
  });

  it('connects first with a lazy data source and finds what TypeORM sets up before', async () => {
    const dataSource = await start({ startup: 'lazy' });
    let known: unknown;
    Working.work = async () => {
      const { version, database: name } = dataSource.driver;
      known = { version, name };
    };
    expect(await dataSource.runMigrations()).toHaveLength(1);
    expect(known).toEqual({
      version: expect.stringMatching(/^\d/),
      name: new URL(database.url).pathname.slice(1),
    });
  });

  it('has the timeouts and the application name of its URL', async () => {
    const dataSource = await start({
      directUrl: `${database.url}?statement_timeout=0&application_name=migrate`,
    });
    let found: unknown;
    Working.work = async (runner) => {
      found = await runner.query(
        "SELECT current_setting('statement_timeout') AS timeout, current_setting('application_name') AS name",
      );
    };
    await dataSource.runMigrations();
    expect(found).toEqual([{ timeout: '0', name: 'migrate' }]);
  });
});
