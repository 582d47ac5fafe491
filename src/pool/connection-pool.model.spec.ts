import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { FakeClient } from '../../test/support/fake-client.js';
import { FakePool } from '../../test/support/fake-pool.js';
import type { LeasedFakeClient } from '../../test/support/fake-pool.js';
import { flushPromises } from '../../test/support/virtual-clock.js';
import type { PoolOptions } from './pool.options.js';
import type { WorkUnit } from './waiters/waiter-queue.js';

/** An event of a pool; `which` chooses the client or acquire that it happens to. */
type Step =
  | {
      do: 'acquire';
      deadlineMs: number | undefined;
      signal: boolean;
      unit: number;
      holder: number;
      failFast: boolean;
    }
  | { do: 'release'; which: number; how: 'clean' | 'error' | 'needs-reset' | 'slow-reset' }
  | { do: 'reset-ends'; which: number; ok: boolean }
  | { do: 'abort'; which: number }
  | { do: 'connect-ends'; which: number; how: 'success' | 'refused' | 'waking' | 'retried' }
  | { do: 'validation-ends'; which: number; ok: boolean }
  | { do: 'disconnect'; which: number }
  | { do: 'dies-silently'; which: number }
  | { do: 'pass'; ms: number }
  | { do: 'sleep'; ms: number }
  | { do: 'end' };

const which = fc.nat(20);
const steps = fc.array(
  fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({
        do: fc.constant('acquire' as const),
        deadlineMs: fc.option(fc.integer({ min: 0, max: 3_000 }), { nil: undefined }),
        signal: fc.boolean(),
        unit: fc.nat(4),
        holder: fc.nat(6),
        failFast: fc.boolean(),
      }),
    },
    {
      weight: 6,
      arbitrary: fc.record({
        do: fc.constant('release' as const),
        which,
        how: fc.constantFrom(
          'clean' as const,
          'clean' as const,
          'error' as const,
          'needs-reset' as const,
          'slow-reset' as const,
        ),
      }),
    },
    { weight: 3, arbitrary: fc.record({ do: fc.constant('reset-ends' as const), which, ok: fc.boolean() }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('abort' as const), which }) },
    {
      weight: 6,
      arbitrary: fc.record({
        do: fc.constant('connect-ends' as const),
        which,
        how: fc.constantFrom(
          'success' as const,
          'success' as const,
          'refused' as const,
          'waking' as const,
          'retried' as const,
        ),
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({ do: fc.constant('validation-ends' as const), which, ok: fc.boolean() }),
    },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('disconnect' as const), which }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('dies-silently' as const), which }) },
    {
      weight: 4,
      arbitrary: fc.record({
        do: fc.constant('pass' as const),
        ms: fc.constantFrom(1, 10, 200, 600, 2_500, 20_000),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ do: fc.constant('sleep' as const), ms: fc.constantFrom(1_000, 100_000) }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('end' as const) }) },
  ),
  { minLength: 5, maxLength: 60 },
);

const limits = fc.record({
  size: fc.integer({ min: 1, max: 3 }),
  maxOverflow: fc.integer({ min: 0, max: 2 }),
  minIdle: fc.nat(2),
  maxLifetimeMs: fc.constantFrom(0, 5_000),
  maxUses: fc.constantFrom(0, 3),
  maxWaiting: fc.constantFrom(undefined, 3),
  leakThresholdMs: fc.constantFrom(0, 2_000),
  reclaimAfterMs: fc.constantFrom(0, 4_000),
  overflowIdleMs: fc.constantFrom(0, 300),
  keepaliveMs: fc.constantFrom(0, 700),
  acquireTimeoutMs: fc.constantFrom(0, 1_500),
});

/** The errors of failed connects. */
const failures = {
  refused: () => new Error('refused'),
  waking: () => Object.assign(new Error('the database system is starting up'), { code: '57P03' }),
  retried: () => new Error('unsupported option'),
};

interface Acquire {
  number: number;
  settledTimes: number;
  abort: AbortController | undefined;
}

/** A pool with its borrowers, and the invariants that hold after each step. */
class Model {
  readonly fake: FakePool;
  readonly asked: Acquire[] = [];
  readonly waiting = new Set<Acquire>();
  readonly held: LeasedFakeClient[] = [];
  readonly resets: { client: FakeClient; done: (ok: boolean) => void }[] = [];
  readonly units: WorkUnit[] = [{}, {}];
  /** The explicit holder of each leased client, and since when. */
  readonly holders = new Map<FakeClient, { holder: WorkUnit | undefined; since: number }>();
  readonly max: number;
  readonly acquireTimeoutMs: number | undefined;
  /** Failed connects that were repeated immediately. */
  retriedConnects = 0;
  ending = false;

