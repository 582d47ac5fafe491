import type { DestroyReason, Histogram, PoolCounters } from '../../database.snapshot.js';

const BOUNDS_MS: readonly number[] = Object.freeze([
  1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000,
]);

/** Counts durations in buckets. Recording one takes a few comparisons and allocates nothing. */
export class DurationHistogram {
  readonly #counts = new Array<number>(BOUNDS_MS.length + 1).fill(0);
  #count = 0;
  #sumMs = 0;
  #maxMs = 0;

  record(ms: number): void {
    let bucket = 0;
    while (ms > (BOUNDS_MS[bucket] ?? Infinity)) bucket += 1;
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
    this.#count += 1;
    this.#sumMs += ms;
    this.#maxMs = Math.max(this.#maxMs, ms);
  }

  snapshot(): Histogram {
    return {
      boundsMs: BOUNDS_MS,
      counts: [...this.#counts],
      count: this.#count,
      sumMs: this.#sumMs,
      maxMs: this.#maxMs,
    };
  }
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };

/** The counters of a pool, writable. */
export type Counters = Writable<Omit<PoolCounters, 'destroyed'>> & {
  destroyed: Record<DestroyReason, number>;
};

export function newCounters(): Counters {
  return {
    acquired: 0,
    released: 0,
    created: 0,
    connectFailures: 0,
    destroyed: {
      lifetime: 0,
      uses: 0,
      idle: 0,
      overflow: 0,
      validation: 0,
      broken: 0,
      'released-with-error': 0,
      reset: 0,
      reclaimed: 0,
      shutdown: 0,
    },
    timeouts: 0,
    cancellations: 0,
    refused: 0,
    failedByConnect: 0,
    closed: 0,
    nestedAcquires: 0,
    selfDeadlocks: 0,
    validations: 0,
    validationFailures: 0,
    rollbacks: 0,
    resets: 0,
    leakWarnings: 0,
    outages: 0,
  };
}
