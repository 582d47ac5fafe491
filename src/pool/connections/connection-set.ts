import { AsyncResource } from 'node:async_hooks';
import type { ResetResult } from '../../connection/session/reset.js';
import type { StatementTimings } from '../../connection/shared/statement-timings.js';
import { StatementTexts } from '../../connection/statements/statement-texts.js';
import type { DestroyReason, LeaseInfo } from '../../database.snapshot.js';
import { immediateClock, instantOf } from '../support/clock.js';
import type { Clock, Instant } from '../support/clock.js';
import { Notifier } from '../support/notifier.js';
import { rethrowOnNextTick } from '../support/rethrow-on-next-tick.js';
import { Scheduler } from '../support/scheduler.js';
import type { Counters } from '../reporting/counters.js';
import type { PoolReporter } from '../reporting/pool-reporter.js';
import type { PoolOptions, ResolvedLimits } from '../pool.options.js';
import { ConnectBackoff } from './connect-backoff.js';
import { connectClient } from './connect.js';
import { PoolEntry } from './pool-entry.js';
import type { PoolEntryState } from './pool-entry.js';
import { pooledConnectionOf } from './pooled-connection.js';
import type { PoolableClient } from './pooled-connection.js';
import { RestartDetector } from './restart-detector.js';

/** The share of a lifetime that is random, so that connections that were opened together do not expire together. */
const LIFETIME_JITTER = 0.1;

/** Timers of Node can fire up to one millisecond early by `performance.now()`. */
const TIMER_RESOLUTION_MS = 1;

/** The debug messages of `pg-pool` for a connection that is closed. */
const PG_POOL_MESSAGES: Partial<Record<DestroyReason, string>> = {
  uses: 'remove expended client',
  lifetime: 'remove expired client',
  idle: 'remove idle client',
  overflow: 'remove idle client',
};

/** What a {@link ConnectionSet} reports to the pool. */
export interface ConnectionSetListener<C extends PoolableClient> {
  /** The connection has connected, passed its validation, or been reset: the pool leases it or adds it to the idle ones. */
  onReady(entry: PoolEntry<C>): void;
  /**
   * A connect has failed, and no connection exists that could be released.
   * @param startedAt when the connect started
   * @param isStarting whether the server is expected to accept connections soon
   */
  onConnectFailed(startedAt: number, cause: Error, isStarting: boolean): void;
  /** Connections were removed, or the next connect may start. */
  onChange(): void;
}

/** The options of the pool, with the connect timeout resolved. */
export type ClientOptions<C extends PoolableClient> = PoolOptions<C> & { connectTimeoutMs: number };

export interface ConnectionSetOptions<C extends PoolableClient> {
  Client: new (options: never) => C;
  clientOptions: ClientOptions<C>;
  limits: ResolvedLimits;
  clock: Clock;
  reporter: PoolReporter;
  counters: Counters;
  listener: ConnectionSetListener<C>;
  /** Measures the statements of the connections, when the pool shares connections. */
  statementTimings?: StatementTimings | undefined;
}

/**
 * The connections of a pool. Each has one entry, and each entry one state:
 *
 *     connecting --connected--> idle --acquired--> leased --released, needs no reset--> idle
 *                              |  ^                  |
 *                       stale  v  | valid            | released, needs a reset
 *                           validating            resetting --reset--> idle
 *
 *     idle --a statement can be shared--> shared --no statement--> idle
 *
 * `remove` takes an entry to `closed` from every state. A connection that could become idle is first reported as ready, and the
 * pool may lease it instead. No waiter belongs to a particular connect, validation or reset.
 *
 * `ConnectionPool` decides how many connections are needed; the set does not.
 */
export class ConnectionSet<C extends PoolableClient> {
  readonly #Client: new (options: never) => C;
  readonly #clientOptions: ClientOptions<C>;
  readonly #limits: ResolvedLimits;
  readonly #clock: Clock;
  readonly #reporter: PoolReporter;
  readonly #counters: Counters;
  readonly #listener: ConnectionSetListener<C>;
  readonly #statementTimings: StatementTimings | undefined;