  constructor(options: PoolOptions<FakeClient> & { size: number; maxOverflow: number }) {
    const shouldRetryConnect = ({ message }: Error) => {
      if (message !== 'unsupported option') return false;
      this.retriedConnects += 1;
      return true;
    };
    this.fake = new FakePool({ ...options, shouldRetryConnect });
    for (const parent of [...this.units]) this.units.push({ parent });
    this.fake.server.isConnectManual = true;
    this.fake.server.isValidationManual = true;
    this.max = options.size + options.maxOverflow;
    this.acquireTimeoutMs = options.acquireTimeoutMs;
    this.fake.pool.on('release', (error: Error | undefined, client: LeasedFakeClient) => {
      if ((error as { code?: string } | undefined)?.code !== 'POOL_LEASE_RECLAIMED') return;
      this.held.splice(this.held.indexOf(client), 1);
    });
  }

  async step(step: Step): Promise<void> {
    const { pool, clock, server } = this.fake;
    const among = <T>(all: T[], chosen: number): T | undefined => all[chosen % all.length];
    switch (step.do) {
      case 'acquire':
        this.acquire(step);
        break;
      case 'release': {
        const client = among(this.held, step.which);
        if (!client) break;
        this.held.splice(this.held.indexOf(client), 1);
        client.resetResult = undefined;
        if (step.how === 'needs-reset' || step.how === 'slow-reset') {
          client.resetResult = new Promise((resolve, reject) => {
            const done = (ok: boolean) =>
              ok ? resolve({ rolledBack: true, cleared: true }) : reject(new Error('reset failed'));
            this.resets.push({ client, done });
          });
        }
        // Not awaited by the pool when the connection is closed without a reset.
        client.resetResult?.catch(() => undefined);
        client.release(step.how === 'error');
        break;
      }
      case 'reset-ends': {
        const chosen = among(this.resets, step.which);
        if (!chosen) break;
        this.resets.splice(this.resets.indexOf(chosen), 1);
        chosen.done(step.ok);
        break;
      }
      case 'abort':
        among(
          [...this.waiting].filter(({ abort }) => abort),
          step.which,
        )?.abort?.abort();
        break;
      case 'connect-ends':
        among(
          server.clients.filter((client) => !client.isOpen && !client.isClosed),
          step.which,
        )?.completeConnect(step.how === 'success' ? undefined : failures[step.how]());
        break;
      case 'validation-ends':
        among(server.open, step.which)?.completeValidation(step.ok ? undefined : new Error('dead'));
        break;
      case 'disconnect':
        among(server.open, step.which)?.disconnect();
        break;
      case 'dies-silently': {
        const client = among(server.open, step.which);
        if (client) client.isUsable = false;
        break;
      }
      case 'pass':
        await clock.advance(step.ms);
        break;
      case 'sleep':
        clock.skewMs += step.ms;
        break;
      case 'end':
        if (this.ending) break;
        this.ending = true;
        void pool.end();
        break;
    }
    await flushPromises();
    this.check();
  }

  acquire({
    deadlineMs,
    signal,
    unit,
    holder,
    failFast,
  }: {
    deadlineMs: number | undefined;
    signal: boolean;
    unit: number;
    holder: number;
    failFast: boolean;
  }): void {
    const abort = signal ? new AbortController() : undefined;
    const asked: Acquire = { number: this.asked.length, settledTimes: 0, abort };
    this.asked.push(asked);
    this.waiting.add(asked);
    const settle = () => {
      asked.settledTimes += 1;
      this.waiting.delete(asked);
    };
    this.fake.pool
      .acquire({
        deadlineMs,
        signal: abort?.signal,
        failFast,
        unit: this.units[unit],
        heldFor: () => this.units[holder],
        borrower: `asked ${asked.number}`,
      })
      .then(
        (client) => {
          settle();
          // No barging: no earlier acquire still waits.
          for (const other of this.waiting) expect(other.number).toBeGreaterThan(asked.number);
          expect(this.held).not.toContain(client);
          expect(client.isUsable || client.closeReason !== undefined || client.isClosed).toBe(true);
          this.held.push(client);
          this.holders.set(client, { holder: this.units[holder], since: this.fake.clock.now() });
        },
        ({ code, cause }: { code?: string; cause?: { code?: string } }) => {
          settle();
          if (code === 'POOL_SELF_DEADLOCK') this.checkDeadlock();
          if (code !== 'POOL_CONNECT_FAILED' || cause?.code !== '57P03') return;
          const waitsForEver = deadlineMs === undefined && this.acquireTimeoutMs === 0;
          expect(failFast || waitsForEver).toBe(true);
        },
      );
  }

