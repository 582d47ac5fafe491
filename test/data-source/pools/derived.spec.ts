import { inspect } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { DatabaseModuleOptions } from 'nestjs-database';
import { DatabaseConfigError } from 'nestjs-database';
import { DataSource } from 'typeorm';
import { createTestDatabase } from '../../support/database.js';
import type { TestDatabase } from '../../support/database.js';
import { User } from '../../support/entities.js';
import { NestModule } from '../../support/nest-module.js';

describe('a data source created from the options of a ManagedDataSource', () => {
  let main: TestDatabase;
  let tenant: TestDatabase;
  const nest = new NestModule();
  let derived: DataSource | undefined;

  const start = async (options: DatabaseModuleOptions = {}) => {
    return nest.start({ url: main.url, entities: [User], pool: { size: 2 }, ...options });
  };
  const derive = async (from: DataSource, options: object) => {
    derived = new DataSource({ ...from.options, ...options });
    return derived.initialize();
  };
  const databaseOf = async (dataSource: DataSource) =>
    (await dataSource.query<{ name: string }[]>('SELECT current_database() AS name'))[0]!.name;
  /** Counts connections to a database, without those of the test. */
  const connections = async (database: TestDatabase) =>
    (
      await database.sql<{ count: number }>(
        `SELECT count(*)::int AS count FROM pg_stat_activity WHERE datname = '${database.name}' AND usename = 'app'`,
      )
    )[0]!.count;

  beforeAll(async () => {
    main = await createTestDatabase();
    tenant = await createTestDatabase();
    for (const database of [main, tenant])
      await database.sql(
        'CREATE TABLE users (id serial PRIMARY KEY, name text); GRANT ALL ON users TO app; GRANT ALL ON users_id_seq TO app',
      );
  });
  afterEach(async () => {
    if (derived?.isInitialized) await derived.destroy();
    derived = undefined;
    await nest.close();
  });
  afterAll(async () => {
    await main.drop();
    await tenant.drop();
  });

  it('reads and writes the database that it names, not that of the app', async () => {
    const app = await start();
    const other = await derive(app, { database: tenant.name });
    await other.getRepository(User).save({ name: 'of the tenant' });
    expect(await databaseOf(other)).toBe(tenant.name);
    expect(await databaseOf(app)).toBe(main.name);
    expect(await main.sql('SELECT * FROM users')).toEqual([]);
    expect(await tenant.sql('SELECT name FROM users')).toEqual([{ name: 'of the tenant' }]);
  });

  it('has a pool of its own when it names no database', async () => {
    const app = await start();
    const other = await derive(app, {});
    expect(await databaseOf(other)).toBe(main.name);
    await other.destroy();
    expect(await databaseOf(app)).toBe(main.name);
  });

  it('closes its own pool with destroy() and leaves that of the app alone', async () => {
    const app = await start();
    const other = await derive(app, { database: tenant.name });
    await other.query('SELECT 1');
    expect(await connections(tenant)).toBeGreaterThan(0);
    await other.destroy();
    await tenant.sql(
      `DO $$ BEGIN FOR i IN 1..100 LOOP
         EXIT WHEN NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = '${tenant.name}' AND usename = 'app');
         PERFORM pg_sleep(0.02); PERFORM pg_stat_clear_snapshot(); END LOOP; END $$`,
    );
    expect(await connections(tenant)).toBe(0);
    expect(app.pool?.snapshot().state).toBe('open');
    expect(await databaseOf(app)).toBe(main.name);
  });

  it('continues to work after the data source of the app is destroyed', async () => {
    const app = await start();
    const other = await derive(app, { database: tenant.name });
    await app.destroy();
    expect(await databaseOf(other)).toBe(tenant.name);
  });

  it('keeps the settings of the connections: limits, application name, session', async () => {
    const app = await start({
      applicationName: 'the app',
      timeouts: { statementMs: 12_000 },
      session: { search_path: 'app, public' },
    });
    const other = await derive(app, { database: tenant.name });
    const show = async (name: string) =>
      (await other.query<Record<string, string>[]>(`SHOW ${name}`))[0]![name];
    expect([
      await show('application_name'),
      await show('statement_timeout'),
      await show('search_path'),
    ]).toEqual(['the app', '12s', 'app, public']);
  });

  it('has the pool size and the application name that it names', async () => {
    const app = await start();
    const other = await derive(app, { database: tenant.name, poolSize: 1, applicationName: 'tenant' });
    const { master } = other.driver as unknown as { master: { snapshot(): { max: number } } };
    expect(master.snapshot().max).toBe(1);
    expect(await other.query('SHOW application_name')).toEqual([{ application_name: 'tenant' }]);
  });

  it('works with transactions, query runners and streams of TypeORM', async () => {
    const app = await start();
    const other = await derive(app, { database: tenant.name });
    await other.transaction((manager) => manager.save(User, { name: 'committed' }));
    const failed = other.transaction(async (manager) => {
      await manager.save(User, { name: 'rolled back' });
      throw new Error('no');
    });
    await expect(failed).rejects.toThrow('no');
    const runner = other.createQueryRunner();
    const stream = await runner.stream('SELECT name FROM users ORDER BY id DESC LIMIT 1');
    const rows: unknown[] = [];
    for await (const row of stream) rows.push(row);
    expect(rows).toEqual([{ name: 'committed' }]);
    await runner.release();
  });

  it.each<[string, object]>([
    ['host', { host: 'db.elsewhere.internal' }],
    ['port', { port: 1 }],
    ['username', { username: 'other' }],
    ['password', { password: 'hunter2' }],
    ['url', { url: 'postgres://other:hunter2@db.elsewhere.internal/app' }],
    ['ssl', { ssl: true }],
    ['extra.statement_timeout', { extra: { statement_timeout: 5 } }],
  ])('is refused with another %s, with an error that shows no secret', async (setting, options) => {
    const app = await start();
    const error: unknown = await derive(app, { database: tenant.name, ...options }).catch(
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(DatabaseConfigError);
    expect((error as DatabaseConfigError).problems.map((problem) => problem.setting)).toEqual([setting]);
    expect((error as Error).message).toMatch(/DatabaseModule\.forRoot|settings of this module/);
    expect(inspect(error)).not.toContain('hunter2');
    expect(await databaseOf(app)).toBe(main.name);
  });

  it('may repeat settings that are in force', async () => {
    const { hostname, port, username, password } = new URL(main.url);
    const app = await start();
    const other = await derive(app, {
      host: hostname,
      port: Number(port),
      username,
      password: decodeURIComponent(password),
      database: tenant.name,
    });
    expect(await databaseOf(other)).toBe(tenant.name);
  });

  it('inherits no secret from the options', async () => {
    const app = await start();
    const { password } = new URL(main.url);
    const { options } = app;
    for (const text of [inspect(options, { depth: 9, showHidden: true }), JSON.stringify(options)])
      expect(text.includes(`'${password}'`) || text.includes(`"${password}"`)).toBe(false);
  });
});
