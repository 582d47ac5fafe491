import { describe, expect, it, jest } from '@jest/globals';
import { clock, fake, open, pool, server } from '../../test/support/open-fake-pool.js';
import { observe } from '../../test/support/fake-pool.js';
import type { LeasedFakeClient } from '../../test/support/fake-pool.js';
import { flushPromises } from '../../test/support/virtual-clock.js';

/** Prepares an idle connection that needs a validation, and one that is being reset. Connects and validations are manual then. */
async function withPendingConnections(): Promise<
  [idle: LeasedFakeClient, resetting: { client: LeasedFakeClient; done(): void }]
> {
  const [idle, client] = (await fake.acquireAll(2)) as [LeasedFakeClient, LeasedFakeClient];
  idle.release();
  await clock.advance(1_000);
  server.isValidationManual = true;
  server.isConnectManual = true;
  let done!: () => void;
  client.resetResult = new Promise((resolve) => {
    done = () => resolve({ rolledBack: false, cleared: true });
  });
  client.release();
  client.resetResult = undefined;
  return [idle, { client, done }];
}

describe('end()', () => {
  it('rejects waiters, closes idle connections, and resolves when the leased ones are released', async () => {
    open({ size: 2, maxOverflow: 0 });
    const [leased, idle] = (await fake.acquireAll(2)) as [LeasedFakeClient, LeasedFakeClient];
    const waiting = observe(pool.acquire());
    idle.release();
    await flushPromises();
    const second = waiting.client as LeasedFakeClient;
    const rejected = observe(pool.acquire());
    const ended = jest.fn();
    void pool.end().then(ended);
    await flushPromises();
    expect(rejected.error?.code).toBe('POOL_CLOSED');
    expect(pool.snapshot().counters.closed).toBe(1);
    expect([pool.ending, pool.snapshot().state]).toEqual([true, 'ending']);
    leased.release();
    await flushPromises();
    expect(ended).not.toHaveBeenCalled();
    second.release();
    await flushPromises();
    expect(ended).toHaveBeenCalled();
    expect(pool.ended).toBe(true);
    expect(pool.snapshot().state).toBe('ended');
  });

  it('resolves immediately when no connection was ever opened', async () => {
    open();
    await pool.end();
    expect(pool.ended).toBe(true);
  });

  it('rejects a second end() and every later acquire', async () => {
    open();
    await pool.end();
    await expect(pool.end()).rejects.toThrow('Called end on pool more than once');
    await expect(pool.acquire()).rejects.toMatchObject({
      code: 'POOL_CLOSED',
      message: expect.stringContaining('Cannot use a pool after calling end on the pool'),
    });
  });

  it('serves waiters with a pending connection, and keeps no more connections than waiters', async () => {
    open({ size: 4, maxOverflow: 0 });
    const [idle, resetting] = await withPendingConnections();
    const asked = [1, 2, 3].map(() => observe(pool.acquire()));
    const abort = new AbortController();
    const fourth = observe(pool.acquire({ signal: abort.signal }));
    const beyond = observe(pool.acquire());
    await flushPromises();
    expect(pool.snapshot()).toMatchObject({ connecting: 2, validating: 1, resetting: 1 });
    const ended = jest.fn();
    void pool.end().then(ended);
    await flushPromises();
    expect(beyond.error?.code).toBe('POOL_CLOSED');
    abort.abort();
    await flushPromises();
    expect(fourth.error?.code).toBe('POOL_ACQUIRE_CANCELLED');
    expect(pool.snapshot()).toMatchObject({ state: 'ending', total: 3, waiting: 3, connecting: 1 });
    idle.completeValidation();
    resetting.done();
    server.clients[2]?.completeConnect();
    await flushPromises();
    const served = asked.map(({ client }) => client);
    expect(served).toEqual([idle, resetting.client, server.clients[2]]);
    expect(ended).not.toHaveBeenCalled();
    for (const client of served) client?.release();
    await flushPromises();
    expect(ended).toHaveBeenCalled();
  });

  it('rejects a waiter whose connect or validation fails, with the failure as the cause', async () => {
    open({ size: 3, maxOverflow: 0 });
    const [idle, resetting] = await withPendingConnections();
    const asked = [1, 2, 3].map(() => observe(pool.acquire()));
    await flushPromises();
    const ended = pool.end();
    idle.completeValidation(new Error('dead'));
    await flushPromises();
    server.clients[2]?.completeConnect(new Error('refused'));
    await flushPromises();
    expect(asked.map(({ error }) => error?.code)).toEqual([undefined, 'POOL_CLOSED', 'POOL_CLOSED']);
    expect(asked.map(({ error }) => (error?.cause as Error | undefined)?.message)).toEqual([
      undefined,
      'refused',
      expect.stringContaining('dead'),
    ]);
    resetting.done();
    await flushPromises();
    asked[0]?.client?.release();
    await ended;
    expect(server.clients.length).toBe(3);
  });

  it('abandons a connect without a waiter, also when its last waiter has timed out', async () => {
    open({ size: 1, maxOverflow: 0 });
    server.isConnectManual = true;
    const late = observe(pool.acquire({ deadlineMs: 50 }));
    const ended = jest.fn();
    void pool.end().then(ended);
    await clock.advance(50);
    expect(late.error?.code).toBe('POOL_ACQUIRE_TIMEOUT');
    expect(ended).toHaveBeenCalled();
  });

  it('destroys connecting, validating and resetting connections in a drain, also after end()', async () => {
    for (const ended of [false, true]) {
      open({ size: 3, maxOverflow: 0 });
      await withPendingConnections();
      const asked = [1, 2, 3].map(() => observe(pool.acquire()));
      await flushPromises();
      expect(pool.snapshot()).toMatchObject({ connecting: 1, validating: 1, resetting: 1 });
      if (ended) void pool.end();
      await flushPromises();
      expect(pool.snapshot().waiting).toBe(3);
      const drained = pool.drain({ timeoutMs: 10 });
      await clock.advance(10);
      await drained;
      expect(asked.map(({ error }) => error?.code)).toEqual(['POOL_CLOSED', 'POOL_CLOSED', 'POOL_CLOSED']);
      expect(server.open).toEqual([]);
    }
  });
});

