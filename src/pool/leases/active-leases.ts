import { DurationHistogram } from '../reporting/counters.js';
import type { Counters } from '../reporting/counters.js';
import { Lease } from './lease.js';
import type { PoolableClient } from '../connections/pooled-connection.js';
import { LinkedList } from '../support/linked-list.js';
import type { ResolvedLimits } from '../pool.options.js';
import type { PoolEntry } from '../connections/pool-entry.js';
import type { PoolReporter } from '../reporting/pool-reporter.js';
import type { AcquireOptions } from '../waiters/waiter-queue.js';

/** The connections that are out, the longest first: who has them, and who has them for too long. */
export class ActiveLeases<C extends PoolableClient> extends LinkedList<Lease<C>> {
  readonly #now: () => number;
  readonly #limits: Pick<ResolvedLimits, 'leakThresholdMs' | 'reclaimAfterMs'>;
  readonly #counters: Counters;
  readonly useTimes = new DurationHistogram();

  constructor(
    now: () => number,
    limits: Pick<ResolvedLimits, 'leakThresholdMs' | 'reclaimAfterMs'>,
    counters: Counters,
  ) {
    super();
    this.#now = now;
    this.#limits = limits;
    this.#counters = counters;
  }

  open(
    entry: PoolEntry<C>,
    since: number,
    request: AcquireOptions,
    site: { stack?: string } | undefined,
  ): Lease<C> {
    const lease = new Lease(entry, since, this.#now, request, site);
    this.append(lease);
    return lease;
  }

  close(lease: Lease<C>): void {
    this.remove(lease);
    this.useTimes.record(lease.heldMs);
  }

  find(client: C): Lease<C> | undefined {
    for (const lease of this) if (lease.entry.client === client) return lease;
    return undefined;
  }

  /** When this lease has to be looked at next. */
  nextInspection({
    leakReported,
    since,
    leakLookAt,
  }: Pick<Lease<C>, 'leakReported' | 'since' | 'leakLookAt'>): number {
    const { leakThresholdMs, reclaimAfterMs } = this.#limits;
    return Math.min(leakReported ? Infinity : leakLookAt + leakThresholdMs, since + reclaimAfterMs);
  }

  /** Warns of those that are out for long, and hands those that are out for too long to `takeBack`. */
  inspect(reporter: PoolReporter, takeBack: (lease: Lease<C>, error: Error) => void): void {
    for (const lease of this) {
      if (!lease.leakReported && this.#now() - lease.leakLookAt >= this.#limits.leakThresholdMs)
        this.#lookForLeak(lease, reporter);
      if (lease.heldMs < this.#limits.reclaimAfterMs) continue;
      const error = reporter.reclaimed(lease.info());
      takeBack(lease, error);
    }
  }

  #lookForLeak(lease: Lease<C>, reporter: PoolReporter): void {
    // What runs a statement was not forgotten: that has its own time limit.
    if (lease.entry.connection.isReadyForQuery === false) {
      lease.leakLookAt = this.#now();
      return;
    }
    lease.leakReported = true;
    this.#counters.leakWarnings += 1;
    reporter.leak(lease.info());
  }
}
