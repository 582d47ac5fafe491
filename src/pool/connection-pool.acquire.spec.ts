import { describe, expect, it } from '@jest/globals';
import { clock, fake, open, pool, server } from '../../test/support/open-fake-pool.js';
import { observe } from '../../test/support/fake-pool.js';
import type { LeasedFakeClient } from '../../test/support/fake-pool.js';
import { flushPromises } from '../../test/support/virtual-clock.js';

const acquireAll = (count: number): Promise<LeasedFakeClient[]> => fake.acquireAll(count);

describe('ConnectionPool under demand', () => {
  it('opens no connection that no waiter needs', async () => {
    open({ size: 5, maxOverflow: 10 });
    const [leased] = (await acquireAll(1)) as [LeasedFakeClient];
    server.isConnectManual = true;
    const burst = Array.from({ length: 50 }, () => pool.acquire().then((client) => client.release()));
    expect(server.clients).toHaveLength(15);
    leased.release();
    await Promise.all(burst);
    expect(server.clients).toHaveLength(15);
    for (const client of server.clients.slice(1)) client.completeConnect();
    await flushPromises();
    expect(pool.snapshot()).toMatchObject({ total: 15, idle: 15, waiting: 0 });
  });

  it('serves the longest waiter with whatever is ready first, a released connection or a new one', async () => {
    open({ size: 2, maxOverflow: 0 });
    const [leased] = (await acquireAll(1)) as [LeasedFakeClient];
    server.isConnectManual = true;
    const first = observe(pool.acquire());
    const second = observe(pool.acquire());
    expect(server.clients).toHaveLength(2);
    leased.release();
    await flushPromises();
    expect(first.client).toBe(leased);
    server.clients[1]?.completeConnect();
    await flushPromises();
    expect(second.client).toBe(server.clients[1]);
  });

  it('keeps a connection whose waiter was cancelled while it connected', async () => {
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

  it('does not let a new acquire overtake the waiters', async () => {
    open({ max: 1 });
    const leased = await pool.acquire();
    const order: string[] = [];
    const first = pool.acquire().then((client) => (order.push('first'), client));
    leased.release();
    const second = pool.acquire().then((client) => (order.push('second'), client));
    (await first).release();
    (await second).release();
    expect(order).toEqual(['first', 'second']);
  });

  it('serves the longest waiter with another connection while its own connect hangs, and replaces that connect after its timeout', async () => {
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

  it('starts no further connect while enough connections are being reset', async () => {
    open({ size: 2, maxOverflow: 0 });
    const leased = await pool.acquire();
    let cleaned: (() => void) | undefined;
    leased.resetResult = new Promise((resolve) => {
      cleaned = () => resolve({ rolledBack: false, cleared: true });
    });
    leased.release();
    expect(pool.snapshot()).toMatchObject({ resetting: 1, leased: 0, idle: 0 });
    const waiting = observe(pool.acquire());
    expect(server.clients).toHaveLength(1);
    cleaned?.();
    await flushPromises();
    expect(waiting.client).toBe(leased);
    expect(pool.snapshot().counters.resets).toBe(1);
  });
});

describe('Deadlines and signals', () => {
  it('rejects at the deadline with the state of the pool and its longest holder', async () => {
    open({ max: 1, acquireTimeoutMs: 30_000 });
    const leased = await pool.acquire({ borrower: 'GET /users/:id' });
    leased.transactionStatus = 'T';
    leased.lastSql = "UPDATE users SET name = 'x'";
    await clock.advance(100);
    const usersService = async () => await pool.acquire();
    const asked = observe(usersService());
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
    expect(asked.error?.stack).toContain('connection-pool.acquire.spec');
    expect(pool.snapshot().counters.timeouts).toBe(1);
  });

  it('bounds connect, hooks and queue together by the deadline of the acquire', async () => {
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

  it('keeps the deadline of each acquire, in whatever order they end', async () => {
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

  it('keeps the deadline of a waiter while others are served or cancelled', async () => {
    open({ max: 1 });
    const leased = await pool.acquire();
    const served = observe(pool.acquire({ deadlineMs: 1_000 }));
    const abort = new AbortController();
    const cancelled = observe(pool.acquire({ deadlineMs: 1_000, signal: abort.signal }));
    const late = observe(pool.acquire({ deadlineMs: 1_000 }));
    leased.release();
    abort.abort();
    await flushPromises();
    expect([served.client, cancelled.error?.code]).toEqual([leased, 'POOL_ACQUIRE_CANCELLED']);
    await clock.advance(1_000);
    expect(late.error?.code).toBe('POOL_ACQUIRE_TIMEOUT');
  });

  it('waits without a limit when the timeout is 0', async () => {
    open({ max: 1, connectionTimeoutMillis: 0 });
    const leased = await pool.acquire();
    const asked = observe(pool.acquire());
    await clock.advance(100_000_000);
    expect(asked.error).toBeUndefined();
    leased.release();
    await flushPromises();
    expect(asked.client).toBe(leased);
  });

  it('uses one timer for ten thousand waiters, and removes each of them when it is cancelled', async () => {
    open({ max: 1 });
    const leased = await pool.acquire();
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
    leased.release();
    await flushPromises();
    expect(last.client).toBe(leased);
  });

  it('rejects immediately when the signal is already aborted', async () => {
    open();
    await expect(pool.acquire({ signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'POOL_ACQUIRE_CANCELLED',
    });
    expect(server.clients).toHaveLength(0);
  });

  it('ignores a signal that aborts after the acquire', async () => {
    open();
    const abort = new AbortController();
    const client = await pool.acquire({ signal: abort.signal });
    abort.abort();
    await flushPromises();
    expect(pool.snapshot().leased).toBe(1);
    client.release();
  });

  it('refuses an acquire beyond maxWaiting immediately, and does not count waiters with a pending connection', async () => {
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

  it('leases an idle connection even if maxWaiting is 0', async () => {
    open({ max: 1, maxWaiting: 0 });
    const client = await pool.acquire();
    await expect(pool.acquire()).rejects.toMatchObject({ code: 'POOL_QUEUE_FULL' });
    client.release();
    expect(await pool.acquire()).toBe(client);
  });
});

describe('A deadlineMs that is not a number', () => {
  it.each([NaN, '100' as never, {} as never])(
    'is refused immediately, with and without waiters: %p',
    async (deadlineMs) => {
      const { pool, clock } = open({ max: 1 });
      const refusal = {
        name: 'DatabaseConfigError',
        message: expect.stringContaining('deadlineMs') as never,
      };
      await expect(pool.acquire({ deadlineMs })).rejects.toMatchObject(refusal);
      const client = await pool.acquire();
      await expect(pool.acquire({ deadlineMs })).rejects.toMatchObject(refusal);
      const late = observe(pool.acquire({ deadlineMs: 200 }));
      await clock.advance(200);
      expect(late.error).toMatchObject({ code: 'POOL_ACQUIRE_TIMEOUT' });
      expect(pool.snapshot().waiting).toBe(0);
      client.release();
    },
  );

  it('does not include undefined, or a negative number, which expires immediately', async () => {
    const { pool, clock } = open({ max: 1 });
    const client = await pool.acquire({ deadlineMs: undefined });
    const late = observe(pool.acquire({ deadlineMs: -5 }));
    await clock.advance(0);
    expect(late.error).toMatchObject({ code: 'POOL_ACQUIRE_TIMEOUT' });
    client.release();
  });
});
