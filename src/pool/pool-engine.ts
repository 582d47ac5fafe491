import type { EventEmitter } from 'node:events';
import { DatabaseConfigError } from '../database.errors.js';
import type { PoolSnapshot } from '../database.snapshot.js';
import { Alarm, systemClock } from './clock.js';
import type { Clock } from './clock.js';
import { DeadlockDetector } from './deadlock-detector.js';
import { drain } from './drain.js';
import type { DrainReport } from './drain.js';
import { DurationHistogram, newCounters } from './figures.js';
import { captureSite } from './lease.js';
import type { Caller, Lease } from './lease.js';
import { LeaseBook } from './lease-book.js';
import type { Leased, PoolableClient } from './link.js';
import { Moment } from './moment.js';
import { resolveLimits } from './pool.options.js';
import type { Restate } from './pg-pool-errors.js';
import type { PoolOptions, ResolvedLimits } from './pool.options.js';
import type { Slot } from './slot.js';
import { Supply } from './supply.js';
import type { Demand } from './supply.js';
import { rethrowLater, Voice } from './voice.js';
import { WaiterQueue } from './waiters.js';
import type { AcquireOptions, Waiter } from './waiters.js';

/**
 * The engine: who wants a connection, who has one, and for how long. The connections themselves, and the states they go
 * through, are in `supply.ts`. An acquire is served at once or waits; a waiter ends in one way: served, late, given up,
 * failed by a dial, in a deadlock, or at the end.
 */
export class PoolEngine<C extends PoolableClient> implements Demand<C> {
  readonly leases: LeaseBook<C>;
  readonly counters = newCounters();
  readonly #limits: ResolvedLimits;
  readonly #clock: Clock;
  readonly #supply: Supply<C>;
  readonly #waiters: WaiterQueue<Leased<C>>;
  readonly #voice: Voice;
  readonly #waitTimes = new DurationHistogram();
  /** For waiters; it holds the process, since a process that ends with an acquire pending has lost it. */
  readonly #waiterAlarm: Alarm;
  /** For leases that are out for long. */
  readonly #leaseAlarm: Alarm;
  readonly #deadlocks: DeadlockDetector<C, Leased<C>>;
  /** For looks at a possible deadlock; it holds the process as that of the waiters does, and only while they wait. */
  readonly #deadlockAlarm: Alarm;
  /** When nothing is out and nobody waits. */
  readonly #quiescence: Moment;
  #draining: Promise<DrainReport> | undefined;

  constructor(options: PoolOptions<C>, Client: new (options: never) => C, emitter: EventEmitter) {
    this.#limits = resolveLimits(options);
    this.#clock = options.clock ?? systemClock;
    this.#quiescence = new Moment(this.#clock);
    this.leases = new LeaseBook(() => this.#clock.now(), this.#limits, this.counters);
    this.#voice = new Voice(emitter, () => this.snapshot(), this.leases, options.onWarning, options.explain);
    this.#waiters = new WaiterQueue((waiter, reason) => this.#cancel(waiter, reason));
    this.#waiterAlarm = new Alarm(this.#clock, () => this.#lookAtWaiters(), true);
    this.#leaseAlarm = new Alarm(this.#clock, () => this.#lookAtLeases(), false);
    this.#deadlocks = new DeadlockDetector(this.leases, this.#waiters, this.#limits.max);
    this.#deadlockAlarm = new Alarm(this.#clock, () => this.#lookForDeadlock(), true);
    const { connectTimeoutMs } = this.#limits;
    // The dial is bounded by the pool, whatever the class of its clients; theirs would only blur the reason.
    const clientOptions = {
      ...options,
      connectTimeoutMs: connectTimeoutMs === Infinity ? 0 : connectTimeoutMs,
      connectionTimeoutMillis: 0,
    };
    this.#supply = new Supply(
      this,
      Client,
      clientOptions,
      this.#limits,
      this.#clock,
      this.#voice,
      this.counters,
    );
    this.#supply.fill();
  }

  // ---- lending -------------------------------------------------------------------------------------------------------

