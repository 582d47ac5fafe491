import type { PoolCounters } from '../database.snapshot.js';
import type { Lease } from './leases/lease.js';
import type { ActiveLeases } from './leases/active-leases.js';
import type { PoolableClient } from './connections/pooled-connection.js';

/** How a drain went. */
export interface DrainReport {
  /** Connections that came back by themselves. */
  readonly returned: number;
  /** Connections that were cancelled and cut. */
  readonly cut: number;
  /** Acquires that were rejected. */
  readonly rejected: number;
}

/** What a drain asks of the pool. */
export interface Drainable<C extends PoolableClient> {
  readonly leases: ActiveLeases<C>;
  readonly counters: Pick<PoolCounters, 'released' | 'closed'>;
  /** Whether nothing is out and nobody waits. */
  readonly isQuiescent: boolean;
  /** Resolves when it is so, or when `timeoutMs` is over. */
  whenQuiescent(timeoutMs: number): Promise<void>;
  now(): number;
  /** Rejects the waiters, lends no more, and resolves when all is closed. */
  close(how: { serving: false }): Promise<void>;
  reclaim(lease: Lease<C>, reason: 'shutdown'): void;
}

/** How long a statement has to end after it was cancelled. */
const GRACE_MS = 500;

/**
 * Closes the pool gently and surely: it goes on lending until nothing is out and nobody waits, or `timeoutMs` is over;
 * then the waiters are rejected, what still runs is cancelled, and what does not come back even then is cut.
 */
export async function drain<C extends PoolableClient>(
  pool: Drainable<C>,
  timeoutMs: number,
): Promise<DrainReport> {
  const { released, closed } = pool.counters;
  const until = pool.now() + timeoutMs;
  do await pool.whenQuiescent(Math.max(0, until - pool.now()));
  while (
    // Who gives back and acquires in one go has a connection again by the time that this goes on.
    !pool.isQuiescent &&
    pool.now() < until
  );
  const shut = pool.close({ serving: false });
  if (pool.leases.length > 0) {
    for (const lease of pool.leases) void lease.entry.connection.cancelRunning(GRACE_MS);
    await pool.whenQuiescent(GRACE_MS);
  }
  const left = [...pool.leases];
  for (const lease of left) pool.reclaim(lease, 'shutdown');
  await shut;
  return {
    returned: pool.counters.released - released,
    cut: left.length,
    rejected: pool.counters.closed - closed,
  };
}
