import { describe, expect, it, jest } from '@jest/globals';
import { clock, fake, open, pool, server } from '../../test/support/open-fake-pool.js';
import { observe } from '../../test/support/fake-pool.js';
import type { LeasedFakeClient } from '../../test/support/fake-pool.js';
import { flushPromises } from '../../test/support/virtual-clock.js';

describe('maxLifetimeMs and maxUses', () => {
  it('closes an idle connection at the end of its lifetime, up to a tenth earlier', async () => {
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

  it('closes a leased connection only when it is released', async () => {
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

  it('is checked again at the acquire, for a machine that has slept', async () => {
    jest.spyOn(Math, 'random').mockReturnValue(0);
    open({ maxLifetimeMs: 600_000 });
    const client = await pool.acquire();
    client.release();
    clock.skewMs += 600_000;
    expect(await pool.acquire()).not.toBe(client);
  });

  it('does not close together the connections that were opened together', async () => {
    open({ size: 20, maxLifetimeMs: 100_000 });
    for (const client of await fake.acquireAll(15)) client.release();
    await clock.advance(95_000);
    expect(pool.totalCount).toBeLessThan(15);
    expect(pool.totalCount).toBeGreaterThan(0);
    await clock.advance(5_000);
    expect(pool.totalCount).toBe(0);
  });

  it('closes a connection after maxUses leases, and opens a new one for the waiter', async () => {
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

describe('A lost connection', () => {
  it('is removed when it was idle, is reported, and does not end a process without an error listener', async () => {
    open();
    const client = await pool.acquire();
    client.release();
    client.disconnect();
    expect(pool.totalCount).toBe(0);
    expect(fake.warningCodes()).toEqual(['OUTAGE', 'CONNECTION_LOST']);
  });

  it('emits error with the client when it was idle', async () => {
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

  it('stays with its borrower when it was leased, emits no event, and is removed when it is released', async () => {
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

  it('has exactly one error listener of the pool, leased or not', async () => {
    open();
    const client = await pool.acquire();
    expect(client.listenerCount('error')).toBe(1);
    client.release();
    expect(client.listenerCount('error')).toBe(1);
  });

  it('starts one new generation per outage, however many connections are lost', async () => {
    open({ size: 5 });
    const clients = await fake.acquireAll(5);
    for (const client of clients.slice(0, 3)) client.disconnect();
    expect(pool.snapshot()).toMatchObject({ generation: 1, counters: { outages: 1 } });
    for (const client of clients) client.release();
    expect(pool.snapshot()).toMatchObject({ generation: 1, idle: 2 });
  });

  it('causes one validation of each older connection before its next lease', async () => {
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

  it('is detected at the release when the server has terminated the session but the socket is still open', async () => {
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

  it('is no outage when the borrower has closed it', async () => {
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

  it('is not leased when it was idle and ended without an event', async () => {
    open();
    const client = await pool.acquire();
    client.release();
    client.isUsable = false;
    expect(await pool.acquire()).not.toBe(client);
  });

  it('makes a validation require a primary when a standby has refused a write', async () => {
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

  it('closes an older connection that turns out to be on a standby, and opens another one', async () => {
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

  it('no longer makes a validation require a primary when new connections are on a standby, too', async () => {
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

  it('is reported with its borrower when its reset has failed', async () => {
    open();
    const client = await pool.acquire({ borrower: 'POST /orders' });
    client.resetResult = Promise.reject(new Error('reset failed'));
    client.release();
    await flushPromises();
    expect(pool.totalCount).toBe(0);
    expect(pool.snapshot()).toMatchObject({ generation: 0, counters: { destroyed: { reset: 1 } } });
    expect(fake.warnings).toMatchObject([
      { code: 'CONNECTION_RESET_FAILED', level: 'warn', lease: { borrower: 'POST /orders' } },
    ]);
  });

  it('is replaced for the waiter when it was being reset', async () => {
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

  it('is closed when it is released with an error or with true', async () => {
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