describe('drain()', () => {
  it('goes on leasing until nothing is leased and nothing waits, then closes', async () => {
    open({ max: 1 });
    const first = await pool.acquire();
    const drained = pool.drain({ timeoutMs: 10_000 });
    expect(pool.snapshot().state).toBe('draining');
    const second = observe(pool.acquire());
    first.release();
    await flushPromises();
    expect(second.client).toBe(first);
    second.client?.release();
    await flushPromises();
    expect(await drained).toEqual({ released: 2, destroyed: 0, rejected: 0 });
    expect(pool.ended).toBe(true);
    await expect(pool.acquire()).rejects.toMatchObject({ code: 'POOL_CLOSED' });
  });

  it('goes on while one of several connections is leased, and while one of several acquires waits', async () => {
    open({ size: 2, maxOverflow: 0 });
    const [first, second] = (await fake.acquireAll(2)) as [LeasedFakeClient, LeasedFakeClient];
    const drained = pool.drain({ timeoutMs: 10_000 });
    first.release();
    await flushPromises();
    expect(pool.snapshot().state).toBe('draining');
    second.release(true);
    await drained;
    open({ size: 2, maxOverflow: 0 });
    server.isConnectManual = true;
    const abort = new AbortController();
    const asked = observe(pool.acquire());
    const cancelled = observe(pool.acquire({ signal: abort.signal }));
    const drainedToo = pool.drain({ timeoutMs: 10_000 });
    abort.abort();
    await flushPromises();
    expect([cancelled.error?.code, pool.snapshot().state]).toEqual(['POOL_ACQUIRE_CANCELLED', 'draining']);
    for (const client of server.clients) client.completeConnect();
    await flushPromises();
    asked.client?.release();
    expect(await drainedToo).toEqual({ released: 1, destroyed: 0, rejected: 0 });
  });

  it('closes immediately when nothing is leased and nothing waits', async () => {
    open();
    (await pool.acquire()).release();
    expect(await pool.drain({ timeoutMs: 10_000 })).toEqual({ released: 0, destroyed: 0, rejected: 0 });
  });

  it('cancels running statements at its timeout, and accepts the releases after that', async () => {
    open({ max: 1 });
    const client = await pool.acquire();
    const waiting = observe(pool.acquire());
    const drained = pool.drain({ timeoutMs: 1_000 });
    await clock.advance(1_000);
    expect(client.cancelCount).toBe(1);
    expect(waiting.error?.code).toBe('POOL_CLOSED');
    client.release();
    await flushPromises();
    expect(await drained).toEqual({ released: 1, destroyed: 0, rejected: 1 });
    expect(client.destroyedBy).toBeUndefined();
  });

  it('gives every borrower half a second to release after the cancel request', async () => {
    open({ size: 2, maxOverflow: 0 });
    const [first, second] = (await fake.acquireAll(2)) as [LeasedFakeClient, LeasedFakeClient];
    const drained = pool.drain({ timeoutMs: 1_000 });
    await clock.advance(1_000);
    first.release();
    await clock.advance(499);
    expect(second.destroyedBy).toBeUndefined();
    second.release();
    expect(await drained).toEqual({ released: 2, destroyed: 0, rejected: 0 });
  });

  it('destroys a connection that is not released after the cancel request', async () => {
    open({ max: 1 });
    const client = await pool.acquire();
    const drained = pool.drain({ timeoutMs: 1_000 });
    await clock.advance(1_500);
    expect(await drained).toEqual({ released: 0, destroyed: 1, rejected: 0 });
    expect(client.destroyedBy).toMatchObject({ code: 'POOL_CLOSED' });
    client.release();
    expect(pool.snapshot().counters.released).toBe(0);
  });

  it('returns the same promise when it is called again, and end() waits for it', async () => {
    open({ max: 1 });
    const client = await pool.acquire();
    const drained = pool.drain({ timeoutMs: 1_000 });
    expect(pool.drain({ timeoutMs: 5 })).toBe(drained);
    client.release();
    await drained;
    await pool.end();
  });

  it('ends an end() that would wait without a limit', async () => {
    open({ max: 1 });
    await pool.acquire();
    const ended = jest.fn();
    void pool.end().then(ended);
    const drained = pool.drain({ timeoutMs: 100 });
    await clock.advance(600);
    await drained;
    await flushPromises();
    expect(ended).toHaveBeenCalled();
  });
});

