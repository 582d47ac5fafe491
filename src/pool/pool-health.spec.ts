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

afterEach(async () => {
  jest.restoreAllMocks();
  await fake.close();
});

describe('validation', () => {
  it('does not ask a connection that was used within the bypass window', async () => {
    open();
    (await pool.acquire()).release();
    await clock.advance(500);
    const client = await pool.acquire();
    expect(client.validations).toBe(0);
  });

  it('asks one that lay idle for longer, and lends it when it answers, without an event', async () => {
    open();
    const acquired = jest.fn();
    const released = jest.fn();
    pool.on('acquire', acquired).on('release', released);
    (await pool.acquire()).release();
    await clock.advance(501);
    const client = await pool.acquire();
    expect(client.validations).toBe(1);
    expect(acquired).toHaveBeenCalledTimes(2);
    expect(released).toHaveBeenCalledTimes(1);
    expect(server.clients).toHaveLength(1);
  });

  it('asks an idle connection every keepaliveMs, when that is on, and closes one that does not answer', async () => {
    open({ size: 1, keepaliveMs: 60_000, prePing: false });
    const client = await pool.acquire();
    client.release();
    await clock.advance(59_000);
    expect(client.validations).toBe(0);
    await clock.advance(1_000);
    expect(client.validations).toBe(1);
    await clock.advance(60_000);
    expect(client.validations).toBe(2);
    jest.spyOn(client, 'validate').mockRejectedValueOnce(new Error('gone'));
    await clock.advance(60_000);
    expect(pool.totalCount).toBe(0);
  });

  it('asks each one in its own time, whenever it looks', async () => {
    open({ size: 2, keepaliveMs: 1_000, prePing: false });
    const [first, second] = (await fake.acquireAll(2)) as [LeasedFakeClient, LeasedFakeClient];
    first.release();
    await clock.advance(400);
    second.release();
    await clock.advance(600);
    expect([first.validations, second.validations]).toEqual([1, 0]);
    await clock.advance(399);
    expect([first.validations, second.validations]).toEqual([1, 0]);
    await clock.advance(1);
    expect([first.validations, second.validations]).toEqual([1, 1]);
    await clock.advance(600);
    expect([first.validations, second.validations]).toEqual([2, 1]);
  });

  it('asks none of those that are to be closed for idleness when it looks for another one', async () => {
    open({ size: 1, maxOverflow: 2, keepaliveMs: 1_000, overflowIdleMs: 5_000 });
    const [first, second, third] = (await fake.acquireAll(3)) as [
      LeasedFakeClient,
      LeasedFakeClient,
      LeasedFakeClient,
    ];
    first.release();
    await clock.advance(2_000);
    second.release();
    await clock.advance(500);
    third.release();
    await clock.advance(2_500);
    expect(pool.totalCount).toBe(2);
    expect([second.validations, third.validations]).toEqual([0, 0]);
  });

  it('leaves one unasked that is to be closed for idleness soon, and does not look at it again and again', async () => {
    open({ size: 1, maxOverflow: 1, keepaliveMs: 1_000, overflowIdleMs: 5_000 });
    for (const client of await fake.acquireAll(2)) client.release();
    // The clock throws when an alarm rings on and on.
    await clock.advance(4_999);
    expect(server.clients.map(({ validations }) => validations)).toEqual([0, 0]);
    await clock.advance(1);
    expect(pool.totalCount).toBe(1);
  });

  it('asks nothing while idle by default', async () => {
    open({ size: 1 });
    const client = await pool.acquire();
    client.release();
    await clock.advance(1_000_000);
    expect(client.validations).toBe(0);
  });

  it('asks nothing with prePing off', async () => {
    open({ prePing: false });
    (await pool.acquire()).release();
    await clock.advance(100_000);
    expect((await pool.acquire()).validations).toBe(0);
  });

  it('asks once and not for ever when every idle time is too long', async () => {
    open({ validateAfterIdleMs: 0 });
    const now = clock.now();
    jest.spyOn(clock, 'now').mockImplementation(() => now + server.clients.length + performance.now());
    const client = await pool.acquire();
    expect(client.validations).toBe(0);
    client.release();
    expect((await pool.acquire()).validations).toBe(1);
    jest.restoreAllMocks();
  });

  it('asks after a sleep of the machine, which stops the one clock and not the other', async () => {
    open();
    (await pool.acquire()).release();
    clock.skewMs += 600_000;
    expect((await pool.acquire()).validations).toBe(1);
  });

  it('replaces one that does not answer within the same acquire', async () => {
    open();
    const dead = await pool.acquire();
    dead.release();
    await clock.advance(1_000);
    server.validationError = new Error('read ECONNRESET');
    const client = await pool.acquire();
    expect(client).not.toBe(dead);
    expect(dead.isClosed).toBe(true);
    expect(pool.snapshot().counters).toMatchObject({
      validations: 1,
      validationFailures: 1,
      destroyed: { validation: 1 },
    });
    expect(fake.warningCodes()).toContain('CONNECTION_VALIDATION_FAILED');
  });

  it('drops all that lay idle for longer when one is silent: each would cost the waiter a timeout of its own', async () => {
    open({ size: 5 });
    for (const client of await fake.acquireAll(5)) client.release();
    await clock.advance(1_000);
    server.validationError = new Error('no answer');
    await pool.acquire();
    expect(pool.snapshot()).toMatchObject({
      total: 1,
      counters: { validations: 1, destroyed: { validation: 5 } },
    });
  });

  it('goes on with the next idle one when the first was refused', async () => {
    open({ size: 2 });
    const [first, second] = (await fake.acquireAll(2)) as [LeasedFakeClient, LeasedFakeClient];
    first.release();
    second.release();
    await clock.advance(1_000);
    server.isValidationManual = true;
    const asked = observe(pool.acquire());
    await flushPromises();
    second.disconnect();
    await flushPromises();
    first.completeValidation();
    await flushPromises();
    expect(asked.client).toBe(first);
    expect(server.clients).toHaveLength(2);
  });

  it('gives a waiter a connection that came back while the one it might have had is still being asked', async () => {
    open({ size: 2, maxOverflow: 0 });
    const [idle, busy] = (await fake.acquireAll(2)) as [LeasedFakeClient, LeasedFakeClient];
    idle.release();
    await clock.advance(1_000);
    server.isValidationManual = true;
    const asked = observe(pool.acquire());
    busy.release();
    await flushPromises();
    expect(asked.client).toBe(busy);
    idle.completeValidation();
    await flushPromises();
    expect(pool.idleCount).toBe(1);
  });

  it('is the cause of a timeout when nothing else came', async () => {
    open({ max: 1, acquireTimeoutMs: 1_000 });
    (await pool.acquire()).release();
    await clock.advance(600);
    server.validationError = new Error('no answer');
    server.isConnectManual = true;
    const asked = observe(pool.acquire());
    await clock.advance(1_000);
    expect(asked.error).toMatchObject({
      code: 'POOL_ACQUIRE_TIMEOUT',
      cause: { code: 'POOL_VALIDATION_FAILED', cause: { message: 'no answer' } },
    });
  });

  it('counts its time against the deadline of the acquire', async () => {
    open({ max: 1, acquireTimeoutMs: 1_000 });
    const client = await pool.acquire();
    client.release();
    await clock.advance(600);
    server.isValidationManual = true;
    const asked = observe(pool.acquire());
    await clock.advance(1_000);
    expect(asked.error?.code).toBe('POOL_ACQUIRE_TIMEOUT');
    client.completeValidation();
    await flushPromises();
    expect(pool.idleCount).toBe(1);
  });
});

