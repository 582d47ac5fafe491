import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { FakePool, observe } from '../../test/support/fake-pool.js';
import type { LeasedFakeClient } from '../../test/support/fake-pool.js';
import { flushPromises } from '../../test/support/virtual-clock.js';

let fake: FakePool;
const open = (options: ConstructorParameters<typeof FakePool>[0] = {}) => (fake = new FakePool(options));

beforeEach(() => {
  fake = new FakePool();
});
afterEach(() => fake.close());

describe('a drain, while its borrowers go on', () => {
  it('does not cut one who gives back and acquires again in one go', async () => {
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

  it('does not reject one who waits again in one go, and ends at its time all the same', async () => {
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

describe('a deadline that is no number', () => {
  it.each([NaN, '100' as never, {} as never])(
    'is refused at once, whether somebody waits or not: %p',
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

  it('may be negative, as what is left of a budget is, or undefined', async () => {
    const { pool, clock } = open({ max: 1 });
    const client = await pool.acquire({ deadlineMs: undefined });
    const late = observe(pool.acquire({ deadlineMs: -5 }));
    await clock.advance(0);
    expect(late.error).toMatchObject({ code: 'POOL_ACQUIRE_TIMEOUT' });
    client.release();
  });
});

describe('a connection that is used after it was given back', () => {
  it.each(['T', 'E'] as const)('and is in a transaction (%s) is lent to nobody', async (status) => {
    const { pool, server, warnings } = open({ max: 2 });
    const [late, other] = (await fake.acquireAll(2)) as [LeasedFakeClient, LeasedFakeClient];
    other.release();
    late.release();
    late.transactionStatus = status;
    late.lastSql = 'BEGIN';
    expect(await pool.acquire()).toBe(other);
    await flushPromises();
    expect([late.isClosed, server.clients.length]).toEqual([true, 2]);
    expect(pool.snapshot().counters.destroyed.reset).toBe(1);
    expect(warnings).toMatchObject([{ code: 'USED_AFTER_RELEASE', level: 'warn' }]);
    expect(warnings[0]?.message).toMatch(/used it after the release, last SQL BEGIN\.$/);
    other.release();
  });

  it.each([
    ['runs a statement', 'smart', 'ran a statement', { isReadyForQuery: false }],
    ['runs a statement', 'rollback', 'ran a statement', { isReadyForQuery: false }],
    ['has its session changed', 'smart', 'had its session changed', { isSessionChanged: true }],
    ['has its session changed', 'discard', 'had its session changed', { isSessionChanged: true }],
  ] as const)('and %s is lent to nobody, with reset %s', async (_, reset, found, state) => {
    const { pool, server, warnings } = open({ max: 1, reset });
    const client = (await pool.acquire()) as LeasedFakeClient;
    client.release();
    Object.assign(client, state, { lastSql: 'SET a = 1' });
    const next = await pool.acquire();
    await flushPromises();
    expect([client.isClosed, server.clients.length]).toEqual([true, 2]);
    expect(client.destroyedBy).toMatchObject({ code: 'CONNECTION_RESET_FAILED' });
    expect(pool.snapshot().counters.destroyed.reset).toBe(1);
    expect(warnings).toMatchObject([{ code: 'USED_AFTER_RELEASE', level: 'warn' }]);
    expect(warnings[0]?.message).toContain(`An idle connection ${found} and was closed`);
    next.release();
  });

  it.each([
    ['none', { isReadyForQuery: false }],
    ['none', { isSessionChanged: true }],
    ['rollback', { isSessionChanged: true }],
  ] as const)('is lent where the reset %s leaves it as it came back: %j', async (reset, state) => {
    const { pool, warnings } = open({ max: 1, reset });
    const client = await pool.acquire();
    Object.assign(client, state);
    client.release();
    expect(await pool.acquire()).toBe(client);
    expect(warnings).toEqual([]);
    client.release();
  });

  it('is found before it is asked whether it is alive', async () => {
    const { pool, clock, warnings } = open({ max: 1, min: 1, keepaliveMs: 30_000 });
    const client = (await pool.acquire()) as LeasedFakeClient;
    client.release();
    client.isReadyForQuery = false;
    await clock.advance(30_000);
    expect([client.validations, client.isClosed]).toEqual([0, true]);
    expect(warnings).toMatchObject([{ code: 'USED_AFTER_RELEASE' }]);
  });

  it('is not one that was never lent and runs what a connect listener has sent: it is lent', async () => {
    const { pool, server, warnings } = open({ max: 1, minIdle: 1 });
    await flushPromises();
    const client = server.clients[0] as LeasedFakeClient;
    expect(pool.snapshot().idle).toBe(1);
    Object.assign(client, { isReadyForQuery: false, isSessionChanged: true, transactionStatus: 'T' });
    expect(await pool.acquire()).toBe(client);
    expect(warnings).toEqual([]);
    client.transactionStatus = 'I';
    client.release();
  });
});

describe('listeners and hooks', () => {
  it('may end the pool when a connection has been opened: who waits for it still gets it, and the books are kept', async () => {
    const { pool } = open({ max: 2 });
    const ended: Promise<unknown>[] = [];
    pool.once('connect', () => void ended.push(pool.end()));
    const asked = [observe(pool.acquire()), observe(pool.acquire())];
    await flushPromises();
    expect(pool.snapshot()).toMatchObject({ state: 'ending', leased: 2, connecting: 0 });
    for (const { client } of asked) client?.release();
    await Promise.all(ended);
    expect(pool.snapshot().counters).toMatchObject({ created: 2, destroyed: { shutdown: 2 } });
  });

  it('may drain the pool then: it is counted as opened and as closed', async () => {
    const { pool, clock, server } = open({ max: 2 });
    const drained: Promise<unknown>[] = [];
    pool.on('connect', () => void drained.push(pool.drain({ timeoutMs: 0 })));
    server.isConnectManual = true;
    const asked = [observe(pool.acquire()), observe(pool.acquire())];
    server.clients[0]?.completeConnect();
    await flushPromises();
    await clock.advance(1_000);
    await Promise.all(drained);
    expect(drained).toHaveLength(1);
    asked[0]?.client?.release();
    expect(asked[1]?.error?.code).toBe('POOL_CLOSED');
    const { total, connecting, counters } = pool.snapshot();
    expect({ total, connecting, created: counters.created, shutdown: counters.destroyed.shutdown }).toEqual({
      total: 0,
      connecting: 0,
      created: 1,
      shutdown: 1,
    });
  });

  it('may lose the connection that has just been opened: nobody gets it', async () => {
    const { pool, server } = open({ max: 1 });
    pool.once('connect', (client: LeasedFakeClient) => client.disconnect());
    const client = await pool.acquire();
    expect([client.isUsable, server.clients.length]).toEqual([true, 2]);
    client.release();
  });

  it('may throw in log, which surfaces on its own and leaves no one waiting for a connection that he has lost', async () => {
    const thrown: unknown[] = [];
    const nextTick = jest.spyOn(process, 'nextTick').mockImplementation((callback) => {
      try {
        (callback as () => void)();
      } catch (error) {
        thrown.push(error);
      }
    });
    const { pool } = open({
      max: 1,
      log: () => {
        throw new Error('from log');
      },
    });
    (await pool.acquire()).release(true);
    await flushPromises();
    nextTick.mockRestore();
    expect(thrown.map(String)).toEqual(Array(3).fill('Error: from log'));
    expect(pool.snapshot()).toMatchObject({ total: 0, leased: 0, waiting: 0 });
  });
});

describe('a connection that keeps silent when it is asked', () => {
  it('does not take with it those that were in use since it was', async () => {
    const { pool, server, clock } = open({ size: 3, maxOverflow: 0, keepaliveMs: 10_000 });
    const [silent, later, last] = (await fake.acquireAll(3)) as [
      LeasedFakeClient,
      LeasedFakeClient,
      LeasedFakeClient,
    ];
    silent.release();
    await clock.advance(5_000);
    later.release();
    server.isValidationManual = true;
    await clock.advance(5_000);
    expect([silent.validations, later.validations]).toEqual([1, 0]);
    last.release();
    silent.completeValidation(new Error('The connection did not answer.'));
    await flushPromises();
    expect([silent.isClosed, later.isClosed, last.isClosed]).toEqual([true, false, false]);
    expect(pool.idleCount).toBe(2);
  });
});

describe('dials that fail together', () => {
  it('are one failure: the next dial follows after the shortest pause', async () => {
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
