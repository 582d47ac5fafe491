import { afterEach, describe, expect, it } from '@jest/globals';
import type { FakeClient, FakeServer } from '../../test/support/fake-client.js';
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

const acquireAll = (count: number): Promise<LeasedFakeClient[]> => fake.acquireAll(count);

afterEach(() => fake.close());

describe('a server that wakes up', () => {
  const waking = () => Object.assign(new Error('the database system is starting up'), { code: '57P03' });

  it('is waited for, within the deadline, and costs the caller no error', async () => {
    open();
    server.connectError = waking();
    const asked = observe(pool.acquire({ deadlineMs: 5_000 }));
    await clock.advance(3_000);
    expect(asked).toEqual({});
    expect(pool.snapshot().counters.connectFailures).toBeGreaterThan(3);
    server.connectError = undefined;
    await clock.advance(1_000);
    expect(asked.client).toBeDefined();
    asked.client?.release();
  });

  it('that does not in time fails the acquire at its deadline, with what it said', async () => {
    open();
    server.connectError = waking();
    const asked = observe(pool.acquire({ deadlineMs: 2_000 }));
    await clock.advance(2_000);
    expect(asked.error).toMatchObject({ code: 'POOL_ACQUIRE_TIMEOUT', cause: { code: '57P03' } });
  });

  it('is told in the words of who made the pool', async () => {
    open({ explain: ({ message }) => ({ meaning: `at home: ${message}`, hint: 'Wait.' }) });
    server.connectError = waking();
    const [failed, late] = [{ failFast: true }, { deadlineMs: 1_000 }].map((how) =>
      observe(pool.acquire(how)),
    );
    await clock.advance(1_000);
    expect(failed!.error).toMatchObject({
      hint: 'Wait.',
      message: expect.stringMatching(
        /^Could not open a connection: at home: the database system is starting up: \d/,
      ),
    });
    expect(late!.error).toMatchObject({ code: 'POOL_ACQUIRE_TIMEOUT', hint: 'Wait.' });
  });

  it.each([{ failFast: true }, { deadlineMs: Infinity }])('is not waited for with %p', async (how) => {
    open();
    server.connectError = waking();
    await expect(pool.acquire(how)).rejects.toMatchObject({ code: 'POOL_CONNECT_FAILED' });
  });
});

