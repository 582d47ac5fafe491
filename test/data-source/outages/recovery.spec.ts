import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Catch } from '@nestjs/common';
import type { ArgumentsHost, ExceptionFilter } from '@nestjs/common';
import { DatabaseHealthModule, DatabaseModule, DatabaseMonitor, ManagedDataSource } from 'nestjs-database';
import { DataSource } from 'typeorm';
import { startHttpApp } from '../../support/http-app.js';
import type { HttpApp } from '../../support/http-app.js';
import { startPostgres } from '../../support/postgres-server.js';
import type { PostgresServer } from '../../support/postgres-server.js';
import { startTcpProxy } from '../../support/tcp-proxy.js';
import type { TcpProxy } from '../../support/tcp-proxy.js';
import { WorkController } from './work.controller.js';
import { until } from '../../support/until.js';

/** Requests must be served again within this time after the database is back. */
const BACK_MS = 2000;
const ACQUIRE_MS = 3000;
/** The limit of a statement on the server, and the grace of the client: a quarter of it, at least 500 ms. */
const STATEMENT_MS = 1000 + 500;
const HEALTH_MS = 500;
/** Tolerance for a busy machine: timers, HTTP and the framework. */
const SLACK_MS = 700;

/** Answers with the code of the handler's error. */
@Catch()
class CodeFilter implements ExceptionFilter {
  catch(error: { code?: unknown; status?: number; response?: object }, host: ArgumentsHost): void {
    const response = host.switchToHttp().getResponse();
    response.status(error.status ?? 500).json(error.response ?? { code: error.code });
  }
}

interface Answer {
  status: number;
  code: unknown;
  tookMs: number;
  afterThaw: boolean;
}

