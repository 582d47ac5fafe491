import { inspect } from 'node:util';
import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { FakeClient } from '../../test/support/fake-client.js';
import type { FakeServer } from '../../test/support/fake-client.js';
import { FakePool, observe } from '../../test/support/fake-pool.js';
import type { LeasedFakeClient } from '../../test/support/fake-pool.js';
import type { VirtualClock } from '../../test/support/virtual-clock.js';
import { flushPromises } from '../../test/support/virtual-clock.js';
import { ConnectionPool } from './connection-pool.js';
import type { PoolOptions } from './pool.options.js';

let fake: FakePool;
let clock: VirtualClock;
let server: FakeServer;
let pool: ConnectionPool<FakeClient>;

function open(options: PoolOptions<FakeClient> = {}): void {
  fake = new FakePool(options);
  ({ clock, server, pool } = fake);
}

afterEach(() => fake.close());

interface CallbackCall {
  args: unknown[];
  /** The return value of the method; `'not returned'` when the callback was called synchronously. */
  returned: unknown;
}

function callbackCall(call: (callback: (...args: unknown[]) => void) => unknown): Promise<CallbackCall> {
  return new Promise((resolve) => {
    let returned: unknown = 'not returned';
    returned = call((...args) => resolve({ args, returned }));
  });
}

/** The calls of `callback` that `act` queues with `process.nextTick`, where an error is not an unhandled rejection. */
async function queuedCalls(callback: () => void, act: () => void): Promise<unknown[][]> {
  const nextTick = jest.spyOn(process, 'nextTick').mockImplementation(() => undefined);
  act();
  await flushPromises();
  const calls = nextTick.mock.calls.filter(([called]) => called === callback).map(([, ...args]) => args);
  nextTick.mockRestore();
  return calls;
}

describe('connect()', () => {
  it('leases a client by promise', async () => {
    open();
    const client = await pool.connect();
    expect(client).toBe(server.clients[0]);
    client.release();
    expect(pool.idleCount).toBe(1);
  });

  it.each([0, 1])(
    'leases a client by callback, with its release, asynchronously, while %i connections are idle',
    async (idle) => {
      open();
      if (idle > 0) (await pool.acquire()).release();
      const { args, returned } = await callbackCall((callback) => pool.connect(callback));
      const client = server.clients[0] as LeasedFakeClient;
      expect([args, returned]).toEqual([[undefined, client, client.release], undefined]);
      (args[2] as () => void)();
      expect(pool.snapshot()).toMatchObject({ idle: 1, leased: 0 });
    },
  );

  it('passes an error to the callback, with a release that does nothing', async () => {
    open();
    server.connectError = new Error('refused');
    const { args, returned } = await callbackCall((callback) => pool.connect(callback));
    expect([args, returned]).toEqual([[server.connectError, undefined, expect.any(Function)], undefined]);
    expect((args[2] as () => unknown)()).toBeUndefined();
  });

  it('calls the callback where its errors are uncaught exceptions', async () => {
    open();
    const callback = () => undefined;
    const [args] = await queuedCalls(callback, () => pool.connect(callback));
    expect(args).toEqual([undefined, server.clients[0], expect.any(Function)]);
    server.connectError = new Error('refused');
    (server.clients[0] as LeasedFakeClient).release(true);
    const [failed] = await queuedCalls(callback, () => pool.connect(callback));
    expect(failed?.[0]).toBe(server.connectError);
  });

  it('shows its caller in the stack of its errors, as acquire() does', async () => {
    open({ max: 1, acquireTimeoutMs: 500 });
    await pool.acquire();
    // Without a call site, the stack shows the functions that await the acquire.
    const usersService = async <T>(acquired: Promise<T>) => await acquired;
    const asked = [observe(usersService(pool.connect())), observe(usersService(pool.acquire()))];
    await clock.advance(500);
    const [plain, own] = asked.map(({ error }) => error?.stack);
    expect(plain).toMatch(
      /^Error: timeout exceeded when trying to connect\n[^]* {4}at .*usersService .*connection-pool\.spec\.ts/,
    );
    expect(own).toMatch(
      /^PoolAcquireTimeoutError: .*\n[^]* {4}at .*usersService .*connection-pool\.spec\.ts/,
    );
  });
});

describe('The events', () => {
  it('are those of pg.Pool, in the same order and with the same arguments', async () => {
    open();
    const seen: unknown[][] = [];
    for (const event of ['connect', 'acquire', 'release', 'remove', 'error'])
      pool.on(event, (...args: unknown[]) => seen.push([event, ...args]));
    const client = await pool.acquire();
    client.release();
    await pool.acquire();
    const error = new Error('of mine');
    client.release(error);
    await flushPromises();
    expect(seen).toEqual([
      ['connect', client],
      ['acquire', client],
      ['release', undefined, client],
      ['acquire', client],
      ['release', error, client],
      ['remove', client],
    ]);
  });

  it('are not emitted for a connection that could not be opened', async () => {
    open();
    const heard = jest.fn();
    for (const event of ['connect', 'acquire', 'release', 'remove', 'error']) pool.on(event, heard);
    server.connectError = new Error('refused');
    await expect(pool.acquire()).rejects.toMatchObject({ code: 'POOL_CONNECT_FAILED' });
    expect(heard).not.toHaveBeenCalled();
  });
});