  /**
   * A connection for `borrower`, within `deadlineMs`, unless `signal` gives up first; `below` is left out of stacks, and
   * `restate` decides which error the caller gets.
   */
  acquire(request: AcquireOptions, below: Caller, restate?: Restate): Promise<Leased<C>> {
    if (this.ending) {
      const closed = this.#voice.closedError();
      return Promise.reject(restate ? restate(closed, captureSite(below, false)) : closed);
    }
    if (request.signal?.aborted) return Promise.reject(this.#voice.cancelledError(request.signal.reason));
    const { deadlineMs } = request;
    // It would compare with nothing: its waiter and all behind it would never be late.
    if (deadlineMs !== undefined && (typeof deadlineMs !== 'number' || Number.isNaN(deadlineMs)))
      return Promise.reject(
        new DatabaseConfigError([
          { setting: 'deadlineMs', message: `is ${String(deadlineMs)}; a number is wanted` },
        ]),
      );
    const detectsLeaks = this.#limits.leakThresholdMs !== Infinity;
    // None while others wait: nobody overtakes.
    const fresh = this.#waiters.length > 0 ? undefined : this.#supply.take();
    if (fresh) {
      const site = detectsLeaks ? captureSite(request.calledIn ?? below, true) : undefined;
      const client = this.#lend(fresh, request, this.#clock.now(), 0, site);
      if (this.#limits.minIdle > 0) this.#supply.fill();
      return Promise.resolve(client);
    }
    const site = captureSite(request.calledIn ?? below, detectsLeaks);
    return new Promise((resolve, reject) =>
      this.#ask(request, site, resolve, restate ? (error) => reject(restate(error, site)) : reject),
    );
  }

  #lend(
    slot: Slot<C>,
    request: AcquireOptions,
    now: number,
    waitedMs: number,
    site: { stack?: string } | undefined,
  ): Leased<C> {
    const lease = this.leases.open(slot, now, request, site);
    this.counters.acquired += 1;
    this.#waitTimes.record(waitedMs);
    this.#leaseAlarm.by(this.leases.nextLook(lease));
    if (this.#waiters.unitCount > 0) this.#watchForDeadlock(now);
    const client = slot.client as Leased<C>;
    client.release = (error) => this.#release(lease, error);
    this.#voice.announce('acquire', client);
    return client;
  }

  #release(lease: Lease<C>, error: Error | boolean | undefined): void {
    if (lease.released)
      throw new Error('Release called on client which has already been released to the pool.');
    lease.released = true;
    if (lease.leakReported) this.#voice.leakEnded(lease.info());
    // Taken back already; the pool has forgotten it.
    if (lease.reclaimedBy) return;
    this.leases.close(lease);
    this.counters.released += 1;
    this.#voice.announce('release', error, lease.slot.client);
    this.#supply.putBack(lease.slot, error, lease);
  }

  /** Ends a lease against its owner's will; his statements fail with `error` and his release does nothing. */
  takeBack(
    lease: Lease<C>,
    reason: 'reclaimed' | 'shutdown',
    error: Error = this.#voice.closedError(),
  ): void {
    try {
      lease.reclaim(error);
    } catch (thrown) {
      // A hook that throws must not leave the connection leased.
      rethrowLater(thrown);
    }
    if (reason === 'shutdown') this.#voice.cut(lease.info());
    this.leases.close(lease);
    this.#voice.announce('release', error, lease.slot.client);
    this.#supply.drop(lease.slot, reason, error);
  }

  #lookAtLeases(): void {
    this.leases.look(this.#voice, (lease, error) => this.takeBack(lease, 'reclaimed', error));
    for (const lease of this.leases) this.#leaseAlarm.by(this.leases.nextLook(lease));
  }

  // ---- waiting -------------------------------------------------------------------------------------------------------

  #ask(
    request: AcquireOptions,
    site: { stack?: string },
    resolve: (client: Leased<C>) => void,
    reject: (error: Error) => void,
  ): void {
    if (this.#waiters.length - this.#supply.room >= this.#limits.maxWaiting) {
      this.counters.refused += 1;
      reject(this.#voice.queueFullError(site));
      return;
    }
    const since = this.#clock.now();
    const deadline = since + (request.deadlineMs ?? this.#limits.acquireTimeoutMs);
    const waiter = { request, site, since, deadline, resolve, reject, previous: undefined, next: undefined };
    if (request.unit && this.#deadlocks.holds(request.unit)) this.counters.nestedAcquires += 1;
    this.#waiters.add(waiter);
    this.#waiterAlarm.by(deadline);
    this.#supply.pump();
    if (request.unit) this.#watchForDeadlock(since);
  }

  #settle(waiter: Waiter<Leased<C>>, error: Error): void {
    this.#dismiss(waiter);
    waiter.reject(error);
    this.rested();
  }

  #dismiss(waiter: Waiter<Leased<C>>): void {
    this.#waiters.remove(waiter);
    if (this.#waiters.length === 0) this.#waiterAlarm.silence();
    if (!waiter.request.unit || this.#waiters.unitCount > 0) return;
    this.#deadlockAlarm.silence();
    this.#deadlocks.forget();
  }

  #cancel(waiter: Waiter<Leased<C>>, reason: unknown): void {
    this.counters.cancellations += 1;
    this.#settle(waiter, this.#voice.cancelledError(reason, waiter.site));
    // What was on its way for him alone is not waited for.
    if (this.ending) this.#supply.pump();
  }

  #lookAtWaiters(): void {
    const { late, next } = this.#waiters.overdue(this.#clock.now());
    for (const waiter of late) {
      this.counters.timeouts += 1;
      const afterMs = this.#clock.now() - waiter.since;
      this.#settle(waiter, this.#voice.timeoutError(afterMs, waiter.site, this.#supply.lastError));
    }
    if (this.#waiters.length === 0 && !this.ending) return;
    this.#waiterAlarm.by(next);
    this.#supply.pump();
  }

  /** An alarm that is set stays as it is: new waiters do not put the look off. */
  #watchForDeadlock(now: number): void {
    if (this.#deadlocks.possible) this.#deadlockAlarm.by(this.#deadlocks.nextLook(now));
  }

  /** In a deadlock one waiter fails, so that the others can go on. */
  #lookForDeadlock(): void {
    const now = this.#clock.now();
    const found = this.#deadlocks.look(now);
    if (found) {
      const { waiter, held } = found;
      this.counters.selfDeadlocks += 1;
      this.#settle(waiter, this.#voice.deadlockError(waiter.request.borrower, held.info(), waiter.site));
    }
    this.#watchForDeadlock(now);
  }

  // ---- what the supply says ------------------------------------------------------------------------------------------

  get waiting(): number {
    return this.#waiters.length;
  }

  serve(slot: Slot<C>): void {
    const waiter = this.#waiters.first;
    if (!waiter) return;
    this.#dismiss(waiter);
    const now = this.#clock.now();
    waiter.resolve(this.#lend(slot, waiter.request, now, now - waiter.since, waiter.site));
  }

  /** A waiter fails with a dial's error when the dial began after it had asked: then every error is fresh. */
  unserved(bornAt: number, cause: Error, passing: boolean): void {
    for (const waiter of this.#waiters) {
      if (waiter.since > bornAt) break;
      if (passing && waiter.deadline !== Infinity && !waiter.request.failFast) continue;
      this.counters.failedByDial += 1;
      this.#settle(waiter, this.#voice.dialError(cause, waiter.site));
    }
  }

  wakeBy(due: number): void {
    this.#waiterAlarm.by(due);
  }

  keep(count: number): void {
    for (
      let waiter = this.#waiters.last;
      waiter && this.#waiters.length > count;
      waiter = this.#waiters.last
    ) {
      this.counters.closed += 1;
      this.#settle(waiter, this.#voice.closedError(waiter.site, this.#supply.lastError));
    }
  }

  rested(): void {
    if (this.quiescent) this.#quiescence.hasCome();
  }

  set exitsOnIdle(allowed: boolean) {
    this.#supply.exitsOnIdle = allowed;
  }

  // ---- figures -------------------------------------------------------------------------------------------------------

  get ending(): boolean {
    return this.#supply.ending;
  }

  get ended(): boolean {
    return this.#supply.ended;
  }

  get total(): number {
    return this.#supply.total;
  }

  get idle(): number {
    return this.#supply.idle;
  }

  get dialling(): number {
    return this.#supply.dialling;
  }

  get expiredCount(): number {
    return this.#supply.expiredCount;
  }

  /** How long a connection may stay idle; `Infinity` is for ever. */
  get idleTimeoutMs(): number {
    return this.#limits.idleTimeoutMs;
  }

  /** The pool at this moment; costs the same however many connections and waiters there are. */
  snapshot(): PoolSnapshot {
    const { size, max } = this.#limits;
    const { total, idle, dialling, checking, returning, generation } = this.#supply;
    const now = this.#clock.now();
    return {
      state: this.ended ? 'ended' : this.ending ? 'ending' : this.#draining ? 'draining' : 'open',
      size,
      maxOverflow: max - size,
      max,
      total,
      idle,
      leased: this.leases.length,
      dialling,
      validating: checking,
      returning,
      overflow: Math.max(0, total - size),
      waiting: this.#waiters.length,
      oldestLeaseMs: this.leases.head ? now - this.leases.head.since : 0,
      oldestWaiterMs: this.#waiters.first ? now - this.#waiters.first.since : 0,
      generation,
      counters: { ...this.counters, destroyed: { ...this.counters.destroyed } },
      wait: this.#waitTimes.snapshot(),
      use: this.leases.useTimes.snapshot(),
    };
  }

  // ---- the end -------------------------------------------------------------------------------------------------------

  /** One drain, however often it is asked for. */
  drain(timeoutMs: number): Promise<DrainReport> {
    this.#draining ??= drain(this, timeoutMs);
    return this.#draining;
  }

  now(): number {
    return this.#clock.now();
  }

  /** Nothing is out and nobody waits. */
  get quiescent(): boolean {
    return this.leases.length === 0 && this.#waiters.length === 0;
  }

  /** Resolves when it is so, or when `timeoutMs` is over. */
  whenQuiescent(timeoutMs: number): Promise<void> {
    if (this.quiescent) return Promise.resolve();
    return this.#quiescence.wait(timeoutMs);
  }

  /**
   * Lends no more, except, while `serving`, to those for whom a connection is on its way; the other waiters are rejected.
   * Resolves when what is out has come back and all is closed.
   */
  async shut({ serving }: { serving: boolean }): Promise<void> {
    await this.#supply.close(serving);
    this.#leaseAlarm.silence();
  }
}
