import { describe, expect, it } from '@jest/globals';
import type { FakeClient } from '../../test/support/fake-client.js';
import { clock, fake, open, pool, server } from '../../test/support/open-fake-pool.js';
import { observe } from '../../test/support/fake-pool.js';
import type { LeasedFakeClient } from '../../test/support/fake-pool.js';
import { flushPromises } from '../../test/support/virtual-clock.js';
import { ConnectionPool } from './connection-pool.js';

const acquireAll = (count: number): Promise<LeasedFakeClient[]> => fake.acquireAll(count);

describe('Size and overflow', () => {
  it('opens no connection before the first acquire', () => {
    open();
    expect(server.clients).toHaveLength(0);
  });

  it('opens at most size and maxOverflow connections, connecting ones included', async () => {
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

  it('reuses the connection released last, so that the others can time out', async () => {
    open({ size: 3, maxOverflow: 0 });
    const [first, second] = (await acquireAll(3)) as [LeasedFakeClient, LeasedFakeClient, LeasedFakeClient];
    second.release();
    first.release();
    expect(await pool.acquire()).toBe(first);
  });

  it('closes connections above size after overflowIdleMs, and keeps the others', async () => {
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

  it('closes the connections that were idle for the longest time', async () => {
    open({ size: 1, maxOverflow: 1, overflowIdleMs: 1_000 });
    const [first, second] = (await acquireAll(2)) as [LeasedFakeClient, LeasedFakeClient];
    first.release();
    await clock.advance(400);
    second.release();
    await clock.advance(600);
    expect(first.isClosed).toBe(true);
    expect(second.isClosed).toBe(false);
  });

  it('closes each connection at its own idle timeout', async () => {
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

  it('closes idle connections down to min with the options of pg-pool', async () => {
    open({ max: 4, min: 1, idleTimeoutMillis: 500 });
    for (const client of await acquireAll(4)) client.release();
    await clock.advance(500);
    expect(pool.totalCount).toBe(1);
    expect(pool.snapshot().counters.destroyed.idle).toBe(3);
  });

  it('keeps idle connections without a limit when idleTimeoutMillis is 0 or null', async () => {
    for (const idleTimeoutMillis of [0, null]) {
      open({ max: 2, idleTimeoutMillis });
      for (const client of await acquireAll(2)) client.release();
      await clock.advance(10_000_000);
      expect(pool.totalCount).toBe(2);
      await pool.end();
    }
  });

  it('opens minIdle connections ahead and keeps them ready, but at most size connections', async () => {
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

  it('opens minIdle connections later when the server was down', async () => {
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
  it('is restored after a failed connect, although its waiter was served by another connection', async () => {
    open({ size: 2, maxOverflow: 0, minIdle: 1 });
    await flushPromises();
    server.isConnectManual = true;
    const leased = await pool.acquire();
    const waiting = observe(pool.acquire());
    expect(server.clients).toHaveLength(2);
    server.clients[1]?.completeConnect(new Error('refused'));
    await flushPromises();
    leased.release();
    await flushPromises();
    expect(waiting.client).toBe(leased);
    server.isConnectManual = false;
    await clock.advance(10);
    expect(pool.snapshot()).toMatchObject({ idle: 1, leased: 1 });
  });
});

describe('A failed connect', () => {
  it('rejects the waiter immediately when there is no other connection', async () => {
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

  it('has a separate code when it timed out', async () => {
    open({ connectTimeoutMs: 2_000 });
    server.isConnectManual = true;
    const asked = observe(pool.acquire());
    await clock.advance(2_000);
    expect(asked.error).toMatchObject({ code: 'POOL_CONNECT_TIMEOUT', cause: { code: 'CONNECT_TIMEOUT' } });
    expect(pool.totalCount).toBe(0);
  });

  it('leaves a waiter to the leased connections, and is the cause of its timeout', async () => {
    open({ size: 2, maxOverflow: 0, acquireTimeoutMs: 5_000 });
    const leased = await pool.acquire();
    server.connectError = Object.assign(new Error('too many connections'), { code: '53300' });
    const served = observe(pool.acquire());
    const late = observe(pool.acquire());
    await clock.advance(1_000);
    leased.release();
    await flushPromises();
    expect(served.client).toBe(leased);
    await clock.advance(4_000);
    expect(late.error).toMatchObject({ code: 'POOL_ACQUIRE_TIMEOUT', cause: { code: '53300' } });
  });

  it('is followed by one connect at a time, with growing delays, until one succeeds', async () => {
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

  it('does not reject a waiter that came after it had started', async () => {
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

  it('is reported when the constructor of the client throws', async () => {
    open();
    const failing = new ConnectionPool<FakeClient>(
      { clock, onWarning: false },
      class {
        constructor() {
          throw new TypeError('bad option');
        }
      } as never,
    );
    await expect(failing.acquire()).rejects.toMatchObject({
      code: 'POOL_CONNECT_FAILED',
      cause: { name: 'TypeError' },
    });
    expect(failing.snapshot()).toMatchObject({ waiting: 0, total: 0, connecting: 0 });
  });

  it('destroys a client that connects after the timeout', async () => {
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

describe('Connects that fail together', () => {
  it('count as one failure: the next connect follows after the shortest delay', async () => {
    const { pool, server, clock } = open({ size: 5, maxOverflow: 10, acquireTimeoutMs: 5_000 });
    server.isConnectManual = true;
    const first = Array.from({ length: 15 }, () => observe(pool.acquire()));
    for (const client of [...server.clients]) {
      await clock.advance(1);
      client.completeConnect(new Error('refused'));
    }
    await flushPromises();
    expect(first.every(({ error }) => error?.code === 'POOL_CONNECT_FAILED')).toBe(true);
    const later = observe(pool.acquire());
    await clock.advance(10);
    expect(server.clients.length).toBe(16);
    server.clients[15]?.completeConnect(new Error('refused'));
    await flushPromises();
    const last = observe(pool.acquire());
    await clock.advance(19);
    expect([later.error?.code, server.clients.length]).toEqual(['POOL_CONNECT_FAILED', 16]);
    await clock.advance(1);
    server.clients[16]?.completeConnect();
    await flushPromises();
    expect(last.client).toBe(server.clients[16]);
    last.client?.release();
  });
});

describe('A server that is starting up', () => {
  const waking = () => Object.assign(new Error('the database system is starting up'), { code: '57P03' });

  it('is waited for within the deadline, without an error', async () => {
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

  it('is the cause of the timeout when it is not up at the deadline', async () => {
    open();
    server.connectError = waking();
    const asked = observe(pool.acquire({ deadlineMs: 2_000 }));
    await clock.advance(2_000);
    expect(asked.error).toMatchObject({ code: 'POOL_ACQUIRE_TIMEOUT', cause: { code: '57P03' } });
  });

  it('is explained by the option explainConnectError', async () => {
    open({ explainConnectError: ({ message }) => ({ meaning: `at home: ${message}`, hint: 'Wait.' }) });
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