describe('size and overflow', () => {
  it('opens nothing before it is asked', () => {
    open();
    expect(server.clients).toHaveLength(0);
  });

  it('opens at most size and maxOverflow connections, those being opened included', async () => {
    open({ size: 2, maxOverflow: 1 });
    server.isConnectManual = true;
    const asked = Array.from({ length: 10 }, () => observe(pool.acquire()));
    expect(server.clients).toHaveLength(3);
    expect(pool.snapshot()).toMatchObject({
      state: 'open',
      size: 2,
      maxOverflow: 1,
      max: 3,
      total: 3,
      connecting: 3,
      waiting: 10,
      overflow: 1,
    });
    expect([pool.totalCount, pool.waitingCount]).toEqual([3, 7]);
    for (const client of server.clients) client.completeConnect();
    await flushPromises();
    expect(asked.filter(({ client }) => client)).toHaveLength(3);
    expect(pool.snapshot()).toMatchObject({ total: 3, leased: 3, waiting: 7, connecting: 0 });
  });

  it('reuses the connection given back last, so that the others can die', async () => {
    open({ size: 3, maxOverflow: 0 });
    const [first, second] = (await acquireAll(3)) as [LeasedFakeClient, LeasedFakeClient, LeasedFakeClient];
    second.release();
    first.release();
    expect(await pool.acquire()).toBe(first);
  });

  it('closes connections above size when they were idle for a while, and keeps the others', async () => {
    open({ size: 2, maxOverflow: 3, overflowIdleMs: 1_000 });
    for (const client of await acquireAll(5)) client.release();
    await clock.advance(999);
    expect(pool.totalCount).toBe(5);
    await clock.advance(1);
    expect(pool.totalCount).toBe(2);
    expect(pool.snapshot().counters.destroyed.overflow).toBe(3);
    await clock.advance(1_000_000);
    expect(pool.totalCount).toBe(2);
  });

  it('closes the ones that were idle longest', async () => {
    open({ size: 1, maxOverflow: 1, overflowIdleMs: 1_000 });
    const [first, second] = (await acquireAll(2)) as [LeasedFakeClient, LeasedFakeClient];
    first.release();
    await clock.advance(400);
    second.release();
    await clock.advance(600);
    expect(first.isClosed).toBe(true);
    expect(second.isClosed).toBe(false);
  });

  it('closes each of them in its own time', async () => {
    open({ size: 1, maxOverflow: 2, overflowIdleMs: 1_000 });
    const [first, second] = (await acquireAll(3)) as [LeasedFakeClient, LeasedFakeClient, LeasedFakeClient];
    first.release();
    await clock.advance(400);
    second.release();
    await clock.advance(600);
    expect(pool.totalCount).toBe(2);
    await clock.advance(399);
    expect(pool.totalCount).toBe(2);
    await clock.advance(1);
    expect(pool.totalCount).toBe(1);
  });

  it('with the names of pg-pool closes idle connections down to min', async () => {
    open({ max: 4, min: 1, idleTimeoutMillis: 500 });
    for (const client of await acquireAll(4)) client.release();
    await clock.advance(500);
    expect(pool.totalCount).toBe(1);
    expect(pool.snapshot().counters.destroyed.idle).toBe(3);
  });

  it('keeps idle connections for ever when idleTimeoutMillis is 0 or null', async () => {
    for (const idleTimeoutMillis of [0, null]) {
      open({ max: 2, idleTimeoutMillis });
      for (const client of await acquireAll(2)) client.release();
      await clock.advance(10_000_000);
      expect(pool.totalCount).toBe(2);
      await pool.end();
    }
  });

  it('opens minIdle connections ahead, keeps them ready, and never goes above size for it', async () => {
    open({ size: 3, maxOverflow: 2, minIdle: 2 });
    await flushPromises();
    expect(pool.snapshot()).toMatchObject({ idle: 2, total: 2 });
    await pool.acquire();
    await flushPromises();
    expect(pool.snapshot()).toMatchObject({ idle: 2, leased: 1, total: 3 });
    await pool.acquire();
    await flushPromises();
    expect(pool.snapshot()).toMatchObject({ idle: 1, leased: 2, total: 3 });
  });

  it('opens minIdle connections later when the server was not there', async () => {
    open({ minIdle: 1, size: 1 });
    server.connectError = new Error('down');
    await clock.advance(500);
    expect(pool.totalCount).toBe(0);
    server.connectError = undefined;
    await clock.advance(1_500);
    expect(pool.idleCount).toBe(1);
  });
});

describe('minIdle', () => {
  it('is seen to after a dial that failed, although who waited for it was served otherwise', async () => {
    open({ size: 2, maxOverflow: 0, minIdle: 1 });
    await flushPromises();
    server.isConnectManual = true;
    const lent = await pool.acquire();
    const waiting = observe(pool.acquire());
    expect(server.clients).toHaveLength(2);
    server.clients[1]?.completeConnect(new Error('refused'));
    await flushPromises();
    lent.release();
    await flushPromises();
    expect(waiting.client).toBe(lent);
    server.isConnectManual = false;
    await clock.advance(10);
    expect(pool.snapshot()).toMatchObject({ idle: 1, leased: 1 });
  });
});

