import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { DatabaseHealthModule, DatabaseModule, DatabaseMonitor } from 'nestjs-database';
import type { DatabaseModuleOptions } from 'nestjs-database';
import { startHttpApp } from '../../support/http-app.js';
import type { HttpApp } from '../../support/http-app.js';
import { startPostgres } from '../../support/postgres-server.js';
import type { PostgresServer } from '../../support/postgres-server.js';
import { startTcpProxy } from '../../support/tcp-proxy.js';
import type { TcpProxy } from '../../support/tcp-proxy.js';
import { WorkController } from './work.controller.js';
import { until } from '../../support/until.js';

describe('an app under faults of server and network', () => {
  let server: PostgresServer;
  let proxy: TcpProxy;
  let http: HttpApp;

  const start = async (options: DatabaseModuleOptions = {}) => {
    http = await startHttpApp({
      imports: [
        DatabaseModule.forRoot({
          url: proxy.through(server.url),
          applicationName: 'faults',
          pool: { size: 4, maxOverflow: 2, acquireTimeoutMs: 3000 },
          timeouts: { connectMs: 1000, shutdownMs: 500 },
          ...options,
        }),
        DatabaseHealthModule.forRoot({ timeoutMs: 500 }),
      ],
      controllers: [WorkController],
    });
  };
  const stats = () => http.app.get(DatabaseMonitor).poolStats();
  const quick = async () => (await http.fetch('/quick')).status;
  const backends = (state: string) =>
    server.sql<{ pid: number }>(
      `SELECT pid FROM pg_stat_activity WHERE application_name = 'faults' AND state = $1`,
      [state],
    );
  /** Opens several connections, which are idle then. */
  const openConnections = async () => {
    expect(await Promise.all(Array.from({ length: 20 }, quick))).toEqual(Array<number>(20).fill(200));
  };
  const untilServed = async () => {
    await until(async () => (await quick()) === 200);
  };
  const expectNothingLost = async () => {
    await until(() => stats().checkedOut === 0);
    expect(stats().waiting).toBe(0);
    expect(await Promise.all(Array.from({ length: 12 }, quick))).toEqual(Array<number>(12).fill(200));
  };

  beforeAll(async () => {
    server = await startPostgres();
    proxy = await startTcpProxy({ port: server.port });
  });
  afterEach(async () => {
    await proxy.pass();
    await http.close();
  });
  afterAll(async () => {
    await proxy.close();
    await server.dispose();
  });

  it('reports no error for backends that are killed while idle', async () => {
    await start();
    await openConnections();
    const noticed = async () => {
      await until(() => stats().checkedIn === 0);
    };
    await server.sql(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'faults'`,
    );
    await noticed();
    await expectNothingLost();
  });

  it('fails only the request whose backend is killed, with a clear error', async () => {
    await start({ retryTerminated: false });
    const busy = http.fetch('/busy');
    await until(async () => (await backends('active')).length > 0);
    await server.sql(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'faults' AND state = 'active'`,
    );
    expect((await busy).status).toBe(503);
    // At level debug: the client knows by the answer.
    expect(http.logger.text).toContain('terminating connection due to administrator command');
    await expectNothingLost();
  });

  it('reports no error for connections that the peer has forgotten', async () => {
    await start();
    await openConnections();
    proxy.forget();
    // Idle for longer than the time within which a connection is leased without a validation.
    await pause(600);
    await expectNothingLost();
  });

  it('recovers from a restart of the server without a restart of the app', async () => {
    await start();
    await openConnections();
    await server.stop('immediate');
    const { status, body } = await http.fetch('/health/db');
    expect(status).toBe(503);
    expect(body.error.db.status).toBe('down');
    expect(await quick()).toBe(503);
    await server.start();
    await untilServed();
    await expectNothingLost();
    expect((await http.fetch('/health/db')).status).toBe(200);
  });

  it('fails statements and waiters at their deadlines while the network is frozen, and recovers afterwards', async () => {
    await start({ timeouts: { connectMs: 1000, statementMs: 1000, shutdownMs: 500 } });
    await openConnections();
    proxy.freeze();
    const during = [...Array.from({ length: 10 }, quick), http.fetch('/busy').then(({ status }) => status)];
    const health = await http.fetch('/health/db');
    expect(health.status).toBe(503);
    // 503 if no connection was free in time, 504 if a statement got no answer.
    for (const status of await Promise.all(during)) expect([503, 504]).toContain(status);
    await proxy.pass();
    await untilServed();
    await expectNothingLost();
    expect(await backends('idle in transaction')).toEqual([]);
  });
});
