import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Test } from '@nestjs/testing';
import type { TestingModule } from '@nestjs/testing';
import { attachDatabasePool } from '@vercel/functions';
import { DatabaseModule } from 'nestjs-database';
import type { ManagedDataSource } from 'nestjs-database';
import { DataSource } from 'typeorm';
import { ConnectionPool } from '../../src/pool/index.js';
import type { PoolOptions } from '../../src/pool/index.js';
import { CapturingLogger } from '../support/capturing-logger.js';
import { createTestDatabase } from '../support/database.js';
import type { TestDatabase } from '../support/database.js';

/** The variables by which the runtime of Vercel is recognised, and the key of its request context, which has `waitUntil`. */
const environment = { VERCEL_URL: 'app.example', VERCEL_REGION: 'fra1' };
const CONTEXT = Symbol.for('@vercel/request-context');

describe('attachDatabasePool of @vercel/functions', () => {
  let database: TestDatabase;
  let module: TestingModule | undefined;
  let kept: Promise<unknown>[] = [];

  beforeAll(async () => {
    database = await createTestDatabase();
    (globalThis as Record<symbol, unknown>)[CONTEXT] = {
      get: () => ({ waitUntil: (promise: Promise<unknown>) => kept.push(promise) }),
    };
    Object.assign(process.env, environment);
  });
  afterEach(async () => {
    await module?.close();
    module = undefined;
    kept = [];
  });
  afterAll(async () => {
    Reflect.deleteProperty(globalThis, CONTEXT);
    for (const name of Object.keys(environment)) Reflect.deleteProperty(process.env, name);
    await database.drop();
  });

  it('keeps the function alive until the idle connections of a pool are closed', async () => {
    const pool = new ConnectionPool({ connectionString: database.url, max: 2, idleTimeoutMillis: 300 });
    attachDatabasePool(pool);
    const since = performance.now();
    await pool.query('SELECT 1');
    expect(kept).toHaveLength(1);
    await kept[0];
    expect(performance.now() - since).toBeGreaterThan(300);
    expect(pool.totalCount).toBe(0);
    await pool.end();
  });

  it.each<[PoolOptions, number | null]>([
    [{}, null],
    [{ max: 3 }, 10_000],
    [{ idleTimeoutMillis: 700 }, 700],
    [{ max: 3, idleTimeoutMillis: 0 }, 0],
  ])('accepts a pool with the options %j, which has an idle timeout for it', async (options, expected) => {
    const pool = new ConnectionPool(options);
    attachDatabasePool(pool);
    expect(pool.options.idleTimeoutMillis).toBe(expected);
    expect(new ConnectionPool({ ...pool.options }).options.idleTimeoutMillis).toBe(expected);
    await pool.end();
  });

  it('accepts the pool of a data source, which closes idle connections after 5 s in profile serverless', async () => {
    module = await Test.createTestingModule({
      imports: [DatabaseModule.forRoot({ url: database.url, profile: 'serverless' })],
    })
      .setLogger(new CapturingLogger())
      .compile();
    const { pool } = module.get<DataSource, ManagedDataSource>(DataSource);
    attachDatabasePool(pool!);
    await Promise.all([1, 2].map(() => module!.get(DataSource).query('SELECT pg_sleep(0.1)')));
    expect(pool!.options.idleTimeoutMillis).toBe(5_000);
    expect(pool!.totalCount).toBe(2);
    const since = performance.now();
    await kept.at(-1);
    expect(performance.now() - since).toBeGreaterThan(4_900);
    expect(pool!.totalCount).toBe(0);
  });
});
