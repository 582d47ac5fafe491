import { once } from 'node:events';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { text as readAll } from 'node:stream/consumers';
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import pg from 'pg';
import Cursor from 'pg-cursor';
import QueryStream from 'pg-query-stream';
import { from as copyFrom, to as copyTo } from 'pg-copy-streams';
import { Connection, ConnectionPool } from '../../src/pool/index.js';
import type { PoolOptions } from '../../src/pool/index.js';
import { runScript } from '../support/run-script.js';
import { createTestDatabase } from '../support/database.js';
import type { TestDatabase } from '../support/database.js';

let database: TestDatabase;
let pool: ConnectionPool<Connection>;

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());
afterEach(() => pool.drain({ timeoutMs: 0 }));

function open(options: PoolOptions<Connection> = {}): ConnectionPool<Connection> {
  pool = new ConnectionPool({ connectionString: database.url, onWarning: false, ...options });
  return pool;
}

describe('ConnectionPool in place of pg.Pool', () => {
  it('answers pool.query by promise, with and without values, and by config', async () => {
    open();
    expect((await pool.query('SELECT 1 AS n')).rows).toEqual([{ n: 1 }]);
    expect((await pool.query('SELECT $1::int AS n', [2])).rows).toEqual([{ n: 2 }]);
    expect((await pool.query({ text: 'SELECT $1::int', values: [3], rowMode: 'array' })).rows).toEqual([[3]]);
    expect(pool.totalCount).toBe(1);
  });

  it('answers pool.query by callback, never synchronously', async () => {
    open();
    const called = jest.fn();
    const first = new Promise((resolve) => {
      const returned = pool.query('SELECT 1 AS n', (error: Error, result: pg.QueryResult) => {
        called();
        resolve([error, result.rows]);
      });
      expect(returned).toBeUndefined();
    });
    expect(called).not.toHaveBeenCalled();
    expect(await first).toEqual([undefined, [{ n: 1 }]]);
    const second = new Promise((resolve) =>
      pool.query('SELECT $1::int AS n', [2], (_: Error, result: pg.QueryResult) => resolve(result.rows)),
    );
    expect(await second).toEqual([{ n: 2 }]);
    const failed = new Promise((resolve) => pool.query('SELECT nothing', (error: Error) => resolve(error)));
    expect(await failed).toMatchObject({ code: '42703' });
  });

  it('shows the caller of pool.query in the stack of an error of its statement', async () => {
    open();
    async function usersService() {
      await pool.query('SELECT nothing');
    }
    await expect(usersService()).rejects.toMatchObject({
      code: '42703',
      stack: expect.stringContaining('usersService'),
    });
  });

  it('refuses a function as the first parameter of pool.query', async () => {
    open();
    const error = await new Promise((resolve) => pool.query(resolve as never));
    expect(error).toMatchObject({
      message: expect.stringContaining('Passing a function as the first parameter'),
    });
  });

  it('leases a client by callback, never synchronously, with its release', async () => {
    open();
    for (let round = 0; round < 2; round += 1) {
      const called = jest.fn();
      const leased = new Promise<void>((resolve) =>
        pool.connect((error, client, release) => {
          called();
          expect(error).toBeUndefined();
          expect(client?.release).toBe(release);
          release();
          resolve();
        }),
      );
      expect(called).not.toHaveBeenCalled();
      await leased;
    }
    await pool.end();
    const refused = await new Promise((resolve) =>
      pool.connect((error, client, release) => {
        release();
        resolve([error, client]);
      }),
    );
    expect(refused).toMatchObject([{ code: 'POOL_CLOSED' }, undefined]);
  });

  it('emits its events with their arguments and exact counts', async () => {
    open({ max: 3 });
    const seen: [string, ...unknown[]][] = [];
    for (const event of ['connect', 'acquire', 'release', 'remove', 'error'])
      pool.on(event, (...args: unknown[]) => seen.push([event, ...args]));
    const count = (event: string) => seen.filter(([name]) => name === event).length;
    for (let round = 0; round < 20; round += 1) (await pool.connect()).release();
    expect(['connect', 'acquire', 'release', 'remove'].map(count)).toEqual([1, 20, 20, 0]);
    const client = await pool.connect();
    expect(seen.slice(0, 3)).toEqual([
      ['connect', client],
      ['acquire', client],
      ['release', undefined, client],
    ]);
    const error = new Error('of the borrower');
    client.release(error);
    expect(seen.at(-1)).toEqual(['release', error, client]);
    expect(pool.totalCount).toBe(0);
    await once(pool, 'remove');
    expect(seen.at(-1)).toEqual(['remove', client]);
    await pool.query('SELECT 1');
    expect(['connect', 'acquire', 'release', 'remove', 'error'].map(count)).toEqual([2, 22, 22, 1, 0]);
  });

  it('emits connect only for connections that succeed, and before their acquire', async () => {
    open({ connectionString: `${database.url}_missing` });
    const connected = jest.fn();
    pool.on('connect', connected);
    await expect(pool.connect()).rejects.toMatchObject({
      code: '3D000',
      message: expect.stringContaining('does not exist'),
    });
    await expect(pool.acquire()).rejects.toMatchObject({
      code: 'POOL_CONNECT_FAILED',
      message: expect.stringContaining('does not exist'),
      cause: { code: '3D000' },
    });
    expect(connected).not.toHaveBeenCalled();
  });

  it('removes an idle client whose session the server has terminated, and emits error with it', async () => {
    open();
    const client = await pool.connect();
    const { rows } = await client.query('SELECT pg_backend_pid() AS pid');
    client.release();
    const failed = once(pool, 'error');
    await database.sql('SELECT pg_terminate_backend($1)', [rows[0].pid]);
    expect(await failed).toMatchObject([{ code: '57P01', client: expect.any(Connection) }, client]);
    expect(pool.totalCount).toBe(0);
    expect((await pool.query('SELECT 1 AS n')).rows).toEqual([{ n: 1 }]);
  });

  it('throws at each release after the first', async () => {
    open();
    const client = await pool.connect();
    client.release();
    expect(() => client.release()).toThrow('Release called on client which has already been released');
    expect(() => client.release()).toThrow('Release called on client which has already been released');
  });

  it('recovers from errors of queries and keeps the connection', async () => {
    open({ max: 1 });
    for (let round = 0; round < 20; round += 1)
      await expect(pool.query('SELECT nothing')).rejects.toMatchObject({ code: '42703' });
    expect(pool.snapshot().counters.created).toBe(1);
  });

  it('rejects a query whose parameters cannot be serialised, and serves the next one', async () => {
    open({ max: 1 });
    const bad = {
      toPostgres() {
        throw new Error('cannot be serialised');
      },
    };
    await expect(pool.query('SELECT $1', [bad])).rejects.toThrow('cannot be serialised');
    await expect(pool.query(null as never)).rejects.toThrow('null or undefined');
    expect((await pool.query('SELECT 1 AS n')).rows).toEqual([{ n: 1 }]);
  });

  it('serves 30 queries with 9 connections', async () => {
    open({ max: 9 });
    const answers = await Promise.all(
      Array.from({ length: 30 }, (_, n) => pool.query('SELECT $1::int AS n', [n])),
    );
    expect(answers.map(({ rows }) => rows[0].n)).toEqual(Array.from({ length: 30 }, (_, n) => n));
    expect(pool.totalCount).toBe(9);
    expect(pool.waitingCount).toBe(0);
  });

  it('runs onConnect once for each connection before its first lease; a rejection fails the connect', async () => {
    const onConnect = jest.fn((client: Connection) => client.query("SET app.hook = 'ran'"));
    open({ max: 1, onConnect });
    for (let round = 0; round < 3; round += 1) {
      const { rows } = await pool.query("SELECT current_setting('app.hook', true) AS hook");
      expect(rows).toEqual([{ hook: 'ran' }]);
    }
    expect(onConnect).toHaveBeenCalledTimes(1);
    await pool.end();
    open({ onConnect: () => Promise.reject(new Error('not today')) });
    await expect(pool.connect()).rejects.toMatchObject({ message: 'not today' });
    expect(pool.totalCount).toBe(0);
    await pool.end();
    open({
      onConnect: () => {
        throw new Error('thrown');
      },
    });
    await expect(pool.connect()).rejects.toMatchObject({ message: 'thrown' });
  });

  it('limits onConnect by the connect timeout', async () => {
    open({ onConnect: () => new Promise(() => undefined), connectTimeoutMs: 200 });
    await expect(pool.acquire()).rejects.toMatchObject({ code: 'POOL_CONNECT_TIMEOUT' });
    expect(pool.totalCount).toBe(0);
  });

  it('restores the settings of a connect listener after a borrower has changed them', async () => {
    open({ max: 1 });
    pool.on(
      'connect',
      (client: Connection) => void client.query("SET search_path TO pg_catalog; SET app.a = '1'"),
    );
    const path = () =>
      pool.query("SELECT current_setting('search_path') AS path").then(({ rows }) => rows[0].path);
    expect(await path()).toBe('pg_catalog');
    await pool.query('SET search_path TO public');
    expect(await path()).toBe('pg_catalog');
  });

  it('calls verify, and rejects the connect with its error', async () => {
    open({ verify: (_, done) => done(new Error('nope')) });
    await expect(pool.connect()).rejects.toMatchObject({ message: 'nope' });
    expect(pool.totalCount).toBe(0);
    await pool.end();
    open({ verify: (client, done) => void client.query('SELECT 1').then(() => done()) });
    expect((await pool.query('SELECT 1 AS n')).rows).toEqual([{ n: 1 }]);
    await pool.end();
    open({ verify: (client) => client.release(new Error('released with an error')) });
    await expect(pool.connect()).rejects.toMatchObject({ message: 'released with an error' });
  });

  it('does not lease a connection on which a transaction was begun after its release', async () => {
    open({ max: 1 });
    const client = await pool.connect();
    client.release();
    await client.query('BEGIN');
    const { rows } = await pool.query(
      'SELECT now() = statement_timestamp() AS fresh, pg_backend_pid() AS pid',
    );
    expect(rows).toEqual([{ fresh: true, pid: expect.any(Number) }]);
    expect(pool.snapshot().counters).toMatchObject({ created: 2, destroyed: { reset: 1 } });
  });

  it('has max in its options, and a pool that is created from a copy of them has the same limits', () => {
    for (const [given, max] of [
      [{}, 15],
      [{ max: undefined }, 15],
      [{ poolSize: 4 }, 4],
      [{ size: 2, maxOverflow: 3 }, 5],
      [{ max: 7 }, 7],
    ] as const) {
      open(given);
      expect(pool.options.max).toBe(max);
      const { size, maxOverflow } = pool.snapshot();
      expect(open({ ...pool.options }).snapshot()).toMatchObject({ size, maxOverflow });
    }
  });

  it('accepts the class of its clients as an option or as the second argument', async () => {
    class OwnConnection extends Connection {}
    for (const made of [
      new ConnectionPool<OwnConnection>({ connectionString: database.url, Client: OwnConnection }),
      new ConnectionPool<OwnConnection>({ connectionString: database.url }, OwnConnection),
    ]) {
      pool = made;
      const client = await made.connect();
      expect(client).toBeInstanceOf(OwnConnection);
      client.release();
      await made.end();
    }
  });

  it('validates, rolls back, discards and closes a plain pg.Client, too', async () => {
    const made = new ConnectionPool<pg.Client>(
      { connectionString: database.url, max: 1, validateAfterIdleMs: 0, reset: 'discard', onWarning: false },
      pg.Client,
    );
    const first = await made.connect();
    await first.query("BEGIN; SET app.note = 'x'");
    first.release();
    const second = await made.connect();
    expect(second).toBe(first);
    const { rows } = await second.query("SELECT current_setting('app.note', true) AS note");
    expect(rows[0].note || null).toBeNull();
    second.release();
    const third = await made.connect();
    expect(made.snapshot().counters).toMatchObject({ rollbacks: 1, resets: 2 });
    third.query('SELECT pg_sleep(60)').catch(() => undefined);
    await made.drain({ timeoutMs: 0 });
    open();
  });

  it('does not lease a broken client of another class again', async () => {
    const made = new ConnectionPool<pg.Client>(
      { connectionString: database.url, max: 1, onWarning: false },
      pg.Client,
    );
    const client = await made.connect();
    const { rows } = await client.query('SELECT pg_backend_pid() AS pid');
    const gone = new Promise((resolve) => client.once('end', resolve));
    await database.sql('SELECT pg_terminate_backend($1)', [rows[0].pid]);
    await gone;
    client.release();
    expect(made.totalCount).toBe(0);
    await made.drain();
    open();
  });

  it('serves cursors, query streams and COPY streams', async () => {
    open({ max: 1 });
    await pool.query('CREATE TABLE lines (n int)');
    let client = await pool.connect();
    await pipeline(Readable.from(['1\n', '2\n', '3\n']), client.query(copyFrom('COPY lines FROM STDIN')));
    client.release();
    client = await pool.connect();
    const cursor = client.query(new Cursor('SELECT n FROM lines ORDER BY n'));
    expect(await cursor.read(2)).toEqual([{ n: 1 }, { n: 2 }]);
    await cursor.close();
    client.release();
    client = await pool.connect();
    const rows: unknown[] = [];
    for await (const row of client.query(new QueryStream('SELECT n FROM lines ORDER BY n'))) rows.push(row);
    expect(rows).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }]);
    client.release();
    client = await pool.connect();
    expect(await readAll(client.query(copyTo('COPY lines TO STDOUT')))).toBe('1\n2\n3\n');
    client.release();
    expect(pool.snapshot().counters).toMatchObject({ created: 1, acquired: 5, resets: 0 });
  });

  it('closes a connection that is released with an open cursor, and opens another one', async () => {
    open({ max: 1, resetTimeoutMs: 100 });
    const client = await pool.connect();
    const cursor = client.query(new Cursor('SELECT generate_series(1, 100) AS n'));
    await cursor.read(1);
    client.release();
    expect((await pool.query('SELECT 1 AS n')).rows).toEqual([{ n: 1 }]);
    expect(pool.snapshot().counters).toMatchObject({ created: 2, destroyed: { reset: 1 } });
  });

  it('serves queries whose connections are connecting at end()', async () => {
    open({ max: 20 });
    const queries = Array.from({ length: 20 }, (_, n) => pool.query('SELECT $1::int AS n', [n]));
    await pool.end();
    const answers = (await Promise.all(queries)).map(({ rows }) => rows[0].n as number);
    expect(answers).toEqual(Array.from({ length: 20 }, (_, n) => n));
    expect(pool.totalCount).toBe(0);
  });

  it('lets a running query finish at end(), and rejects waiters', async () => {
    open({ max: 1 });
    const client = await pool.connect();
    const waiting = pool.connect().catch((error: unknown) => error);
    const query = client.query('SELECT 1 AS n FROM pg_sleep(0.2)');
    const ended = pool.end();
    expect(await waiting).toMatchObject({ code: 'POOL_CLOSED' });
    expect((await query).rows).toEqual([{ n: 1 }]);
    client.release();
    await ended;
    expect([pool.ending, pool.ended, pool.totalCount]).toEqual([true, true, 0]);
  });

  it('lets the process exit while connections are idle with allowExitOnIdle', async () => {
    open();
    const script = `
      import { ConnectionPool } from ${JSON.stringify(new URL('../../src/pool/index.ts', import.meta.url).href)};
      const pool = new ConnectionPool({ connectionString: process.env.POOL_URL, allowExitOnIdle: true });
      await pool.query('SELECT 1');
      await pool.query('SELECT 1');
      console.log('done');
    `;
    expect(await runScript(script, { POOL_URL: database.url })).toEqual({ output: 'done\n', exitCode: 0 });
  });

  it('differs from pg.Pool in its defaults', () => {
    open();
    expect(pool.snapshot()).toMatchObject({ size: 5, maxOverflow: 10, max: 15 });
    const limited = new ConnectionPool({ max: 4 });
    expect(limited.snapshot()).toMatchObject({ size: 4, maxOverflow: 0, max: 4 });
    expect(new ConnectionPool({ max: 10, size: 4 }).snapshot()).toMatchObject({ size: 4, maxOverflow: 6 });
    expect(new ConnectionPool({ poolSize: 3 }).snapshot()).toMatchObject({ max: 3 });
  });
});
