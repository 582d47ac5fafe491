import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { FakePool, watch } from '../../test/support/fake-pool.js';
import { settled } from '../../test/support/virtual-clock.js';

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
    await clock.pass(1_000);
    first.release();
    const second = watch(pool.acquire());
    await clock.pass(8_000);
    expect([second.client, first.cancels, pool.snapshot().state]).toEqual([first, 0, 'draining']);
    second.client?.release();
    expect(await drained).toEqual({ returned: 2, cut: 0, rejected: 0 });
  });

  it('does not reject one who waits again in one go, and ends at its time all the same', async () => {
    const { pool, server, clock } = open({ max: 1 });
    const first = await pool.acquire();
    const drained = pool.drain({ timeoutMs: 10_000 });
    await clock.pass(4_000);
    server.slow = true;
    first.release(true);
    const second = watch(pool.acquire());
    await clock.pass(5_999);
    expect([second.error, pool.snapshot().state]).toEqual([undefined, 'draining']);
    await clock.pass(1);
    expect(second.error).toMatchObject({ code: 'POOL_CLOSED' });
    expect(await drained).toEqual({ returned: 1, cut: 0, rejected: 1 });
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
      const late = watch(pool.acquire({ deadlineMs: 200 }));
      await clock.pass(200);
      expect(late.error).toMatchObject({ code: 'POOL_ACQUIRE_TIMEOUT' });
      expect(pool.snapshot().waiting).toBe(0);
      client.release();
    },
  );

  it('may be negative, as what is left of a budget is, or undefined', async () => {
    const { pool, clock } = open({ max: 1 });
    const client = await pool.acquire({ deadlineMs: undefined });
    const late = watch(pool.acquire({ deadlineMs: -5 }));
    await clock.pass(0);
    expect(late.error).toMatchObject({ code: 'POOL_ACQUIRE_TIMEOUT' });
    client.release();
  });
});

describe('pool.query', () => {
  it('tells in its error, and of its connection, where it was called', async () => {
    const { pool, clock } = open({ max: 1, acquireTimeoutMs: 100, leakThresholdMs: 50 });
    const client = await pool.acquire();
    const whoAsks = () => pool.query('SELECT 1');
    const late = watch(whoAsks() as never);
    await clock.pass(100);
    expect(late.error?.stack).toMatch(/^PoolAcquireTimeoutError: .*\n +at .*pool-turns\.spec/);
    client.release();
    jest.spyOn(client, 'query').mockReturnValue(undefined);
    const lost = watch(whoAsks() as never);
    await settled();
    expect(pool.leases()[0]?.stack).toMatch(/^ +at .*pool-turns\.spec/);
    client.emit('error', new Error('lost'));
    await settled();
    expect(lost.error?.message).toBe('lost');
  });
});
