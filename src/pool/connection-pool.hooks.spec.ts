import { afterEach, describe, expect, it, jest } from '@jest/globals';
import type { FakeClient } from '../../test/support/fake-client.js';
import { FakePool, observe } from '../../test/support/fake-pool.js';
import type { LeasedFakeClient } from '../../test/support/fake-pool.js';
import { flushPromises } from '../../test/support/virtual-clock.js';
import type { PoolOptions } from './pool.options.js';

let opened: FakePool;

function open(options: PoolOptions<FakeClient> = {}): FakePool {
  opened = new FakePool(options);
  return opened;
}

afterEach(() => opened.close());

describe('A listener or hook', () => {
  it('can end the pool in a connect event: waiters with a pending connection are still served', async () => {
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

  it('can drain the pool in a connect event: the connection counts as created and as destroyed', async () => {
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

  it('can lose the new connection in a connect event: no waiter gets it', async () => {
    const { pool, server } = open({ max: 1 });
    pool.once('connect', (client: LeasedFakeClient) => client.disconnect());
    const client = await pool.acquire();
    expect([client.isUsable, server.clients.length]).toEqual([true, 2]);
    client.release();
  });

  it('can throw in log: the error is rethrown, and waiters are still served', async () => {
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

describe('A failed connect that changes connectOptions', () => {
  /** A server that refuses a startup parameter, and a pool that omits it after the refusal. */
  const refusing = (learns: boolean, options: PoolOptions<FakeClient> = {}) => {
    let word = 'too much';
    const asked: Error[] = [];
    const fake = open({
      ...options,
      connectOptions: () => ({ application_name: word }),
      shouldRetryConnect: (error) => {
        asked.push(error);
        if (learns) {
          word = 'enough';
          fake.server.connectError = undefined;
        }
        return learns;
      },
    });
    fake.server.connectError = new Error('too much');
    return { fake, asked };
  };

  it('is repeated immediately with the new options, and does not count as a failure', async () => {
    const { fake, asked } = refusing(true);
    const client = await fake.pool.acquire();
    expect(
      fake.server.clients.map(({ options }) => (options as { application_name: string }).application_name),
    ).toEqual(['too much', 'enough']);
    expect(asked).toHaveLength(1);
    expect(fake.pool.snapshot().counters.connectFailures).toBe(0);
    expect(fake.warningCodes()).toEqual([]);
    client.release();
  });

  it('is repeated for minIdle connections, too', async () => {
    const { fake } = refusing(true, { minIdle: 2 });
    await fake.clock.advance(0);
    expect(fake.pool.idleCount).toBe(2);
    expect(fake.pool.snapshot().counters.connectFailures).toBe(0);
  });

  it('counts as a failure when shouldRetryConnect returns false', async () => {
    const { fake } = refusing(false);
    await expect(fake.pool.acquire()).rejects.toMatchObject({ code: 'POOL_CONNECT_FAILED' });
    expect(fake.pool.snapshot().counters.connectFailures).toBe(1);
  });

  it('is not repeated when its waiter was cancelled or the pool is closing', async () => {
    const { fake } = refusing(true);
    fake.server.isConnectManual = true;
    const controller = new AbortController();
    const waiting = observe(fake.pool.acquire({ signal: controller.signal }));
    controller.abort();
    fake.server.clients[0]!.completeConnect(new Error('too much'));
    await fake.clock.advance(0);
    expect(waiting.error?.code).toBe('POOL_ACQUIRE_CANCELLED');
    expect(fake.server.clients).toHaveLength(1);
  });
});

it.each(['shouldRetryConnect', 'explainConnectError'] as const)(
  'A waiter is rejected even when %s throws, and that error is rethrown',
  async (hook) => {
    const thrown = new Set<string>();
    const nextTick = jest.spyOn(process, 'nextTick').mockImplementation((callback) => {
      try {
        (callback as () => void)();
      } catch (error) {
        thrown.add(String(error));
      }
    });
    const fake = open({
      [hook]: () => {
        throw new Error(`from ${hook}`);
      },
    });
    fake.server.connectError = new Error('refused');
    await expect(fake.pool.acquire()).rejects.toMatchObject({
      code: 'POOL_CONNECT_FAILED',
      message: expect.stringContaining('Could not open a connection: refused'),
    });
    nextTick.mockRestore();
    expect([...thrown]).toEqual([`Error: from ${hook}`]);
    expect(fake.pool.snapshot()).toMatchObject({ total: 0, waiting: 0, counters: { connectFailures: 1 } });
  },
);

it('A session that cannot be reset is reported with its borrower', async () => {
  const fake = open();
  const client = await fake.pool.acquire({ borrower: 'GET /tenants' });
  client.resetResult = Promise.resolve({
    rolledBack: false,
    cleared: false,
    leftBehind: "SET app.tenant = 'x'",
  });
  client.release();
  await fake.clock.advance(0);
  expect(fake.warnings).toEqual([
    expect.objectContaining({
      code: 'SESSION_STATE_LEFT',
      level: 'warn',
      message: expect.stringContaining("SET app.tenant = 'x'"),
      lease: expect.objectContaining({ borrower: 'GET /tenants' }),
    }),
  ]);
  expect(fake.pool.idleCount).toBe(1);
});
