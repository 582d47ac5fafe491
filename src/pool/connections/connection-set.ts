import { AsyncResource } from 'node:async_hooks';
import { isTermination } from '../../connection/wire/disconnect.js';
import type { ResetResult } from '../../connection/session/reset.js';
import { diagnose } from '../../diagnosis/diagnose.js';
import type { DestroyReason, LeaseInfo } from '../../database.snapshot.js';
import { Scheduler, immediateClock } from '../support/clock.js';
import type { Clock } from '../support/clock.js';
import { ConnectBackoff, connectClient, isWaking } from './connect.js';
import type { Counters } from '../reporting/counters.js';
import { pooledConnectionOf } from './pooled-connection.js';
import type { PoolableClient } from './pooled-connection.js';
import { Notifier } from '../support/notifier.js';
import type { PoolOptions, ResolvedLimits } from '../pool.options.js';
import { PoolEntry } from './pool-entry.js';
import { rethrowOnNextTick } from '../reporting/pool-reporter.js';
import type { PoolReporter } from '../reporting/pool-reporter.js';

/** Up to this part of the lifetime is taken off at random. */
const LIFETIME_JITTER = 0.1;

/** How long after the end of a session by the server a refused connection is taken for a restart. */
const RESTART_MS = 5_000;

/** Timers of Node count whole milliseconds of the event loop, and ring up to one earlier than `performance.now()` says. */
const TIMER_MS = 1;

/** The words of `pg-pool` for a connection that it closes by itself. */
const PG_POOL_WORDS: Partial<Record<DestroyReason, string>> = {
  uses: 'remove expended client',
  lifetime: 'remove expired client',
  idle: 'remove idle client',
  overflow: 'remove idle client',
};

/** Those who want connections, as the connection set sees them. */
export interface ConnectionSetListener<C extends PoolableClient> {
  /** How many wait. */
  readonly waitingCount: number;
  /** Lends to the longest waiter; there is one. */
  onAvailable(entry: PoolEntry<C>): void;
  /**
   * A dial that began at `bornAt` has failed, and there is no connection left. `passing`: the server is expected to serve
   * soon, so that only those fail who do not wait for that.
   */
  onConnectFailed(bornAt: number, cause: Error, passing: boolean): void;
  /** Calls `pump` at `due` or earlier, as long as somebody waits. */
  reconcileBy(due: number): void;
  /** A connection has come to rest or is gone. */
  onIdle(): void;
  /** The pool ends: rejects those who wait beyond the first `count`. */
  rejectExcess(count: number): void;
}

/** What the pool was given, with the dial's deadline resolved. */
export type ClientOptions<C extends PoolableClient> = PoolOptions<C> & { connectTimeoutMs: number };

/**
 * The connections. Each stands in a entry, and a entry in one state:
 *
 *     connecting --connected--> idle --lent--> leased --clean--> idle
 *                              |  ^             |
 *                     stale    v  | alive       | not clean
 *                            checking        returning --cleaned--> idle
 *
 * Every state leads to `gone`: by a failed dial, a failed check or clean-up, by age, idleness, an error, or the end. A entry
 * that becomes idle serves the longest waiter; no waiter belongs to a dial, a check or a return. Dials are started while
 * more wait than connections are on their way, and no entry is above `max`.
 */
export class ConnectionSet<C extends PoolableClient> {
  readonly #listener: ConnectionSetListener<C>;
  readonly #Client: new (options: never) => C;
  readonly #clientOptions: ClientOptions<C>;
  readonly #limits: ResolvedLimits;
  readonly #clock: Clock;
  readonly #reporter: PoolReporter;
  readonly #counters: Counters;
  ending = false;
  ended = false;
  generation = 0;
  connecting = 0;
  validating = 0;
  resetting = 0;

  readonly #entries = new Set<PoolEntry<C>>();
  /** Last in, first out: overflow at the bottom can die. */
  readonly #idle: PoolEntry<C>[] = [];
  readonly #backoff: ConnectBackoff;
  readonly #housekeeping: Scheduler;
  readonly #closed: Notifier;
  /** The flow of calls in which the pool was made. */
  readonly #ownFlow = new AsyncResource('ConnectionPool');
  #closing = 0;
  #exitsOnIdle: boolean;
  /** When the server has last ended a session by its own word. */
  #terminatedAt = -Infinity;
  /** A primary became a standby: validation asks for a primary from then on. */
  #wantsPrimary = false;

