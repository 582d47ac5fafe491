import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Controller, Get } from '@nestjs/common';
import { HealthCheckService, TerminusModule } from '@nestjs/terminus';
import {
  DatabaseHealthIndicator,
  DatabaseHealthModule,
  DatabaseModule,
  DatabaseMonitor,
} from 'nestjs-database';
import pg from 'pg';
import { DataSource } from 'typeorm';
import { createTestDatabase } from '../support/database.js';
import type { TestDatabase } from '../support/database.js';
import { startHttpApp } from '../support/http-app.js';
import type { HttpApp } from '../support/http-app.js';
import { startPostgres } from '../support/postgres-server.js';
import { startTcpProxy } from '../support/tcp-proxy.js';
import type { TcpProxy } from '../support/tcp-proxy.js';

@Controller('my-health')
class MyHealthController {
  constructor(
    private readonly health: HealthCheckService,
    private readonly database: DatabaseHealthIndicator,
  ) {}

  @Get()
  check() {
    return this.health.check([() => this.database.pingCheck('postgres', { timeoutMs: 500 })]);
  }
}

describe('GET /health/db', () => {
  let database: TestDatabase;
  let proxy: TcpProxy;
  let http: HttpApp;
  let throughProxy: string;

  beforeAll(async () => {
    database = await createTestDatabase();
    proxy = await startTcpProxy({ port: Number(new URL(database.url).port) });
    throughProxy = proxy.through(database.url);
  });
  afterEach(async () => {
    await http?.close();
  });
  afterAll(async () => {
    await proxy.close();
    await database.drop();
  });

  it('answers 200 with latency, the name of the database and the counts of the pool', async () => {
    http = await startHttpApp({
      imports: [DatabaseModule.forRoot({ url: database.url, multiplex: false }), DatabaseHealthModule],
    });
    const { status, body } = await http.fetch('/health/db');
    expect(status).toBe(200);
    const db = {
      status: 'up',
      latency_ms: expect.any(Number),
      database: database.name,
      pool: {
        size: 2,
        checkedIn: 1,
        checkedOut: 0,
        overflow: 0,
        waiting: 0,
        max: 7,
        status: 'ok',
      },
    };
    expect(body).toEqual({ status: 'ok', info: { db }, error: {}, details: { db } });
    expect(body.info.db.latency_ms).toBeGreaterThan(0);
  });

  it('answers without host, user and password', async () => {
    http = await startHttpApp({
      imports: [DatabaseModule.forRoot({ url: throughProxy }), DatabaseHealthModule],
    });
    await http.fetch('/health/db');
    await proxy.refuse();
    proxy.reset();
    const { status, body } = await http.fetch('/health/db');
    await proxy.pass();
    expect(status).toBe(503);
    const { username, password, hostname } = new URL(throughProxy);
    for (const secret of [`"${username}"`, password, hostname, String(proxy.port)])
      expect(JSON.stringify(body)).not.toContain(secret);
  });

  it('answers 503 with a code while the database is not reachable, and 200 afterwards', async () => {
    http = await startHttpApp({
      imports: [DatabaseModule.forRoot({ url: throughProxy }), DatabaseHealthModule],
    });
    await proxy.refuse();
    proxy.reset();
    const { status, body } = await http.fetch('/health/db');
    expect(status).toBe(503);
    expect(body).toMatchObject({
      status: 'error',
      error: { db: { status: 'down', code: expect.any(String), message: expect.any(String) } },
    });
    await proxy.pass();
    expect((await http.fetch('/health/db')).status).toBe(200);
  });

  it('answers within its timeout when the network is frozen, and releases its connection', async () => {
    http = await startHttpApp({
      imports: [
        DatabaseModule.forRoot({ url: throughProxy }),
        DatabaseHealthModule.forRoot({ timeoutMs: 300 }),
      ],
    });
    proxy.freeze();
    const answers = await Promise.all([1, 2, 3, 4].map(() => http.fetch('/health/db')));
    expect(answers.map(({ status }) => status)).toEqual([503, 503, 503, 503]);
    expect(answers[0]?.body.error.db).toMatchObject({ status: 'down', code: 'CONNECT_TIMEOUT' });
    expect(http.app.get(DatabaseMonitor).poolStats().checkedOut).toBeLessThanOrEqual(1);
    await proxy.pass();
    expect((await http.fetch('/health/db')).status).toBe(200);
    expect(http.app.get(DatabaseMonitor).poolStats().checkedOut).toBe(0);
  });

  it('reports a frozen server at every probe, and its pool as unavailable', async () => {
    http = await startHttpApp({
      imports: [
        DatabaseModule.forRoot({ url: throughProxy, timeouts: { connectMs: 1000 } }),
        DatabaseHealthModule.forRoot({ timeoutMs: 300 }),
      ],
    });
    proxy.freeze();
    for (let i = 0; i < 6; i++) {
      const { status, body } = await http.fetch('/health/db');
      expect(status).toBe(503);
      expect(body.error.db.code).toMatch(/^(CONNECT|HANDSHAKE)_TIMEOUT$|^CONNECTION_SILENT$/);
      expect(body.error.db.pool.status).toBe('unavailable');
    }
    await proxy.pass();
    while ((await http.fetch('/health/db')).status !== 200);
  });

  it('reports the status "connecting" while callers wait for connections that are being opened', async () => {
    http = await startHttpApp({
      imports: [DatabaseModule.forRoot({ url: throughProxy, pool: { size: 3, maxOverflow: 0 } })],
    });
    const monitor = http.app.get(DatabaseMonitor);
    proxy.delay(200);
    const runners = [1, 2, 3].map(() => http.app.get(DataSource).createQueryRunner());
    const connected = runners.map((runner) => runner.connect());
    expect(monitor.poolStats()).toMatchObject({ status: 'connecting', waiting: 2 });
    await Promise.all(connected);
    expect(monitor.poolStats()).toMatchObject({ status: 'exhausted', waiting: 0 });
    await proxy.pass();
    await Promise.all(runners.map((runner) => runner.release()));
  });

  describe('with all connections of the pool leased', () => {
    const exhausted = async (url: string) => {
      http = await startHttpApp({
        imports: [
          DatabaseModule.forRoot({ url, pool: { size: 1, maxOverflow: 0 }, timeouts: { shutdownMs: 0 } }),
          DatabaseHealthModule,
        ],
      });
      const runner = http.app.get(DataSource).createQueryRunner();
      await runner.query('SELECT 1');
      return runner;
    };

    it('is up, reports the pool as exhausted, and does not wait in its queue', async () => {
      const runner = await exhausted(database.url);
      const { status, body } = await http.fetch('/health/db');
      expect(status).toBe(200);
      expect(body.info.db).toMatchObject({
        status: 'up',
        latency_ms: expect.any(Number),
        database: database.name,
        pool: { status: 'exhausted', waiting: 0 },
      });
      await runner.release();
      expect((await http.fetch('/health/db')).body.info.db.pool.status).toBe('ok');
    });

    it('is down within its timeout when the database is frozen', async () => {
      const runner = await exhausted(throughProxy);
      proxy.freeze();
      const { status, body } = await http.fetch('/health/db');
      expect(status).toBe(503);
      expect(body.error.db).toMatchObject({ code: 'HANDSHAKE_TIMEOUT', pool: { status: 'exhausted' } });
      await proxy.pass();
      await runner.release();
    });

    it('is up when the server has no connection left, because those of the app work', async () => {
      const server = await startPostgres({
        settings: { max_connections: 6, superuser_reserved_connections: 3 },
      });
      const runner = await exhausted(server.url);
      const others = await Promise.all(
        [1, 2].map(async () => {
          const client = new pg.Client(server.url);
          await client.connect();
          return client;
        }),
      );
      const { status, body } = await http.fetch('/health/db');
      expect(status).toBe(200);
      expect(body.info.db).toMatchObject({ status: 'up', database: 'app', pool: { status: 'exhausted' } });
      await Promise.all(others.map((client) => client.end()));
      await runner.release();
      await http.close();
      await server.dispose();
    });
  });

  it('has the path and the key of its options, and no default route', async () => {
    http = await startHttpApp({
      imports: [
        DatabaseModule.forRoot({ url: database.url }),
        DatabaseHealthModule.forRoot({ path: 'status/database', key: 'postgres' }),
      ],
    });
    const { status, body } = await http.fetch('/status/database');
    expect([status, body.info.postgres.status]).toEqual([200, 'up']);
    expect((await http.fetch('/health/db')).status).toBe(404);
  });

  it.each([NaN, 0, -1, Infinity, '500'])('rejects the timeout %p at boot', (timeoutMs) => {
    expect(() => DatabaseHealthModule.forRoot({ timeoutMs: timeoutMs as number })).toThrow(
      /timeoutMs: .* is not a number of milliseconds from 1 to/,
    );
  });

  it('rejects the name of an unknown data source at boot', async () => {
    const root = DatabaseModule.forRoot({ url: database.url });
    const starting = startHttpApp({
      imports: [root, DatabaseHealthModule.forRoot({ dataSource: 'reportng' })],
    });
    await expect(starting).rejects.toMatchObject({
      code: 'DATABASE_CONFIG_INVALID',
      message: expect.stringContaining('dataSource: there is no data source "reportng"'),
    });
  });

  it('serves a route for each data source', async () => {
    http = await startHttpApp({
      imports: [
        DatabaseModule.forRoot({ url: database.url }),
        DatabaseModule.forRoot({ name: 'reporting', url: database.url, pool: { size: 1, maxOverflow: 0 } }),
        DatabaseHealthModule,
        DatabaseHealthModule.forRoot({ path: 'health/reporting', key: 'reporting', dataSource: 'reporting' }),
      ],
    });
    expect((await http.fetch('/health/db')).body.info.db.pool.max).toBe(7);
    expect((await http.fetch('/health/reporting')).body.info.reporting.pool.max).toBe(1);
  });

  it("is version-neutral and follows the app's global prefix", async () => {
    http = await startHttpApp(
      { imports: [DatabaseModule.forRoot({ url: database.url }), DatabaseHealthModule] },
      (app) => app.setGlobalPrefix('api').enableVersioning(),
    );
    expect((await http.fetch('/api/health/db')).status).toBe(200);
  });

  it('provides the indicator without a route to a controller of the app', async () => {
    http = await startHttpApp({
      imports: [
        DatabaseModule.forRoot({ url: database.url }),
        DatabaseHealthModule.forRoot({ path: false }),
        TerminusModule,
      ],
      controllers: [MyHealthController],
    });
    expect((await http.fetch('/my-health')).body.info.postgres.status).toBe('up');
    expect((await http.fetch('/health/db')).status).toBe(404);
  });
});