describe('lifetime and uses', () => {
  it('closes an idle connection at the end of its life, up to a tenth early', async () => {
    jest.spyOn(Math, 'random').mockReturnValue(0.5);
    open({ maxLifetimeMs: 100_000 });
    const client = await pool.acquire();
    client.release();
    await clock.advance(94_999);
    expect(client.isClosed).toBe(false);
    await clock.advance(1);
    expect(client.isClosed).toBe(true);
    expect(pool.snapshot().counters.destroyed.lifetime).toBe(1);
  });

  it('never cuts one in use: it is closed when it comes back', async () => {
    jest.spyOn(Math, 'random').mockReturnValue(0);
    open({ maxLifetimeMs: undefined, maxLifetimeSeconds: 10 });
    const client = await pool.acquire();
    await clock.advance(50_000);
    expect(client.isClosed).toBe(false);
    expect(pool.expiredCount).toBe(1);
    client.release();
    expect(pool.totalCount).toBe(0);
    expect(client.isClosed).toBe(true);
  });

  it('looks again when it lends, for a machine that slept', async () => {
    jest.spyOn(Math, 'random').mockReturnValue(0);
    open({ maxLifetimeMs: 600_000 });
    const client = await pool.acquire();
    client.release();
    clock.skewMs += 600_000;
    expect(await pool.acquire()).not.toBe(client);
  });

  it('spreads the ends of connections that were opened together', async () => {
    open({ size: 20, maxLifetimeMs: 100_000 });
    for (const client of await fake.acquireAll(15)) client.release();
    await clock.advance(95_000);
    expect(pool.totalCount).toBeLessThan(15);
    expect(pool.totalCount).toBeGreaterThan(0);
    await clock.advance(5_000);
    expect(pool.totalCount).toBe(0);
  });

  it('closes a connection after maxUses, and a waiter gets a fresh one', async () => {
    open({ max: 1, maxUses: 2 });
    const first = await pool.acquire();
    first.release();
    expect(await pool.acquire()).toBe(first);
    const waiting = observe(pool.acquire());
    first.release();
    await flushPromises();
    expect(waiting.client).not.toBe(first);
    expect(waiting.client).toBeDefined();
    expect(pool.snapshot().counters.destroyed.uses).toBe(1);
  });
});