describe('end()', () => {
  it('calls back when every connection is closed, and passes an error to a second callback', async () => {
    open();
    const client = await pool.acquire();
    const callback = jest.fn();
    pool.end(callback);
    await new Promise((resolve) => setImmediate(resolve));
    expect(callback).not.toHaveBeenCalled();
    client.release();
    await new Promise((resolve) => setImmediate(resolve));
    expect(callback.mock.calls).toEqual([[]]);
    expect(client.isClosed).toBe(true);
    const late = await callbackCall((again) => pool.end(again));
    expect(late).toEqual({ args: [new Error('Called end on pool more than once')], returned: undefined });
  });

  it('calls the callback where its errors are uncaught exceptions', async () => {
    open();
    const callback = () => undefined;
    expect(await queuedCalls(callback, () => pool.end(callback))).toEqual([[]]);
    expect(await queuedCalls(callback, () => pool.end(callback))).toEqual([[expect.any(Error)]]);
  });

  it('rejects a second call even while the first one is running', async () => {
    open();
    const client = await pool.acquire();
    const ended = pool.end();
    await expect(pool.end()).rejects.toThrow('Called end on pool more than once');
    client.release();
    await ended;
  });
});

describe('drain()', () => {
  it('has a default timeout of ten seconds', async () => {
    open();
    const client = await pool.acquire();
    const drained = jest.fn();
    void pool.drain().then(drained);
    await clock.advance(9_999);
    expect(client.cancelCount).toBe(0);
    await clock.advance(1);
    expect(client.cancelCount).toBe(1);
    await clock.advance(500);
    expect(drained).toHaveBeenCalledWith({ released: 0, destroyed: 1, rejected: 0 });
  });
});

describe('The statistics of the pool', () => {
  it('count all, idle and expired connections and the waiters without a connect', async () => {
    open({ size: 2, maxOverflow: 0, maxLifetimeMs: 60_000 });
    const counts = () => [pool.totalCount, pool.idleCount, pool.waitingCount, pool.expiredCount];
    expect(counts()).toEqual([0, 0, 0, 0]);
    server.isConnectManual = true;
    const asked = [1, 2, 3].map(() => observe(pool.acquire()));
    // A connect is running for two of the three.
    expect(counts()).toEqual([2, 0, 1, 0]);
    for (const client of server.clients) client.completeConnect();
    await flushPromises();
    expect(counts()).toEqual([2, 0, 1, 0]);
    asked[0]?.client?.release();
    await flushPromises();
    expect(counts()).toEqual([2, 0, 0, 0]);
    asked[1]?.client?.release();
    expect(counts()).toEqual([2, 1, 0, 0]);
    await clock.advance(60_000);
    expect(counts()).toEqual([1, 0, 0, 1]);
  });

  it.each([
    [{ size: 2, maxOverflow: 1 }, 3],
    [{ poolSize: 4 }, 4],
    [{ max: 6 }, 6],
  ])('include options.max as in pg.Pool, enumerable only when it was given: %j', (options, max) => {
    open(options);
    expect(pool.options.max).toBe(max);
    expect(Object.keys(pool.options).includes('max')).toBe('max' in options);
  });

  it('do not count a connect without a waiter as a waiter', async () => {
    open();
    server.isConnectManual = true;
    const abort = new AbortController();
    observe(pool.acquire({ signal: abort.signal }));
    abort.abort();
    expect([pool.waitingCount, pool.totalCount]).toEqual([0, 1]);
  });

  it('list the leases, the longest first, in a new array', async () => {
    open();
    const first = await pool.acquire({ borrower: 'first' });
    const second = await pool.acquire({ borrower: 'second' });
    const leases = pool.leases();
    expect(leases.map(({ borrower }) => borrower)).toEqual(['first', 'second']);
    expect([pool.leaseOf(first), pool.leaseOf(second)]).toEqual(leases);
    leases.length = 0;
    expect(pool.leases()).toHaveLength(2);
    first.release();
    expect(pool.leaseOf(first)).toBeUndefined();
    expect(pool.leaseOf(second)?.borrower).toBe('second');
  });

  it('are the snapshot in JSON and one sentence in inspect', async () => {
    open({ size: 2, maxOverflow: 1, password: 's3cret' });
    await pool.acquire({ borrower: 'GET /users' });
    expect(JSON.parse(JSON.stringify({ pool }))).toEqual({
      pool: JSON.parse(JSON.stringify(pool.snapshot())),
    });
    expect(inspect(pool)).toBe('ConnectionPool { 1 of 3 connections in use, 0 waiting }');
  });
});

describe('The class of the clients', () => {
  it.each([
    [{}, 10_000],
    [{ connectTimeoutMs: 2_000 }, 2_000],
    [{ connectionTimeoutMillis: 3_000 }, 3_000],
    [{ connectTimeoutMs: 0 }, 0],
  ])('gets the connect timeout with %j, and sets no timer of its own for it', async (options, ms) => {
    open({ application_name: 'app', ...options });
    (await pool.acquire()).release();
    expect(server.clients[0]?.options).toMatchObject({
      application_name: 'app',
      connectTimeoutMs: ms,
      connectionTimeoutMillis: 0,
    });
  });

  it('is taken from the option Client before the second argument', async () => {
    class Mine extends FakeClient {
      constructor() {
        super(server, {});
      }
    }
    open();
    for (const made of [
      new ConnectionPool<FakeClient>({ clock, Client: Mine }, server.Client),
      new ConnectionPool<FakeClient>({ clock }, Mine),
    ]) {
      const client = await made.connect();
      expect(client).toBeInstanceOf(Mine);
      client.release();
      await made.end();
    }
  });
});