describe('an app after an outage', () => {
  let server: PostgresServer;
  let proxy: TcpProxy;
  let http: HttpApp;

  const stats = () => http.app.get(DatabaseMonitor).poolStats();
  const pool = () => http.app.get<DataSource, ManagedDataSource>(DataSource).pool!;
  const backends = (more = '') =>
    server.sql<{ state: string }>(
      `SELECT state FROM pg_stat_activity WHERE application_name = 'recovery' ${more}`,
    );
  const quick = async () => (await http.fetch('/quick')).status;
  /** Milliseconds until a client that retries gets status 200. */
  const msUntilServed = async (path: string) => {
    const since = performance.now();
    await until(async () => (await http.fetch(path)).status === 200);
    return performance.now() - since;
  };
  /** Sends requests without a pause, so that the pool keeps connecting, until the returned function is called. */
  const startTraffic = (path: string) => {
    let isRunning = true;
    const clients = [1, 2, 3, 4].map(async () => {
      while (isRunning) await http.fetch(path);
    });
    return async () => {
      isRunning = false;
      await Promise.all(clients);
    };
  };
  /** Expects that all connections of the pool can be leased at the same time, and that no further one exists. */
  const expectNothingLost = async () => {
    await until(() => stats().checkedOut === 0);
    expect(stats().waiting).toBe(0);
    const runners = [1, 2, 3, 4, 5, 6].map(() => http.app.get(DataSource).createQueryRunner());
    await Promise.all(runners.map((runner) => runner.query('SELECT 1')));
    expect(stats().checkedOut).toBe(6);
    // The server may take a moment to end the sessions of closed connections.
    await until(async () => (await backends()).length <= 6);
    expect((await backends(`AND state <> 'idle'`)).map(({ state }) => state)).toEqual([]);
    await Promise.all(runners.map((runner) => runner.release()));
  };

  beforeAll(async () => {
    server = await startPostgres();
    proxy = await startTcpProxy({ port: server.port });
  });
  beforeEach(async () => {
    http = await startHttpApp(
      {
        imports: [
          DatabaseModule.forRoot({
            url: proxy.through(server.url),
            applicationName: 'recovery',
            pool: { size: 4, maxOverflow: 2, acquireTimeoutMs: ACQUIRE_MS },
            timeouts: { connectMs: 1000, statementMs: 1000, shutdownMs: 500 },
          }),
          DatabaseHealthModule.forRoot({ timeoutMs: HEALTH_MS }),
        ],
        controllers: [WorkController],
      },
      (app) => app.useGlobalFilters(new CodeFilter()),
    );
  });
  afterEach(async () => {
    await proxy.pass();
    await http.close();
  });
  afterAll(async () => {
    await proxy.close();
    await server.dispose();
  });

  const outages: [string, path: string, goes: () => Promise<unknown>, returns: () => Promise<unknown>][] = [
    ['the start of a server that was killed', '/quick', () => server.kill(), () => server.start()],
    ['the start of a server that was stopped', '/quick', () => server.stop('fast'), () => server.start()],
    [
      'the start of a server that was killed while only probes queried it',
      '/health/db',
      () => server.kill(),
      () => server.start(),
    ],
    [
      'the end of refused and reset connections',
      '/quick',
      () => {
        proxy.reset();
        return proxy.refuse();
      },
      () => proxy.pass(),
    ],
  ];
  it.each(outages)('serves requests within two seconds after %s', async (_name, path, goes, returns) => {
    expect(await Promise.all(Array.from({ length: 12 }, quick))).toEqual(Array<number>(12).fill(200));
    const end = startTraffic(path);
    await goes();
    // Until the pauses between connects have reached their maximum: 10 ms, doubled after each failure.
    await until(() => pool().snapshot().counters.connectFailures >= 9);
    expect((await http.fetch('/health/db')).status).toBe(503);
    await returns();
    for (const tookMs of await Promise.all([msUntilServed('/quick'), msUntilServed('/health/db')]))
      expect(tookMs).toBeLessThan(BACK_MS);
    await end();
    await expectNothingLost();
  });

  it('hangs no request beyond its deadline while the network is frozen for ten seconds, leaks nothing, and serves requests within two seconds of the thaw', async () => {
    let thawed = false;
    const ask = async (path: string): Promise<Answer> => {
      const since = performance.now();
      const { status, body } = await http.fetch(path);
      const code = body.code ?? body.error?.db?.code;
      return { status, code, tookMs: performance.now() - since, afterThaw: thawed };
    };
    const inFlight = ['/busy', '/busy', '/transaction'].map(ask);
    await until(async () => (await backends(`AND query LIKE '%pg_sleep%' AND state = 'active'`)).length >= 3);
    proxy.freeze();
    const freezesUntil = performance.now() + 10_000;
    const asked: Promise<Answer>[] = Array.from({ length: 10 }, () => ask('/quick'));
    const probed: Promise<Answer>[] = [];
    while (performance.now() < freezesUntil) {
      asked.push(ask('/quick'));
      probed.push(ask('/health/db'));
      await pause(200);
    }
    const during = Promise.all([...inFlight, ...asked]);
    thawed = true;
    await proxy.pass();
    for (const tookMs of await Promise.all([msUntilServed('/quick'), msUntilServed('/health/db')]))
      expect(tookMs).toBeLessThan(BACK_MS);

    const failed = await Promise.all(inFlight);
    expect(failed.map(({ code }) => code)).toEqual(Array<string>(3).fill('QUERY_TIMEOUT'));
    for (const { status, code, tookMs, afterThaw } of await during) {
      if (status === 200) expect(afterThaw).toBe(true);
      else expect(code).toMatch(/^(QUERY_TIMEOUT|POOL_ACQUIRE_TIMEOUT|POOL_CONNECT_TIMEOUT)$/);
      expect(tookMs).toBeLessThan((code === 'QUERY_TIMEOUT' ? STATEMENT_MS : 0) + ACQUIRE_MS + SLACK_MS);
    }
    const health = await Promise.all(probed);
    for (const { tookMs } of health) expect(tookMs).toBeLessThan(HEALTH_MS + SLACK_MS);
    expect(health.filter(({ afterThaw }) => !afterThaw).map(({ status }) => status)).toEqual(
      Array<number>(health.filter(({ afterThaw }) => !afterThaw).length).fill(503),
    );
    expect(health.length).toBeGreaterThan(10);
    await expectNothingLost();
  }, 45_000);
});
