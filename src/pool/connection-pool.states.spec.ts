import { describe, expect, it, jest } from '@jest/globals';
import { clock, fake, open, pool, server } from '../../test/support/open-fake-pool.js';
import { observe } from '../../test/support/fake-pool.js';
import type { LeasedFakeClient } from '../../test/support/fake-pool.js';
import type { FakeClient } from '../../test/support/fake-client.js';
import { flushPromises } from '../../test/support/virtual-clock.js';
import type { PoolOptions } from './pool.options.js';

/** Makes the next reset of the client end when the returned function is called. */
function manualReset(client: LeasedFakeClient): { done(rolledBack: boolean): void; fail(): void } {
  let done!: (rolledBack: boolean) => void;
  let fail!: () => void;
  client.resetResult = new Promise((resolve, reject) => {
    done = (rolledBack) => resolve({ rolledBack, cleared: !rolledBack });
    fail = () => reject(new Error('reset failed'));
  });
  return { done, fail };
}

/**
 * Opens a pool of two connections: the next acquires start the validation of `idle`, and `resetting` is reset after its
 * release until the test calls `completeReset`.
 */
async function openIdleAndResetting(options: PoolOptions<FakeClient> = {}): Promise<{
  idle: LeasedFakeClient;
  resetting: LeasedFakeClient;
  completeReset: (rolledBack: boolean) => void;
}> {
  open({ size: 2, maxOverflow: 0, ...options });
  const [idle, resetting] = (await fake.acquireAll(2)) as [LeasedFakeClient, LeasedFakeClient];
  idle.release();
  await clock.advance(1_000);
  server.isValidationManual = true;
  const { done: completeReset } = manualReset(resetting);
  resetting.release();
  return { idle, resetting, completeReset };
}