describe('drain(), while borrowers stay active', () => {
  it('does not destroy the connection of a borrower that releases and acquires again synchronously', async () => {
    const { pool, clock } = open({ max: 1 });
    const first = await pool.acquire();
    const drained = pool.drain({ timeoutMs: 10_000 });
    await clock.advance(1_000);
    first.release();
    const second = observe(pool.acquire());
    await clock.advance(8_000);
    expect([second.client, first.cancelCount, pool.snapshot().state]).toEqual([first, 0, 'draining']);
    second.client?.release();
    expect(await drained).toEqual({ released: 2, destroyed: 0, rejected: 0 });
  });

  it('does not reject an acquire that follows a release synchronously, and still ends at its timeout', async () => {
    const { pool, server, clock } = open({ max: 1 });
    const first = await pool.acquire();
    const drained = pool.drain({ timeoutMs: 10_000 });
    await clock.advance(4_000);
    server.isConnectManual = true;
    first.release(true);
    const second = observe(pool.acquire());
    await clock.advance(5_999);
    expect([second.error, pool.snapshot().state]).toEqual([undefined, 'draining']);
    await clock.advance(1);
    expect(second.error).toMatchObject({ code: 'POOL_CLOSED' });
    expect(await drained).toEqual({ released: 1, destroyed: 0, rejected: 1 });
  });
});

