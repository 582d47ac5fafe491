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
      imports: [
        DatabaseModule.forRoot({
          url: database.url,
          pool: { size: 2, maxOverflow: 1 },
          multiplex: false,
          ...options,
        }),
      ],
    })
      .setLogger(new CapturingLogger())
      .compile();
    monitor = module.get(DatabaseMonitor);
  };
  const acquire = async (count: number) => {
    const runners = Array.from({ length: count }, () => module.get(DataSource).createQueryRunner());
    await Promise.all(runners.map((runner) => runner.connect()));
    return runners;
  };
  const releaseAll = (runners: QueryRunner[]) => Promise.all(runners.map((runner) => runner.release()));

  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterEach(async () => {
    await module?.close();
  });
  afterAll(async () => {
    await database.drop();
  });

  it('reports the latency and the name of the database when the connection is up', async () => {
    await start();
    expect(await monitor.checkConnection()).toEqual({
      status: 'up',
      latencyMs: expect.any(Number),
      database: database.name,
    });
  });

  it('reports meaning and hint when the connection is down, and does not throw', async () => {
    await start();
    await module.get(DataSource).destroy();
    expect(await monitor.checkConnection()).toMatchObject({
      status: 'down',
      code: expect.any(String),
      meaning: expect.any(String),
      hint: expect.any(String),
    });
  });

  it('counts idle, leased and overflow connections, and the callers that wait', async () => {
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
    const runners = await acquire(3);
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
    await releaseAll(runners);
    await connected;
    expect(monitor.poolStats().waiting).toBe(0);
    await waiting.release();
    await module.close();
    expect(monitor.poolStats().status).toBe('closed');
  });

  it('warns when more than 80 % of pool.size are in use', async () => {
    await start();
    const runners = await acquire(1);
    expect(monitor.connectionLeaks()).toEqual([]);
    runners.push(...(await acquire(1)));
    expect(monitor.connectionLeaks()).toEqual([
      { code: 'POOL_USAGE_HIGH', message: expect.stringContaining('2 connections are in use') },
    ]);
    await releaseAll(runners);
    expect(monitor.connectionLeaks()).toEqual([]);
  });

  it('warns when overflow lasts for a minute, and stops when the overflow ends', async () => {
    await start();
    const dataSource = module.get(DataSource);
    const runners = await acquire(3);
    const codes = (now: number) => leakWarnings(dataSource, now).map(({ code }) => code);
    expect(codes(Date.now())).toEqual(['POOL_USAGE_HIGH']);
    expect(codes(Date.now() + 61_000)).toEqual(['POOL_USAGE_HIGH', 'POOL_OVERFLOW_LASTING']);
    await releaseAll(runners);
    await dataSource.destroy();
    expect(codes(Date.now() + 61_000)).toEqual([]);
  });

  it('shows the options in force with their origins and without the password', async () => {
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

  it('masks secrets in cache, extra, session and start-up options', async () => {
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