describe('A connection that is connecting, validating or resetting', () => {
  it('counts as pending for maxWaiting', async () => {
    const { idle, resetting, completeReset } = await openIdleAndResetting({ maxWaiting: 0 });
    const waiting = [observe(pool.acquire()), observe(pool.acquire())];
    await expect(pool.acquire()).rejects.toMatchObject({ code: 'POOL_QUEUE_FULL' });
    completeReset(false);
    idle.completeValidation();
    await flushPromises();
    expect(waiting.map(({ client }) => client)).toEqual(expect.arrayContaining([resetting, idle]));
    expect(pool.snapshot()).toMatchObject({ leased: 2, resetting: 0, validating: 0 });
  });

  it('serves the next waiter when its waiter is cancelled', async () => {
    const { idle, resetting, completeReset } = await openIdleAndResetting();
    const abort = new AbortController();
    const cancelled = [1, 2].map(() => observe(pool.acquire({ signal: abort.signal })));
    const next = [observe(pool.acquire()), observe(pool.acquire())];
    abort.abort();
    completeReset(false);
    idle.completeValidation();
    await flushPromises();
    expect(cancelled.map(({ error }) => error?.code)).toEqual([
      'POOL_ACQUIRE_CANCELLED',
      'POOL_ACQUIRE_CANCELLED',
    ]);
    expect(next.map(({ client }) => client)).toEqual(expect.arrayContaining([resetting, idle]));
    expect(server.clients).toHaveLength(2);
  });

  it('does not delay a waiter for which a fresh idle connection exists', async () => {
    open({ size: 3, maxOverflow: 0 });
    const [lost, suspect] = (await fake.acquireAll(2)) as [LeasedFakeClient, LeasedFakeClient];
    lost.disconnect();
    lost.release();
    const fresh = await pool.acquire();
    fresh.release();
    suspect.release();
    server.isValidationManual = true;
    const waiting = observe(pool.acquire());
    await flushPromises();
    expect([suspect.validations, waiting.client]).toEqual([1, fresh]);
    suspect.completeValidation();
    await flushPromises();
    expect(pool.snapshot()).toMatchObject({ idle: 1, leased: 1, validating: 0 });
  });

  it('is validated before a waiter gets it when it is older than the outage', async () => {
    open({ size: 2, maxOverflow: 0 });
    const [lost, other] = (await fake.acquireAll(2)) as [LeasedFakeClient, LeasedFakeClient];
    lost.disconnect();
    server.isValidationManual = true;
    const waiting = observe(pool.acquire());
    other.release();
    await flushPromises();
    expect([other.validations, waiting.client]).toEqual([1, undefined]);
    other.completeValidation();
    await flushPromises();
    expect(waiting.client).toBe(other);
    lost.release();
  });

  it('leaves the other idle connections alone when its validation was refused', async () => {
    open({ size: 2 });
    const [first, second] = (await fake.acquireAll(2)) as [LeasedFakeClient, LeasedFakeClient];
    first.release();
    second.release();
    await clock.advance(1_000);
    server.isValidationManual = true;
    const waiting = observe(pool.acquire());
    await flushPromises();
    second.isUsable = false;
    second.completeValidation(new Error('read ECONNRESET'));
    await flushPromises();
    first.completeValidation();
    await flushPromises();
    expect(waiting.client).toBe(first);
  });

  it('causes other dead connections to be closed when it does not answer, each once', async () => {
    open({ size: 3, maxOverflow: 0 });
    const [dead, idle, silent] = (await fake.acquireAll(3)) as [
      LeasedFakeClient,
      LeasedFakeClient,
      LeasedFakeClient,
    ];
    for (const client of [idle, dead, silent]) client.release();
    await clock.advance(1_000);
    server.isValidationManual = true;
    const waiting = observe(pool.acquire());
    dead.isUsable = false;
    silent.completeValidation(new Error('no answer'));
    await flushPromises();
    expect(waiting.client).toBe(server.clients[3]);
    expect(pool.snapshot()).toMatchObject({
      total: 1,
      counters: { destroyed: { validation: 2, broken: 1 } },
    });
  });

  it('changes nothing when its answer arrives after the pool has closed', async () => {
    open({ size: 3, maxOverflow: 0 });
    const [checked, cleaned, failing] = (await fake.acquireAll(3)) as [
      LeasedFakeClient,
      LeasedFakeClient,
      LeasedFakeClient,
    ];
    checked.release();
    await clock.advance(1_000);
    server.isValidationManual = true;
    observe(pool.acquire());
    const late = manualReset(cleaned);
    const lateFailure = manualReset(failing);
    cleaned.release();
    failing.release();
    const drained = pool.drain({ timeoutMs: 0 });
    await clock.advance(0);
    await drained;
    late.done(true);
    lateFailure.fail();
    checked.completeValidation();
    await flushPromises();
    expect(pool.snapshot()).toMatchObject({ resetting: 0, validating: 0, idle: 0, total: 0 });
    expect(fake.warningCodes()).not.toContain('CONNECTION_RESET_FAILED');
  });

  it('changes nothing when its answer arrives after it was lost', async () => {
    const { idle, resetting, completeReset } = await openIdleAndResetting();
    const waiting = [observe(pool.acquire()), observe(pool.acquire())];
    idle.completeValidation();
    idle.disconnect();
    completeReset(false);
    resetting.disconnect();
    await flushPromises();
    expect(waiting.map(({ client }) => client)).toEqual(server.clients.slice(2));
    expect(pool.snapshot()).toMatchObject({ total: 2, leased: 2, idle: 0, validating: 0, resetting: 0 });
  });

  it('is not counted as created when its hook ends after the pool has closed', async () => {
    let prepared!: () => void;
    open({ onConnect: () => new Promise<void>((resolve) => (prepared = resolve)) });
    const connected = jest.fn();
    pool.on('connect', connected);
    const asked = observe(pool.acquire());
    await flushPromises();
    const drained = pool.drain({ timeoutMs: 0 });
    await clock.advance(0);
    await drained;
    prepared();
    await flushPromises();
    expect([asked.error?.code, connected.mock.calls]).toEqual(['POOL_CLOSED', []]);
    expect(pool.snapshot()).toMatchObject({ total: 0, connecting: 0, counters: { created: 0 } });
  });

  it('is closed without a reset when it is released to a closing pool', async () => {
    open();
    const client = await pool.acquire();
    manualReset(client);
    const ended = pool.end();
    client.release();
    await ended;
    expect(client.isClosed).toBe(true);
  });

  it('causes no outage by an error event while it connects or after it was closed', async () => {
    open();
    server.isConnectManual = true;
    const asked = observe(pool.acquire());
    server.clients[0]?.emit('error', new Error('while it is opened'));
    expect(pool.snapshot()).toMatchObject({ connecting: 1, generation: 0 });
    server.clients[0]?.completeConnect();
    await flushPromises();
    asked.client?.release(true);
    server.clients[0]?.emit('error', new Error('after its end'));
    expect(pool.snapshot()).toMatchObject({ generation: 0, counters: { outages: 0 } });
    expect(fake.warningCodes()).toEqual([]);
    const failing = observe(pool.acquire());
    server.clients[1]?.completeConnect(new Error('refused'));
    await flushPromises();
    server.clients[1]?.emit('error', new Error('after its connect has failed'));
    expect(failing.error?.code).toBe('POOL_CONNECT_FAILED');
    expect(pool.snapshot()).toMatchObject({ generation: 0, counters: { outages: 0 } });
    expect(fake.warningCodes()).toEqual(['CONNECT_FAILED']);
  });

  it('emits no event when it is lost while it validates or resets, and reports only the outage', async () => {
    const { idle, resetting } = await openIdleAndResetting();
    const failed = jest.fn();
    pool.on('error', failed);
    const waiting = [observe(pool.acquire()), observe(pool.acquire())];
    expect(pool.snapshot()).toMatchObject({ validating: 1, resetting: 1 });
    resetting.disconnect();
    idle.disconnect();
    await flushPromises();
    expect(failed).not.toHaveBeenCalled();
    expect(fake.warningCodes()).toEqual(['OUTAGE']);
    expect(waiting.every(({ client }) => client)).toBe(true);
  });

  it('is closed at its release after an error event, although it still accepts statements', async () => {
    open();
    const client = await pool.acquire();
    client.emit('error', new Error('half dead'));
    client.release();
    expect(pool.snapshot()).toMatchObject({
      total: 0,
      generation: 1,
      counters: { destroyed: { broken: 1 } },
    });
  });
});

