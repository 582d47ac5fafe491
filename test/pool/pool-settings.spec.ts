import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Controller, Get } from '@nestjs/common';
import { DatabaseModule, DatabaseMonitor, InjectQueryRunner } from 'nestjs-database';
import type { DatabaseModuleOptions } from 'nestjs-database';
import { DataSource } from 'typeorm';
import type { QueryRunner } from 'typeorm';
import { createTestDatabase } from '../support/database.js';
import type { TestDatabase } from '../support/database.js';
import { startHttpApp } from '../support/http-app.js';
import type { HttpApp } from '../support/http-app.js';
import { startTcpProxy } from '../support/tcp-proxy.js';
import { until } from '../support/until.js';

@Controller()
class NestedController {
  constructor(
    @InjectQueryRunner() private readonly runner: QueryRunner,
    private readonly dataSource: DataSource,
  ) {}

  /** Holds a connection in a transaction and asks for a second one. */
  @Get('nested')
  async nested() {
    await this.runner.startTransaction();
    return (await this.dataSource.query<{ two: number }[]>('SELECT 2 AS two'))[0];
  }
}

describe('The settings of the pool', () => {
  let database: TestDatabase;
  let http: HttpApp;

  const start = async (options: DatabaseModuleOptions) => {
    http = await startHttpApp({
      imports: [DatabaseModule.forRoot({ url: database.url, ...options })],
      controllers: [NestedController],
    });
    return http.app.get(DataSource);
  };
  const logged = async (pattern: RegExp) => {
    await until(() => pattern.test(http.logger.text));
  };

  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterEach(async () => {
    await http?.close();
  });
  afterAll(async () => {
    await database.drop();
  });

  it('size and maxOverflow limit the connections, and acquireTimeoutMs limits the wait, with an error that names the borrowers', async () => {
    const dataSource = await start({ pool: { size: 1, maxOverflow: 1, acquireTimeoutMs: 1000 } });
    const runners = [dataSource.createQueryRunner(), dataSource.createQueryRunner()];
    await Promise.all(runners.map((runner) => runner.query('SELECT 1 AS held')));
    await expect(dataSource.query('SELECT 2')).rejects.toMatchObject({
      code: 'POOL_ACQUIRE_TIMEOUT',
      message: expect.stringMatching(/timeout.*2 of 2 connections in use.*SELECT 1 AS held/s),
    });
    await Promise.all(runners.map((runner) => runner.release()));
    expect(await dataSource.query('SELECT 2 AS two')).toEqual([{ two: 2 }]);
  });

  it.each([true, false])(
    'prePing: %p decides whether a connection that the network has dropped is replaced before it is leased',
    async (prePing) => {
      const proxy = await startTcpProxy({ port: Number(new URL(database.url).port) });
      const url = proxy.through(database.url);
      const dataSource = await start({ url, pool: { size: 1, maxOverflow: 0, prePing } });
      await dataSource.query('SELECT 1');
      proxy.forget();
      // Longer than the 500 ms after which an idle connection needs a validation.
      await pause(600);
      const answer = dataSource.query('SELECT 1 AS one');
      if (prePing) expect(await answer).toEqual([{ one: 1 }]);
      else await expect(answer).rejects.toThrow();
      expect(await dataSource.query('SELECT 2 AS two')).toEqual([{ two: 2 }]);
      await http.close();
      await proxy.close();
    },
  );

  it('leakThresholdMs warns with the call site that acquired the connection, and logs its release', async () => {
    const dataSource = await start({ pool: { leakThresholdMs: 2000 } });
    const runner = dataSource.createQueryRunner();
    await runner.query('SELECT 1 AS leaking');
    await logged(/warn \[DatabasePool\].*SELECT 1 AS leaking/s);
    expect(http.logger.text).toContain('pool-settings.spec');
    const lines = http.logger.of('DatabasePool').length;
    await runner.release();
    expect(http.logger.of('DatabasePool').length).toBe(lines + 1);
  });

  it('reclaimAfterMs forcibly ends a lease, and the statements of its borrower are rejected', async () => {
    const dataSource = await start({ pool: { size: 1, maxOverflow: 0, reclaimAfterMs: 2000 } });
    const runner = dataSource.createQueryRunner();
    await runner.query('SELECT 1');
    expect(await dataSource.query('SELECT 2 AS two')).toEqual([{ two: 2 }]);
    await expect(runner.query('SELECT 3')).rejects.toMatchObject({
      driverError: { code: 'POOL_LEASE_RECLAIMED' },
    });
    await runner.release();
  });

  it('maxWaiting refuses further waiters immediately', async () => {
    const dataSource = await start({ pool: { size: 1, maxOverflow: 0, maxWaiting: 0 } });
    const runner = dataSource.createQueryRunner();
    await runner.connect();
    await expect(dataSource.query('SELECT 1')).rejects.toMatchObject({ code: 'POOL_QUEUE_FULL' });
    await runner.release();
  });

  it("reset: 'smart' undoes the settings of a borrower, and reset: 'none' does not", async () => {
    for (const [reset, expected] of [
      ['smart', ''],
      ['none', 'mine'],
    ] as const) {
      const dataSource = await start({
        pool: { size: 1, maxOverflow: 0, reset },
        session: { 'app.tenant': '' },
      });
      await dataSource.query(`SET app.tenant = 'mine'`);
      const rows = await dataSource.query<{ tenant: string }[]>(
        `SELECT current_setting('app.tenant') AS tenant`,
      );
      expect(rows[0]?.tenant).toBe(expected);
      await http.close();
    }
  });

  it('minIdle keeps connections open', async () => {
    await start({ pool: { size: 3, minIdle: 3 } });
    const monitor = http.app.get(DatabaseMonitor);
    await until(() => monitor.poolStats().checkedIn >= 3);
  });

  it('deadlock detection rejects requests that hold a transaction and wait for a second connection', async () => {
    await start({ pool: { size: 2, maxOverflow: 0, acquireTimeoutMs: 20_000 } });
    const answers = await Promise.all(Array.from({ length: 6 }, () => http.fetch('/nested')));
    const served = answers.filter(({ status }) => status === 200);
    expect(served.length).toBeGreaterThan(0);
    expect(served.every(({ body }) => body.two === 2)).toBe(true);
    expect(http.logger.text).toMatch(/Self-deadlock.*GET \/nested/s);
    expect(http.app.get(DatabaseMonitor).poolStats().waiting).toBe(0);
  });
});