describe('connections that are lost', () => {
  it('removes an idle one, tells of it, and does not end a process that does not listen', async () => {
    open();
    const client = await pool.acquire();
    client.release();
    client.disconnect();
    expect(pool.totalCount).toBe(0);
    expect(fake.warningCodes()).toEqual(['OUTAGE', 'CONNECTION_LOST']);
  });

  it('emits an error with the client for an idle one', async () => {
    open();
    const failed = jest.fn();
    pool.on('error', failed);
    const client = await pool.acquire();
    client.release();
    const error = new Error('terminating connection');
    client.disconnect(error);
    expect(failed.mock.calls).toEqual([[error, client]]);
    expect(error).toMatchObject({ client });
  });

  it('leaves one in use to its borrower, without an event, and removes it at once when it comes back', async () => {
    open();
    const failed = jest.fn();
    pool.on('error', failed);
    const client = await pool.acquire();
    client.disconnect();
    expect(pool.snapshot()).toMatchObject({ total: 1, leased: 1 });
    client.release();
    expect(pool.totalCount).toBe(0);
    expect(failed).not.toHaveBeenCalled();
    expect(pool.snapshot().counters.destroyed.broken).toBe(1);
  });

  it('has exactly one error listener of its own on a connection, lent or not', async () => {
    open();
    const client = await pool.acquire();
    expect(client.listenerCount('error')).toBe(1);
    client.release();
    expect(client.listenerCount('error')).toBe(1);
  });

  it('ages the pool once in one outage, however many connections it takes', async () => {
    open({ size: 5 });
    const clients = await fake.acquireAll(5);
    for (const client of clients.slice(0, 3)) client.disconnect();
    expect(pool.snapshot()).toMatchObject({ generation: 1, counters: { outages: 1 } });
    for (const client of clients) client.release();
    expect(pool.snapshot()).toMatchObject({ generation: 1, idle: 2 });
  });

  it('asks those that are older than the outage before it lends them, and only once', async () => {
    open({ size: 2 });
    const [lost, other] = (await fake.acquireAll(2)) as [LeasedFakeClient, LeasedFakeClient];
    other.release();
    lost.disconnect();
    lost.release();
    const again = await pool.acquire();
    expect(again).toBe(other);
    expect(other.validations).toBe(1);
    again.release();
    await pool.acquire();
    expect(other.validations).toBe(1);
  });

  it('notices at the return that the server has ended the session, before the socket has said so', async () => {
    open();
    const client = await pool.acquire();
    client.isUsable = false;
    client.closeReason = new Error('FATAL');
    client.release();
    expect(pool.snapshot()).toMatchObject({
      total: 0,
      generation: 1,
      counters: { destroyed: { broken: 1 } },
    });
  });

  it('does not take a goodbye of the borrower for an outage', async () => {
    open();
    const client = await pool.acquire();
    client.isUsable = false;
    client.release();
    expect(pool.snapshot()).toMatchObject({
      total: 0,
      generation: 0,
      counters: { destroyed: { broken: 1 } },
    });
  });

  it('never lends an idle one that has died without a word', async () => {
    open();
    const client = await pool.acquire();
    client.release();
    client.isUsable = false;
    expect(await pool.acquire()).not.toBe(client);
  });

  it('asks for a primary once a write was refused by a standby', async () => {
    open({ size: 2 });
    const [stale, other] = (await fake.acquireAll(2)) as [LeasedFakeClient, LeasedFakeClient];
    other.release();
    const check = jest.spyOn(other, 'validate');
    stale.resetResult = Promise.reject(Object.assign(new Error('standby'), { code: 'CONNECTION_STANDBY' }));
    stale.release();
    await flushPromises();
    expect(pool.snapshot().counters).toMatchObject({ outages: 1, destroyed: { reset: 1 } });
    await pool.acquire();
    expect(check).toHaveBeenCalledWith(2_000, true);
  });

  it('closes one from before the outage that turns out to be on a standby, and opens another in its place', async () => {
    open({ size: 2 });
    const [stale, other] = (await fake.acquireAll(2)) as [LeasedFakeClient, LeasedFakeClient];
    other.release();
    const standby = Object.assign(new Error('standby'), { code: 'CONNECTION_STANDBY' });
    stale.resetResult = Promise.reject(standby);
    stale.release();
    await flushPromises();
    server.validationError = standby;
    expect(await pool.acquire()).toBe(server.clients[2]);
    expect(other.isClosed).toBe(true);
    expect(pool.snapshot().counters).toMatchObject({ outages: 1, validationFailures: 1 });
  });

  it('stops asking for a primary where the connections opened since are on a standby too', async () => {
    open({ size: 1 });
    const stale = await pool.acquire();
    stale.resetResult = Promise.reject(Object.assign(new Error('standby'), { code: 'CONNECTION_STANDBY' }));
    stale.release();
    await flushPromises();
    const fresh = await pool.acquire();
    const check = jest
      .spyOn(fresh, 'validate')
      .mockRejectedValueOnce(Object.assign(new Error('standby'), { code: 'CONNECTION_STANDBY' }));
    fresh.release();
    await clock.advance(501);
    expect(await pool.acquire()).toBe(fresh);
    expect(pool.snapshot().counters).toMatchObject({ outages: 1, validationFailures: 0 });
    fresh.release();
    await clock.advance(501);
    expect(await pool.acquire()).toBe(fresh);
    expect(check).toHaveBeenLastCalledWith(2_000, false);
  });

  it('destroys what could not be cleaned, and says who left it', async () => {
    open();
    const client = await pool.acquire({ borrower: 'POST /orders' });
    client.resetResult = Promise.reject(new Error('not clean'));
    client.release();
    await flushPromises();
    expect(pool.totalCount).toBe(0);
    expect(pool.snapshot()).toMatchObject({ generation: 0, counters: { destroyed: { reset: 1 } } });
    expect(fake.warnings).toMatchObject([
      { code: 'CONNECTION_RESET_FAILED', level: 'warn', lease: { borrower: 'POST /orders' } },
    ]);
  });

  it('drops a connection that is lost while it is cleaned, and serves the waiter by another', async () => {
    open({ max: 1 });
    const client = await pool.acquire();
    client.resetResult = new Promise(() => undefined);
    client.release();
    const waiting = observe(pool.acquire());
    client.disconnect();
    await flushPromises();
    expect(waiting.client).toBe(server.clients[1]);
    expect(pool.snapshot()).toMatchObject({ resetting: 0, leased: 1 });
  });

  it('closes a connection that is given back with an error, or with true', async () => {
    open();
    (await pool.acquire()).release(new Error('bad'));
    (await pool.acquire()).release(true);
    expect(pool.snapshot()).toMatchObject({
      total: 0,
      generation: 0,
      counters: { destroyed: { 'released-with-error': 2 } },
    });
  });
});