  constructor(
    listener: ConnectionSetListener<C>,
    Client: new (options: never) => C,
    clientOptions: ClientOptions<C>,
    limits: ResolvedLimits,
    clock: Clock,
    reporter: PoolReporter,
    counters: Counters,
  ) {
    this.#listener = listener;
    this.#Client = Client;
    this.#clientOptions = clientOptions;
    this.#limits = limits;
    this.#clock = clock;
    this.#reporter = reporter;
    this.#counters = counters;
    this.#exitsOnIdle = limits.allowExitOnIdle;
    this.#backoff = new ConnectBackoff(clock);
    this.#closed = new Notifier(clock);
    this.#housekeeping = new Scheduler(immediateClock(clock), () => this.#housekeep(), false);
  }

  /** Whether the process may end while connections are idle. */
  set exitsOnIdle(allowed: boolean) {
    this.#exitsOnIdle = allowed;
    for (const { client } of this.#idle) {
      if (allowed) client.unref?.();
      else client.ref?.();
    }
  }

  get totalCount(): number {
    return this.#entries.size;
  }

  get idleCount(): number {
    return this.#idle.length;
  }

  /** Connections that will be idle if all goes well. */
  get pendingCount(): number {
    return this.connecting + this.validating + this.resetting;
  }

  /** How many could be served without anybody giving back. */
  get availableCapacity(): number {
    return this.#limits.max - this.#entries.size + this.pendingCount + this.#idle.length;
  }

