import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, describe, expect, it, jest } from '@jest/globals';
import fc from 'fast-check';
import type { FakeClient } from '../../../test/support/fake-client.js';
import { FakePool, observe } from '../../../test/support/fake-pool.js';
import type { LeasedFakeClient, AcquireOutcome } from '../../../test/support/fake-pool.js';
import type { VirtualClock } from '../../../test/support/virtual-clock.js';
import { flushPromises } from '../../../test/support/virtual-clock.js';
import type { ConnectionPool } from '../connection-pool.js';
import type { PoolOptions } from '../pool.options.js';
import type { AcquireOptions, WorkUnit } from '../waiters/waiter-queue.js';

let fake: FakePool;
let clock: VirtualClock;
let pool: ConnectionPool<FakeClient>;

function open(options: PoolOptions<FakeClient> = {}): void {
  fake = new FakePool(options);
  ({ clock, pool } = fake);
}

afterEach(async () => {
  jest.restoreAllMocks();
  await fake.close();
});

/** The options of an explicit holder: an open transaction, or a pinned connection. */
const hold = (unit: WorkUnit, request: AcquireOptions = {}) =>
  pool.acquire({ unit, heldFor: () => unit, ...request });
const ask = (unit: WorkUnit | undefined, request: AcquireOptions = {}) =>
  observe(pool.acquire({ unit, ...request }));
const codeOf = ({ client, error }: AcquireOutcome) => (client ? 'served' : error?.code);

