import { DurationHistogram } from './figures.js';
import type { Counters } from './figures.js';
import { Lease } from './lease.js';
import type { PoolableClient } from './link.js';
import { LinkedList } from './linked-list.js';
import type { ResolvedLimits } from './pool.options.js';
import type { Slot } from './slot.js';
import type { Voice } from './voice.js';
import type { AcquireOptions } from './waiters.js';

/** The connections that are out, the longest first: who has them, and who has them for too long. */
export class LeaseBook<C extends PoolableClient> extends LinkedList<Lease<C>> {
  readonly useTimes = new DurationHistogram();

  constructor(
    private readonly now: () => number,
    private readonly limits: Pick<ResolvedLimits, 'leakThresholdMs' | 'reclaimAfterMs'>,
    private readonly counters: Counters,
  ) {
    super();
  }

  open(
    slot: Slot<C>,
    since: number,
    request: AcquireOptions,
    site: { stack?: string } | undefined,
  ): Lease<C> {
    const lease = new Lease(slot, since, this.now, request, site);
    this.append(lease);
    return lease;
  }

  close(lease: Lease<C>): void {
    this.remove(lease);
    this.useTimes.record(lease.heldMs);
  }

  of(client: C): Lease<C> | undefined {
    for (const lease of this) if (lease.slot.client === client) return lease;
    return undefined;
  }

  /** When this lease has to be looked at next. */
  nextLook({
    leakReported,
    since,
    leakLookAt,
  }: Pick<Lease<C>, 'leakReported' | 'since' | 'leakLookAt'>): number {
    const { leakThresholdMs, reclaimAfterMs } = this.limits;
    return Math.min(leakReported ? Infinity : leakLookAt + leakThresholdMs, since + reclaimAfterMs);
  }

  /** Warns of those that are out for long, and hands those that are out for too long to `takeBack`. */
  look(voice: Voice, takeBack: (lease: Lease<C>, error: Error) => void): void {
    for (const lease of this) {
      if (!lease.leakReported && this.now() - lease.leakLookAt >= this.limits.leakThresholdMs)
        this.#lookForLeak(lease, voice);
      if (lease.heldMs < this.limits.reclaimAfterMs) continue;
      const error = voice.reclaimed(lease.info());
      takeBack(lease, error);
    }
  }

  #lookForLeak(lease: Lease<C>, voice: Voice): void {
    // What runs a statement was not forgotten: that has its own time limit.
    if (lease.slot.link.quiet === false) {
      lease.leakLookAt = this.now();
      return;
    }
    lease.leakReported = true;
    this.counters.leakWarnings += 1;
    voice.leak(lease.info());
  }
}
