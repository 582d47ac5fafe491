import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { ConnectionPool } from '../../src/pool/index.js';
import type { Connection, PoolOptions } from '../../src/pool/index.js';
import { startPostgres } from '../support/postgres-server.js';
import type { PostgresServer } from '../support/postgres-server.js';
import { until } from '../support/until.js';

const BY_ID = 'SELECT id, name FROM item WHERE id = $1';

let server: PostgresServer;
let pool: ConnectionPool<Connection>;

beforeAll(async () => {
  server = await startPostgres();
  await server.sql(`CREATE TABLE item (id int PRIMARY KEY, name text);
    INSERT INTO item SELECT g, 'item ' || g FROM generate_series(1, 100) g;
    GRANT ALL ON item TO app;`);
}, 60_000);
afterAll(() => server.dispose());
afterEach(() => pool.drain({ timeoutMs: 0 }));

async function open(options: PoolOptions<Connection>): Promise<void> {
  pool = new ConnectionPool<Connection>({
    connectionString: server.url,
    maxOverflow: 0,
    multiplex: { connections: 1 },
    onWarning: false,
    ...options,
  });
  pool.on('error', () => undefined);
  for (let call = 0; sharing().shared === 0; call += 1) {
    if (call > 200) throw new Error(`It is not shared: ${JSON.stringify(sharing())}`);
    await pool.query(BY_ID, [1]);
  }
}

const sharing = () => pool.snapshot().multiplex!;
const isNotShared = () => until(() => sharing().connections === 0);

/** Milliseconds until the promise has settled. */
async function elapsed(promise: Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await promise;
  return performance.now() - startedAt;
}

/** Acquires every connection of the pool. */
async function acquireAll(count: number): Promise<(() => void)[]> {
  const clients = await Promise.all(Array.from({ length: count }, () => pool.acquire()));
  return clients.map((client) => () => client.release());
}

describe('a shared connection', () => {
  it('is leased as soon as no statement is in flight, when an acquire waits and no other connection is free', async () => {
    await open({ size: 2 });
    await pool.query(BY_ID, [1]);
    expect(sharing()).toMatchObject({ connections: 1, inFlight: 0 });
    const [release] = await acquireAll(1);
    expect(sharing().connections).toBe(1);
    expect(
      await elapsed(pool.acquire({ deadlineMs: 2_000 }).then((client) => client.release())),
    ).toBeLessThan(200);
    release!();
  });

  it('is leased after the statements in flight, when an acquire waits', async () => {
    await open({ size: 2 });
    const [release] = await acquireAll(1);
    const answers = Promise.all([1, 2, 3].map((id) => pool.query(BY_ID, [id])));
    expect(sharing().inFlight).toBe(3);
    expect(
      await elapsed(pool.acquire({ deadlineMs: 2_000 }).then((client) => client.release())),
    ).toBeLessThan(200);
    expect((await answers).map(({ rows }) => rows[0].id)).toEqual([1, 2, 3]);
    release!();
  });

  it('serves the statements that wait as soon as a connection is released', async () => {
    await open({ size: 2 });
    await isNotShared();
    const [first, second] = await acquireAll(2);
    const answers = Promise.all(Array.from({ length: 10 }, (_, id) => pool.query(BY_ID, [id + 1])));
    expect(pool.snapshot().waiting).toBe(10);
    first!();
    expect(sharing()).toMatchObject({ connections: 1, inFlight: 10 });
    expect(await elapsed(answers)).toBeLessThan(200);
    second!();
  });

  it('does not take a released connection from a borrower that has waited for longer than the statements', async () => {
    await open({ size: 2 });
    await isNotShared();
    const [first, second] = await acquireAll(2);
    const writer = pool.acquire({ deadlineMs: 2_000 });
    const answer = pool.query(BY_ID, [1]);
    first!();
    expect(pool.snapshot()).toMatchObject({ leased: 2, waiting: 1 });
    const client = await writer;
    await client.query('UPDATE item SET name = name WHERE id = 1');
    client.release();
    expect((await answer).rows).toHaveLength(1);
    second!();
  });

  it('is not opened by a pool that is closing: the acquires that wait get their connections', async () => {
    await open({ size: 2 });
    await isNotShared();
    const [first, second] = await acquireAll(2);
    const answer = pool.query(BY_ID, [1]).then(
      ({ rows }) => rows.length,
      (error: Error) => error.message,
    );
    const ended = pool.end();
    first!();
    second!();
    expect(await answer).toMatch(/^Cannot use a pool after calling end on the pool/);
    await ended;
  });
});

it('Connections that are shared are replaced, so that `minIdle` others are idle', async () => {
  await open({ size: 6, minIdle: 3, multiplex: { connections: 3 }, validateAfterIdleMs: 60_000 });
  await isNotShared();
  await until(() => pool.idleCount === 4);
  // A statement that meets another one in flight shares the next connection.
  const answers = [1, 2].map((id) => pool.query(BY_ID, [id]));
  expect(pool.snapshot()).toMatchObject({ idle: 2, connecting: 1, multiplex: { connections: 2 } });
  await Promise.all(answers);
});

describe('exclusive work', () => {
  it('goes on in a pool of three with two shared connections that never rest', async () => {
    await open({ size: 3, multiplex: { connections: 2 } });
    let isOver = false;
    const reading = Promise.all(
      Array.from({ length: 64 }, async () => {
        while (!isOver) await pool.query(BY_ID, [1]);
      }),
    );
    await until(() => sharing().connections === 2);
    const waits: number[] = [];
    for (let round = 0; round < 20; round += 1) {
      waits.push(await elapsed(pool.query('UPDATE item SET name = name WHERE id = $1', [round])));
      await sleep(5);
    }
    isOver = true;
    await reading;
    expect(Math.max(...waits)).toBeLessThan(1_000);
  });

  it('and a caller of single statements are not starved by a thousand statements in parallel', async () => {
    await open({ size: 3, multiplex: { connections: 2, maxInFlight: 4 } });
    let isOver = false;
    const hot = (async () => {
      while (!isOver) await Promise.all(Array.from({ length: 1_000 }, () => pool.query(BY_ID, [1])));
    })();
    const waits: number[] = [];
    for (let round = 0; round < 10; round += 1) waits.push(await elapsed(pool.query(BY_ID, [round])));
    isOver = true;
    await hot;
    expect(Math.max(...waits)).toBeLessThan(2_000);
    expect(pool.snapshot()).toMatchObject({ waiting: 0, leased: 0 });
  });
});