  readonly #entries = new Set<PoolEntry<C>>();
  readonly statementTexts = new StatementTexts();
  /** Last in, first out, so that connections that are not needed reach their idle timeout. */
  readonly #idle: PoolEntry<C>[] = [];
  readonly #backoff: ConnectBackoff;
  readonly #restarts: RestartDetector;
  readonly #housekeeping: Scheduler;
  readonly #closedNotifier: Notifier;
  /** The async context in which the pool was created. */
  readonly #ownContext = new AsyncResource('ConnectionPool');
  /** Removed connections whose sockets are not closed yet. */
  #closingCount = 0;
  #allowExitOnIdle: boolean;
  /** Whether a validation fails on a standby: a connection that was on the primary was found on a standby. */
  #mustBePrimary = false;
  /** Incremented at each outage. Connections of an older generation are validated before they are leased. */
  generation = 0;
  connectingCount = 0;
  validatingCount = 0;
  resettingCount = 0;
  /** Whether the pool opens no more connections. */
  isClosing = false;
  isClosed = false;

  constructor(options: ConnectionSetOptions<C>) {
    this.#Client = options.Client;
    this.#clientOptions = options.clientOptions;
    this.#limits = options.limits;
    this.#clock = options.clock;
    this.#reporter = options.reporter;
    this.#counters = options.counters;
    this.#listener = options.listener;
    this.#statementTimings = options.statementTimings;
    this.#allowExitOnIdle = options.limits.allowExitOnIdle;
    this.#backoff = new ConnectBackoff(this.#clock);
    this.#restarts = new RestartDetector(this.#clock);
    this.#closedNotifier = new Notifier(this.#clock);
    this.#housekeeping = new Scheduler(immediateClock(this.#clock), () => this.#checkIdle(), false);
  }

