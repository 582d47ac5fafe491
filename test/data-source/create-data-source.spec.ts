import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { createDataSource, DatabaseConfigError, defineConfig, ManagedDataSource } from 'nestjs-database';
import { createTestDatabase } from '../support/database.js';
import type { TestDatabase } from '../support/database.js';
import { NestModule } from '../support/nest-module.js';

describe('createDataSource()', () => {
  let database: TestDatabase;
  const nest = new NestModule();
  const environment = { ...process.env };

  beforeAll(async () => {
    Logger.overrideLogger(false);
    database = await createTestDatabase();
  });
  afterEach(async () => {
    process.env = { ...environment };
    await nest.close();
  });
  afterAll(() => database.drop());

  it('has the settings that forRoot() has with the same options and variables', async () => {
    process.env.DB_URL = database.url;
    process.env.DB_POOL_SIZE = '3';
    process.env.DB_STATEMENT_TIMEOUT = '7s';
    const options = { pool: { maxOverflow: 1 }, migrationsTableName: 'own' };
    const alone = createDataSource(options);
    const ofModule = await nest.start(options);
    const { password, ...settings } = alone.settings;
    const { password: _other, ...wanted } = ofModule.settings;
    expect(settings).toEqual(wanted);
    expect(password).toBeDefined();
    expect(alone.options.migrationsTableName).toBe('own');
  });

  it('does not connect until initialize(), and closes by destroy()', async () => {
    const dataSource = createDataSource({ url: database.url });
    expect(dataSource).toBeInstanceOf(ManagedDataSource);
    expect([dataSource.isInitialized, dataSource.pool]).toEqual([false, undefined]);
    await dataSource.initialize();
    expect(await dataSource.query('SELECT 1 AS one')).toEqual([{ one: 1 }]);
    await dataSource.destroy();
    expect(dataSource.isInitialized).toBe(false);
  });

  it('refuses wrong settings at once, and a missing server by initialize()', async () => {
    delete process.env.DB_URL;
    delete process.env.DATABASE_URL;
    expect(() => createDataSource({ pool: { size: 0 } })).toThrow(DatabaseConfigError);
    await expect(createDataSource().initialize()).rejects.toThrow(/DB_URL: is not set/);
    process.env.DB_POOL_SIZE = 'many';
    expect(() => createDataSource()).toThrow(/DB_POOL_SIZE/);
  });

  it('has a name, and does not replace the missing URL of a named data source by DB_URL', async () => {
    process.env.DB_URL = database.url;
    const reports = createDataSource({ name: 'reports', url: process.env.REPORTS_URL });
    expect(reports.settings.name).toBe('reports');
    await expect(reports.initialize()).rejects.toThrow(/give the data source "reports" its url/);
  });
});

it('defineConfig() returns its argument', () => {
  const options = { entities: ['src/**/*.entity.ts'], migrations: ['src/migrations/*.ts'] };
  expect(defineConfig(options)).toBe(options);
});