describe('demand', () => {
  it('starts no dial that nobody needs any more', async () => {
    open({ size: 5, maxOverflow: 10 });
    const [lent] = (await acquireAll(1)) as [LeasedFakeClient];
    server.isConnectManual = true;
    const burst = Array.from({ length: 50 }, () => pool.acquire().then((client) => client.release()));
    expect(server.clients).toHaveLength(15);
    lent.release();
    await Promise.all(burst);
    expect(server.clients).toHaveLength(15);
    for (const client of server.clients.slice(1)) client.completeConnect();
    await flushPromises();
    expect(pool.snapshot()).toMatchObject({ total: 15, idle: 15, waiting: 0 });
  });

  it('serves the longest waiter with whatever comes first, a return or a new connection', async () => {
    open({ size: 2, maxOverflow: 0 });
    const [lent] = (await acquireAll(1)) as [LeasedFakeClient];
    server.isConnectManual = true;
    const first = observe(pool.acquire());
    const second = observe(pool.acquire());
    expect(server.clients).toHaveLength(2);
    lent.release();
    await flushPromises();
    expect(first.client).toBe(lent);
    server.clients[1]?.completeConnect();
    await flushPromises();
    expect(second.client).toBe(server.clients[1]);
  });

  it('keeps a connection whose waiter has gone meanwhile', async () => {
    open();
    server.isConnectManual = true;
    const abort = new AbortController();
    const asked = observe(pool.acquire({ signal: abort.signal }));
    abort.abort(new Error('client gone'));
    await flushPromises();
    expect(asked.error).toMatchObject({ code: 'POOL_ACQUIRE_CANCELLED', cause: { message: 'client gone' } });
    server.clients[0]?.completeConnect();
    await flushPromises();
    expect(pool.snapshot()).toMatchObject({ idle: 1, leased: 0, total: 1 });
  });

  it('lets nobody overtake those who wait', async () => {
    open({ max: 1 });
    const lent = await pool.acquire();
    const order: string[] = [];
    const first = pool.acquire().then((client) => (order.push('first'), client));
    lent.release();
    const second = pool.acquire().then((client) => (order.push('second'), client));
    (await first).release();
    (await second).release();
    expect(order).toEqual(['first', 'second']);
  });

  it('does not let a dial that hangs hold up anybody else, and has its place back at its deadline', async () => {
    open({ size: 2, maxOverflow: 0, connectTimeoutMs: 1_000, acquireTimeoutMs: 5_000 });
    server.isConnectManual = true;
    const hanging = observe(pool.acquire());
    const other = observe(pool.acquire());
    server.clients[1]?.completeConnect();
    await flushPromises();
    expect(hanging.client).toBe(server.clients[1]);
    await clock.advance(1_000);
    expect(server.clients[0]?.isClosed).toBe(true);
    expect(server.clients).toHaveLength(2);
    await clock.advance(10);
    expect(server.clients).toHaveLength(3);
    server.clients[2]?.completeConnect();
    await flushPromises();
    expect(other.client).toBe(server.clients[2]);
  });

  it('asks for no further dial while enough connections are being cleaned', async () => {
    open({ size: 2, maxOverflow: 0 });
    const lent = await pool.acquire();
    let cleaned: (() => void) | undefined;
    lent.resetResult = new Promise((resolve) => {
      cleaned = () => resolve({ rolledBack: false, cleared: true });
    });
    lent.release();
    expect(pool.snapshot()).toMatchObject({ resetting: 1, leased: 0, idle: 0 });
    const waiting = observe(pool.acquire());
    expect(server.clients).toHaveLength(1);
    cleaned?.();
    await flushPromises();
    expect(waiting.client).toBe(lent);
    expect(pool.snapshot().counters.resets).toBe(1);
  });
});

