import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { inspect } from 'node:util';
import { Test } from '@nestjs/testing';
import type { TestingModule } from '@nestjs/testing';
import { DatabaseModule, DatabaseMonitor } from 'nestjs-database';
import type { DatabaseModuleOptions, ManagedDataSource } from 'nestjs-database';
import { DataSource } from 'typeorm';
import type { QueryRunner } from 'typeorm';
import { leakWarnings } from '../../src/data-source/pools/pool-stats.js';
import { CapturingLogger } from '../support/capturing-logger.js';
import { createTestDatabase } from '../support/database.js';
import type { TestDatabase } from '../support/database.js';

describe('DatabaseMonitor', () => {
  let database: TestDatabase;
  let module: TestingModule;
  let monitor: DatabaseMonitor;

  const start = async (options: DatabaseModuleOptions = {}) => {
    module = await Test.createTestingModule({
      imports: [DatabaseModule.forRoot({ url: database.url, pool: { size: 2, maxOverflow: 1 }, ...options })],
    })
      .setLogger(new CapturingLogger())
      .compile();
    monitor = module.get(DatabaseMonitor);
  };
  const borrow = async (count: number) => {
    const runners = Array.from({ length: count }, () => module.get(DataSource).createQueryRunner());
    await Promise.all(runners.map((runner) => runner.connect()));
    return runners;
  };
  const giveBack = (runners: QueryRunner[]) => Promise.all(runners.map((runner) => runner.release()));

  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterEach(async () => {
    await module?.close();
  });
  afterAll(async () => {
    await database.drop();
  });

  it('checks the connection: latency and the real name of the database', async () => {
    await start();
    expect(await monitor.checkConnection()).toEqual({
      status: 'up',
      latencyMs: expect.any(Number),
      database: database.name,
    });
  });

  it('says why a connection is down and what can be done, and does not throw', async () => {
    await start();
    await module.get(DataSource).destroy();
    expect(await monitor.checkConnection()).toMatchObject({
      status: 'down',
      code: expect.any(String),
      reason: expect.any(String),
      hint: expect.any(String),
    });
  });

  it('counts connections in the pool, out of it, beyond its size, and who waits', async () => {
    await start();
    expect(monitor.poolStats()).toEqual({
      size: 2,
      checkedIn: 1,
      checkedOut: 0,
      overflow: 0,
      waiting: 0,
      max: 3,
      status: 'ok',
    });
    const runners = await borrow(3);
    const waiting = module.get(DataSource).createQueryRunner();
    const connected = waiting.connect();
    await new Promise(setImmediate);
    expect(monitor.poolStats()).toEqual({
      size: 2,
      checkedIn: 0,
      checkedOut: 3,
      overflow: 1,
      waiting: 1,
      max: 3,
      status: 'exhausted',
    });
    await giveBack(runners);
    await connected;
    expect(monitor.poolStats().waiting).toBe(0);
    await waiting.release();
    await module.close();
    expect(monitor.poolStats().status).toBe('closed');
  });

  it('warns when more than 80 % of the size are in use', async () => {
    await start();
    const runners = await borrow(1);
    expect(monitor.connectionLeaks()).toEqual([]);
    runners.push(...(await borrow(1)));
    expect(monitor.connectionLeaks()).toEqual([
      { code: 'POOL_USAGE_HIGH', message: expect.stringContaining('2 connections are in use') },
    ]);
    await giveBack(runners);
    expect(monitor.connectionLeaks()).toEqual([]);
  });

  it('warns when overflow has been in use for a minute, and no longer when it is gone', async () => {
    await start();
    const dataSource = module.get(DataSource);
    const runners = await borrow(3);
    const codes = (now: number) => leakWarnings(dataSource, now).map(({ code }) => code);
    expect(codes(Date.now())).toEqual(['POOL_USAGE_HIGH']);
    expect(codes(Date.now() + 61_000)).toEqual(['POOL_USAGE_HIGH', 'POOL_OVERFLOW_LASTING']);
    await giveBack(runners);
    await dataSource.destroy();
    expect(codes(Date.now() + 61_000)).toEqual([]);
  });

  it('shows the options in force with their origins, and no password', async () => {
    await start();
    const { options } = monitor;
    expect(options.pool.size).toBe(2);
    expect(options.origins['pool.size']).toBe('options');
    expect(options.origins['timeouts.connectMs']).toBe('default');
    expect(Object.isFrozen(options)).toBe(true);
    const { password } = new URL(database.url);
    const shown = [
      inspect(options, { depth: 9 }),
      JSON.stringify(options),
      inspect(module.get(DataSource), { depth: 9 }),
    ];
    expect(shown.filter((text) => text.includes(password))).toEqual([]);
  });

  it('shows no secret of a cache, of extra, of the session and of the start-up options', async () => {
    await start({
      url: `${database.url}?options=-c%20app.token%3Dhunter2-startup`,
      session: { 'app.jwt_secret': 'hunter2-session', search_path: 'public' },
      extra: { proxy: 'socks5://me:hunter2-proxy@proxy:1080', apiToken: 'hunter2-extra' },
      cache: {
        type: 'database',
        options: { url: 'redis://:hunter2-cache@redis:6379', password: 'hunter2-redis' },
      },
    });
    const { options } = monitor;
    expect(options.session).toEqual({ 'app.jwt_secret': '***', search_path: 'public' });
    expect(options.typeorm.cache).toMatchObject({ options: { url: 'redis://***@redis:6379' } });
    const dataSource = module.get<DataSource, ManagedDataSource>(DataSource);
    const [row] = await dataSource.query<{ secret: string }[]>(
      `SELECT current_setting('app.jwt_secret') AS secret`,
    );
    expect(row?.secret).toBe('hunter2-session');
    const shown = [options, dataSource.settings, dataSource.options, dataSource.pool!.options].flatMap(
      (one) => [inspect(one, { depth: 9 }), JSON.stringify(one)],
    );
    shown.push(inspect(dataSource, { depth: 4 }));
    expect(shown.map((text) => /hunter2-\w+/.exec(text)?.[0])).toEqual(shown.map(() => undefined));
  });
});
