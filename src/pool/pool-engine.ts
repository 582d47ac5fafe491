import type { EventEmitter } from 'node:events';
import { DatabaseConfigError } from '../errors/config.errors.js';
import type { PoolSnapshot } from '../database.snapshot.js';
import { Scheduler, systemClock } from './support/clock.js';
import type { Clock } from './support/clock.js';
import { DeadlockDetector } from './leases/deadlock-detector.js';
import { drain } from './drain.js';
import type { DrainReport } from './drain.js';
import { DurationHistogram, newCounters } from './reporting/counters.js';
import { captureCallSite } from './leases/lease.js';
import type { Caller, Lease } from './leases/lease.js';
import { ActiveLeases } from './leases/active-leases.js';
import type { LeasedClient, PoolableClient } from './connections/pooled-connection.js';
import { Notifier } from './support/notifier.js';
import { resolveLimits } from './pool.options.js';
import type { Restate } from './pg-pool/pg-pool-errors.js';
import type { PoolOptions, ResolvedLimits } from './pool.options.js';
import type { PoolEntry } from './connections/pool-entry.js';
import { ConnectionSet } from './connections/connection-set.js';
import type { ConnectionSetListener } from './connections/connection-set.js';
import { rethrowOnNextTick, PoolReporter } from './reporting/pool-reporter.js';
import { WaiterQueue } from './waiters/waiter-queue.js';
import type { AcquireOptions, Waiter } from './waiters/waiter-queue.js';

/**
 * The engine: who wants a connection, who has one, and for how long. The connections themselves, and the states they go
 * through, are in `connection-set.ts`. An acquire is served at once or waits; a waiter ends in one way: served, late, given up,
 * failed by a dial, in a deadlock, or at the end.
 */
export class PoolEngine<C extends PoolableClient> implements ConnectionSetListener<C> {
  readonly leases: ActiveLeases<C>;
  readonly counters = newCounters();
  readonly #limits: ResolvedLimits;
  readonly #clock: Clock;
  readonly #connections: ConnectionSet<C>;
  readonly #waiters: WaiterQueue<LeasedClient<C>>;
  readonly #reporter: PoolReporter;
  readonly #waitTimes = new DurationHistogram();
  /** For waiters; it holds the process, since a process that ends with an acquire pending has lost it. */
  readonly #waiterScheduler: Scheduler;
  /** For leases that are out for long. */
  readonly #leaseScheduler: Scheduler;
  readonly #deadlocks: DeadlockDetector<C, LeasedClient<C>>;
  /** For looks at a possible deadlock; it holds the process as that of the waiters does, and only while they wait. */
  readonly #deadlockScheduler: Scheduler;
  /** When nothing is out and nobody waits. */
  readonly #quiescence: Notifier;
  #draining: Promise<DrainReport> | undefined;

