import { describe, expect, it, jest } from '@jest/globals';
import { clock, fake, open, pool, server } from '../../test/support/open-fake-pool.js';
import { observe } from '../../test/support/fake-pool.js';
import type { LeasedFakeClient } from '../../test/support/fake-pool.js';
import { flushPromises } from '../../test/support/virtual-clock.js';

describe('Validation', () => {
  it('is skipped for a connection that was used within validateAfterIdleMs', async () => {
    open();
    (await pool.acquire()).release();
    await clock.advance(500);
    const client = await pool.acquire();
    expect(client.validations).toBe(0);
  });

  it('runs for a connection that was idle for longer, and emits no event', async () => {
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

  it('runs for an idle connection every keepaliveMs, and closes one that does not answer', async () => {
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

  it('runs for each connection at its own time', async () => {
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

  it('skips connections with an idle timeout when it runs for another one', async () => {
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

  it('is not scheduled for a connection that its idle timeout closes soon', async () => {
    open({ size: 1, maxOverflow: 1, keepaliveMs: 1_000, overflowIdleMs: 5_000 });
    for (const client of await fake.acquireAll(2)) client.release();
    // The virtual clock throws when timers do not stop firing.
    await clock.advance(4_999);
    expect(server.clients.map(({ validations }) => validations)).toEqual([0, 0]);
    await clock.advance(1);
    expect(pool.totalCount).toBe(1);
  });

  it('does not run for idle connections by default', async () => {
    open({ size: 1 });
    const client = await pool.acquire();
    client.release();
    await clock.advance(1_000_000);
    expect(client.validations).toBe(0);
  });

  it('does not run with prePing: false', async () => {
    open({ prePing: false });
    (await pool.acquire()).release();
    await clock.advance(100_000);
    expect((await pool.acquire()).validations).toBe(0);
  });

  it('runs once per acquire even when every idle time exceeds the limit', async () => {
    open({ validateAfterIdleMs: 0 });
    const now = clock.now();
    jest.spyOn(clock, 'now').mockImplementation(() => now + server.clients.length + performance.now());
    const client = await pool.acquire();
    expect(client.validations).toBe(0);
    client.release();
    expect((await pool.acquire()).validations).toBe(1);
    jest.restoreAllMocks();
  });

  it('runs after the machine has slept, when only the wall clock has advanced', async () => {
    open();
    (await pool.acquire()).release();
    clock.skewMs += 600_000;
    expect((await pool.acquire()).validations).toBe(1);
  });

  it('replaces a connection that does not answer within the same acquire', async () => {
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

  it('closes every connection that was idle for longer when one does not answer, which saves the waiter further timeouts', async () => {
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

  it('goes on with the next idle connection when the first one was lost', async () => {
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

  it('does not keep a released connection from a waiter while another one is validated', async () => {
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

  it('is the cause of a timeout when no other connection came', async () => {
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

  it('counts against the deadline of the acquire', async () => {
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

describe('A connection that does not answer its validation', () => {
  it('leaves connections alone that were used after its last use', async () => {
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

describe('A connection that is used after its release', () => {
  it.each(['T', 'E'] as const)('in a transaction (%s) is not leased again', async (status) => {
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
  ] as const)('that %s is not leased again with reset %s', async (_, reset, found, state) => {
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
  ] as const)('is leased again where reset %s leaves it in its state: %j', async (reset, state) => {
    const { pool, warnings } = open({ max: 1, reset });
    const client = await pool.acquire();
    Object.assign(client, state);
    client.release();
    expect(await pool.acquire()).toBe(client);
    expect(warnings).toEqual([]);
    client.release();
  });

  it('is found before a keepalive validation', async () => {
    const { pool, clock, warnings } = open({ max: 1, min: 1, keepaliveMs: 30_000 });
    const client = (await pool.acquire()) as LeasedFakeClient;
    client.release();
    client.isReadyForQuery = false;
    await clock.advance(30_000);
    expect([client.validations, client.isClosed]).toEqual([0, true]);
    expect(warnings).toMatchObject([{ code: 'USED_AFTER_RELEASE' }]);
  });

  it('is not confused with a connection that was never leased and runs a statement of a connect listener', async () => {
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
