import { once } from 'node:events';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { to as copyTo } from 'pg-copy-streams';
import QueryStream from 'pg-query-stream';
import { ConnectionPool } from '../../src/pool/index.js';
import { createTestDatabase } from '../support/database.js';
import type { TestDatabase } from '../support/database.js';
import { startTcpProxy } from '../support/tcp-proxy.js';
import type { TcpProxy } from '../support/tcp-proxy.js';

let database: TestDatabase;
let proxy: TcpProxy;

beforeAll(async () => {
  database = await createTestDatabase();
  proxy = await startTcpProxy({ port: Number(new URL(database.url).port) });
});
afterAll(async () => {
  await proxy.close();
  await database.drop();
});

it('A connection that is released in the callback of a query timeout is not leased again before its cancel request is over', async () => {
  const pool = new ConnectionPool({
    connectionString: proxy.through(database.url),
    size: 1,
    maxOverflow: 0,
    query_timeout: 200,
    onWarning: false,
  });
  const client = await pool.connect();
  const { processID } = client as unknown as { processID: number };
  const cancel = once(proxy, 'connection').then(([connection]) => connection.freeze());
  const order: string[] = [];
  const timedOut = new Promise<void>((resolve) =>
    client.query('SELECT pg_sleep(60)', (error: Error & { code?: string }) => {
      order.push(String(error.code));
      client.release();
      resolve();
    }),
  );
  await Promise.all([timedOut, cancel]);
  const next = pool.connect().then((leased) => {
    order.push('leased');
    return leased;
  });
  // Another connection cancels the statement, while the cancel request of this one is still in flight.
  const drained = once(client, 'drain');
  await database.sql('SELECT pg_cancel_backend($1)', [processID]);
  await drained;
  await database.sql('SELECT 1');
  order.push('the cancel request is let through');
  await proxy.pass();
  (await next).release();
  expect(order).toEqual(['QUERY_TIMEOUT', 'the cancel request is let through', 'leased']);
  await pool.end();
});

it('A connection whose cancel request was sent and not confirmed is destroyed at its release, since the request may still arrive', async () => {
  for (const reset of ['smart', 'none'] as const) {
    const warnings: string[] = [];
    const pool = new ConnectionPool({
      connectionString: proxy.through(database.url),
      size: 1,
      maxOverflow: 0,
      reset,
      onWarning: ({ code }) => warnings.push(code),
    });
    const client = await pool.connect();
    const { processID } = client as unknown as { processID: number };
    const statement = expect(client.query('SELECT pg_sleep(60)')).rejects.toMatchObject({ code: '57014' });
    const frozen = once(proxy, 'connection').then(([connection]) => connection.freeze());
    await Promise.all([client.cancelRunning(100), frozen]);
    await database.sql('SELECT pg_cancel_backend($1)', [processID]);
    await statement;
    await client.whenReadyForQuery();
    client.release();
    const next = await pool.connect();
    expect((next as unknown as { processID: number }).processID).not.toBe(processID);
    expect(warnings).toEqual(['CONNECTION_RESET_FAILED']);
    next.release();
    await pool.end();
    await proxy.pass();
  }
});

it('A connection that is released while its statement is active is destroyed after resetTimeoutMs, and the statement is cancelled', async () => {
  const warnings: string[] = [];
  const pool = new ConnectionPool({
    connectionString: database.url,
    size: 1,
    maxOverflow: 0,
    resetTimeoutMs: 100,
    onWarning: ({ code }) => warnings.push(code),
  });
  const client = await pool.connect();
  const { processID } = client as unknown as { processID: number };
  const statement = expect(client.query('SELECT pg_sleep(60)')).rejects.toThrow(
    // Whichever comes first: the answer to the cancel request, or the end of the socket.
    /canceling statement due to user request|reset of the connection took longer than 100 ms/,
  );
  client.release();
  (await pool.connect()).release();
  await statement;
  expect(warnings).toEqual(['CONNECTION_RESET_FAILED']);
  const running = "SELECT 1 FROM pg_stat_activity WHERE pid = $1 AND state = 'active'";
  while ((await database.sql(running, [processID])).length > 0);
  await pool.end();
});

it('A connection that is released with an unread stream is destroyed after resetTimeoutMs, and so is the stream', async () => {
  const pool = new ConnectionPool({
    connectionString: database.url,
    size: 1,
    maxOverflow: 0,
    resetTimeoutMs: 100,
    onWarning: false,
  });
  for (const make of [
    () => new QueryStream('SELECT generate_series(1, 1000)', [], { batchSize: 2 }),
    () => copyTo("COPY (SELECT repeat('x', 1000) FROM generate_series(1, 100000)) TO STDOUT"),
  ]) {
    const client = await pool.connect();
    const stream = client.query(make());
    const failed = new Promise((resolve) => stream.once('error', resolve));
    stream.read();
    client.release();
    (await pool.connect()).release();
    expect(await failed).toMatchObject({ code: 'CONNECTION_RESET_FAILED' });
  }
  await pool.end();
});
