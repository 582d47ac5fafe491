import { PoolAcquireCancelledError, PoolConnectError } from '../../errors/pool.errors.js';
import type { ResolvedDatabaseOptions } from '../../database.options.js';
import type { Connection } from '../../connection/connection.js';
import type { DrainReport } from '../../pool/drain.js';
import type { LeasedClient } from '../../pool/connections/pooled-connection.js';
import type { AcquireOptions, CancelSignal } from '../../pool/waiters/waiter-queue.js';
import { DataSourcePool } from '../pools/data-source.pool.js';
import type { DatabaseLogger } from '../logging/database.logger.js';
import { connectFailure } from '../logging/connect-failure.js';

/** A replica that could not be reached is not tried again for this long; milliseconds. */
const RETRY_AFTER_MS = 3_000;

/**
 * The pool of one read replica. While the replica cannot be reached, the primary serves its reads, including those that wait already.
 * Every 3 s at most, a read starts an attempt in the background to reach the replica again; without reads there is none.
 */
export class ReplicaPool extends DataSourcePool {
  readonly #primary: () => DataSourcePool;
  readonly #settings: ResolvedDatabaseOptions;
  readonly #logger: DatabaseLogger;
  #outage = new Outage();
  #retryAt = 0;
  #retrying: Outage | undefined;

  constructor(settings: ResolvedDatabaseOptions, logger: DatabaseLogger, primary: () => DataSourcePool) {
    const { pool, timeouts } = settings;
    // A read that gets no answer from the replica must have time left for the primary.
    const connectMs = Math.min(timeouts.connectMs, Math.floor(pool.acquireTimeoutMs / 2));
    // With `minIdle` the pool would go on to connect to a replica that is away, without any read.
    super(
      { ...settings, pool: { ...pool, minIdle: 0 }, timeouts: { ...timeouts, connectMs } },
      logger,
      'never',
    );
    this.#primary = primary;
    this.#settings = settings;
    this.#logger = logger;
  }

  /** Whether reads go to this replica. If it is away and the next attempt is due, starts that in the background. */
  isAvailable(): boolean {
    if (!this.#outage.aborted) return true;
    if (!this.#retrying && performance.now() >= this.#retryAt) void this.#retry();
    return false;
  }

  /** Acquires a connection to the replica or, if that cannot be reached, to the primary. */
  override acquire(request: AcquireOptions = {}): Promise<LeasedClient<Connection>> {
    if (this.#outage.aborted) return this.#primary().acquire(request);
    const { signal, deadlineMs = this.#settings.pool.acquireTimeoutMs } = request;
    const since = performance.now();
    const outage = this.#outage;
    return super
      .acquire(
        withChanges(request, { failFast: true, signal: signal ? new EitherSignal(signal, outage) : outage }),
      )
      .catch((error: unknown) => {
        if (!outage.aborted || !isOutage(error, signal)) throw error;
        const left = Math.max(1, deadlineMs - (performance.now() - since));
        return this.#primary().acquire(withChanges(request, { deadlineMs: left, calledIn: undefined }));
      });
  }

  override drain(options?: { timeoutMs?: number }): Promise<DrainReport> {
    this.#retrying?.abort(new Error('the pool is closed'));
    return super.drain(options);
  }

  protected override onConnectFailed(error: Error): void {
    // The replica serves with the connections that it has.
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
    const signal = (this.#retrying = new Outage());
    try {
      const deadlineMs = this.#settings.timeouts.connectMs;
      const connection = await super.acquire({
        borrower: 'replica check',
        failFast: true,
        deadlineMs,
        signal,
      });
      connection.release();
      this.#outage = new Outage();
      const { host, port, database } = this.#settings.server;
      this.#logger.log(`Replica database "${database}" at ${host}:${port} is back; it serves reads again.`);
    } catch {
      this.#retryAt = performance.now() + RETRY_AFTER_MS;
    } finally {
      this.#retrying = undefined;
    }
  }
}

/** Whether the acquire failed because the replica cannot be reached, and was not cancelled by its caller. */
function isOutage(error: unknown, signal: CancelSignal | undefined): boolean {
  return (
    error instanceof PoolConnectError || (error instanceof PoolAcquireCancelledError && !signal?.aborted)
  );
}

/** Cancels the acquires that wait for a replica that cannot be reached. */
class Outage implements CancelSignal {
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

/** Cancels an acquire when its caller does, or when the replica cannot be reached. */
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

/** The options with some of them changed. Functions are called on the original: those of a `RunnerLease` are methods. */
function withChanges(request: AcquireOptions, changes: Partial<AcquireOptions>): AcquireOptions {
  return {
    ...request,
    describe: (lastSql) => request.describe?.(lastSql),
    heldFor: () => request.heldFor?.(),
    onReclaimed: (error) => request.onReclaimed?.(error),
    ...changes,
  };
}
