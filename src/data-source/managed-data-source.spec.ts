import { inspect } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createTestDatabase } from '../../test/support/database.js';
import type { TestDatabase } from '../../test/support/database.js';
import { resolveDatabaseOptions } from '../config/resolve.js';
import { ManagedDataSource } from './managed-data-source.js';

const silent = { log: () => {}, warn: () => {}, error: () => {}, debug: () => {} };

describe('a managed data source', () => {
  let database: TestDatabase;
  let dataSource: ManagedDataSource;

  beforeAll(async () => {
    database = await createTestDatabase();
    const settings = resolveDatabaseOptions({ url: database.url }, { env: {} });
    dataSource = new ManagedDataSource(settings, [], { module: silent, pool: silent, query: silent });
    await dataSource.initialize();
    await dataSource.query('CREATE TABLE entry (id int)');
  });

  afterAll(async () => {
    if (dataSource?.isInitialized) await dataSource.destroy();
    await database?.drop();
  });

  it('works through a Proxy, its query runners too', async () => {
    const proxied = new Proxy(dataSource, {});
    expect(await proxied.query('SELECT 1 AS one')).toEqual([{ one: 1 }]);
    expect(await proxied.transaction((manager) => manager.query('SELECT 1 AS one'))).toEqual([{ one: 1 }]);
    expect(await proxied.runMigrations()).toEqual([]);
    expect(proxied.pool?.snapshot().leased).toBe(0);

    const runner = proxied.createQueryRunner();
    const proxy = new Proxy(runner, {});
    await proxy.startTransaction();
    await proxy.query('INSERT INTO entry VALUES (1)');
    await proxy.startTransaction();
    await proxy.query('INSERT INTO entry VALUES (2)');
    await proxy.rollbackTransaction();
    await proxy.commitTransaction();
    expect(await proxy.query('SELECT id FROM entry')).toEqual([{ id: 1 }]);
    await proxy.release();
    expect(runner.isReleased).toBe(true);
    expect(dataSource.pool?.snapshot().leased).toBe(0);
  });

  it('prints neither its pools nor its loggers', () => {
    const printed = inspect(dataSource, { depth: 1 });
    expect(printed).toContain('pools: PoolGroup {}');
    expect(printed).toContain('lifecycle: DataSourceLifecycle {}');
    expect(printed).toContain('runners: RunnerFactory {}');
    expect(printed).not.toContain('queryResultCache');
  });

  it('starts again after its end, and ends only once', async () => {
    await dataSource.destroy();
    await dataSource.destroy();
    expect(dataSource.pool).toBeUndefined();
    await dataSource.initialize();
    expect(await dataSource.query('SELECT 1 AS one')).toEqual([{ one: 1 }]);
  });
});