  /** Connections past their lifetime. */
  get expiredCount(): number {
    return [...this.#entries].filter((entry) => entry.isExpired).length;
  }

  /** Why there was no connection of late. */
  get lastError(): Error | undefined {
    return this.#backoff.lastError;
  }

  // ---- there and back ------------------------------------------------------------------------------------------------

  /** An idle connection that may be lent as it is. */
  acquireIdle(): PoolEntry<C> | undefined {
    const entry = this.#popIdle();
    if (!entry) return undefined;
    if (!this.#needsValidation(entry)) return this.#lease(entry);
    this.#idle.push(entry);
    return undefined;
  }

  #lease(entry: PoolEntry<C>): PoolEntry<C> {
    entry.state = 'leased';
    entry.connection.onAcquired?.();
    if (this.#exitsOnIdle) entry.client.ref?.();
    return entry;
  }

  /** A lease is over. */
  release(entry: PoolEntry<C>, error: Error | boolean | undefined, lease: { info(): LeaseInfo }): void {
    entry.uses += 1;
    if (this.ending) return this.remove(entry, 'shutdown');
    if (!entry.isUsable) return this.remove(entry, 'broken');
    if (error) return this.remove(entry, 'released-with-error');
    if (entry.uses >= this.#limits.maxUses) return this.remove(entry, 'uses');
    if (entry.isExpired) return this.remove(entry, 'lifetime');
    const { reset, resetTimeoutMs } = this.#limits;
    const cleaning = entry.connection.reset(reset, resetTimeoutMs);
    if (!cleaning) return this.#makeIdle(entry);
    this.#reset(entry, cleaning, lease.info());
  }

  #reset(entry: PoolEntry<C>, cleaning: Promise<ResetResult>, lease: LeaseInfo): void {
    entry.state = 'resetting';
    this.resetting += 1;
    cleaning.then(
      ({ rolledBack, cleared, leftBehind }) => {
        if (rolledBack) {
          this.#counters.rollbacks += 1;
          this.#reporter.leftOpen(lease);
        }
        if (cleared) this.#counters.resets += 1;
        if (leftBehind !== undefined) this.#reporter.stateLeft(lease, leftBehind);
        if (entry.state !== 'resetting') return;
        this.resetting -= 1;
        this.#makeIdle(entry);
      },
      (error: Error) => {
        if (entry.state !== 'resetting') return;
        const standby = isStandby(error);
        if (standby) this.#wantsPrimary = true;
        if (standby || !entry.isUsable) this.#markOutage(entry, error);
        this.#reporter.resetFailed(lease, error);
        this.remove(entry, 'reset', error);
      },
    );
  }

  /** Back to the idle ones, or straight to the longest waiter. */
  #makeIdle(entry: PoolEntry<C>): void {
    if (this.ending && this.#listener.waitingCount === 0) return this.remove(entry, 'shutdown');
    entry.state = 'idle';
    entry.markUsed();
    // It has just answered. Were its age asked here, a window of 0 would have it validated for ever.
    if (this.#listener.waitingCount > 0 && entry.isUsable && entry.generation === this.generation) {
      this.#listener.onAvailable(this.#lease(entry));
      // A dial that has succeeded after failures lets the others be dialled.
      if (this.#listener.waitingCount > 0) this.reconcile();
      return;
    }
    this.#idle.push(entry);
    if (this.#exitsOnIdle) entry.client.unref?.();
    this.#scheduleHousekeeping(entry);
    if (this.#listener.waitingCount > 0) this.reconcile();
    this.#listener.onIdle();
  }

  /** The connection used last, if it may still be lent; those that may not are closed on the way. */
  #popIdle(): PoolEntry<C> | undefined {
    for (let entry = this.#idle.pop(); entry; entry = this.#idle.pop()) {
      if (!entry.isUsable) this.remove(entry, 'broken');
      else if (entry.isExpired) this.remove(entry, 'lifetime');
      else if (!this.#removeMisused(entry)) return entry;
    }
    return undefined;
  }

  /**
   * Closes an idle connection that was used after its release: the next borrower would inherit its transaction, wait for
   * its statement, or find its session changed.
   */
  #removeMisused(entry: PoolEntry<C>): boolean {
    const misuse = this.#misuseOf(entry);
    if (!misuse) return false;
    const error = this.#reporter.usedAfterRelease(misuse, entry.connection.lastSql);
    this.remove(entry, 'reset', error);
    return true;
  }

  #misuseOf(entry: PoolEntry<C>): string | undefined {
    if (entry.inTransaction) return 'was in a transaction';
    const { reset } = this.#limits;
    // Never lent, it runs what its hooks and listeners have sent; without a reset it comes back in any state.
    if (entry.uses === 0 || reset === 'none') return undefined;
    if (!entry.connection.isReadyForQuery) return 'ran a statement';
    return reset !== 'rollback' && entry.connection.isSessionChanged ? 'had its session changed' : undefined;
  }

  // ---- new ones and checked ones -------------------------------------------------------------------------------------

  /** Gives what is there to those who wait, and sees that more is on its way while more wait; at the end, no more than wait. */
  reconcile(): void {
    const listener = this.#listener;
    while (listener.waitingCount > 0) {
      const entry = this.#popIdle();
      if (!entry) break;
      if (!this.#needsValidation(entry)) {
        listener.onAvailable(this.#lease(entry));
      } else if (this.validating < listener.waitingCount) {
        this.#validate(entry);
      } else {
        this.#idle.push(entry);
        break;
      }
    }
    if (this.ending) return this.#closeExcess();
    while (listener.waitingCount > this.pendingCount && this.#mayConnect(this.#limits.max)) this.#connect();
    this.fill();
  }

  /** Opens ahead what `minIdle` asks for. */
  fill(): void {
    const { minIdle, size } = this.#limits;
    if (minIdle === 0) return;
    const ready = () => this.#idle.length + this.pendingCount;
    while (ready() - this.#listener.waitingCount < minIdle && this.#mayConnect(size)) this.#connect();
  }

  #mayConnect(limit: number): boolean {
    if (this.ending || this.#entries.size >= limit) return false;
    const at = this.#backoff.nextAttempt(this.connecting);
    if (at <= this.#clock.now()) return true;
    if (this.#listener.waitingCount > 0) this.#listener.reconcileBy(at);
    // By an alarm of its own: who waits may be gone by then, and nobody would be woken.
    if (this.#limits.minIdle > 0) this.#housekeeping.schedule(at);
    return false;
  }

  /**
   * In no borrower's flow of calls: a socket keeps what is in the AsyncLocalStorage of whoever had it opened, a request with
   * its body perhaps, for as long as it lives, and callbacks of later borrowers would run in it.
   */
  #connect(): void {
    this.#ownFlow.runInAsyncScope(() => this.#open());
  }

  #open(): void {
    const { maxLifetimeMs, connectTimeoutMs } = this.#limits;
    const bornAt = this.#clock.now();
    let client: C;
    try {
      client = new this.#Client({
        ...this.#clientOptions,
        ...this.#clientOptions.connectOptions?.(),
      } as never);
    } catch (thrown) {
      return this.#connectFailed(bornAt, thrown as Error);
    }
    this.#log('opening a connection');
    const entry = new PoolEntry(client, pooledConnectionOf(client), this.generation, this.#clock);
    entry.lifetimeMs = maxLifetimeMs * (1 - Math.random() * LIFETIME_JITTER);
    client.on('error', (error: Error) => this.#handleLoss(entry, error));
    this.#entries.add(entry);
    this.connecting += 1;
    this.#backoff.recordStart();
    connectClient(client, entry.connection, this.#clientOptions, this.#clock, connectTimeoutMs).then(
      () => {
        if (entry.state !== 'connecting') return;
        entry.isOpen = true;
        this.#backoff.recordSuccess();
        this.#counters.created += 1;
        this.#log('opened a connection');
        this.#reporter.announce('connect', client);
        entry.connection.finishSetup?.();
        // A listener may have lost it, or ended the pool.
        if (entry.state !== 'connecting') return;
        this.connecting -= 1;
        this.#makeIdle(entry);
      },
      (error: Error) => {
        if (entry.state !== 'connecting') return;
        this.connecting -= 1;
        entry.state = 'closed';
        this.#entries.delete(entry);
        if (!this.ending && this.#shouldRetryConnect(error)) this.reconcile();
        else this.#connectFailed(bornAt, error);
        this.#resolveClosed();
      },
    );
  }

  /** A hook that throws must not leave those who wait without a dial. */
  #shouldRetryConnect(error: Error): boolean {
    try {
      return this.#clientOptions.retryConnect?.(error) ?? false;
    } catch (thrown) {
      rethrowOnNextTick(thrown);
      return false;
    }
  }

  #connectFailed(bornAt: number, cause: Error): void {
    this.#backoff.recordFailure(cause, bornAt);
    this.#counters.connectFailures += 1;
    this.#reporter.connectFailed(cause);
    // While connections are out, one of them will come back.
    if (this.#entries.size === 0) this.#listener.onConnectFailed(bornAt, cause, this.#isTransient(cause));
    this.reconcile();
  }

  /**
   * A server that ends its sessions by its own word (57P01) is mostly restarted, and refuses connections meanwhile: a failure
   * that passes is waited for then, as one of a server that is starting is.
   */
  #isTransient(cause: Error): boolean {
    if (isWaking(cause)) return true;
    return this.#clock.now() - this.#terminatedAt < RESTART_MS && diagnose(cause).transient;
  }

  #needsValidation(entry: PoolEntry<C>): boolean {
    if (entry.generation !== this.generation) return true;
    return this.#limits.prePing && entry.idleMs > this.#limits.validateAfterIdleMs;
  }

  #validate(entry: PoolEntry<C>): void {
    entry.state = 'validating';
    this.#log('validating a connection');
    this.validating += 1;
    this.#counters.validations += 1;
    const { generation } = this;
    entry.connection.validate(this.#limits.validationTimeoutMs, this.#wantsPrimary).then(
      () => {
        if (entry.state !== 'validating') return;
        this.validating -= 1;
        entry.generation = generation;
        this.#makeIdle(entry);
      },
      (cause: Error) => {
        if (entry.state !== 'validating') return;
        if (isStandby(cause) && entry.generation === this.generation) {
          // Opened since, and on a standby again: there is no primary at this address, and reads are all it is for.
          this.#wantsPrimary = false;
          this.validating -= 1;
          return this.#makeIdle(entry);
        }
        this.#counters.validationFailures += 1;
        const error = this.#reporter.invalid(cause);
        this.#backoff.lastError = error;
        this.#markOutage(entry, error);
        // It was silent instead of refused: those that lay idle for longer went the same way, and each would cost the
        // waiter a timeout of its own.
        const alike = entry.isUsable ? this.#idle.filter(({ idleMs }) => idleMs >= entry.idleMs) : [];
        for (const older of alike) this.remove(older, 'validation', error);
        this.remove(entry, 'validation', error);
      },
    );
  }

  // ---- loss and age --------------------------------------------------------------------------------------------------

  /** The connection's own `error`: the socket has ended, or the server has ended the session. */
  #handleLoss(entry: PoolEntry<C>, error: Error): void {
    const { state } = entry;
    if (state === 'closed' || !entry.isOpen) return;
    // The server's own word came before the end of the socket, and went to the statement that ran.
    entry.closeReason ??= entry.connection.closeReason ?? error;
    this.#markOutage(entry, entry.closeReason);
    // In somebody's hands it stays his until he gives it back; his statement has its own error.
    if (state === 'leased') return;
    this.remove(entry, 'broken');
    // Between a check or a clean-up and its answer it is nobody's, and nobody is told of either.
    if (state !== 'idle') return;
    (error as { client?: unknown }).client = entry.client;
    this.#reporter.lost(error);
    // `pg.Pool` ends a process that does not listen; an idle connection that is cut is no reason to.
    this.#reporter.announce('error', error, entry.client);
  }

  /** One outage makes all older connections suspect, once: those opened or validated since are not counted again. */
  #markOutage(entry: PoolEntry<C>, error: Error): void {
    if (isTermination(error)) this.#terminatedAt = this.#clock.now();
    if (entry.generation !== this.generation || this.ending) return;
    this.generation += 1;
    this.#counters.outages += 1;
    this.#reporter.outage(error);
  }

  /** How long a connection may stay idle as things are. */
  #idleLimit(): number {
    const { size, min, minIdle, idleTimeoutMs, overflowIdleMs } = this.#limits;
    const { totalCount } = this;
    if (totalCount > size) return Math.min(overflowIdleMs, idleTimeoutMs);
    return totalCount > Math.max(min, minIdle) ? idleTimeoutMs : Infinity;
  }

  /** Sets the alarm to when an idle connection is too old, was idle for too long, or is to be asked. */
  #scheduleHousekeeping(entry: PoolEntry<C>): void {
    const limitMs = this.#idleLimit();
    // Those that are to be closed are not asked; an alarm for it would ring on and on.
    const idleMs = limitMs === Infinity ? this.#limits.keepaliveMs : limitMs;
    const left = Math.min(idleMs - entry.idleMs, entry.lifetimeMs - entry.ageMs);
    this.#housekeeping.schedule(this.#clock.now() + left);
  }

