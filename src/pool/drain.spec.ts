import { beforeEach, describe, expect, it } from '@jest/globals';
import { drain } from './drain.js';
import type { Drainable } from './drain.js';
import type { Lease } from './leases/lease.js';
import type { ActiveLeases } from './leases/active-leases.js';
import type { PoolableClient } from './connections/pooled-connection.js';

type TestLease = Lease<PoolableClient>;

/** What a drain asks of a pool, written down; `out` is who has a connection. */
class Asked implements Drainable<PoolableClient> {
  readonly said: string[] = [];
  readonly counters = { released: 7, closed: 3 };
  out: TestLease[] = [];
  time = 1_000;
  /** What happens while a wait lasts. */
  meanwhile: (() => void)[] = [];

  lease(name: string): TestLease {
    const cancelRunning = (ms: number) => {
      this.said.push(`cancel ${name}, ${ms}`);
      return Promise.resolve();
    };
    return { borrower: name, entry: { connection: { cancelRunning } } } as unknown as TestLease;
  }
  get leases(): ActiveLeases<PoolableClient> {
    const { out } = this;
    return { length: out.length, [Symbol.iterator]: () => out.values() } as never;
  }
  get isQuiescent(): boolean {
    return this.out.length === 0;
  }
  now(): number {
    return this.time;
  }
  whenQuiescent(timeoutMs: number): Promise<void> {
    this.said.push(`wait ${timeoutMs}`);
    this.meanwhile.shift()?.();
    if (!this.isQuiescent) this.time += timeoutMs;
    return Promise.resolve();
  }
  close(): Promise<void> {
    this.said.push('shut');
    this.counters.closed += 2;
    return Promise.resolve().then(() => void this.said.push('closed'));
  }
  reclaim(lease: TestLease, reason: string): void {
    this.said.push(`cut ${String(lease.borrower)}, ${reason}`);
    this.out = this.out.filter((other) => other !== lease);
  }
}

let pool: Asked;
beforeEach(() => {
  pool = new Asked();
});

describe('a drain', () => {
  it('waits, then shuts the pool, and has nothing to cancel when nothing is out', async () => {
    pool.out = [pool.lease('a')];
    pool.meanwhile = [
      () => {
        pool.out = [];
        pool.counters.released += 1;
      },
    ];
    expect(await drain(pool, 1_234)).toEqual({ returned: 1, cut: 0, rejected: 2 });
    expect(pool.said).toEqual(['wait 1234', 'shut', 'closed']);
  });

  it('counts what came back, what was cut, and what was rejected, each for itself and since it began', async () => {
    const [a, b, c] = ['a', 'b', 'c'].map((name) => pool.lease(name)) as [TestLease, TestLease, TestLease];
    pool.out = [a, b, c];
    pool.meanwhile = [
      () => (pool.counters.released += 4),
      () => {
        pool.out = [b, c];
        pool.counters.released += 1;
      },
    ];
    expect(await drain(pool, 10)).toEqual({ returned: 5, cut: 2, rejected: 2 });
    expect(pool.said).toEqual([
      'wait 10',
      'shut',
      'cancel a, 500',
      'cancel b, 500',
      'cancel c, 500',
      'wait 500',
      'closed',
      'cut b, shutdown',
      'cut c, shutdown',
    ]);
  });
});