  setAllowExitOnIdle(allowed: boolean): void {
    this.#allowExitOnIdle = allowed;
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

  /** Connections that become ready without a release: connecting, validating or resetting. */
  get pendingCount(): number {
    return this.connectingCount + this.validatingCount + this.resettingCount;
  }

  /** How many acquires can be served without a release. */
  get availableCapacity(): number {
    return this.#limits.max - this.#entries.size + this.pendingCount + this.#idle.length;
  }

  /** Connections past their lifetime. */
  get expiredCount(): number {
    const at = instantOf(this.#clock);
    return [...this.#entries].filter((entry) => entry.isExpired(at)).length;
  }

  /** Why the last connect or validation failed; undefined after a success. */
  get lastError(): Error | undefined {
    return this.#backoff.lastError;
  }

  // ---- idle and leased -----------------------------------------------------------------------------------------------

  /** Takes the idle connection that was used last. Connections that can no longer be leased are removed on the way. */
  takeIdle(at: Instant): PoolEntry<C> | undefined {
    for (let entry = this.#idle.pop(); entry; entry = this.#idle.pop()) {
      if (!entry.isUsable) this.remove(entry, 'broken');
      else if (entry.isExpired(at)) this.remove(entry, 'lifetime');
      else if (!this.#removeMisused(entry)) return entry;
    }
    return undefined;
  }

  /** Undoes `takeIdle`. */
  putBack(entry: PoolEntry<C>): void {
    this.#idle.push(entry);
  }

  needsValidation(entry: PoolEntry<C>, at: Instant): boolean {
    if (entry.generation !== this.generation) return true;
    return this.#limits.prePing && entry.idleMs(at) > this.#limits.validateAfterIdleMs;
  }

  /** Marks a connection as leased. */
  lease(entry: PoolEntry<C>): void {
    this.#setState(entry, 'leased');
    entry.connection.onAcquired?.();
    if (this.#allowExitOnIdle) entry.client.ref?.();
  }

  /** Adds a connection to the idle ones. */
  addIdle(entry: PoolEntry<C>, at: Instant): void {
    this.#setState(entry, 'idle');
    entry.markUsed(at);
    this.#idle.push(entry);
    if (this.#allowExitOnIdle) entry.client.unref?.();
    this.#scheduleIdleCheck(entry, at);
  }

  /** Marks a connection as shared by callers. */
  share(entry: PoolEntry<C>): void {
    this.#setState(entry, 'shared');
    if (this.#allowExitOnIdle) entry.client.ref?.();
  }

  /** Returns a shared connection to the idle ones. Unlike `addIdle`, it does not count as used now: it may need a validation. */
  returnShared(entry: PoolEntry<C>, at: Instant): void {
    this.#setState(entry, 'idle');
    this.#idle.push(entry);
    if (this.#allowExitOnIdle) entry.client.unref?.();
    this.#scheduleIdleCheck(entry, at);
    this.#listener.onChange();
  }

  /**
   * Closes an idle connection that its last borrower has used after the release: the next borrower would inherit its transaction,
   * wait for its statement, or find its session changed.
   */
  #removeMisused(entry: PoolEntry<C>): boolean {
    const misuse = this.#misuseOf(entry);
    if (!misuse) return false;
    const error = this.#reporter.reportUsedAfterRelease(misuse, entry.connection.lastSql);
    this.remove(entry, 'reset', error);
    return true;
  }

  #misuseOf(entry: PoolEntry<C>): string | undefined {
    if (entry.isInTransaction) return 'was in a transaction';
    const { reset } = this.#limits;
    // A connection that was never leased may still run statements of hooks and listeners. Without a reset, any state is accepted.
    if (entry.uses === 0 || reset === 'none') return undefined;
    if (!entry.connection.isReadyForQuery) return 'ran a statement';
    return reset !== 'rollback' && entry.connection.isSessionChanged ? 'had its session changed' : undefined;
  }

  #setState(entry: PoolEntry<C>, state: PoolEntryState): void {
    this.#countPending(entry.state, -1);
    this.#countPending(state, 1);
    entry.state = state;
  }

  #countPending(state: PoolEntryState, change: 1 | -1): void {
    if (state === 'connecting') this.connectingCount += change;
    else if (state === 'validating') this.validatingCount += change;
    else if (state === 'resetting') this.resettingCount += change;
  }

  // ---- connect -------------------------------------------------------------------------------------------------------

  /** When the next connect may start; in the past unless connects have failed. */
  get nextConnectAt(): number {
    return this.#backoff.nextConnectAt(this.connectingCount);
  }

  /**
   * Opens a connection, in the async context of the pool: a socket keeps the context in which it was opened. The
   * context of the borrower would stay in memory, with the body of its request, and callbacks of later borrowers would run in it.
   */
  connect(): void {
    this.#ownContext.runInAsyncScope(() => this.#connect());
  }

  #connect(): void {
    const startedAt = this.#clock.now();
    let client: C;
    try {
      client = new this.#Client({
        ...this.#clientOptions,
        ...this.#clientOptions.connectOptions?.(),
        statementTexts: this.statementTexts,
        statementTimings: this.#statementTimings,
      } as never);
    } catch (thrown) {
      this.#connectFailed(startedAt, thrown as Error);
      return;
    }
    this.#log('opening a connection');
    const entry = new PoolEntry(client, pooledConnectionOf(client), this.generation, this.#clock);
    entry.lifetimeMs = this.#limits.maxLifetimeMs * (1 - Math.random() * LIFETIME_JITTER);
    client.on('error', (error: Error) => this.#handleLoss(entry, error));
    this.#entries.add(entry);
    this.#countPending('connecting', 1);
    this.#backoff.recordStart();
    const { connectTimeoutMs } = this.#limits;
    const { onConnect, verify } = this.#clientOptions;
    connectClient(client, entry.connection, { onConnect, verify, connectTimeoutMs }, this.#clock).then(
      () => this.#connected(entry),
      (error: Error) => {
        if (entry.state !== 'connecting') return;
        this.#setState(entry, 'closed');
        this.#entries.delete(entry);
        if (!this.isClosing && this.#shouldRetryConnect(error)) this.#listener.onChange();
        else this.#connectFailed(startedAt, error);
        this.#notifyIfClosed();
      },
    );
  }

  #connected(entry: PoolEntry<C>): void {
    if (entry.state !== 'connecting') return;
    entry.isOpen = true;
    this.#backoff.recordSuccess();
    this.#counters.created += 1;
    this.#log('opened a connection');
    this.#reporter.emit('connect', entry.client);
    entry.connection.finishSetup?.();
    // A `connect` listener may have closed the connection or the pool.
    if (entry.state === 'connecting') this.#listener.onReady(entry);
  }

  #shouldRetryConnect(error: Error): boolean {
    try {
      return this.#clientOptions.shouldRetryConnect?.(error) ?? false;
    } catch (thrown) {
      rethrowOnNextTick(thrown);
      return false;
    }
  }

  #connectFailed(startedAt: number, cause: Error): void {
    this.#backoff.recordFailure(cause, startedAt);
    this.#counters.connectFailures += 1;
    this.#reporter.reportConnectFailed(cause);
    // While other connections exist, one of them will be released.
    if (this.#entries.size === 0)
      this.#listener.onConnectFailed(startedAt, cause, this.#restarts.isStarting(cause));
    this.#listener.onChange();
  }

  // ---- reset and validate --------------------------------------------------------------------------------------------

  /** Waits for the reset of a released connection; `lease` is for warnings. */
  awaitReset(entry: PoolEntry<C>, resetting: Promise<ResetResult>, lease: LeaseInfo): void {
    this.#setState(entry, 'resetting');
    resetting.then(
      ({ rolledBack, cleared, leftBehind }) => {
        if (rolledBack) {
          this.#counters.rollbacks += 1;
          this.#reporter.reportTransactionLeftOpen(lease);
        }
        if (cleared) this.#counters.resets += 1;
        if (leftBehind !== undefined) this.#reporter.reportSessionStateLeft(lease, leftBehind);
        if (entry.state === 'resetting') this.#listener.onReady(entry);
      },
      (error: Error) => {
        if (entry.state !== 'resetting') return;
        const onStandby = isStandbyError(error);
        if (onStandby) this.#mustBePrimary = true;
        if (onStandby || !entry.isUsable) this.#recordLoss(entry, error);
        this.#reporter.reportResetFailed(lease, error);
        this.remove(entry, 'reset', error);
        this.#listener.onChange();
      },
    );
  }

  validate(entry: PoolEntry<C>): void {
    this.#setState(entry, 'validating');
    this.#log('validating a connection');
    this.#counters.validations += 1;
    const { generation } = this;
    entry.connection.validate(this.#limits.validationTimeoutMs, this.#mustBePrimary).then(
      () => {
        if (entry.state !== 'validating') return;
        entry.generation = generation;
        this.#listener.onReady(entry);
      },
      (cause: Error) => {
        if (entry.state !== 'validating') return;
        if (isStandbyError(cause) && entry.generation === this.generation) {
          // A connection that was opened after the failover is on a standby, too: the pool is for reads.
          this.#mustBePrimary = false;
          this.#listener.onReady(entry);
          return;
        }
        this.#counters.validationFailures += 1;
        const error = this.#reporter.reportValidationFailed(cause);
        this.#backoff.lastError = error;
        this.#recordLoss(entry, error);
        // Without an answer, the network has probably dropped the connections that were idle for longer, too. To validate each of
        // them would cost the waiter one timeout after another.
        const at = instantOf(this.#clock);
        if (entry.isUsable)
          for (const older of this.#idle.filter((idle) => idle.idleMs(at) >= entry.idleMs(at)))
            if (older.isUsable) this.remove(older, 'validation', error);
            else this.remove(older, 'broken');
        this.remove(entry, 'validation', error);
        this.#listener.onChange();
      },
    );
  }

  // ---- loss and age --------------------------------------------------------------------------------------------------

  /** Handles the client's `error` event: its socket has ended, or the server has terminated the session. */
  #handleLoss(entry: PoolEntry<C>, error: Error): void {
    const { state } = entry;
    if (state === 'closed' || !entry.isOpen) return;
    // The connection has the server's own error, which arrived before the end of the socket.
    entry.closeReason ??= entry.connection.closeReason ?? error;
    this.#recordLoss(entry, entry.closeReason);
    // Leased: kept until released; the borrower's statement rejects.
    if (state === 'leased') return;
    this.remove(entry, 'broken');
    // `pg.Pool` emits `error` for idle connections; a reset or a validation reports its own failure.
    if (state === 'idle') {
      (error as { client?: unknown }).client = entry.client;
      this.#reporter.reportConnectionLost(error);
      // Not emitted without a listener: Node would end the process.
      this.#reporter.emit('error', error, entry.client);
    }
    this.#listener.onChange();
  }

  /** Starts a new generation, once per outage: the next connections that are lost in it are of an older generation. */
  #recordLoss(entry: PoolEntry<C>, error: Error): void {
    this.#restarts.recordLoss(error);
    if (entry.generation !== this.generation || this.isClosing) return;
    this.generation += 1;
    this.#counters.outages += 1;
    this.#reporter.reportOutage(error);
  }

  /** How long a connection may stay idle at the current number of connections. */
  #idleTimeoutMs(): number {
    const { size, min, minIdle, idleTimeoutMs, overflowIdleMs } = this.#limits;
    const { totalCount } = this;
    if (totalCount > size) return Math.min(overflowIdleMs, idleTimeoutMs);
    return totalCount > Math.max(min, minIdle) ? idleTimeoutMs : Infinity;
  }

  /** Schedules the next check of an idle connection: its idle timeout, the end of its lifetime, or its keepalive. */
  #scheduleIdleCheck(entry: PoolEntry<C>, at: Instant): void {
    const timeoutMs = this.#idleTimeoutMs();
    // A connection with an idle timeout gets no keepalive.
    const idleMs = timeoutMs === Infinity ? this.#limits.keepaliveMs : timeoutMs;
    const leftMs = Math.min(idleMs - entry.idleMs(at), entry.lifetimeMs - entry.ageMs(at));
    this.#housekeeping.schedule(at.now + leftMs);
  }

