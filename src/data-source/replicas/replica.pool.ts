import { PoolAcquireCancelledError, PoolConnectError } from '../../errors/pool.errors.js';
import type { ResolvedDatabaseOptions } from '../../database.options.js';
import type { Connection } from '../../connection/connection.js';
import type { SharedStatement } from '../../connection/shared/shared-statement.js';
import type { StatementFacts } from '../../connection/statements/statement-texts.js';
import type { DrainReport } from '../../pool/drain.js';
import type { Multiplexer } from '../../pool/shared/multiplexer.js';
import type { LeasedClient } from '../../pool/connections/pooled-connection.js';
import type { AcquireOptions, CancelSignal, ShareableAcquire } from '../../pool/waiters/waiter-queue.js';
import type { Caller } from '../../text/call-site.js';
import { DataSourcePool } from '../pools/data-source.pool.js';
import type { DatabaseLogger } from '../logging/database.logger.js';
import { connectFailure } from '../logging/connect-failure.js';

/** Shortest interval between two attempts to reach a replica; milliseconds. */
const RETRY_AFTER_MS = 3_000;

/**
 * The pool of one read replica. While the replica cannot be reached, the primary serves its reads, including reads that already wait.
 * A read then starts an attempt to reach the replica in the background, at most every 3 s.
 */
export class ReplicaPool extends DataSourcePool {
  readonly #primary: () => DataSourcePool;
  readonly #settings: ResolvedDatabaseOptions;
  readonly #logger: DatabaseLogger;
  /** Aborted while the replica cannot be reached. */
  #outage = new PoolSignal();
  #retryAt = 0;
  /** Cancels the attempt to reach the replica that is under way. */
  #retrySignal: PoolSignal | undefined;

  constructor(settings: ResolvedDatabaseOptions, logger: DatabaseLogger, primary: () => DataSourcePool) {
    const { pool, timeouts } = settings;
    // A read whose connect to the replica times out must have time left for the primary.
    const connectMs = Math.min(timeouts.connectMs, Math.floor(pool.acquireTimeoutMs / 2));
    // With `minIdle` the pool would keep connecting to an unreachable replica even without reads.
    super(
      { ...settings, pool: { ...pool, minIdle: 0 }, timeouts: { ...timeouts, connectMs } },
      logger,
      'never',
    );
    this.#primary = primary;
    this.#settings = settings;
    this.#logger = logger;
  }