describe('The counters', () => {
  it('count rollbacks and resets separately, and only a rollback causes a warning', async () => {
    open();
    for (const rolledBack of [true, false]) {
      const client = await pool.acquire();
      const { done } = manualReset(client);
      client.release();
      done(rolledBack);
      await flushPromises();
      client.resetResult = undefined;
    }
    expect(pool.snapshot().counters).toMatchObject({ rollbacks: 1, resets: 1 });
    expect(fake.warningCodes()).toEqual(['TRANSACTION_LEFT_OPEN']);
  });

  it('do not make a validation require a primary after a reset that failed for another reason', async () => {
    open({ size: 2 });
    const [dirty, other] = (await fake.acquireAll(2)) as [LeasedFakeClient, LeasedFakeClient];
    other.release();
    const check = jest.spyOn(other, 'validate');
    const { fail } = manualReset(dirty);
    dirty.release();
    fail();
    await clock.advance(1_000);
    await pool.acquire();
    expect(check).toHaveBeenCalledWith(2_000, false);
  });

  it('do not include connections that are pending for waiters in minIdle', async () => {
    open({ size: 3, maxOverflow: 0, minIdle: 1 });
    server.isConnectManual = true;
    observe(pool.acquire());
    expect(server.clients).toHaveLength(2);
  });
});
