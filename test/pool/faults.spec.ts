import { once } from 'node:events';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { ConnectionPool } from '../../src/pool/index.js';
import type { PoolOptions, PoolWarning } from '../../src/pool/index.js';
import type { Connection } from '../../src/pool/index.js';
import { createAuthority } from '../support/certificates.js';
import { startPostgres } from '../support/postgres-server.js';
import type { PostgresServer } from '../support/postgres-server.js';
import { startTcpProxy } from '../support/tcp-proxy.js';
import type { TcpProxy } from '../support/tcp-proxy.js';

let server: PostgresServer;
let proxy: TcpProxy;
let pool: ConnectionPool<Connection>;
let warnings: PoolWarning[];
let ca: string;

beforeAll(async () => {
  const authority = await createAuthority();
  ca = authority.cert;
  server = await startPostgres({
    settings: { max_connections: 12 },
    tls: await authority.issueServer(),
    hba: ['host all all all scram-sha-256', 'host replication all all scram-sha-256'],
  });
}, 60_000);
afterAll(() => server.dispose());
beforeEach(async () => {
  proxy = await startTcpProxy({ port: server.port });
});
afterEach(async () => {
  await pool.drain({ timeoutMs: 0 });
  await proxy.close();
});

function open(options: PoolOptions<Connection> = {}): void {
  warnings = [];
  pool = new ConnectionPool<Connection>({
    connectionString: proxy.through(server.url),
    onWarning: (warning) => void warnings.push(warning),
    size: 3,
    maxOverflow: 0,
    validateAfterIdleMs: 0,
    validationTimeoutMs: 1_000,
    ...options,
  });
}

const pid = async (client: { query: Connection['query'] }): Promise<number> =>
  (await client.query('SELECT pg_backend_pid() AS pid')).rows[0].pid;

/** Opens three connections, and releases them. */
async function openThree(): Promise<number[]> {
  const clients = await Promise.all([pool.connect(), pool.connect(), pool.connect()]);
  const pids = await Promise.all(clients.map(pid));
  for (const client of clients) client.release();
  return pids;
}

const runQuery = async () => expect((await pool.query('SELECT 1 AS n')).rows).toEqual([{ n: 1 }]);

