import { describe, expect, it, jest } from '@jest/globals';
import type { FakeClient } from '../../test/support/fake-client.js';
import { FakePool, watch } from '../../test/support/fake-pool.js';
import type { PoolOptions } from './pool.options.js';

describe('a dial that has taught how to dial', () => {
  /** A server that refuses whoever says too much; the pool learns to say less. */
  const refusing = (learns: boolean, options: PoolOptions<FakeClient> = {}) => {
    let word = 'too much';
    const asked: Error[] = [];
    const fake = new FakePool({
      ...options,
      connectOptions: () => ({ application_name: word }),
      retryConnect: (error) => {
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

  it('is repeated at once with the new options, and counts as no failure', async () => {
    const { fake, asked } = refusing(true);
    const client = await fake.pool.acquire();
    expect(
      fake.server.clients.map(({ options }) => (options as { application_name: string }).application_name),
    ).toEqual(['too much', 'enough']);
    expect(asked).toHaveLength(1);
    expect(fake.pool.snapshot().counters.connectFailures).toBe(0);
    expect(fake.codes()).toEqual([]);
    client.release();
    await fake.close();
  });

  it('is repeated for the connections that are opened ahead, too', async () => {
    const { fake } = refusing(true, { minIdle: 2 });
    await fake.clock.pass(0);
    expect(fake.pool.idleCount).toBe(2);
    expect(fake.pool.snapshot().counters.connectFailures).toBe(0);
    await fake.close();
  });

  it('is a failure when nothing was learnt', async () => {
    const { fake } = refusing(false);
    await expect(fake.pool.acquire()).rejects.toMatchObject({ code: 'POOL_CONNECT_FAILED' });
    expect(fake.pool.snapshot().counters.connectFailures).toBe(1);
    await fake.close();
  });

  it('is not repeated when who waited is gone, or the pool', async () => {
    const { fake } = refusing(true);
    fake.server.slow = true;
    const controller = new AbortController();
    const waiting = watch(fake.pool.acquire({ signal: controller.signal }));
    controller.abort();
    fake.server.clients[0]!.answer(new Error('too much'));
    await fake.clock.pass(0);
    expect(waiting.error?.code).toBe('POOL_ACQUIRE_CANCELLED');
    expect(fake.server.clients).toHaveLength(1);
    await fake.close();
  });
});

it.each(['retryConnect', 'explain'] as const)(
  'fails who waits for a dial also when %s throws, and lets that surface on its own',
  async (hook) => {
    const thrown = new Set<string>();
    const nextTick = jest.spyOn(process, 'nextTick').mockImplementation((callback) => {
      try {
        (callback as () => void)();
      } catch (error) {
        thrown.add(String(error));
      }
    });
    const fake = new FakePool({
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
    await fake.close();
  },
);

it('tells of a session that nobody can put back, by its borrower', async () => {
  const fake = new FakePool();
  const client = await fake.pool.acquire({ borrower: 'GET /tenants' });
  client.cleaning = Promise.resolve({
    rolledBack: false,
    cleared: false,
    leftBehind: "SET app.tenant = 'x'",
  });
  client.release();
  await fake.clock.pass(0);
  expect(fake.warnings).toEqual([
    expect.objectContaining({
      code: 'SESSION_STATE_LEFT',
      level: 'warn',
      message: expect.stringContaining("SET app.tenant = 'x'"),
      lease: expect.objectContaining({ borrower: 'GET /tenants' }),
    }),
  ]);
  expect(fake.pool.idleCount).toBe(1);
  await fake.close();
});