  /** Whether this replica serves reads. If it is unreachable and the next attempt is due, starts that in the background. */
  isAvailable(): boolean {
    if (!this.#outage.aborted) return true;
    if (!this.#retrySignal && performance.now() >= this.#retryAt) void this.#retry();
    return false;
  }

  /** @internal The multiplexer of the primary, while the replica cannot be reached. */
  override get multiplexer(): Multiplexer<Connection> | undefined {
    return this.#outage.aborted ? this.#primary().multiplexer : super.multiplexer;
  }

  /** @internal */
  override tryAcquire(request: AcquireOptions, caller?: Caller): LeasedClient<Connection> | undefined {
    // Not for the attempt to reach the replica: a connection to the primary would pass for one.
    const isRetry = this.#retrySignal !== undefined && request.signal === this.#retrySignal;
    if (this.#outage.aborted && !isRetry) return this.#primary().tryAcquire(request, caller);
    return super.tryAcquire(request, caller);
  }

  /** Acquires a connection to the replica, or to the primary if the replica cannot be reached. */
  override acquire(request: AcquireOptions = {}): Promise<LeasedClient<Connection>> {
    return this.#acquireWithFallback(request, (changed) => super.acquire(changed));
  }

  /** @internal */
  override acquireOrShare(
    request: ShareableAcquire,
    facts: StatementFacts,
  ): Promise<LeasedClient<Connection> | SharedStatement> {
    return this.#acquireWithFallback(request, (changed) => super.acquireOrShare(changed, facts));
  }

  #acquireWithFallback<A>(
    request: ShareableAcquire,
    acquire: (request: ShareableAcquire) => Promise<A>,
  ): Promise<A | LeasedClient<Connection>> {
    if (this.#outage.aborted) return this.#primary().acquire(request);
    const { signal, deadlineMs = this.#settings.pool.acquireTimeoutMs } = request;
    const since = performance.now();
    const outage = this.#outage;
    const acquired: Promise<A | LeasedClient<Connection>> = acquire(
      withChanges(request, {
        failFast: true,
        signal: signal ? new EitherSignal(signal, outage) : outage,
      }),
    );
    return acquired.catch((error: unknown) => {
      if (!outage.aborted || !isOutage(error, outage.reason)) throw error;
      const left = Math.max(1, deadlineMs - (performance.now() - since));
      return this.#primary().acquire(withChanges(request, { deadlineMs: left, calledIn: undefined }));
    });
  }

  override drain(options?: { timeoutMs?: number }): Promise<DrainReport> {
    this.#retrySignal?.abort(new Error('the pool is closed'));
    return super.drain(options);
  }

  protected override onConnectFailed(error: Error): void {
    // The open connections still serve reads.
    const { code, target, summary } = connectFailure(error, this.#settings);
    if (code === 'TOO_MANY_CONNECTIONS' && this.totalCount > 0) return;
    this.#retryAt = performance.now() + RETRY_AFTER_MS;
    if (this.#outage.aborted) return;
    this.#logger.warn(
      `Replica ${target} cannot be reached: ${summary}. Until it is back, the other servers of \`replication\` serve its reads.`,
    );
    this.#outage.abort(error);
  }

  async #retry(): Promise<void> {
    const signal = (this.#retrySignal = new PoolSignal());
    try {
      const deadlineMs = this.#settings.timeouts.connectMs;
      const connection = await super.acquire({
        borrower: 'replica check',
        failFast: true,
        deadlineMs,
        signal,
      });
      connection.release();
      this.#outage = new PoolSignal();
      const { host, port, database } = this.#settings.server;
      this.#logger.log(`Replica database "${database}" at ${host}:${port} is back; it serves reads again.`);
    } catch {
      this.#retryAt = performance.now() + RETRY_AFTER_MS;
    } finally {
      this.#retrySignal = undefined;
    }
  }
}

/** Whether the acquire failed because the replica cannot be reached, and was not cancelled by its caller. */
function isOutage(error: unknown, reason: unknown): boolean {
  return (
    error instanceof PoolConnectError ||
    (error instanceof PoolAcquireCancelledError && error.cause === reason)
  );
}

/** A signal by which the pool cancels acquires itself. */
class PoolSignal implements CancelSignal {
  reason: unknown;
  aborted = false;
  readonly #listeners = new Set<() => void>();

  abort(reason: Error): void {
    this.aborted = true;
    this.reason = reason;
    for (const listener of [...this.#listeners]) listener();
  }

  addEventListener(_event: 'abort', listener: () => void): void {
    this.#listeners.add(listener);
  }

  removeEventListener(_event: 'abort', listener: () => void): void {
    this.#listeners.delete(listener);
  }
}

/** Aborted when the signal of the caller is, or when the replica cannot be reached. */
class EitherSignal implements CancelSignal {
  readonly #caller: CancelSignal;
  readonly #outage: CancelSignal;

  constructor(caller: CancelSignal, outage: CancelSignal) {
    this.#caller = caller;
    this.#outage = outage;
  }

  get aborted(): boolean {
    return this.#caller.aborted || this.#outage.aborted;
  }

  get reason(): unknown {
    return this.#caller.aborted ? this.#caller.reason : this.#outage.reason;
  }

  addEventListener(event: 'abort', listener: () => void): void {
    this.#caller.addEventListener(event, listener);
    this.#outage.addEventListener(event, listener);
  }

  removeEventListener(event: 'abort', listener: () => void): void {
    this.#caller.removeEventListener(event, listener);
    this.#outage.removeEventListener(event, listener);
  }
}

/** A copy of the options with changes. A spread does not copy methods and accessors, which a `RunnerLease` has. */
function withChanges(request: ShareableAcquire, changes: Partial<AcquireOptions>): ShareableAcquire {
  return {
    ...request,
    borrower: request.borrower,
    describe: (lastSql) => request.describe?.(lastSql),
    heldFor: () => request.heldFor?.(),
    onReclaimed: (error) => request.onReclaimed?.(error),
    onWait: (wait) => request.onWait?.(wait),
    canShare: () => request.canShare?.() ?? true,
    onPlace: (statement) => request.onPlace?.(statement),
    ...changes,
  };
}
