import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { DatabaseModuleOptions } from 'nestjs-database';
import { DatabaseConfigError } from 'nestjs-database';
import type { DataSource } from 'typeorm';
import { createTestDatabase } from '../support/database.js';
import type { TestDatabase } from '../support/database.js';
import { NestModule } from '../support/nest-module.js';

describe('setOptions()', () => {
  let database: TestDatabase;
  let second: TestDatabase;
  const nest = new NestModule();

  const start = async (options: DatabaseModuleOptions = {}) => {
    return nest.start({ url: database.url, ...options });
  };
  const current = (dataSource: DataSource) => dataSource.query('SELECT current_database() AS name');

  beforeAll(async () => {
    database = await createTestDatabase();
    second = await createTestDatabase();
  });
  afterEach(() => nest.close());
  afterAll(async () => {
    await database.drop();
    await second.drop();
  });

  it('connects to the database that is set before initialize()', async () => {
    const dataSource = await start({ startup: 'off' });
    expect(dataSource.setOptions({ database: second.name })).toBe(dataSource);
    await dataSource.initialize();
    expect(await current(dataSource)).toEqual([{ name: second.name }]);
    expect(dataSource.driver.database).toBe(second.name);
    expect(dataSource.settings.server.database).toBe(second.name);
    expect(nest.logger.text).toContain(`Connected to database "${second.name}"`);
  });

  it('refuses another database after initialize() and accepts the same one', async () => {
    const dataSource = await start();
    expect(() => dataSource.setOptions({ database: second.name })).toThrow(
      /database: the data source is connected to .*set it before initialize\(\)/,
    );
    dataSource.setOptions({ database: database.name });
    expect(await current(dataSource)).toEqual([{ name: database.name }]);
  });

  it('turns logging on and off at any time', async () => {
    const dataSource = await start();
    dataSource.setOptions({ logging: true });
    await dataSource.query('SELECT 1 AS heard');
    expect(nest.logger.of('DatabaseQuery').join()).toContain('SELECT 1 AS heard');
    dataSource.setOptions({ logging: false });
    await dataSource.query('SELECT 2 AS unheard');
    expect(nest.logger.text).not.toContain('unheard');
    dataSource.setOptions({ logging: ['query'] });
    await dataSource.query('SELECT 3 AS again');
    expect(nest.logger.text).toContain('SELECT 3 AS again');
  });

  it('refuses logging alone when the logger is an object of the app', async () => {
    const own = {
      logQuery() {},
      logQueryError() {},
      logQuerySlow() {},
      logSchemaBuild() {},
      logMigration() {},
      log() {},
    };
    const dataSource = await start({ logger: own });
    expect(() => dataSource.setOptions({ logging: true })).toThrow(/logging: .*set logger as well/);
  });

  it.each<[string, object]>([
    ['url', { url: 'postgres://other:hunter2@elsewhere/app' }],
    ['host', { host: 'elsewhere' }],
    ['poolSize', { poolSize: 5 }],
    ['extra', { extra: { max: 1 } }],
    ['driver', { driver: {} }],
  ])('refuses %s with an explanation', async (setting, options) => {
    const dataSource = await start({ startup: 'off' });
    const attempt = () => dataSource.setOptions(options);
    expect(attempt).toThrow(DatabaseConfigError);
    expect(attempt).toThrow(new RegExp(`${setting}: is set by the options of DatabaseModule`));
    expect(attempt).not.toThrow(/hunter2/);
  });

  it('applies further options as TypeORM does', async () => {
    const dataSource = await start();
    dataSource.setOptions({ maxQueryExecutionTime: 1 });
    await dataSource.query('SELECT pg_sleep(0.01)');
    expect(nest.logger.of('DatabaseQuery').join()).toContain('pg_sleep');
  });
});