  /** Calls `onChange` at `due` or earlier, without keeping the process alive. */
  scheduleHousekeeping(due: number): void {
    this.#housekeeping.schedule(due);
  }

  #checkIdle(): void {
    const at = instantOf(this.#clock);
    for (const entry of [...this.#idle]) {
      const timeoutMs = this.#idleTimeoutMs();
      if (entry.isExpired(at)) this.remove(entry, 'lifetime');
      else if (entry.idleMs(at) > timeoutMs - TIMER_RESOLUTION_MS)
        this.remove(entry, this.totalCount > this.#limits.size ? 'overflow' : 'idle');
      // Not with an idle timeout: the answer counts as a use, and the connection would never be closed.
      else if (entry.idleMs(at) >= this.#limits.keepaliveMs && timeoutMs === Infinity) {
        if (this.#removeMisused(entry)) continue;
        this.#idle.splice(this.#idle.indexOf(entry), 1);
        this.validate(entry);
      }
    }
    this.#listener.onChange();
    for (const entry of this.#idle) this.#scheduleIdleCheck(entry, at);
  }

  // ---- close ---------------------------------------------------------------------------------------------------------

  /** Removes an entry, which frees its capacity immediately, and closes the connection in the background. */
  remove(entry: PoolEntry<C>, reason: DestroyReason, error?: Error): void {
    if (entry.state === 'closed') return;
    const { client, connection } = entry;
    const lostBy = entry.closeReason ?? connection.closeReason;
    if (reason === 'broken' && lostBy) this.#recordLoss(entry, lostBy);
    const index = this.#idle.indexOf(entry);
    if (index >= 0) this.#idle.splice(index, 1);
    this.#setState(entry, 'closed');
    this.#entries.delete(entry);
    // A connection that was never opened counts as neither created nor destroyed.
    if (entry.isOpen) this.#counters.destroyed[reason] += 1;
    this.#log(PG_POOL_MESSAGES[reason] ?? 'closing a connection', reason);
    this.#closingCount += 1;
    const terminatedBy = error ?? (entry.isOpen ? undefined : this.#reporter.closedError());
    void (terminatedBy ? connection.terminate(terminatedBy) : connection.close())
      .catch(() => connection.destroy())
      .then(() => {
        this.#closingCount -= 1;
        // `pg.Pool` emits `remove` only for clients that were connected.
        if (entry.isOpen) this.#reporter.emit('remove', client);
        this.#notifyIfClosed();
      });
  }

  /** While the pool is closing: removes idle connections, and the newest pending ones beyond the first `pendingCount`. */
  removeExcess(pendingCount: number): void {
    for (const entry of [...this.#entries].reverse()) {
      if (entry.state === 'leased' || entry.state === 'shared') continue;
      if (entry.state === 'idle' || this.pendingCount > pendingCount) this.remove(entry, 'shutdown');
    }
  }

  /** Resolves when the pool is closing and every connection is closed. */
  async whenClosed(): Promise<void> {
    this.#notifyIfClosed();
    if (!this.isClosed) await this.#closedNotifier.wait();
  }

  #notifyIfClosed(): void {
    if (!this.isClosing || this.#entries.size > 0 || this.#closingCount > 0) return;
    this.isClosed = true;
    this.#housekeeping.cancel();
    this.#closedNotifier.notifyAll();
  }

  #log(message: string, ...details: unknown[]): void {
    try {
      this.#clientOptions.log?.(message, ...details);
    } catch (thrown) {
      rethrowOnNextTick(thrown);
    }
  }
}

function isStandbyError(error: Error): boolean {
  return (error as { code?: unknown }).code === 'CONNECTION_STANDBY';
}