  /** Every connection is leased, for at least a second, and by an explicit holder. */
  checkDeadlock(): void {
    expect(this.held).toHaveLength(this.max);
    for (const client of this.held) {
      const { holder, since } = this.holders.get(client)!;
      expect(holder).toBeDefined();
      expect(this.fake.clock.now() - since).toBeGreaterThanOrEqual(1_000);
    }
    this.deadlocks += 1;
  }
  deadlocks = 0;

  check(): void {
    const { pool, server, clock } = this.fake;
    const now = pool.snapshot();
    expect(now.total).toBe(now.idle + now.leased + now.connecting + now.validating + now.resetting);
    expect(now.total).toBeLessThanOrEqual(this.max);
    expect(now.leased).toBe(this.held.length);
    expect(now.waiting).toBe(this.waiting.size);
    expect(
      Math.min(now.idle, now.connecting, now.validating, now.resetting, now.waiting),
    ).toBeGreaterThanOrEqual(0);
    // Every open client belongs to the pool.
    const leftOver = server.open.filter((client) => client.isUsable).length;
    expect(leftOver).toBeLessThanOrEqual(now.total);
    const { counters } = now;
    expect(counters.selfDeadlocks).toBe(this.deadlocks);
    expect(this.asked.length).toBe(
      counters.acquired +
        counters.timeouts +
        counters.cancellations +
        counters.refused +
        counters.failedByConnect +
        counters.selfDeadlocks +
        counters.closed +
        // An acquire of a pool that has ended is refused without being counted.
        this.refusedAfterEnd() +
        now.waiting,
    );
    expect(counters.acquired).toBe(counters.released + counters.destroyed.reclaimed + now.leased);
    // Each connect ends once.
    if (!this.ending)
      expect(server.clients.length).toBe(
        now.connecting + counters.created + counters.connectFailures + this.retriedConnects,
      );
    // Each waiter has a pending connection, unless a connect has failed; then the next one follows within a second.
    const pending = now.connecting + now.validating + now.resetting;
    // While the pool is closing, exactly one connection is pending per waiter.
    if (this.ending) expect([pending, now.idle]).toEqual([now.waiting, 0]);
    else if (now.waiting > pending && now.total < this.max) {
      expect(counters.connectFailures).toBeGreaterThan(0);
      expect(clock.msToNextKeepAlive).toBeLessThanOrEqual(1_000);
    }
    // A connection stays idle while acquires wait only if enough connections are being validated.
    if (now.waiting > 0 && now.idle > 0) expect(now.validating).toBeGreaterThanOrEqual(now.waiting);
  }

  refusedAfterEnd(): number {
    return this.afterEnd;
  }
  afterEnd = 0;

  /** Answers every request and releases every client. No acquire may be left then. */
  async finish(): Promise<void> {
    const { pool, server, clock } = this.fake;
    for (let round = 0; round < 400 && (this.waiting.size > 0 || this.held.length > 0); round += 1) {
      for (const { done } of this.resets.splice(0)) done(true);
      for (const client of server.clients) client.completeConnect();
      for (const client of server.open) client.completeValidation();
      await flushPromises();
      this.held.pop()?.release();
      await clock.advance(20);
    }
    expect({ waiting: this.waiting.size, held: this.held.length }).toEqual({ waiting: 0, held: 0 });
    expect(this.asked.every(({ settledTimes }) => settledTimes === 1)).toBe(true);
    for (const { done } of this.resets.splice(0)) done(true);
    await flushPromises();
    await this.fake.close();
    expect(pool.ended).toBe(true);
  }
}

describe('ConnectionPool under any order of events', () => {
  const runs = Number(process.env.POOL_MODEL_RUNS ?? 3_000);

  it(
    'never leases too many connections or one twice, serves in order, settles each acquire once, and leaves nothing open',
    async () => {
      await fc.assert(
        fc.asyncProperty(limits, steps, async (options, sequence) => {
          const model = new Model(options);
          for (const step of sequence) {
            if (model.ending && step.do === 'acquire') model.afterEnd += 1;
            await model.step(step);
          }
          await model.finish();
        }),
        { numRuns: runs },
      );
    },
    Math.max(120_000, runs * 40),
  );
});
