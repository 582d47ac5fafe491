import { EventEmitter } from 'node:events';
import { inspect } from 'node:util';
import { Connection } from '../connection/connection.js';
import type { SharedStatement } from '../connection/shared/shared-statement.js';
import type { StatementFacts } from '../connection/statements/statement-texts.js';
import { StatementTimings } from '../connection/shared/statement-timings.js';
import { DatabaseConfigError } from '../errors/config.errors.js';
import type { DestroyReason, PoolSnapshot } from '../database.snapshot.js';
import { callSite as captureCallSite } from '../text/call-site.js';
import type { CallSite, Caller } from '../text/call-site.js';
import { ConnectionSet } from './connections/connection-set.js';
import type { PoolEntry } from './connections/pool-entry.js';
import type { LeasedClient, PoolableClient } from './connections/pooled-connection.js';
import { drain } from './drain.js';
import type { DrainReport } from './drain.js';
import { ActiveLeases } from './leases/active-leases.js';
import { DeadlockDetector } from './leases/deadlock-detector.js';
import type { Lease, PoolLease } from './leases/lease.js';
import { PgPoolErrors } from './pg-pool/pg-pool-errors.js';
import { queryOnPool } from './pg-pool/pool-query.js';
import type { QueryConnections } from './shared/shareable-query.js';
import { resolveLimits, resolveMultiplex, withoutSecrets } from './pool.options.js';
import type { PoolOptions, ResolvedLimits } from './pool.options.js';
import { DurationHistogram, newCounters } from './reporting/counters.js';
import { describePool } from './reporting/describe.js';
import { PoolReporter } from './reporting/pool-reporter.js';
import { instantOf, systemClock } from './support/clock.js';
import type { Clock, Instant } from './support/clock.js';
import { Notifier } from './support/notifier.js';
import { rethrowWithStack } from './reporting/error-stack.js';
import { rethrowOnNextTick } from './support/rethrow-on-next-tick.js';
import { Multiplexer } from './shared/multiplexer.js';
import { SharedConnections } from './shared/shared-connections.js';
import type { SharingPool } from './shared/shared-connections.js';
import { Scheduler } from './support/scheduler.js';
import { Waiter, WaiterQueue } from './waiters/waiter-queue.js';
import type { AcquireOptions, ErrorMapper, ShareableAcquire } from './waiters/waiter-queue.js';

type ConnectCallback<C> = (
  error: Error | undefined,
  client: LeasedClient<C> | undefined,
  release: (error?: Error | boolean) => void,
) => void;

/**
 * A pool of PostgreSQL connections with the API and the events of `pg.Pool`. In addition, it has the methods `acquire`, `drain`,
 * `snapshot` and `leases`.
 *
 * `acquire` takes an idle connection or adds a waiter; `release` returns the connection to a waiter or to the idle ones. Every
 * other change of state calls `#reconcile`, the one loop that brings the pool to its target.
 * @example
 * const pool = new ConnectionPool({ connectionString: 'postgres://app@localhost/app', size: 5, maxOverflow: 10 });
 * const { rows } = await pool.query('SELECT * FROM users WHERE id = $1', [1]);
 */
export class ConnectionPool<C extends PoolableClient = Connection> extends EventEmitter {
  /** The options of the pool. The password, the connection string and TLS options are not enumerable, so that logs omit them. */
  readonly options: PoolOptions<C>;
  readonly #limits: ResolvedLimits;
  readonly #clock: Clock;
  readonly #counters = newCounters();
  readonly #waitTimes = new DurationHistogram();
  readonly #reporter: PoolReporter;
  readonly #pgPoolErrors = new PgPoolErrors();

  readonly #connections: ConnectionSet<C>;
  readonly #leases: ActiveLeases<C>;
  readonly #leaseScheduler: Scheduler;
  readonly #waiters: WaiterQueue<LeasedClient<C>>;
  /** Keeps the process alive while acquires wait: otherwise the process could exit without an error. */
  readonly #waiterScheduler: Scheduler;
  readonly #deadlocks: DeadlockDetector<C, LeasedClient<C>>;
  readonly #deadlockScheduler: Scheduler;
  /** The connections on which statements of several callers are in flight; undefined unless `multiplex` is on. */
  readonly #shared: SharedConnections<C> | undefined;
  readonly #multiplexer: Multiplexer<C> | undefined;
  /** Notified when nothing is leased and nothing waits. */
  readonly #quiescence: Notifier;
  #isReconciling = false;
  #reconcileAgain = false;
  #draining: Promise<DrainReport> | undefined;
  #isEndCalled = false;