describe('Closing connections', () => {
  it('is complete when the last socket is closed, and emits remove for each connection that was open', async () => {
    open();
    const removed = jest.fn();
    const ended = jest.fn();
    pool.on('remove', removed);
    const [first, second] = (await fake.acquireAll(2)) as [LeasedFakeClient, LeasedFakeClient];
    server.isConnectManual = true;
    const asked = observe(pool.acquire());
    const close = () => {
      let closed!: () => void;
      const closing = new Promise<void>((resolve) => (closed = resolve));
      return { closing, closed };
    };
    const [one, two] = [close(), close()];
    jest.spyOn(first, 'close').mockReturnValue(one.closing);
    jest.spyOn(second, 'close').mockReturnValue(two.closing);
    first.release();
    second.release();
    await flushPromises();
    asked.client?.release();
    void pool.end().then(ended);
    await flushPromises();
    expect([pool.totalCount, pool.ended, removed.mock.calls]).toEqual([0, false, []]);
    one.closed();
    await flushPromises();
    expect([pool.ended, removed.mock.calls]).toEqual([false, [[first]]]);
    two.closed();
    await flushPromises();
    expect([pool.ended, removed.mock.calls]).toEqual([true, [[first], [second]]]);
    expect(ended).toHaveBeenCalledTimes(1);
    expect(server.clients[2]?.destroyedBy).toMatchObject({ code: 'POOL_CLOSED' });
    expect(pool.snapshot()).toMatchObject({ connecting: 0, total: 0 });
    first.destroy();
    second.destroy();
  });

  it('leaves a leased connection alone when an older one still connects without a waiter', async () => {
    open({ size: 2, maxOverflow: 0 });
    server.isConnectManual = true;
    const abort = new AbortController();
    const leased = observe(pool.acquire());
    observe(pool.acquire({ signal: abort.signal }));
    server.clients[1]?.completeConnect();
    await flushPromises();
    abort.abort();
    const ended = pool.end();
    await flushPromises();
    expect(server.clients.map(({ isClosed }) => isClosed)).toEqual([true, false]);
    expect(leased.client).toBe(server.clients[1]);
    leased.client?.release();
    await ended;
  });

  it('leaves the idle connections alone when a leased one is closed', async () => {
    open({ size: 3, maxOverflow: 0 });
    const [first, second, third] = (await fake.acquireAll(3)) as [
      LeasedFakeClient,
      LeasedFakeClient,
      LeasedFakeClient,
    ];
    first.release();
    second.release();
    third.release(true);
    expect(pool.idleCount).toBe(2);
    expect(await fake.acquireAll(2)).toEqual([second, first]);
  });

  it('is forced when the close of a client fails', async () => {
    open();
    const client = await pool.acquire();
    jest.spyOn(client, 'close').mockRejectedValue(new Error('no goodbye'));
    client.release();
    await pool.end();
    expect(client.isClosed).toBe(true);
  });
});

describe('The process', () => {
  it('is neither kept alive nor released by connections when allowExitOnIdle is off', async () => {
    open();
    const client = await pool.acquire();
    client.release();
    await pool.acquire();
    expect(client.refs).toEqual([]);
  });

  it('may exit with clients that have neither ref nor unref', async () => {
    open({ allowExitOnIdle: true });
    const client = await pool.acquire();
    Object.assign(client, { ref: undefined, unref: undefined });
    client.release();
    expect(await pool.acquire()).toBe(client);
  });

  it('is kept alive by waiters and drains, but not by connects, housekeeping and leak detection', async () => {
    open({ size: 2, maxOverflow: 1, minIdle: 1, leakThresholdMs: 1_000, overflowIdleMs: 1_000 });
    server.isConnectManual = true;
    server.clients[0]?.completeConnect();
    const client = await pool.acquire();
    expect(clock.timerCount).toBeGreaterThan(1);
    expect(clock.keepAliveCount).toBe(0);
    server.clients[1]?.completeConnect(new Error('refused'));
    await flushPromises();
    expect(clock.keepAliveCount).toBe(0);
    const asked = observe(pool.acquire());
    expect(clock.keepAliveCount).toBe(1);
    await clock.advance(10);
    for (const connecting of server.clients) connecting.completeConnect();
    await flushPromises();
    expect([asked.client !== undefined, clock.keepAliveCount]).toEqual([true, 0]);
    const drained = pool.drain({ timeoutMs: 5_000 });
    expect(clock.keepAliveCount).toBe(1);
    client.release();
    asked.client?.release();
    await drained;
    expect(clock.timerCount).toBe(0);
  });

  it('is not kept by a drain any longer than until the last waiter has timed out', async () => {
    open({ acquireTimeoutMs: 1_000, connectTimeoutMs: 0 });
    server.isConnectManual = true;
    const asked = observe(pool.acquire());
    const drained = jest.fn();
    void pool.drain({ timeoutMs: 60_000 }).then(drained);
    await clock.advance(1_000);
    expect(asked.error?.code).toBe('POOL_ACQUIRE_TIMEOUT');
    expect(drained).toHaveBeenCalled();
  });
});