describe('A self-deadlock', () => {
  it('rejects the newest waiter after one second, and shows both acquires', async () => {
    open({ size: 2, maxOverflow: 0, leakThresholdMs: 60_000 });
    const [one, two] = [{}, {}];
    const first = await hold(one, { borrower: 'GET /one' });
    const second = await hold(two, { borrower: 'GET /two' });
    const patient = ask(one, { borrower: 'GET /one again' });
    const newest = ask(two, { borrower: 'GET /two again' });
    await clock.advance(999);
    expect([patient.error, newest.error]).toEqual([undefined, undefined]);
    await clock.advance(251);
    expect(newest.error).toMatchObject({
      code: 'POOL_SELF_DEADLOCK',
      message: expect.stringMatching(
        /explicit holder .*GET \/two again acquires a second connection while it holds one \(GET \/two for/,
      ),
      stack: expect.stringContaining('The connection that it holds was acquired'),
    });
    expect(fake.warningCodes()).toEqual(['SELF_DEADLOCK']);
    second.release();
    await flushPromises();
    expect(patient.client).toBe(second);
    expect(pool.snapshot().counters).toMatchObject({ nestedAcquires: 2, selfDeadlocks: 1 });
    first.release();
    second.release();
  });

  it('is found when one transaction waits for a second connection of a pool of one', async () => {
    open({ max: 1 });
    const unit = {};
    await hold(unit);
    const asked = ask(unit);
    await clock.advance(1_250);
    expect(codeOf(asked)).toBe('POOL_SELF_DEADLOCK');
    // No timer is left without a waiter.
    expect(clock.timerCount).toBe(0);
  });

  it('rejects one waiter per second, the newest first, until a holder goes on', async () => {
    open({ max: 1 });
    const unit = {};
    const client = await hold(unit);
    const asked = [1, 2, 3].map(() => ask(unit));
    const failedAfter = async (ms: number) => {
      await clock.advance(ms);
      return asked.map(codeOf);
    };
    const code = 'POOL_SELF_DEADLOCK';
    expect(await failedAfter(1_250)).toEqual([undefined, undefined, code]);
    expect(await failedAfter(999)).toEqual([undefined, undefined, code]);
    expect(await failedAfter(1)).toEqual([undefined, code, code]);
    client.release();
    expect(await failedAfter(10_000)).toEqual(['served', code, code]);
  });

  it('is found through descendants: a transaction waits when a part of it waits', async () => {
    open({ max: 1 });
    const request = {};
    const transaction = { parent: request };
    await hold(request);
    const asked = ask({ parent: transaction }, { borrower: 'a savepoint' });
    await clock.advance(1_250);
    expect(asked.error?.message).toContain('a savepoint acquires a second');
    expect(pool.snapshot().counters.nestedAcquires).toBe(1);
  });

  it('names the nearest connection that the waiter holds', async () => {
    open({ size: 2, maxOverflow: 0 });
    const request = {};
    const transaction = { parent: request };
    await hold(request, { borrower: 'the request' });
    await hold(transaction, { borrower: 'its transaction' });
    const asked = ask(transaction);
    await clock.advance(1_250);
    expect(asked.error?.message).toContain('while it holds one (its transaction for');
  });

  it('names the connection held longest when a unit holds two', async () => {
    open({ size: 2, maxOverflow: 0 });
    const unit = {};
    await hold(unit, { borrower: 'the first' });
    await hold(unit, { borrower: 'the second' });
    const asked = ask(unit);
    await clock.advance(1_250);
    expect(asked.error?.message).toContain('while it holds one (the first for');
  });

  it('is found for a distant ancestor as the holder', async () => {
    open({ max: 1 });
    const holder: WorkUnit = {};
    await hold(holder);
    let unit = holder;
    for (let depth = 0; depth < 20; depth += 1) unit = { parent: unit };
    const asked = ask(unit);
    await clock.advance(1_250);
    expect(codeOf(asked)).toBe('POOL_SELF_DEADLOCK');
  });

  it('does not reject a waiter of another unit, even the newest', async () => {
    open({ max: 1 });
    const unit = {};
    await hold(unit);
    const asked = ask(unit);
    const strangers = [ask({}), ask(undefined)];
    await clock.advance(1_250);
    expect([asked, ...strangers].map(codeOf)).toEqual(['POOL_SELF_DEADLOCK', undefined, undefined]);
  });

  it('is found when it begins with a connection that a waiter gets', async () => {
    open({ size: 2, maxOverflow: 0 });
    const [one, two] = [{}, {}];
    const first = await hold(one);
    const stranger = await pool.acquire();
    const asked = [1, 2].map(() => ask(two, { heldFor: () => two }));
    const again = ask(one);
    await clock.advance(5_000);
    expect([...asked, again].map(codeOf)).toEqual([undefined, undefined, undefined]);
    stranger.release();
    await clock.advance(999);
    expect([...asked, again].map(codeOf)).toEqual(['served', undefined, undefined]);
    await clock.advance(251);
    expect([...asked, again].map(codeOf)).toEqual(['served', undefined, 'POOL_SELF_DEADLOCK']);
    first.release();
    await flushPromises();
    expect(asked[1]?.client).toBe(first);
  });

  it('is not postponed by waiters that are added and removed', async () => {
    open({ max: 1 });
    const unit = {};
    await hold(unit);
    const asked = ask(unit);
    let passing = new AbortController();
    for (let ms = 0; ms < 1_250; ms += 10) {
      passing.abort();
      passing = new AbortController();
      ask({}, { signal: passing.signal });
      await clock.advance(10);
    }
    passing.abort();
    expect(codeOf(asked)).toBe('POOL_SELF_DEADLOCK');
  });

  it('is resolved in a draining pool, which would otherwise wait until its timeout', async () => {
    open({ max: 1 });
    const unit = {};
    const client = await hold(unit);
    const asked = ask(unit);
    const drained = pool.drain({ timeoutMs: 10_000 });
    await clock.advance(1_250);
    expect(codeOf(asked)).toBe('POOL_SELF_DEADLOCK');
    client.release();
    expect(await drained).toEqual({ released: 1, destroyed: 0, rejected: 0 });
  });

  it('is not searched for in a closing pool, which rejects these waiters', async () => {
    open({ max: 1 });
    const unit = {};
    const client = await hold(unit);
    const asked = ask(unit);
    await clock.advance(600);
    const ended = pool.end();
    await clock.advance(5_000);
    expect(codeOf(asked)).toBe('POOL_CLOSED');
    expect(clock.timerCount).toBe(0);
    client.release();
    await ended;
  });
});

describe('No self-deadlock', () => {
  /** A pool of one, whose only connection has an explicit holder with a waiter of its own. */
  const entangled = async () => {
    open({ max: 1 });
    const unit = {};
    const client = await hold(unit);
    return { unit, client };
  };

  it('is found in a `Promise.all` of more calls than there are connections', async () => {
    open({ size: 5, maxOverflow: 10 });
    const request = {};
    const calls = Array.from({ length: 40 }, async () => {
      const client = await pool.acquire({ unit: request, heldFor: () => undefined });
      await new Promise<void>((resolve) => clock.after(2_000, resolve, true));
      client.release();
    });
    await clock.advance(10_000);
    await Promise.all(calls);
    expect(pool.snapshot().counters).toMatchObject({ acquired: 40, nestedAcquires: 0, selfDeadlocks: 0 });
  });

  it('is found in a `Promise.all` of more transactions than there are connections, each a child of one request', async () => {
    open({ size: 2, maxOverflow: 0 });
    const request = {};
    const calls = Array.from({ length: 6 }, async () => {
      const client = await hold({ parent: request });
      await new Promise<void>((resolve) => clock.after(3_000, resolve, true));
      client.release();
    });
    await clock.advance(20_000);
    await Promise.all(calls);
    expect(pool.snapshot().counters).toMatchObject({ acquired: 6, nestedAcquires: 0, selfDeadlocks: 0 });
  });

  const holders: [string, (unit: WorkUnit) => AcquireOptions][] = [
    ['names nothing', () => ({})],
    ['names a unit, but is no explicit holder', (unit) => ({ unit })],
    ['holds a connection for one statement only', (unit) => ({ unit, heldFor: () => undefined })],
    ['keeps it for a unit that waits for nothing', () => ({ heldFor: () => ({}) })],
    ['keeps it for a child of the unit that waits', (unit) => ({ heldFor: () => ({ parent: unit }) })],
  ];
  it.each(holders)('is found when one of the borrowers %s', async (_who, request) => {
    open({ size: 2, maxOverflow: 0 });
    const unit = {};
    await pool.acquire(request(unit));
    await hold(unit);
    const asked = ask(unit);
    await clock.advance(10_000);
    expect(codeOf(asked)).toBeUndefined();
  });

  it('is found when a holder awaits something else while other units wait', async () => {
    open({ size: 2, maxOverflow: 0 });
    const [one, two] = [{}, {}];
    const [first] = await Promise.all([hold(one), hold(two)]);
    const nested = ask(two);
    const others = [{}, {}, {}].map((unit) => ask(unit));
    await clock.advance(20_000);
    expect([nested, ...others].map(codeOf)).toEqual([undefined, undefined, undefined, undefined]);
    first.release();
    await flushPromises();
    expect(nested.client).toBe(first);
  });

  it('is found when a connection runs a statement, until one second after its end', async () => {
    const { unit, client } = await entangled();
    client.isReadyForQuery = false;
    const asked = ask(unit);
    await clock.advance(10_000);
    client.isReadyForQuery = true;
    await clock.advance(999);
    expect(codeOf(asked)).toBeUndefined();
    await clock.advance(251);
    expect(codeOf(asked)).toBe('POOL_SELF_DEADLOCK');
  });

  it('is found when a holder sends a statement now and then', async () => {
    const { unit, client } = await entangled();
    const asked = ask(unit);
    for (let round = 0; round < 10; round += 1) {
      await clock.advance(990);
      await client.query('SELECT 1', []);
    }
    expect(codeOf(asked)).toBeUndefined();
    await clock.advance(1_250);
    expect(codeOf(asked)).toBe('POOL_SELF_DEADLOCK');
  });

  it('is found with a client that does not count its statements', async () => {
    const { unit, client } = await entangled();
    client.statementCount = undefined;
    const asked = ask(unit);
    await clock.advance(10_000);
    expect(codeOf(asked)).toBeUndefined();
  });

  it('is found when one transaction has ended and another has begun', async () => {
    open({ max: 1 });
    const unit = {};
    const [one, two] = [{ parent: unit }, { parent: unit }];
    let transaction = one;
    await pool.acquire({ unit, heldFor: () => transaction });
    const asked = [ask(one), ask(two)];
    for (let round = 0; round < 10; round += 1) {
      await clock.advance(990);
      transaction = transaction === one ? two : one;
    }
    expect(asked.map(codeOf)).toEqual([undefined, undefined]);
  });

  it('is found when each wait ends within a second', async () => {
    const { unit } = await entangled();
    for (let round = 0; round < 10; round += 1) {
      const asked = ask(unit, { deadlineMs: 990 });
      await clock.advance(500);
      const next = ask(unit, { deadlineMs: 990 });
      await clock.advance(490);
      expect([codeOf(asked), codeOf(next)]).toEqual(['POOL_ACQUIRE_TIMEOUT', undefined]);
      await clock.advance(500);
    }
    expect(pool.snapshot().counters.selfDeadlocks).toBe(0);
  });

  it('is found after the waiter was cancelled', async () => {
    const { unit, client } = await entangled();
    const abort = new AbortController();
    const asked = ask(unit, { signal: abort.signal });
    await clock.advance(900);
    abort.abort();
    await flushPromises();
    expect([codeOf(asked), clock.timerCount]).toEqual(['POOL_ACQUIRE_CANCELLED', 0]);
    const again = ask(unit);
    await clock.advance(999);
    expect(codeOf(again)).toBeUndefined();
    client.release();
    await flushPromises();
    expect(codeOf(again)).toBe('served');
  });

  it('is found when a holder releases its connection between two checks and acquires it again', async () => {
    open({ max: 1 });
    const unit = {};
    const nested = Array.from({ length: 8 }, () => ask(unit, { heldFor: () => unit }));
    for (let round = 0; round < nested.length; round += 1) {
      await clock.advance(990);
      nested.find(({ client: held }) => held && pool.leaseOf(held))?.client?.release();
    }
    await flushPromises();
    expect(nested.map(codeOf)).toEqual(nested.map(() => 'served'));
  });

  it('is found while a connection is being reset', async () => {
    open({ size: 2, maxOverflow: 0, resetTimeoutMs: 60_000 });
    const unit = {};
    await hold(unit);
    const other = await hold({});
    const asked = ask(unit);
    await clock.advance(900);
    let cleaned!: () => void;
    other.resetResult = new Promise((resolve) => {
      cleaned = () => resolve({ rolledBack: true, cleared: false });
    });
    other.release();
    await clock.advance(5_000);
    expect(codeOf(asked)).toBeUndefined();
    cleaned();
    await flushPromises();
    expect(codeOf(asked)).toBe('served');
  });

  it('is found while another connection can be opened', async () => {
    open({ size: 2, maxOverflow: 0 });
    const unit = {};
    await hold(unit);
    fake.server.isConnectManual = true;
    const asked = ask(unit);
    await clock.advance(5_000);
    expect(codeOf(asked)).toBeUndefined();
    fake.server.clients[1]?.completeConnect();
    await flushPromises();
    expect(codeOf(asked)).toBe('served');
  });

  it('is found after a blocked event loop, in which no borrower could continue', async () => {
    const { unit } = await entangled();
    const asked = ask(unit);
    await clock.advance(300);
    clock.block(5_000);
    await clock.advance(0);
    expect(codeOf(asked)).toBeUndefined();
    clock.block(5_000);
    await clock.advance(0);
    expect(codeOf(asked)).toBeUndefined();
    await clock.advance(500);
    expect(codeOf(asked)).toBe('POOL_SELF_DEADLOCK');
  });

  it('is found before a whole second is over, even when timers fire early', async () => {
    const { unit } = await entangled();
    const { after } = clock;
    clock.after = (ms, callback, keepsProcessAlive) => after(ms - 0.9, callback, keepsProcessAlive);
    const asked = ask(unit);
    await clock.advance(1_249);
    expect(codeOf(asked)).toBeUndefined();
    await clock.advance(1);
    expect(codeOf(asked)).toBe('POOL_SELF_DEADLOCK');
  });

  it('is found in units whose parents form a cycle', async () => {
    open({ max: 1 });
    const [one, two]: { parent?: WorkUnit }[] = [{}, {}] as never;
    one!.parent = two;
    two!.parent = one;
    await hold({});
    const asked = ask(one);
    await clock.advance(5_000);
    expect(codeOf(asked)).toBeUndefined();
  });

  it('is found when heldFor throws, and its error is rethrown', async () => {
    open({ max: 1 });
    const thrown = new Error('no holder');
    const unit = {};
    await pool.acquire({
      heldFor: () => {
        throw thrown;
      },
    });
    const later: unknown[] = [];
    jest.spyOn(process, 'nextTick').mockImplementation((callback) => {
      try {
        (callback as () => void)();
      } catch (error) {
        later.push(error);
      }
    });
    const asked = ask(unit);
    await clock.advance(5_000);
    jest.restoreAllMocks();
    expect(codeOf(asked)).toBeUndefined();
    expect(new Set(later)).toEqual(new Set([thrown]));
    expect(later.length).toBeGreaterThan(10);
  });
});

describe('The checks for a self-deadlock', () => {
  it('run only while a unit of work waits and every connection is leased', async () => {
    open({ size: 2, maxOverflow: 0, acquireTimeoutMs: 0 });
    const heldFor = jest.fn(() => undefined);
    const unit = {};
    const first = await pool.acquire({ unit, heldFor });
    await clock.advance(5_000);
    fake.server.isConnectManual = true;
    const second = ask(unit, { heldFor });
    heldFor.mockClear();
    await clock.advance(5_000);
    expect(heldFor).not.toHaveBeenCalled();
    fake.server.clients[1]?.completeConnect();
    await flushPromises();
    const anonymous = ask(undefined);
    await clock.advance(5_000);
    expect(heldFor).not.toHaveBeenCalled();
    const asked = ask(unit);
    heldFor.mockClear();
    await clock.advance(1_000);
    // Each ends at the first connection whose borrower is no explicit holder.
    expect(heldFor).toHaveBeenCalledTimes(4);
    heldFor.mockClear();
    first.release();
    second.client?.release();
    await flushPromises();
    expect([anonymous, asked].map(codeOf)).toEqual(['served', 'served']);
    await clock.advance(5_000);
    expect(heldFor).not.toHaveBeenCalled();
  });

  it('keep the process alive only while an acquire waits', async () => {
    open({ max: 1, acquireTimeoutMs: 0 });
    const unit = {};
    const client = await hold(unit);
    expect(clock.keepAliveCount).toBe(0);
    const abort = new AbortController();
    ask(unit, { signal: abort.signal });
    await flushPromises();
    expect(clock.keepAliveCount).toBe(1);
    abort.abort();
    await flushPromises();
    expect(clock.keepAliveCount).toBe(0);
    const asked = ask(unit);
    client.release();
    await flushPromises();
    expect([codeOf(asked), clock.keepAliveCount]).toEqual(['served', 0]);
  });

  it('are equally frequent whether connections are leased in between or not', async () => {
    open({ max: 1 });
    const heldFor = jest.fn(() => undefined);
    const asked = Array.from({ length: 2_000 }, () => ask({}, { heldFor }));
    await flushPromises();
    heldFor.mockClear();
    let served = 0;
    for (let ms = 0; ms < 1_000; ms += 1) {
      asked[served]?.client?.release();
      served += 1;
      await clock.advance(1);
    }
    expect(served).toBe(1_000);
    expect(heldFor.mock.calls.length).toBeLessThanOrEqual(4);
    for (const one of asked.slice(served)) {
      one.client?.release();
      await flushPromises();
    }
  });

  it('visit a unit once for 100 000 waiters', async () => {
    open({ max: 1 });
    let reads = 0;
    const unit = {
      get parent() {
        reads += 1;
        return undefined;
      },
    };
    const client = await hold(unit);
    const outcomes = { served: 0, failed: 0 };
    for (let count = 0; count < 100_000; count += 1)
      pool.acquire({ unit }).then(
        (next) => {
          outcomes.served += 1;
          next.release();
        },
        () => (outcomes.failed += 1),
      );
    await flushPromises();
    reads = 0;
    await clock.advance(1_250);
    expect(outcomes).toEqual({ served: 0, failed: 1 });
    // Five checks and the search for the newest waiter; the last unit of each chain ends it.
    expect(reads).toBeLessThanOrEqual(12);
    client.release();
    while (outcomes.served < 99_999) await flushPromises();
    expect(outcomes).toEqual({ served: 99_999, failed: 1 });
  });

  it('visit distant ancestors once, however many waiters share them', async () => {
    open({ max: 1 });
    let reads = 0;
    let root: WorkUnit = {};
    for (let depth = 0; depth < 1_000; depth += 1) {
      const parent = root;
      root = {
        get parent() {
          reads += 1;
          return parent;
        },
      };
    }
    const unit = {};
    const client = await hold(unit);
    const asked = Array.from({ length: 1_000 }, () => ask({ parent: root }));
    const nested = ask(unit);
    await flushPromises();
    reads = 0;
    await clock.advance(1_250);
    expect(codeOf(nested)).toBe('POOL_SELF_DEADLOCK');
    // Six passes: eight reads for each of a thousand waiters, and one for each of the thousand ancestors.
    expect(reads).toBeLessThanOrEqual(6 * (1_000 + 8 * 1_000));
    client.release();
    for (const one of asked) {
      await flushPromises();
      one.client?.release();
    }
  });

  it('keep no reference to units that neither hold nor wait', async () => {
    open({ max: 1 });
    const left = async (): Promise<WeakRef<object>> => {
      const unit = {};
      const client = await hold(unit);
      const abort = new AbortController();
      ask(unit, { signal: abort.signal });
      await clock.advance(600);
      abort.abort();
      client.release();
      await flushPromises();
      (await pool.acquire()).release();
      return new WeakRef(unit);
    };
    const unit = await left();
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    await new Promise((resolve) => setImmediate(resolve));
    collect();
    expect(unit.deref()).toBeUndefined();
  });
});

/** How the one holder makes progress. */
const WAYS = ['anonymous', 'busy', 'sends', 'alone', 'releases'] as const;

describe('With any units, holders and waiters, as long as one holder makes progress', () => {
  const scenario = fc.record({
    max: fc.integer({ min: 1, max: 3 }),
    way: fc.constantFrom(...WAYS),
    parents: fc.array(fc.nat(20), { minLength: 6, maxLength: 6 }),
    steps: fc.array(
      fc.record({
        do: fc.constantFrom('hold', 'hold', 'ask', 'ask', 'ask', 'abort', 'release', 'query', 'pass', 'pass'),
        which: fc.nat(20),
        other: fc.nat(20),
      }),
      { minLength: 10, maxLength: 40 },
    ),
  });

  it('no waiter is rejected', async () => {
    await fc.assert(
      fc.asyncProperty(scenario, async ({ max, way, parents, steps }) => {
        open({ max, acquireTimeoutMs: 0 });
        // Each is a child of an earlier one, or a root.
        const units: WorkUnit[] = [];
        for (const parent of parents) units.push({ parent: units[parent % (units.length + 1)] });
        const among = <T>(all: readonly T[], chosen: number): T | undefined => all[chosen % all.length];
        const held: LeasedFakeClient[] = [];
        const codes: unknown[] = [];
        const signals: AbortController[] = [];
        const acquire = (request: AcquireOptions) => {
          const abort = new AbortController();
          signals.push(abort);
          pool.acquire({ ...request, signal: abort.signal }).then(
            (client) => held.push(client),
            ({ code }: { code: string }) => codes.push(code),
          );
        };
        const alone = { parent: among(units, max) };
        const unit = way === 'anonymous' ? undefined : way === 'alone' ? alone : units[0];
        const free = await pool.acquire({ unit: units[0], heldFor: () => unit });
        free.isReadyForQuery = way !== 'busy';
        // Then it is a holder like all others, and another one makes progress.
        if (way === 'releases') held.push(free);
        const release = (client: LeasedFakeClient | undefined) => {
          if (!client) return;
          held.splice(held.indexOf(client), 1);
          client.release();
        };
        /** Advances the clock, and the one holder makes progress. */
        const pass = async (ms: number) => {
          for (let left = ms; left > 0; left -= 900) {
            await clock.advance(Math.min(left, 900));
            if (way === 'sends') await free.query('SELECT 1', []);
            if (way === 'releases') release(held[0]);
          }
        };
        for (const step of steps) {
          const asks = among(units, step.which);
          const holds = among(units, step.other);
          if (step.do === 'hold') acquire({ unit: asks, heldFor: () => holds });
          else if (step.do === 'ask') acquire({ unit: asks, heldFor: () => undefined });
          else if (step.do === 'abort') among(signals, step.which)?.abort();
          else if (step.do === 'release') release(among(held, step.which));
          else if (step.do === 'query') await among(held, step.which)?.query('SELECT 1', []);
          else await pass(100 * (step.which + 1) * (step.other % 3 === 0 ? 5 : 1));
          await flushPromises();
        }
        await pass(5_000);
        expect(codes).not.toContain('POOL_SELF_DEADLOCK');
        expect(pool.snapshot().counters.selfDeadlocks).toBe(0);
        await fake.close();
      }),
      { numRuns: Number(process.env.POOL_DEADLOCK_RUNS ?? 500) },
    );
  }, 120_000);
});
