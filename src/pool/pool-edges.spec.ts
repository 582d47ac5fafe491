import { afterEach, describe, expect, it, jest } from '@jest/globals';
import type { FakeClient, FakeServer } from '../../test/support/fake-client.js';
import { FakePool, observe } from '../../test/support/fake-pool.js';
import type { LeasedFakeClient } from '../../test/support/fake-pool.js';
import type { VirtualClock } from '../../test/support/virtual-clock.js';
import { flushPromises } from '../../test/support/virtual-clock.js';
import type { ConnectionPool } from './connection-pool.js';
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

/** A clean-up that ends when the test says so. */
function cleaning(client: LeasedFakeClient): { done(rolledBack: boolean): void; fail(): void } {
  let done!: (rolledBack: boolean) => void;
  let fail!: () => void;
  client.resetResult = new Promise((resolve, reject) => {
    done = (rolledBack) => resolve({ rolledBack, cleared: !rolledBack });
    fail = () => reject(new Error('not clean'));
  });
  return { done, fail };
}

describe('between two states', () => {
  it('a connection that is being cleaned or asked counts as on its way for maxWaiting', async () => {
    open({ size: 2, maxOverflow: 0, maxWaiting: 0 });
    const [cleaned, asked] = (await fake.acquireAll(2)) as [LeasedFakeClient, LeasedFakeClient];
    asked.release();
    await clock.advance(1_000);
    server.isValidationManual = true;
    const { done } = cleaning(cleaned);
    cleaned.release();
    const waiting = [observe(pool.acquire()), observe(pool.acquire())];
    await expect(pool.acquire()).rejects.toMatchObject({ code: 'POOL_QUEUE_FULL' });
    done(false);
    asked.completeValidation();
    await flushPromises();
    expect(waiting.map(({ client }) => client)).toEqual(expect.arrayContaining([cleaned, asked]));
    expect(pool.snapshot()).toMatchObject({ leased: 2, resetting: 0, validating: 0 });
  });

  it('a connection goes to the next one when its waiter gives up while it is asked or cleaned', async () => {
    open({ size: 2, maxOverflow: 0 });
    const [cleaned, asked] = (await fake.acquireAll(2)) as [LeasedFakeClient, LeasedFakeClient];
    asked.release();
    await clock.advance(1_000);
    server.isValidationManual = true;
    const { done } = cleaning(cleaned);
    cleaned.release();
    const abort = new AbortController();
    const givenUp = [1, 2].map(() => observe(pool.acquire({ signal: abort.signal })));
    const next = [observe(pool.acquire()), observe(pool.acquire())];
    abort.abort();
    done(false);
    asked.completeValidation();
    await flushPromises();
    expect(givenUp.map(({ error }) => error?.code)).toEqual([
      'POOL_ACQUIRE_CANCELLED',
      'POOL_ACQUIRE_CANCELLED',
    ]);
    expect(next.map(({ client }) => client)).toEqual(expect.arrayContaining([cleaned, asked]));
    expect(server.clients).toHaveLength(2);
  });

  it('a waiter has an idle connection that needs no question, although a suspect one was used after it', async () => {
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

  it('an older connection that comes back after an outage is asked before the waiter gets it', async () => {
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

  it('one that was refused by its check leaves the other idle ones where they are', async () => {
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

  it('one that was silent leads to others that are dead, and each is closed once', async () => {
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

  it('an answer that comes after the end changes nothing', async () => {
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
    const late = cleaning(cleaned);
    const lateFailure = cleaning(failing);
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

  it('an answer in the moment in which its connection is lost changes nothing either', async () => {
    open({ size: 2, maxOverflow: 0 });
    const [asked, cleaned] = (await fake.acquireAll(2)) as [LeasedFakeClient, LeasedFakeClient];
    asked.release();
    await clock.advance(1_000);
    server.isValidationManual = true;
    const { done } = cleaning(cleaned);
    cleaned.release();
    const waiting = [observe(pool.acquire()), observe(pool.acquire())];
    asked.completeValidation();
    asked.disconnect();
    done(false);
    cleaned.disconnect();
    await flushPromises();
    expect(waiting.map(({ client }) => client)).toEqual(server.clients.slice(2));
    expect(pool.snapshot()).toMatchObject({ total: 2, leased: 2, idle: 0, validating: 0, resetting: 0 });
  });

  it('a hook after the dial that ends after the pool has made no connection', async () => {
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

  it('a connection that comes back at the end is closed and not cleaned first', async () => {
    open();
    const client = await pool.acquire();
    cleaning(client);
    const ended = pool.end();
    client.release();
    await ended;
    expect(client.isClosed).toBe(true);
  });

  it('an error of a connection that is being opened, or is closed already, is no outage', async () => {
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
    server.clients[1]?.emit('error', new Error('after its dial has failed'));
    expect(failing.error?.code).toBe('POOL_CONNECT_FAILED');
    expect(pool.snapshot()).toMatchObject({ generation: 0, counters: { outages: 0 } });
    expect(fake.warningCodes()).toEqual(['CONNECT_FAILED']);
  });

  it('a connection that is lost while it is asked or cleaned is nobody’s: no event, no word but of the outage', async () => {
    open({ size: 2, maxOverflow: 0 });
    const failed = jest.fn();
    pool.on('error', failed);
    const [cleaned, asked] = (await fake.acquireAll(2)) as [LeasedFakeClient, LeasedFakeClient];
    asked.release();
    await clock.advance(1_000);
    server.isValidationManual = true;
    cleaning(cleaned);
    cleaned.release();
    const waiting = [observe(pool.acquire()), observe(pool.acquire())];
    expect(pool.snapshot()).toMatchObject({ validating: 1, resetting: 1 });
    cleaned.disconnect();
    asked.disconnect();
    await flushPromises();
    expect(failed).not.toHaveBeenCalled();
    expect(fake.warningCodes()).toEqual(['OUTAGE']);
    expect(waiting.every(({ client }) => client)).toBe(true);
  });

  it('an error of a lent connection is remembered although it would take statements still', async () => {
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

describe('the end of connections', () => {
  it('is waited for: the pool has ended when the last of them is closed, and tells of each but of unopened ones', async () => {
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

  it('leaves one alone that is lent, when an older one is still being opened for nobody', async () => {
    open({ size: 2, maxOverflow: 0 });
    server.isConnectManual = true;
    const abort = new AbortController();
    const lent = observe(pool.acquire());
    observe(pool.acquire({ signal: abort.signal }));
    server.clients[1]?.completeConnect();
    await flushPromises();
    abort.abort();
    const ended = pool.end();
    await flushPromises();
    expect(server.clients.map(({ isClosed }) => isClosed)).toEqual([true, false]);
    expect(lent.client).toBe(server.clients[1]);
    lent.client?.release();
    await ended;
  });

  it('of one that was lent leaves the idle ones where they are', async () => {
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

  it('is by force when a goodbye fails', async () => {
    open();
    const client = await pool.acquire();
    jest.spyOn(client, 'close').mockRejectedValue(new Error('no goodbye'));
    client.release();
    await pool.end();
    expect(client.isClosed).toBe(true);
  });
});

describe('what is counted', () => {
  it('rollbacks and clean-ups, each for itself, and warns of the first alone', async () => {
    open();
    for (const rolledBack of [true, false]) {
      const client = await pool.acquire();
      const { done } = cleaning(client);
      client.release();
      done(rolledBack);
      await flushPromises();
      client.resetResult = undefined;
    }
    expect(pool.snapshot().counters).toMatchObject({ rollbacks: 1, resets: 1 });
    expect(fake.warningCodes()).toEqual(['TRANSACTION_LEFT_OPEN']);
  });

  it('a clean-up that failed for another reason does not make the pool ask for a primary', async () => {
    open({ size: 2 });
    const [dirty, other] = (await fake.acquireAll(2)) as [LeasedFakeClient, LeasedFakeClient];
    other.release();
    const check = jest.spyOn(other, 'validate');
    const { fail } = cleaning(dirty);
    dirty.release();
    fail();
    await clock.advance(1_000);
    await pool.acquire();
    expect(check).toHaveBeenCalledWith(2_000, false);
  });

  it('minIdle counts those that are promised to waiters as gone', async () => {
    open({ size: 3, maxOverflow: 0, minIdle: 1 });
    server.isConnectManual = true;
    observe(pool.acquire());
    expect(server.clients).toHaveLength(2);
  });
});

describe('the process', () => {
  it('is not told to end or to live on by connections when allowExitOnIdle is off', async () => {
    open();
    const client = await pool.acquire();
    client.release();
    await pool.acquire();
    expect(client.refs).toEqual([]);
  });

  it('may end with clients that know neither ref nor unref', async () => {
    open({ allowExitOnIdle: true });
    const client = await pool.acquire();
    Object.assign(client, { ref: undefined, unref: undefined });
    client.release();
    expect(await pool.acquire()).toBe(client);
  });

  it('is held by those who wait and by a drain, and by no dial, no housekeeping and no leak detection', async () => {
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
    for (const dialled of server.clients) dialled.completeConnect();
    await flushPromises();
    expect([asked.client !== undefined, clock.keepAliveCount]).toEqual([true, 0]);
    const drained = pool.drain({ timeoutMs: 5_000 });
    expect(clock.keepAliveCount).toBe(1);
    client.release();
    asked.client?.release();
    await drained;
    expect(clock.timerCount).toBe(0);
  });

  it('drains no longer than until the last waiter has given up', async () => {
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
