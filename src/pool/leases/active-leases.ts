import { DurationHistogram } from '../reporting/counters.js';
import type { Counters } from '../reporting/counters.js';
import { Lease } from './lease.js';
import type { PoolableClient } from '../connections/pooled-connection.js';
import { LinkedList } from '../support/linked-list.js';
import type { CallSite } from '../../text/call-site.js';
import type { ResolvedLimits } from '../pool.options.js';
import type { PoolEntry } from '../connections/pool-entry.js';
import type { PoolReporter } from '../reporting/pool-reporter.js';
import type { AcquireOptions } from '../waiters/waiter-queue.js';

type LeaseLimits = Pick<ResolvedLimits, 'leakThresholdMs' | 'reclaimAfterMs'>;

/** The active leases, the longest first. `inspect` finds the leases that last too long. */
export class ActiveLeases<C extends PoolableClient> extends LinkedList<Lease<C>> {
  readonly #now: () => number;
  readonly #limits: LeaseLimits;
  readonly #counters: Counters;
  /** How long completed leases have lasted. */
  readonly useTimes = new DurationHistogram();

  constructor(now: () => number, limits: LeaseLimits, counters: Counters) {
    super();
    this.#now = now;
    this.#limits = limits;
    this.#counters = counters;
  }

  open(
    entry: PoolEntry<C>,
    since: number,
    request: AcquireOptions,
    callSite: CallSite | undefined,
  ): Lease<C> {
    const lease = new Lease(entry, since, request, callSite);
    this.append(lease);
    return lease;
  }

  /** @param now the time of the pool's clock */
  close(lease: Lease<C>, now: number): void {
    this.remove(lease);
    this.useTimes.record(now - lease.since);
  }

  find(client: C): Lease<C> | undefined {
    for (const lease of this) if (lease.entry.client === client) return lease;
    return undefined;
  }

  /** When the lease is due for its next inspection. */
  nextInspection({
    isLeakReported,
    since,
    inactiveSince,
  }: Pick<Lease<C>, 'isLeakReported' | 'since' | 'inactiveSince'>): number {
    const { leakThresholdMs, reclaimAfterMs } = this.#limits;
    return Math.min(isLeakReported ? Infinity : inactiveSince + leakThresholdMs, since + reclaimAfterMs);
  }

  /** Warns of possible leaks, and passes leases older than `reclaimAfterMs` to `reclaim`. */
  inspect(reporter: PoolReporter, reclaim: (lease: Lease<C>, error: Error) => void): void {
    for (const lease of this) {
      if (!lease.isLeakReported && this.#now() - lease.inactiveSince >= this.#limits.leakThresholdMs)
        this.#checkForLeak(lease, reporter);
      if (lease.heldMs >= this.#limits.reclaimAfterMs) reclaim(lease, reporter.reportReclaimed(lease.info()));
    }
  }

  #checkForLeak(lease: Lease<C>, reporter: PoolReporter): void {
    // A connection with an active statement has not leaked; the statement has its own time limit.
    if (lease.entry.connection.isReadyForQuery === false) {
      lease.inactiveSince = this.#now();
      return;
    }
    lease.isLeakReported = true;
    this.#counters.leakWarnings += 1;
    reporter.reportLeak(lease.info());
  }
}
