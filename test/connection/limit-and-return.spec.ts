import { once } from 'node:events';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { ConnectionPool } from '../../src/pool.js';
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

it('a connection that is given back in the callback of its limit is nobody’s before the cancel is over', async () => {
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
  const next = pool.connect().then((lent) => {
    order.push('lent');
    return lent;
  });
  // The statement comes to its end by another hand, and the cancel is still on its way.
  const quiet = once(client, 'drain');
  await database.sql('SELECT pg_cancel_backend($1)', [processID]);
  await quiet;
  await database.sql('SELECT 1');
  order.push('the cancel goes on');
  await proxy.pass();
  (await next).release();
  expect(order).toEqual(['QUERY_TIMEOUT', 'the cancel goes on', 'lent']);
  await pool.end();
});