describe('deadlines and signals', () => {
  it('fails at the deadline with the state of the pool and who holds it longest', async () => {
    open({ max: 1, acquireTimeoutMs: 30_000 });
    const lent = await pool.acquire({ borrower: 'GET /users/:id' });
    lent.transactionStatus = 'T';
    lent.lastSql = "UPDATE users SET name = 'x'";
    await clock.advance(100);
    const asked = observe(pool.acquire());
    await clock.advance(29_999);
    expect(asked.error).toBeUndefined();
    await clock.advance(1);
    expect(asked.error).toMatchObject({ code: 'POOL_ACQUIRE_TIMEOUT', name: 'PoolAcquireTimeoutError' });
    expect(asked.error?.message).toBe(
      'Connection timeout: no connection within 30.0 s (timeout exceeded when trying to connect): ' +
        '1 of 1 connections in use, 1 waiting; held longest: ' +
        "GET /users/:id for 30.1 s, in transaction, last SQL UPDATE users SET name = 'x'",
    );
    expect(asked.error).toMatchObject({
      snapshot: { leased: 1, waiting: 1 },
      holders: [{ borrower: 'GET /users/:id', heldMs: 30_100 }],
    });
    expect(asked.error?.stack).toContain('pool-engine.spec');
    expect(pool.snapshot().counters.timeouts).toBe(1);
  });

  it('bounds the whole by the deadline of the acquire: the dial, the hooks after it, and the queue', async () => {
    for (const options of [
      { slow: true },
      { onConnect: () => new Promise(() => undefined) },
      { verify: () => undefined },
    ]) {
      open({ connectTimeoutMs: 5_000, acquireTimeoutMs: 1_000, ...options });
      server.isConnectManual = 'slow' in options;
      const asked = [observe(pool.acquire()), observe(pool.acquire({ deadlineMs: 300 }))];
      await clock.advance(299);
      expect(asked.map(({ error }) => error)).toEqual([undefined, undefined]);
      await clock.advance(1);
      expect(asked.map(({ error }) => error?.code)).toEqual([undefined, 'POOL_ACQUIRE_TIMEOUT']);
      await clock.advance(700);
      expect(asked[0]?.error?.code).toBe('POOL_ACQUIRE_TIMEOUT');
      await fake.close();
    }
    open();
  });

  it('takes a deadline of its own for each acquire, whatever their order', async () => {
    open({ max: 1 });
    await pool.acquire();
    const long = observe(pool.acquire({ deadlineMs: 3_000 }));
    const short = observe(pool.acquire({ deadlineMs: 1_000 }));
    const middle = observe(pool.acquire({ deadlineMs: 2_000 }));
    await clock.advance(1_000);
    expect([long.error, short.error?.code, middle.error]).toEqual([
      undefined,
      'POOL_ACQUIRE_TIMEOUT',
      undefined,
    ]);
    await clock.advance(1_000);
    expect([long.error, middle.error?.code]).toEqual([undefined, 'POOL_ACQUIRE_TIMEOUT']);
    await clock.advance(1_000);
    expect(long.error?.code).toBe('POOL_ACQUIRE_TIMEOUT');
  });

  it('keeps the deadline of those who still wait when another one is served or gives up', async () => {
    open({ max: 1 });
    const lent = await pool.acquire();
    const served = observe(pool.acquire({ deadlineMs: 1_000 }));
    const abort = new AbortController();
    const givenUp = observe(pool.acquire({ deadlineMs: 1_000, signal: abort.signal }));
    const late = observe(pool.acquire({ deadlineMs: 1_000 }));
    lent.release();
    abort.abort();
    await flushPromises();
    expect([served.client, givenUp.error?.code]).toEqual([lent, 'POOL_ACQUIRE_CANCELLED']);
    await clock.advance(1_000);
    expect(late.error?.code).toBe('POOL_ACQUIRE_TIMEOUT');
  });

  it('waits for ever when the timeout is 0', async () => {
    open({ max: 1, connectionTimeoutMillis: 0 });
    const lent = await pool.acquire();
    const asked = observe(pool.acquire());
    await clock.advance(100_000_000);
    expect(asked.error).toBeUndefined();
    lent.release();
    await flushPromises();
    expect(asked.client).toBe(lent);
  });

  it('uses one timer for ten thousand waiters, and lets each of them leave at once', async () => {
    open({ max: 1 });
    const lent = await pool.acquire();
    const timers = clock.timerCount;
    const shared = new AbortController();
    const own = Array.from({ length: 5_000 }, () => new AbortController());
    const asked = [
      ...own.map(({ signal }) => observe(pool.acquire({ signal }))),
      ...own.map(() => observe(pool.acquire({ signal: shared.signal }))),
    ];
    const last = observe(pool.acquire());
    expect(clock.timerCount).toBe(timers + 1);
    for (const controller of own) controller.abort();
    shared.abort();
    await flushPromises();
    expect(asked.every(({ error }) => error?.code === 'POOL_ACQUIRE_CANCELLED')).toBe(true);
    expect(pool.snapshot()).toMatchObject({ waiting: 1, counters: { cancellations: 10_000 } });
    lent.release();
    await flushPromises();
    expect(last.client).toBe(lent);
  });

  it('refuses at once when the signal is aborted already', async () => {
    open();
    await expect(pool.acquire({ signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'POOL_ACQUIRE_CANCELLED',
    });
    expect(server.clients).toHaveLength(0);
  });

  it('does not care about a signal that is aborted after the connection was lent', async () => {
    open();
    const abort = new AbortController();
    const client = await pool.acquire({ signal: abort.signal });
    abort.abort();
    await flushPromises();
    expect(pool.snapshot().leased).toBe(1);
    client.release();
  });

  it('refuses more than maxWaiting at once, those not counted for whom a connection is being opened', async () => {
    open({ max: 1, maxWaiting: 1 });
    server.isConnectManual = true;
    const served = observe(pool.acquire());
    const waiting = observe(pool.acquire());
    const refused = observe(pool.acquire());
    await flushPromises();
    expect([served.error, waiting.error, refused.error?.code]).toEqual([
      undefined,
      undefined,
      'POOL_QUEUE_FULL',
    ]);
    expect(pool.snapshot().counters.refused).toBe(1);
    server.clients[0]?.completeConnect();
    await flushPromises();
    expect(served.client).toBeDefined();
  });

  it('lends a free connection although maxWaiting is 0', async () => {
    open({ max: 1, maxWaiting: 0 });
    const client = await pool.acquire();
    await expect(pool.acquire()).rejects.toMatchObject({ code: 'POOL_QUEUE_FULL' });
    client.release();
    expect(await pool.acquire()).toBe(client);
  });
});

describe('dials that fail', () => {
  it('tells the waiter at once when nothing else could serve it', async () => {
    open();
    server.connectError = Object.assign(new Error('password authentication failed'), { code: '28P01' });
    await expect(pool.acquire()).rejects.toMatchObject({
      name: 'PoolConnectError',
      code: 'POOL_CONNECT_FAILED',
      message: expect.stringContaining('password authentication failed'),
      cause: { code: '28P01' },
      snapshot: { total: 0 },
    });
    expect(pool.snapshot().counters).toMatchObject({ connectFailures: 1, failedByConnect: 1, created: 0 });
  });

  it('tells a dial that ran into its deadline apart', async () => {
    open({ connectTimeoutMs: 2_000 });
    server.isConnectManual = true;
    const asked = observe(pool.acquire());
    await clock.advance(2_000);
    expect(asked.error).toMatchObject({ code: 'POOL_CONNECT_TIMEOUT', cause: { code: 'CONNECT_TIMEOUT' } });
    expect(pool.totalCount).toBe(0);
  });

  it('keeps waiting for connections that are out, and names the dial as the cause of its timeout', async () => {
    open({ size: 2, maxOverflow: 0, acquireTimeoutMs: 5_000 });
    const lent = await pool.acquire();
    server.connectError = Object.assign(new Error('too many connections'), { code: '53300' });
    const served = observe(pool.acquire());
    const late = observe(pool.acquire());
    await clock.advance(1_000);
    lent.release();
    await flushPromises();
    expect(served.client).toBe(lent);
    await clock.advance(4_000);
    expect(late.error).toMatchObject({ code: 'POOL_ACQUIRE_TIMEOUT', cause: { code: '53300' } });
  });

  it('backs off: one dial at a time, ever later, until one succeeds', async () => {
    open({ size: 5, maxOverflow: 0 });
    await pool.acquire();
    server.connectError = new Error('refused');
    for (let i = 0; i < 4; i += 1) observe(pool.acquire());
    await clock.advance(2_000);
    const tries = server.clients.length;
    expect(tries).toBeGreaterThan(8);
    expect(tries).toBeLessThan(16);
    server.connectError = undefined;
    await clock.advance(1_000);
    expect(pool.snapshot()).toMatchObject({ leased: 5, waiting: 0 });
  });

  it('gives a waiter who came after a dial had begun a dial of its own', async () => {
    open({ max: 1 });
    server.isConnectManual = true;
    const early = observe(pool.acquire());
    await clock.advance(10);
    const late = observe(pool.acquire());
    server.clients[0]?.completeConnect(new Error('refused'));
    await flushPromises();
    expect(early.error?.code).toBe('POOL_CONNECT_FAILED');
    expect(late.error).toBeUndefined();
    await clock.advance(10);
    server.clients[1]?.completeConnect();
    await flushPromises();
    expect(late.client).toBe(server.clients[1]);
  });

  it('fails when the class of its clients cannot be made', async () => {
    open();
    pool = new ConnectionPool<FakeClient>(
      { clock, onWarning: false },
      class {
        constructor() {
          throw new TypeError('bad option');
        }
      } as never,
    );
    await expect(pool.acquire()).rejects.toMatchObject({
      code: 'POOL_CONNECT_FAILED',
      cause: { name: 'TypeError' },
    });
    expect(pool.snapshot()).toMatchObject({ waiting: 0, total: 0, connecting: 0 });
  });

  it('destroys a client that connects after its deadline', async () => {
    open({ connectTimeoutMs: 1_000 });
    server.isConnectManual = true;
    observe(pool.acquire());
    await clock.advance(1_000);
    server.clients[0]?.completeConnect();
    await flushPromises();
    expect(server.clients[0]?.isClosed).toBe(true);
    expect(pool.totalCount).toBe(0);
  });
});