  #housekeep(): void {
    for (const entry of [...this.#idle]) {
      const limitMs = this.#idleLimit();
      if (entry.isExpired) this.remove(entry, 'lifetime');
      else if (entry.idleMs > limitMs - TIMER_MS)
        this.remove(entry, this.totalCount > this.#limits.size ? 'overflow' : 'idle');
      // Its answer counts as a use, which must not keep open what is to be closed for idleness.
      else if (entry.idleMs >= this.#limits.keepaliveMs && limitMs === Infinity) {
        if (this.#removeMisused(entry)) continue;
        this.#idle.splice(this.#idle.indexOf(entry), 1);
        this.#validate(entry);
      }
    }
    this.fill();
    for (const entry of this.#idle) this.#scheduleHousekeeping(entry);
  }

  // ---- the end -------------------------------------------------------------------------------------------------------

  /** Ends a entry, frees its place at once, and closes the connection behind it. */
  remove(entry: PoolEntry<C>, reason: DestroyReason, error?: Error): void {
    if (entry.state === 'closed') return;
    const { state, client, connection } = entry;
    const lost = entry.closeReason ?? connection.closeReason;
    if (reason === 'broken' && lost) this.#markOutage(entry, lost);
    if (state === 'connecting') this.connecting -= 1;
    if (state === 'validating') this.validating -= 1;
    if (state === 'resetting') this.resetting -= 1;
    const at = this.#idle.indexOf(entry);
    if (at >= 0) this.#idle.splice(at, 1);
    entry.state = 'closed';
    this.#entries.delete(entry);
    // Never opened, so never closed: what was created and what was destroyed must add up.
    if (entry.isOpen) this.#counters.destroyed[reason] += 1;
    this.#log(PG_POOL_WORDS[reason] ?? 'closing a connection', reason);
    this.#closing += 1;
    const abrupt = error ?? (entry.isOpen ? undefined : this.#reporter.closedError());
    void (abrupt ? connection.terminate(abrupt) : connection.close())
      .catch(() => connection.destroy())
      .then(() => {
        this.#closing -= 1;
        // A client that could not even be opened was never there for `pg.Pool`'s listeners.
        if (entry.isOpen) this.#reporter.announce('remove', client);
        this.#resolveClosed();
      });
    this.reconcile();
    this.#listener.onIdle();
  }

  /**
   * Opens no more. Who waits and has a connection on its way still gets it, unless nobody is to be served any more; what is
   * lent is closed when it comes back, all else now. Resolves when all is closed.
   */
  close(serving: boolean): Promise<void> {
    this.ending = true;
    if (!serving) this.#listener.rejectExcess(0);
    const closed = this.#closed.wait();
    this.#closeExcess();
    this.#resolveClosed();
    return closed;
  }

  /** From the end on nobody waits without a connection on its way, and none is on its way for nobody. */
  #closeExcess(): void {
    this.#listener.rejectExcess(this.pendingCount);
    for (const entry of [...this.#entries].reverse()) {
      if (entry.state === 'leased') continue;
      if (entry.state === 'idle' || this.pendingCount > this.#listener.waitingCount)
        this.remove(entry, 'shutdown');
    }
  }

  /** What throws in it must not leave a connection between two states. */
  #log(message: string, ...details: unknown[]): void {
    try {
      this.#clientOptions.log?.(message, ...details);
    } catch (thrown) {
      rethrowOnNextTick(thrown);
    }
  }

  #resolveClosed(): void {
    if (!this.ending || this.#entries.size > 0 || this.#closing > 0) return;
    this.ended = true;
    this.#housekeeping.cancel();
    this.#closed.notifyAll();
  }
}

function isStandby(error: Error): boolean {
  return (error as { code?: unknown }).code === 'CONNECTION_STANDBY';
}