describe('ConnectionPool under faults', () => {
  it('causes no error when an idle backend is terminated', async () => {
    open();
    await openThree();
    await server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'");
    await Promise.all([runQuery(), runQuery(), runQuery()]);
    expect(pool.snapshot().generation).toBeGreaterThan(0);
  });

  it('rejects only the running statement when its backend is terminated', async () => {
    open();
    await openThree();
    const busy = await pool.connect();
    const victim = await pid(busy);
    const failed = expect(busy.query('SELECT pg_sleep(60)')).rejects.toMatchObject({ code: '57P01' });
    await server.sql('SELECT pg_terminate_backend($1)', [victim]);
    await failed;
    busy.release();
    await runQuery();
    expect(pool.snapshot()).toMatchObject({ leased: 0, generation: 1, counters: { outages: 1 } });
  });

  it('replaces connections that the network has dropped, with one connect for the first query and no error', async () => {
    open();
    await openThree();
    proxy.forget();
    await runQuery();
    expect(pool.snapshot().counters).toMatchObject({ outages: 1, connectFailures: 0 });
    await Promise.all([runQuery(), runQuery(), runQuery()]);
    expect(pool.snapshot().counters.outages).toBe(1);
  });

  it('causes no error when idle sockets are reset', async () => {
    open();
    await openThree();
    proxy.reset();
    await proxy.pass();
    await runQuery();
  });

  it('replaces idle connections on a frozen network as soon as connects succeed', async () => {
    open({ connectTimeoutMs: 2_000, acquireTimeoutMs: 10_000 });
    await openThree();
    for (const connection of proxy.connections) connection.freeze();
    await runQuery();
    expect(pool.snapshot().counters).toMatchObject({ validations: 1, destroyed: { validation: 3 } });
  });

  it('rejects a statement on a frozen network at its limit, and frees the capacity of its connection', async () => {
    open({ statement_timeout: 500, statementGraceMs: 500, connectTimeoutMs: 2_000 });
    await openThree();
    const client = await pool.acquire({ borrower: 'GET /frozen' });
    proxy.freeze();
    await expect(client.query('SELECT 1')).rejects.toMatchObject({ code: 'QUERY_TIMEOUT' });
    client.release();
    await proxy.pass();
    await runQuery();
    expect(pool.snapshot().leased).toBe(0);
  });

  it('rejects immediately while the server refuses connections, and recovers with the server', async () => {
    open();
    await openThree();
    proxy.reset();
    await proxy.refuse();
    await expect(pool.query('SELECT 1')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await expect(pool.acquire()).rejects.toMatchObject({
      code: 'POOL_CONNECT_FAILED',
      cause: { code: 'ECONNREFUSED' },
    });
    await proxy.pass();
    await runQuery();
  });

  it('survives a restart of the server with idle connections', async () => {
    open({ connectionString: server.url });
    await openThree();
    await server.restart('fast');
    await Promise.all([runQuery(), runQuery(), runQuery()]);
    expect(pool.snapshot().counters.outages).toBe(1);
  });

  it.each([
    ['the class of the pool', undefined],
    ['another class', pg.Client],
  ])(
    'waits for a restart that terminates all connections while they run statements, with clients of %s',
    async (_which, Client) => {
      open({ size: 2, acquireTimeoutMs: 20_000, ...(Client && { Client: Client as never }) });
      const clients = [await pool.connect(), await pool.connect()];
      const ended = clients.map((client) => new Promise((resolve) => client.once('end', resolve as never)));
      const lost = clients.map((client) => {
        client.on('error', () => undefined);
        return expect(client.query('SELECT pg_sleep(60)')).rejects.toMatchObject({ code: '57P01' });
      });
      await server.stop('fast');
      await Promise.all([...lost, ...ended]);
      for (const client of clients) client.release();
      const waiting = runQuery();
      while (pool.snapshot().counters.connectFailures < 3) await once(proxy, 'connection');
      await server.start();
      await waiting;
    },
  );

  it('rejects while a killed server is down, and recovers with the server', async () => {
    open({ connectionString: server.url });
    await openThree();
    await server.kill();
    await expect(pool.acquire()).rejects.toMatchObject({ code: 'POOL_CONNECT_FAILED' });
    await server.start();
    await Promise.all([runQuery(), runQuery(), runQuery()]);
  });

  it('uses the connections that it has when max_connections is reached, and names the refusal as the cause of timeouts', async () => {
    open({ size: 20, acquireTimeoutMs: 3_000 });
    const clients = await Promise.allSettled(Array.from({ length: 20 }, () => pool.acquire()));
    const leased = clients.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
    const refused = clients.find((result) => result.status === 'rejected');
    expect(refused?.reason).toMatchObject({ code: 'POOL_ACQUIRE_TIMEOUT', cause: { code: '53300' } });
    expect(leased.length).toBeGreaterThan(3);
    const [first] = leased;
    const waiting = pool.connect();
    first?.release();
    (await waiting).release();
    for (const client of leased.slice(1)) client.release();
  });

  it('serves waiters with other connections while a connect hangs', async () => {
    open({ connectTimeoutMs: 1_000 });
    const leased = await pool.connect();
    proxy.once('connection', (connection) => connection.freeze());
    const waiting = pool.connect();
    await new Promise((resolve) => proxy.once('data', resolve));
    leased.release();
    expect(await waiting).toBe(leased);
    leased.release();
  });

  it('cancels the statement of a reclaimed lease on the server, and rejects its borrower', async () => {
    open({ reclaimAfterMs: 200 });
    const client = await pool.acquire({ borrower: 'job' });
    const backend = await pid(client);
    const sleeping = client.query('SELECT pg_sleep(60)');
    await expect(sleeping).rejects.toThrow();
    await expect(client.query('SELECT 1')).rejects.toMatchObject({ code: 'POOL_LEASE_RECLAIMED' });
    client.release();
    await pool.drain();
    // The server ends the session once it hears of the cancel and of the socket's end: before pg_sleep does, or never.
    while ((await server.sql('SELECT 1 FROM pg_stat_activity WHERE pid = $1', [backend])).length > 0);
  });

  it('cancels the statement of a reclaimed client of another class', async () => {
    const other = new ConnectionPool<pg.Client>(
      { connectionString: proxy.through(server.url), max: 1, reclaimAfterMs: 200, onWarning: false },
      pg.Client,
    );
    const client = await other.acquire({ borrower: 'job' });
    const backend = await pid(client);
    await expect(client.query('SELECT pg_sleep(60)')).rejects.toMatchObject({ code: '57014' });
    await expect(client.query('SELECT 1')).rejects.toMatchObject({ code: 'POOL_LEASE_RECLAIMED' });
    client.release();
    await other.drain();
    // Without the cancel the session would last as long as pg_sleep.
    while ((await server.sql('SELECT 1 FROM pg_stat_activity WHERE pid = $1', [backend])).length > 0);
    open();
  });

  it('cancels a long statement in a drain, and leaves no session on the server', async () => {
    open({ application_name: 'drained' });
    const client = await pool.connect();
    const failed = expect(client.query('SELECT pg_sleep(60)')).rejects.toMatchObject({ code: '57014' });
    const drained = pool.drain({ timeoutMs: 100 });
    await failed;
    client.release();
    expect(await drained).toMatchObject({ released: 1, destroyed: 0 });
    expect(await server.sql("SELECT 1 FROM pg_stat_activity WHERE application_name = 'drained'")).toEqual([]);
  });

  it('ends a drain on a frozen network', async () => {
    open();
    await openThree();
    const client = await pool.connect();
    proxy.freeze();
    client.query('SELECT 1').catch(() => undefined);
    expect(await pool.drain({ timeoutMs: 50 })).toMatchObject({ destroyed: 1 });
    expect(pool.ended).toBe(true);
  });

  it('sends a cancel request over TLS when the connection uses TLS', async () => {
    const sent: Buffer[] = [];
    proxy.on('data', (_, direction, bytes) => direction === 'to-server' && sent.push(bytes));
    open({ ssl: { ca, servername: 'localhost' } });
    const client = await pool.connect();
    const { rows } = await client.query('SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()');
    expect(rows).toEqual([{ ssl: true }]);
    const { processID, secretKey } = client as unknown as { processID: number; secretKey: number };
    const key = Buffer.alloc(8);
    key.writeInt32BE(processID, 0);
    key.writeInt32BE(secretKey, 4);
    const failed = expect(client.query('SELECT pg_sleep(60)')).rejects.toMatchObject({ code: '57014' });
    while (
      (
        await server.sql("SELECT 1 FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'", [
          processID,
        ])
      ).length === 0
    );
    await client.cancelRunning();
    await failed;
    client.release();
    expect(proxy.total).toBe(2);
    expect(Buffer.concat(sent).includes(key)).toBe(false);
  });

  it('serves the first acquire while later ones wait for a slow network', async () => {
    open({ acquireTimeoutMs: 10_000 });
    proxy.delay(50);
    await Promise.all(Array.from({ length: 6 }, () => runQuery()));
    expect(pool.snapshot().counters.created).toBeLessThanOrEqual(3);
  });
});

describe('A primary that has become a standby', () => {
  it('is detected at the first refused write, and its connections are not leased again', async () => {
    const standby = await startPostgres();
    try {
      await standby.becomeStandby();
      open({ connectionString: standby.url, size: 2 });
      const [one, two] = await Promise.all([pool.connect(), pool.connect()]);
      two.release();
      await expect(one.query('CREATE TABLE t (id int)')).rejects.toMatchObject({ code: '25006' });
      const removed = once(pool, 'remove');
      one.release();
      expect(await removed).toEqual([one]);
      expect(pool.snapshot()).toMatchObject({ generation: 1, counters: { destroyed: { reset: 1 } } });
      const next = await pool.connect();
      expect([one, two]).not.toContain(next);
      expect(pool.snapshot().counters).toMatchObject({ validations: 1, validationFailures: 1 });
      next.release();
      expect(warnings.map(({ code }) => code)).toContain('CONNECTION_RESET_FAILED');
    } finally {
      await pool.drain({ timeoutMs: 0 });
      await standby.dispose();
    }
  }, 60_000);
});