  constructor(options: PoolOptions<C>, Client: new (options: never) => C, emitter: EventEmitter) {
    this.#limits = resolveLimits(options);
    this.#clock = options.clock ?? systemClock;
    this.#quiescence = new Notifier(this.#clock);
    this.leases = new ActiveLeases(() => this.#clock.now(), this.#limits, this.counters);
    this.#reporter = new PoolReporter(
      emitter,
      () => this.snapshot(),
      this.leases,
      options.onWarning,
      options.explain,
    );
    this.#waiters = new WaiterQueue((waiter, reason) => this.#cancel(waiter, reason));
    this.#waiterScheduler = new Scheduler(this.#clock, () => this.#rejectOverdue(), true);
    this.#leaseScheduler = new Scheduler(this.#clock, () => this.#inspectLeases(), false);
    this.#deadlocks = new DeadlockDetector(this.leases, this.#waiters, this.#limits.max);
    this.#deadlockScheduler = new Scheduler(this.#clock, () => this.#lookForDeadlock(), true);
    const { connectTimeoutMs } = this.#limits;
    // The dial is bounded by the pool, whatever the class of its clients; theirs would only blur the reason.
    const clientOptions = {
      ...options,
      connectTimeoutMs: connectTimeoutMs === Infinity ? 0 : connectTimeoutMs,
      connectionTimeoutMillis: 0,
    };
    this.#connections = new ConnectionSet(
      this,
      Client,
      clientOptions,
      this.#limits,
      this.#clock,
      this.#reporter,
      this.counters,
    );
    this.#connections.fill();
  }

  // ---- lending -------------------------------------------------------------------------------------------------------

  /**
   * A connection for `borrower`, within `deadlineMs`, unless `signal` gives up first; `below` is left out of stacks, and
   * `restate` decides which error the caller gets.
   */
  acquire(request: AcquireOptions, below: Caller, restate?: Restate): Promise<LeasedClient<C>> {
    if (this.ending) {
      const closed = this.#reporter.closedError();
      return Promise.reject(restate ? restate(closed, captureCallSite(below, false)) : closed);
    }
    if (request.signal?.aborted) return Promise.reject(this.#reporter.cancelledError(request.signal.reason));
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
    const fresh = this.#waiters.length > 0 ? undefined : this.#connections.acquireIdle();
    if (fresh) {
      const site = detectsLeaks ? captureCallSite(request.calledIn ?? below, true) : undefined;
      const client = this.#lease(fresh, request, this.#clock.now(), 0, site);
      if (this.#limits.minIdle > 0) this.#connections.fill();
      return Promise.resolve(client);
    }
    const site = captureCallSite(request.calledIn ?? below, detectsLeaks);
    return new Promise((resolve, reject) =>
      this.#enqueue(request, site, resolve, restate ? (error) => reject(restate(error, site)) : reject),
    );
  }

  #lease(
    entry: PoolEntry<C>,
    request: AcquireOptions,
    now: number,
    waitedMs: number,
    site: { stack?: string } | undefined,
  ): LeasedClient<C> {
    const lease = this.leases.open(entry, now, request, site);
    this.counters.acquired += 1;
    this.#waitTimes.record(waitedMs);
    this.#leaseScheduler.schedule(this.leases.nextInspection(lease));
    if (this.#waiters.unitCount > 0) this.#watchForDeadlock(now);
    const client = entry.client as LeasedClient<C>;
    client.release = (error) => this.#release(lease, error);
    this.#reporter.announce('acquire', client);
    return client;
  }

  #release(lease: Lease<C>, error: Error | boolean | undefined): void {
    if (lease.released)
      throw new Error('Release called on client which has already been released to the pool.');
    lease.released = true;
    if (lease.leakReported) this.#reporter.leakEnded(lease.info());
    // Taken back already; the pool has forgotten it.
    if (lease.reclaimedBy) return;
    this.leases.close(lease);
    this.counters.released += 1;
    this.#reporter.announce('release', error, lease.entry.client);
    this.#connections.release(lease.entry, error, lease);
  }

  /** Ends a lease against its owner's will; his statements fail with `error` and his release does nothing. */
  reclaim(
    lease: Lease<C>,
    reason: 'reclaimed' | 'shutdown',
    error: Error = this.#reporter.closedError(),
  ): void {
    try {
      lease.reclaim(error);
    } catch (thrown) {
      // A hook that throws must not leave the connection leased.
      rethrowOnNextTick(thrown);
    }
    if (reason === 'shutdown') this.#reporter.cut(lease.info());
    this.leases.close(lease);
    this.#reporter.announce('release', error, lease.entry.client);
    this.#connections.remove(lease.entry, reason, error);
  }

  #inspectLeases(): void {
    this.leases.inspect(this.#reporter, (lease, error) => this.reclaim(lease, 'reclaimed', error));
    for (const lease of this.leases) this.#leaseScheduler.schedule(this.leases.nextInspection(lease));
  }

  // ---- waiting -------------------------------------------------------------------------------------------------------

  #enqueue(
    request: AcquireOptions,
    site: { stack?: string },
    resolve: (client: LeasedClient<C>) => void,
    reject: (error: Error) => void,
  ): void {
    if (this.#waiters.length - this.#connections.availableCapacity >= this.#limits.maxWaiting) {
      this.counters.refused += 1;
      reject(this.#reporter.queueFullError(site));
      return;
    }
    const since = this.#clock.now();
    const deadline = since + (request.deadlineMs ?? this.#limits.acquireTimeoutMs);
    const waiter = { request, site, since, deadline, resolve, reject, previous: undefined, next: undefined };
    if (request.unit && this.#deadlocks.holds(request.unit)) this.counters.nestedAcquires += 1;
    this.#waiters.add(waiter);
    this.#waiterScheduler.schedule(deadline);
    this.#connections.reconcile();
    if (request.unit) this.#watchForDeadlock(since);
  }

  #settle(waiter: Waiter<LeasedClient<C>>, error: Error): void {
    this.#dismiss(waiter);
    waiter.reject(error);
    this.onIdle();
  }

  #dismiss(waiter: Waiter<LeasedClient<C>>): void {
    this.#waiters.remove(waiter);
    if (this.#waiters.length === 0) this.#waiterScheduler.cancel();
    if (!waiter.request.unit || this.#waiters.unitCount > 0) return;
    this.#deadlockScheduler.cancel();
    this.#deadlocks.forget();
  }

  #cancel(waiter: Waiter<LeasedClient<C>>, reason: unknown): void {
    this.counters.cancellations += 1;
    this.#settle(waiter, this.#reporter.cancelledError(reason, waiter.site));
    // What was on its way for him alone is not waited for.
    if (this.ending) this.#connections.reconcile();
  }

  #rejectOverdue(): void {
    const { late, next } = this.#waiters.overdue(this.#clock.now());
    for (const waiter of late) {
      this.counters.timeouts += 1;
      const afterMs = this.#clock.now() - waiter.since;
      this.#settle(waiter, this.#reporter.timeoutError(afterMs, waiter.site, this.#connections.lastError));
    }
    if (this.#waiters.length === 0 && !this.ending) return;
    this.#waiterScheduler.schedule(next);
    this.#connections.reconcile();
  }

  /** An alarm that is set stays as it is: new waiters do not put the look off. */
  #watchForDeadlock(now: number): void {
    if (this.#deadlocks.possible) this.#deadlockScheduler.schedule(this.#deadlocks.nextLook(now));
  }

  /** In a deadlock one waiter fails, so that the others can go on. */
  #lookForDeadlock(): void {
    const now = this.#clock.now();
    const found = this.#deadlocks.look(now);
    if (found) {
      const { waiter, held } = found;
      this.counters.selfDeadlocks += 1;
      this.#settle(waiter, this.#reporter.deadlockError(waiter.request.borrower, held.info(), waiter.site));
    }
    this.#watchForDeadlock(now);
  }

  // ---- what the connection set says ------------------------------------------------------------------------------------------

  get waitingCount(): number {
    return this.#waiters.length;
  }

  onAvailable(entry: PoolEntry<C>): void {
    const waiter = this.#waiters.first;
    if (!waiter) return;
    this.#dismiss(waiter);
    const now = this.#clock.now();
    waiter.resolve(this.#lease(entry, waiter.request, now, now - waiter.since, waiter.site));
  }

  /** A waiter fails with a dial's error when the dial began after it had asked: then every error is fresh. */
  onConnectFailed(bornAt: number, cause: Error, passing: boolean): void {
    for (const waiter of this.#waiters) {
      if (waiter.since > bornAt) break;
      if (passing && waiter.deadline !== Infinity && !waiter.request.failFast) continue;
      this.counters.failedByConnect += 1;
      this.#settle(waiter, this.#reporter.connectError(cause, waiter.site));
    }
  }

  reconcileBy(due: number): void {
    this.#waiterScheduler.schedule(due);
  }

  rejectExcess(count: number): void {
    for (
      let waiter = this.#waiters.last;
      waiter && this.#waiters.length > count;
      waiter = this.#waiters.last
    ) {
      this.counters.closed += 1;
      this.#settle(waiter, this.#reporter.closedError(waiter.site, this.#connections.lastError));
    }
  }

  onIdle(): void {
    if (this.isQuiescent) this.#quiescence.notifyAll();
  }

  set exitsOnIdle(allowed: boolean) {
    this.#connections.exitsOnIdle = allowed;
  }

  // ---- figures -------------------------------------------------------------------------------------------------------

  get ending(): boolean {
    return this.#connections.ending;
  }

  get ended(): boolean {
    return this.#connections.ended;
  }

  get totalCount(): number {
    return this.#connections.totalCount;
  }

  get idleCount(): number {
    return this.#connections.idleCount;
  }

  get connectingCount(): number {
    return this.#connections.connecting;
  }

  get expiredCount(): number {
    return this.#connections.expiredCount;
  }

  /** How long a connection may stay idle; `Infinity` is for ever. */
  get idleTimeoutMs(): number {
    return this.#limits.idleTimeoutMs;
  }

  /** The pool at this moment; costs the same however many connections and waiters there are. */
  snapshot(): PoolSnapshot {
    const { size, max } = this.#limits;
    const { totalCount, idleCount, connecting, validating, resetting, generation } = this.#connections;
    const now = this.#clock.now();
    return {
      state: this.ended ? 'ended' : this.ending ? 'ending' : this.#draining ? 'draining' : 'open',
      size,
      maxOverflow: max - size,
      max,
      total: totalCount,
      idle: idleCount,
      leased: this.leases.length,
      connecting,
      validating,
      resetting,
      overflow: Math.max(0, totalCount - size),
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
  get isQuiescent(): boolean {
    return this.leases.length === 0 && this.#waiters.length === 0;
  }

  /** Resolves when it is so, or when `timeoutMs` is over. */
  whenQuiescent(timeoutMs: number): Promise<void> {
    if (this.isQuiescent) return Promise.resolve();
    return this.#quiescence.wait(timeoutMs);
  }

  /**
   * Lends no more, except, while `serving`, to those for whom a connection is on its way; the other waiters are rejected.
   * Resolves when what is out has come back and all is closed.
   */
  async close({ serving }: { serving: boolean }): Promise<void> {
    await this.#connections.close(serving);
    this.#leaseScheduler.cancel();
  }
}
