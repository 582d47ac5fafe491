import { beforeEach, describe, expect, it } from '@jest/globals';
import { drain } from './drain.js';
import type { DrainablePool } from './drain.js';
import type { Lease } from './leases/lease.js';
import type { ActiveLeases } from './leases/active-leases.js';
import type { PoolableClient } from './connections/pooled-connection.js';

type TestLease = Lease<PoolableClient>;

/** A pool that records what a drain calls. */
class RecordingPool implements DrainablePool<PoolableClient> {
  readonly calls: string[] = [];
  readonly counters = { released: 7, closed: 3 };
  active: TestLease[] = [];
  time = 1_000;
  /** What happens during each wait. */
  duringWaits: (() => void)[] = [];

  lease(name: string): TestLease {
    const cancelRunning = (ms: number) => {
      this.calls.push(`cancel ${name}, ${ms}`);
      return Promise.resolve();
    };
    return { borrower: name, entry: { connection: { cancelRunning } } } as unknown as TestLease;
  }
  get leases(): ActiveLeases<PoolableClient> {
    const { active } = this;
    return { length: active.length, [Symbol.iterator]: () => active.values() } as never;
  }
  isQuiescent(): boolean {
    return this.active.length === 0;
  }
  now(): number {
    return this.time;
  }
  whenQuiescent(timeoutMs: number): Promise<void> {
    this.calls.push(`wait ${timeoutMs}`);
    this.duringWaits.shift()?.();
    if (!this.isQuiescent()) this.time += timeoutMs;
    return Promise.resolve();
  }
  close(): Promise<void> {
    this.calls.push('close');
    this.counters.closed += 2;
    return Promise.resolve().then(() => void this.calls.push('closed'));
  }
  reclaim(lease: TestLease, reason: string): void {
    this.calls.push(`reclaim ${String(lease.borrower)}, ${reason}`);
    this.active = this.active.filter((other) => other !== lease);
  }
}

let pool: RecordingPool;
beforeEach(() => {
  pool = new RecordingPool();
});

describe('drain()', () => {
  it('waits, closes the pool, and cancels nothing when every connection was released', async () => {
    pool.active = [pool.lease('a')];
    pool.duringWaits = [
      () => {
        pool.active = [];
        pool.counters.released += 1;
      },
    ];
    expect(await drain(pool, 1_234)).toEqual({ released: 1, destroyed: 0, rejected: 2 });
    expect(pool.calls).toEqual(['wait 1234', 'close', 'closed']);
  });

  it('counts released and destroyed connections and rejected acquires from its start', async () => {
    const [a, b, c] = ['a', 'b', 'c'].map((name) => pool.lease(name)) as [TestLease, TestLease, TestLease];
    pool.active = [a, b, c];
    pool.duringWaits = [
      () => (pool.counters.released += 4),
      () => {
        pool.active = [b, c];
        pool.counters.released += 1;
      },
    ];
    expect(await drain(pool, 10)).toEqual({ released: 5, destroyed: 2, rejected: 2 });
    expect(pool.calls).toEqual([
      'wait 10',
      'close',
      'cancel a, 500',
      'cancel b, 500',
      'cancel c, 500',
      'wait 500',
      'closed',
      'reclaim b, shutdown',
      'reclaim c, shutdown',
    ]);
  });
});