  /**
   * Opens no connection, unless `minIdle` is set.
   * @param Client the class of the connections, unless `options.Client` is given
   * @throws DatabaseConfigError (`DATABASE_CONFIG_INVALID`) that names every invalid option
   */
  constructor(options: PoolOptions<C> = {}, Client?: new (options: never) => C) {
    super();
    this.options = withoutSecrets(options);
    this.#limits = resolveLimits(options);
    this.#clock = options.clock ?? systemClock;
    this.#quiescence = new Notifier(this.#clock);
    this.#leases = new ActiveLeases(() => this.#clock.now(), this.#limits, this.#counters);
    this.#leaseScheduler = new Scheduler(this.#clock, () => this.#inspectLeases(), false);
    this.#waiters = new WaiterQueue((waiter, reason) => this.#cancel(waiter, reason));
    this.#waiterScheduler = new Scheduler(this.#clock, () => this.#rejectOverdue(), true);
    this.#deadlocks = new DeadlockDetector(
      this.#leases,
      this.#waiters,
      this.#limits.max,
      () => this.#shared?.count ?? 0,
    );
    this.#deadlockScheduler = new Scheduler(this.#clock, () => this.#checkForDeadlock(), true);
    this.#reporter = new PoolReporter({
      emitter: this,
      snapshot: () => this.snapshot(),
      leases: this.#leases,
      onWarning: options.onWarning,
      explainConnectError: options.explainConnectError,
    });
    const { connectTimeoutMs } = this.#limits;
    const multiplex = resolveMultiplex(options);
    const statementTimings = multiplex && new StatementTimings(multiplex);
    this.#connections = new ConnectionSet({
      Client: options.Client ?? Client ?? (Connection as unknown as new (options: never) => C),
      clientOptions: {
        ...options,
        connectTimeoutMs: connectTimeoutMs === Infinity ? 0 : connectTimeoutMs,
        // The pool enforces the connect timeout. A timer of the client would report it with another error.
        connectionTimeoutMillis: 0,
      },
      limits: this.#limits,
      clock: this.#clock,
      reporter: this.#reporter,
      counters: this.#counters,
      listener: {
        onReady: (entry) => this.#onReady(entry),
        onConnectFailed: (startedAt, cause, isStarting) =>
          this.#rejectForFailedConnect(startedAt, cause, isStarting),
        onChange: () => this.#reconcile(),
      },
      statementTimings,
    });
    if (multiplex && statementTimings) {
      const connections = this.#connections;
      this.#shared = new SharedConnections(
        connections,
        this.#sharingPool(),
        multiplex,
        this.#limits,
        this.#clock,
      );
      this.#multiplexer = new Multiplexer(this.#shared, connections.statementTexts, statementTimings);
    }
    this.#showPgPoolOptions();
    this.#reconcile();
  }

  /** Tools that monitor a `pg.Pool` read these options. Not enumerable: they would change a pool that is created from a copy. */
  #showPgPoolOptions(): void {
    const { max, idleTimeoutMs } = this.#limits;
    // `pg-pool` uses null for "never".
    const shown = { max, idleTimeoutMillis: idleTimeoutMs === Infinity ? null : idleTimeoutMs };
    for (const [name, value] of Object.entries(shown))
      if (this.options[name as keyof typeof shown] === undefined)
        Object.defineProperty(this.options, name, { value, enumerable: false });
  }

  // ---- acquire -------------------------------------------------------------------------------------------------------

  /**
   * Acquires a connection. Waiters are served first come, first served.
   * @throws PoolAcquireTimeoutError (`POOL_ACQUIRE_TIMEOUT`) after `deadlineMs`
   * @throws PoolAcquireCancelledError (`POOL_ACQUIRE_CANCELLED`) when `signal` aborts first
   * @throws PoolQueueFullError (`POOL_QUEUE_FULL`) when `maxWaiting` acquires wait
   * @throws PoolConnectError (`POOL_CONNECT_FAILED`, `POOL_CONNECT_TIMEOUT`) when the connect has failed and no other connection
   *   exists; its `cause` is the error of the server or of the socket
   * @throws PoolSelfDeadlockError (`POOL_SELF_DEADLOCK`) when every connection has an explicit holder that waits for another one
   * @throws PoolClosedError (`POOL_CLOSED`) after `end()` or a drain
   * @throws DatabaseConfigError (`DATABASE_CONFIG_INVALID`) when `deadlineMs` is not a number
   * @example
   * const client = await pool.acquire({ borrower: 'nightly report', deadlineMs: 2_000 });
   * try {
   *   await client.query('SELECT 1');
   * } finally {
   *   client.release();
   * }
   */
  acquire(options: AcquireOptions = {}): Promise<LeasedClient<C>> {
    return this.#acquire(options, methods.acquire);
  }

  /**
   * Acquires a connection by promise or callback, as `pg.Pool` does.
   * @throws the errors of `pg.Pool`: the error of the connect itself, or an error with the message of `pg-pool`
   */
  connect(): Promise<LeasedClient<C>>;
  connect(callback: ConnectCallback<C>): void;
  connect(callback?: ConnectCallback<C>): Promise<LeasedClient<C>> | void {
    const acquired = this.#acquire({}, methods.connect, this.#pgPoolErrors.map);
    if (!callback) return acquired;
    acquired.then(
      (client) => process.nextTick(callback, undefined, client, client.release),
      (error: Error) => process.nextTick(callback, error, undefined, () => undefined),
    );
  }

  /** Runs one statement on a connection of the pool, in every form of `pg.Pool.query`; rejects as `connect()` does. */
  readonly query: Connection['query'] = ((text: unknown, values?: unknown, callback?: unknown) =>
    queryOnPool(this.#queryConnections, text, values, callback, this.multiplexer)) as Connection['query'];

  /** The connections for `query`. */
  readonly #queryConnections: QueryConnections<C> = {
    acquire: () => this.#acquire({ borrower: 'pool.query' }, this.query, this.#pgPoolErrors.map),
    acquireOrShare: (facts) =>
      this.#acquireOrShare({ borrower: 'pool.query' }, facts, this.query, this.#pgPoolErrors.map),
  };

  /**
   * @internal Acquires an idle connection without a promise. Undefined when the acquire has to wait or is refused: `acquire` says why.
   * @param caller with leak detection, the stack of the lease begins at the caller of this function
   */
  tryAcquire(options: AcquireOptions, caller?: Caller): LeasedClient<C> | undefined {
    // No barging: while others wait, the next connection belongs to the longest waiter.
    if (this.ending || this.#waiters.length > 0) return undefined;
    const at = instantOf(this.#clock);
    const entry = this.#takeFresh(at);
    if (!entry) return undefined;
    const client = this.#lease(entry, options, this.#callSite(options, caller), at.now, at.now);
    if (this.#limits.minIdle > 0) this.#reconcile();
    return client;
  }

  /**
   * @internal As `acquire`, for one statement that can be shared: resolves with a place on a shared connection when one is free
   * before a connection of its own.
   */
  acquireOrShare(
    options: ShareableAcquire,
    facts: StatementFacts,
  ): Promise<LeasedClient<C> | SharedStatement> {
    return this.#acquireOrShare(options, facts, methods.acquireOrShare);
  }

  /** @param caller the public method called */
  #acquire(options: AcquireOptions, caller: Caller, mapError?: ErrorMapper): Promise<LeasedClient<C>> {
    return this.#acquireNow(options, caller, mapError) ?? this.#wait(options, caller, mapError);
  }

  #acquireOrShare(
    options: ShareableAcquire,
    facts: StatementFacts,
    caller: Caller,
    mapError?: ErrorMapper,
  ): Promise<LeasedClient<C> | SharedStatement> {
    return this.#acquireNow(options, caller, mapError) ?? this.#waitOrShare(options, facts, caller, mapError);
  }

  /** Acquires an idle connection, or rejects an acquire that is refused. Undefined when the acquire has to wait. */
  #acquireNow(
    options: AcquireOptions,
    caller: Caller,
    mapError?: ErrorMapper,
  ): Promise<LeasedClient<C>> | undefined {
    if (this.ending) {
      const error = this.#reporter.closedError();
      return Promise.reject(mapError ? mapError(error) : error);
    }
    if (options.signal?.aborted) return Promise.reject(this.#reporter.cancelledError(options.signal.reason));
    const { deadlineMs } = options;
    // Every comparison with NaN is false: this waiter and all behind it would never time out.
    if (deadlineMs !== undefined && (typeof deadlineMs !== 'number' || Number.isNaN(deadlineMs)))
      return Promise.reject(
        new DatabaseConfigError([
          { setting: 'deadlineMs', message: `is ${String(deadlineMs)}; it must be a number` },
        ]),
      );
    const client = this.tryAcquire(options, caller);
    if (client) return Promise.resolve(client);
    if (this.#waiters.length - this.#connections.availableCapacity < this.#limits.maxWaiting)
      return undefined;
    this.#counters.refused += 1;
    const error = this.#reporter.queueFullError();
    return Promise.reject(mapError ? mapError(error) : error);
  }

  /** Where the connection is acquired, with leak detection: a stack costs more than the acquire. */
  #callSite(options: AcquireOptions, caller: Caller | undefined): CallSite | undefined {
    return this.#limits.leakThresholdMs === Infinity
      ? undefined
      : captureCallSite(options.calledIn ?? caller);
  }

  /** @internal Decides which statements are shared; undefined unless `multiplex` is on. */
  get multiplexer(): Multiplexer<C> | undefined {
    return this.#multiplexer;
  }

  /** What shared connections need of the pool. */
  #sharingPool(): SharingPool<C> {
    return {
      takeFresh: (at) => (this.ending || this.#waiters.length > 0 ? undefined : this.#takeFresh(at)),
      onAdopted: () => {
        if (this.#limits.minIdle > 0) this.#reconcile();
      },
      onEmpty: () => {
        if (this.ending || this.#draining || this.#waiters.length > 0) this.#reconcile();
      },
    };
  }

  /** An idle connection that needs no validation. */
  #takeFresh(at: Instant): PoolEntry<C> | undefined {
    const entry = this.#connections.takeIdle(at);
    if (!entry || !this.#connections.needsValidation(entry, at)) return entry;
    this.#connections.putBack(entry);
    return undefined;
  }

  /** The stack of a rejection shows the code that awaits it, which costs nothing until then. */
  #wait(options: AcquireOptions, caller: Caller, mapError?: ErrorMapper): Promise<LeasedClient<C>> {
    const callSite = this.#callSite(options, caller);
    return new Promise<LeasedClient<C>>((resolve, reject) => {
      this.#onWaiting(this.#addWaiter(options, callSite, resolve, reject, mapError));
    }).catch(rethrowWithStack);
  }

  #waitOrShare(
    options: ShareableAcquire,
    facts: StatementFacts,
    caller: Caller,
    mapError?: ErrorMapper,
  ): Promise<LeasedClient<C> | SharedStatement> {
    const callSite = this.#callSite(options, caller);
    return new Promise<LeasedClient<C> | SharedStatement>((resolve, reject) => {
      const waiter = this.#addWaiter(options, callSite, resolve, reject, mapError);
      waiter.canShare = () => options.canShare?.() ?? true;
      this.#shared?.addWaiter({
        facts,
        previous: undefined,
        next: undefined,
        isWaiting: () => waiter.onCancel !== undefined && waiter.canShare?.() === true,
        move: (statement) => {
          this.#removeWaiter(waiter);
          this.#waitTimes.record(this.#clock.now() - waiter.since);
          options.onPlace?.(statement);
          resolve(statement);
          this.#reconcile();
        },
      });
      this.#onWaiting(waiter);
    }).catch(rethrowWithStack);
  }

  #addWaiter(
    request: AcquireOptions,
    callSite: CallSite | undefined,
    resolve: (client: LeasedClient<C>) => void,
    reject: (error: Error) => void,
    mapError: ErrorMapper | undefined,
  ): Waiter<LeasedClient<C>> {
    const since = this.#clock.now();
    const deadline = since + (request.deadlineMs ?? this.#limits.acquireTimeoutMs);
    if (request.unit && this.#deadlocks.isHolder(request.unit)) this.#counters.nestedAcquires += 1;
    const waiter = new Waiter(request, callSite, since, deadline, resolve, reject, mapError);
    this.#waiters.add(waiter);
    return waiter;
  }

  #onWaiting(waiter: Waiter<LeasedClient<C>>): void {
    const { request, since, deadline } = waiter;
    request.onWait?.(waiter);
    this.#waiterScheduler.schedule(deadline);
    this.#reconcile();
    if (request.unit) this.#watchForDeadlock(since);
  }

  /** @param waitingSince when the acquire began */
  #lease(
    entry: PoolEntry<C>,
    request: AcquireOptions,
    callSite: CallSite | undefined,
    now: number,
    waitingSince: number,
  ): LeasedClient<C> {
    this.#connections.lease(entry);
    const lease = this.#leases.open(entry, now, request, callSite);
    this.#counters.acquired += 1;
    this.#waitTimes.record(now - waitingSince);
    this.#leaseScheduler.schedule(this.#leases.nextInspection(lease));
    if (this.#waiters.unitCount > 0) this.#watchForDeadlock(now);
    const client = entry.client as LeasedClient<C>;
    client.release = (error) => this.#release(lease, error);
    this.#reporter.emit('acquire', client);
    return client;
  }

  // ---- release -------------------------------------------------------------------------------------------------------

  #release(lease: Lease<C>, error: Error | boolean | undefined): void {
    if (lease.isReleased)
      throw new Error('Release called on client which has already been released to the pool.');
    lease.isReleased = true;
    if (lease.isLeakReported) this.#reporter.reportLeakEnded(lease.info());
    // The pool has closed the connection already.
    if (lease.reclaimedBy) return;
    const at = instantOf(this.#clock);
    this.#leases.close(lease, at.now);
    this.#counters.released += 1;
    const { entry } = lease;
    this.#reporter.emit('release', error, entry.client);
    entry.uses += 1;
    const reason = this.#reasonToClose(entry, error, at);
    if (reason) {
      this.#connections.remove(entry, reason);
      this.#reconcile();
      return;
    }
    const resetting = entry.connection.reset(this.#limits.reset, this.#limits.resetTimeoutMs);
    if (resetting) this.#connections.awaitReset(entry, resetting, lease.info());
    else this.#onReady(entry, at);
  }

  #reasonToClose(
    entry: PoolEntry<C>,
    error: Error | boolean | undefined,
    at: Instant,
  ): DestroyReason | undefined {
    if (this.ending) return 'shutdown';
    if (!entry.isUsable) return 'broken';
    if (error) return 'released-with-error';
    if (entry.uses >= this.#limits.maxUses) return 'uses';
    return entry.isExpired(at) ? 'lifetime' : undefined;
  }

  /** Forcibly ends a lease: pending statements reject with `error`, and `release()` does nothing. */
  #reclaim(
    lease: Lease<C>,
    reason: 'reclaimed' | 'shutdown',
    error: Error = this.#reporter.closedError(),
  ): void {
    try {
      lease.reclaim(error);
    } catch (thrown) {
      // An `onReclaimed` that throws must not leave the connection leased.
      rethrowOnNextTick(thrown);
    }
    if (reason === 'shutdown') this.#reporter.reportForceClosed(lease.info());
    this.#leases.close(lease, this.#clock.now());
    this.#reporter.emit('release', error, lease.entry.client);
    this.#connections.remove(lease.entry, reason, error);
    this.#reconcile();
  }

  #inspectLeases(): void {
    this.#leases.inspect(this.#reporter, (lease, error) => this.#reclaim(lease, 'reclaimed', error));
    for (const lease of this.#leases) this.#leaseScheduler.schedule(this.#leases.nextInspection(lease));
  }

  // ---- reconcile -----------------------------------------------------------------------------------------------------

  /**
   * Brings the pool to its target:
   * - an idle connection serves the longest waiter, after a validation where it needs one;
   * - a connection is pending for each waiter, and `minIdle` connections are idle or pending beyond that, within `size` and
   *   `maxOverflow`;
   * - while the pool is closing, no connection is idle, and exactly one is pending for each waiter.
   *
   * Event handlers change the state and then call this method. A step of the loop can cause such an event (an `acquire` listener
   * releases the client, a constructor of the client throws): the loop then runs once more and does not recurse.
   */
  #reconcile(): void {
    // The usual release: nothing waits, and nothing is missing.
    if (this.#waiters.length === 0 && this.#limits.minIdle === 0 && !this.ending) {
      this.#notifyIfQuiescent();
      return;
    }
    if (this.#isReconciling) {
      this.#reconcileAgain = true;
      return;
    }
    this.#isReconciling = true;
    try {
      do {
        this.#reconcileAgain = false;
        this.#serveWaiters();
        if (this.ending) this.#closeExcess();
        else this.#connectMissing();
      } while (this.#reconcileAgain);
    } finally {
      this.#isReconciling = false;
    }
    this.#notifyIfQuiescent();
  }

  #serveWaiters(): void {
    if (this.#shared && this.#waiters.length > this.#connections.availableCapacity)
      this.#shared.returnEmpty();
    if (this.#connections.idleCount === 0) return;
    const at = instantOf(this.#clock);
    for (let waiter = this.#waiters.first; waiter; waiter = this.#waiters.first) {
      const entry = this.#connections.takeIdle(at);
      if (!entry) return;
      if (!this.#connections.needsValidation(entry, at)) {
        this.#serve(waiter, entry, at);
      } else if (this.#connections.validatingCount < this.#waiters.length) {
        this.#connections.validate(entry);
      } else {
        this.#connections.putBack(entry);
        return;
      }
    }
  }

  #serve(waiter: Waiter<LeasedClient<C>>, entry: PoolEntry<C>, { now }: Instant): void {
    this.#removeWaiter(waiter);
    waiter.resolve(this.#lease(entry, waiter.request, waiter.callSite, now, waiter.since));
  }

  #connectMissing(): void {
    while (this.#isConnectionMissing()) {
      const at = this.#connections.nextConnectAt;
      if (at > this.#clock.now()) {
        if (this.#waiters.length > 0) this.#waiterScheduler.schedule(at);
        // A separate timer: when all waiters are cancelled, their timer is cancelled too.
        if (this.#limits.minIdle > 0) this.#connections.scheduleHousekeeping(at);
        return;
      }
      this.#connections.connect();
    }
  }

  #isConnectionMissing(): boolean {
    const waiting = this.#waiters.length;
    const { size, max, minIdle } = this.#limits;
    const { totalCount, idleCount, pendingCount } = this.#connections;
    if (waiting > pendingCount && totalCount < max) return true;
    return minIdle > 0 && idleCount + pendingCount - waiting < minIdle && totalCount < size;
  }

  #closeExcess(): void {
    this.#shared?.closeEmpty();
    this.#rejectWaitersBeyond(this.#connections.pendingCount);
    this.#connections.removeExcess(this.#waiters.length);
  }

  /** A connection has connected, passed its validation, or been reset: it serves the longest waiter or becomes idle. */
  #onReady(entry: PoolEntry<C>, at = instantOf(this.#clock)): void {
    const waiter = this.#waiters.first;
    // Its idle time is not checked, since it has just answered: with `validateAfterIdleMs: 0`, it would be validated again and
    // again.
    if (waiter && entry.isUsable && entry.generation === this.#connections.generation) {
      entry.markUsed(at);
      if (!waiter.canShare?.() || !this.#shared?.serve(entry)) this.#serve(waiter, entry, at);
    } else {
      this.#connections.addIdle(entry, at);
    }
    this.#reconcile();
  }

  // ---- rejected waiters ----------------------------------------------------------------------------------------------

  #removeWaiter(waiter: Waiter<LeasedClient<C>>): void {
    this.#waiters.remove(waiter);
    if (this.#waiters.length === 0) this.#waiterScheduler.cancel();
    if (!waiter.request.unit || this.#waiters.unitCount > 0) return;
    this.#deadlockScheduler.cancel();
    this.#deadlocks.reset();
  }

  #rejectWaiter(waiter: Waiter<LeasedClient<C>>, error: Error): void {
    this.#removeWaiter(waiter);
    waiter.reject(error);
  }

  #cancel(waiter: Waiter<LeasedClient<C>>, reason: unknown): void {
    this.#counters.cancellations += 1;
    this.#rejectWaiter(waiter, this.#reporter.cancelledError(reason, true));
    this.#reconcile();
  }

  /** Runs at the earliest deadline, and when the backoff allows the next connect. */
  #rejectOverdue(): void {
    const { overdue, nextDeadline } = this.#waiters.overdue(this.#clock.now());
    for (const waiter of overdue) {
      this.#counters.timeouts += 1;
      const waitedMs = this.#clock.now() - waiter.since;
      const error = this.#reporter.timeoutError(waitedMs, this.#connections.lastError);
      this.#rejectWaiter(waiter, error);
    }
    this.#waiterScheduler.schedule(nextDeadline);
    this.#reconcile();
  }

  /** Rejects only waiters that waited when the connect started: for later ones, its error may be out of date. */
  #rejectForFailedConnect(startedAt: number, cause: Error, isStarting: boolean): void {
    for (const waiter of this.#waiters) {
      if (waiter.since > startedAt) break;
      if (isStarting && waiter.deadline !== Infinity && !waiter.request.failFast) continue;
      this.#counters.failedByConnect += 1;
      this.#rejectWaiter(waiter, this.#reporter.connectError(cause));
    }
  }

  #rejectWaitersBeyond(count: number): void {
    for (
      let waiter = this.#waiters.last;
      waiter && this.#waiters.length > count;
      waiter = this.#waiters.last
    ) {
      this.#counters.closed += 1;
      const error = this.#reporter.closedError(true, this.#connections.lastError);
      this.#rejectWaiter(waiter, error);
    }
  }

  /** Schedules the next check, unless one is scheduled: new waiters must not postpone it. */
  #watchForDeadlock(now: number): void {
    if (this.#deadlocks.isPossible) this.#deadlockScheduler.schedule(this.#deadlocks.nextCheckAt(now));
  }

  /** Rejects one waiter of a deadlock, so that the others can go on. */
  #checkForDeadlock(): void {
    const now = this.#clock.now();
    const deadlock = this.#deadlocks.check(now);
    if (deadlock) {
      const { waiter, lease } = deadlock;
      this.#counters.selfDeadlocks += 1;
      const error = this.#reporter.deadlockError(waiter.request.borrower, lease.info());
      this.#rejectWaiter(waiter, error);
    }
    this.#reconcile();
    this.#watchForDeadlock(now);
  }

  // ---- close ---------------------------------------------------------------------------------------------------------

  /**
   * Closes the pool: idle connections immediately, leased ones when they are released. As with `pg.Pool`, a waiter still gets the
   * connection that is pending for it; the other waiters are rejected with `POOL_CLOSED`.
   * @returns resolves when every connection is closed
   * @throws Error on the second call, as `pg.Pool` does
   */
  end(): Promise<void>;
  end(callback: (error?: Error) => void): void;
  end(callback?: (error?: Error) => void): Promise<void> | void {
    const ended = this.#isEndCalled
      ? Promise.reject(new Error('Called end on pool more than once'))
      : this.#close({ servesWaiters: true });
    this.#isEndCalled = true;
    if (!callback) return ended;
    ended.then(
      () => process.nextTick(callback),
      (error: Error) => process.nextTick(callback, error),
    );
  }

  /**
   * Closes the pool in steps, and never hangs. Until `timeoutMs` is over, the pool goes on as before and closes as soon as nothing
   * is leased and nothing waits. After that it rejects the waiters, cancels the running statements, waits 500 ms for the releases,
   * and forcibly closes the connections that are still leased. A second call returns the promise of the first.
   * @param options.timeoutMs milliseconds; `@defaultValue` 10 000
   * @returns how many connections were released and destroyed, and how many acquires were rejected
   * @example
   * process.once('SIGTERM', async () => {
   *   const { destroyed } = await pool.drain({ timeoutMs: 5_000 });
   *   process.exit(destroyed === 0 ? 0 : 1);
   * });
   */
  drain({ timeoutMs = 10_000 }: { timeoutMs?: number } = {}): Promise<DrainReport> {
    this.#draining ??= drain(
      {
        leases: this.#leases,
        counters: this.#counters,
        now: () => this.#clock.now(),
        isQuiescent: () => this.#isQuiescent,
        whenQuiescent: (ms) => (this.#isQuiescent ? Promise.resolve() : this.#quiescence.wait(ms)),
        close: () => this.#close({ servesWaiters: false }),
        reclaim: (lease, reason) => this.#reclaim(lease, reason),
        destroyShared: () => this.#destroyShared(),
      },
      timeoutMs,
    );
    return this.#draining;
  }

  #destroyShared(): number {
    const destroyed = this.#shared?.destroyAll(this.#reporter.closedError()) ?? [];
    for (const inFlight of destroyed) this.#reporter.reportForceClosedShared(inFlight);
    return destroyed.length;
  }

  async #close({ servesWaiters }: { servesWaiters: boolean }): Promise<void> {
    this.#connections.isClosing = true;
    if (!servesWaiters) this.#rejectWaitersBeyond(0);
    this.#reconcile();
    await this.#connections.whenClosed();
    this.#leaseScheduler.cancel();
  }

  #notifyIfQuiescent(): void {
    if (this.#isQuiescent) this.#quiescence.notifyAll();
  }

  /** Whether nothing is leased, nothing waits, and no statement is in flight on a shared connection. */
  get #isQuiescent(): boolean {
    if (this.#leases.length > 0 || this.#waiters.length > 0) return false;
    return this.#shared === undefined || this.#shared.inFlight === 0;
  }

  /** Whether `end()` was called, or a drain has stopped leasing. */
  get ending(): boolean {
    return this.#connections.isClosing;
  }

  /** Whether every connection is closed, after `end()` or a drain. */
  get ended(): boolean {
    return this.#connections.isClosed;
  }

  /** Changes the option `allowExitOnIdle`: whether the process may exit while connections are idle. */
  setAllowExitOnIdle(allowed: boolean): void {
    this.#connections.setAllowExitOnIdle(allowed);
  }

  // ---- statistics ----------------------------------------------------------------------------------------------------

  /** The state and the counters of the pool at this moment. Takes constant time. */
  snapshot(): PoolSnapshot {
    const { size, max } = this.#limits;
    const { totalCount, idleCount, connectingCount, validatingCount, resettingCount } = this.#connections;
    const now = this.#clock.now();
    const [oldestLease, oldestWaiter] = [this.#leases.head, this.#waiters.first];
    return {
      state: this.ended ? 'ended' : this.ending ? 'ending' : this.#draining ? 'draining' : 'open',
      size,
      maxOverflow: max - size,
      max,
      total: totalCount,
      idle: idleCount,
      leased: this.#leases.length,
      connecting: connectingCount,
      validating: validatingCount,
      resetting: resettingCount,
      overflow: Math.max(0, totalCount - size),
      waiting: this.#waiters.length,
      oldestLeaseMs: oldestLease ? now - oldestLease.since : 0,
      oldestWaiterMs: oldestWaiter ? now - oldestWaiter.since : 0,
      generation: this.#connections.generation,
      counters: { ...this.#counters, destroyed: { ...this.#counters.destroyed } },
      wait: this.#waitTimes.snapshot(),
      use: this.#leases.useTimes.snapshot(),
      ...(this.#multiplexer && { multiplex: this.#multiplexer.snapshot() }),
    };
  }

  /** The active leases, the longest first. */
  leases(): PoolLease[] {
    return [...this.#leases];
  }

  /** The active lease of a client of this pool. */
  leaseOf(client: C): PoolLease | undefined {
    return this.#leases.find(client);
  }

  /** All connections, pending ones included. */
  get totalCount(): number {
    return this.#connections.totalCount;
  }

  /** Idle connections. */
  get idleCount(): number {
    return this.#connections.idleCount;
  }

  /** Acquires that wait and for which no connect is running, as in `pg.Pool`; `snapshot().waiting` counts all. */
  get waitingCount(): number {
    return Math.max(0, this.#waiters.length - this.#connections.connectingCount);
  }

  /** Connections past their lifetime that are not closed yet. */
  get expiredCount(): number {
    return this.#connections.expiredCount;
  }

  /** The snapshot: the options contain the password. */
  toJSON(): PoolSnapshot {
    return this.snapshot();
  }

  [inspect.custom](): string {
    return `ConnectionPool { ${describePool(this.snapshot(), [])} }`;
  }
}

/** The methods as plain functions, for the start of call sites. */
const methods = ConnectionPool.prototype as unknown as Record<
  'connect' | 'acquire' | 'acquireOrShare',
  Caller
>;
