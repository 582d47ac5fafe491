import type { PoolCounters } from '../database.snapshot.js';
import type { Lease } from './leases/lease.js';
import type { ActiveLeases } from './leases/active-leases.js';
import type { PoolableClient } from './connections/pooled-connection.js';

/** The result of a drain. */
export interface DrainReport {
  /** Connections that their borrowers released during the drain. */
  readonly released: number;
  /** Connections that were forcibly closed: at the end they were still leased, or shared by statements in flight. */
  readonly destroyed: number;
  /** Acquires that were rejected with `POOL_CLOSED`. */
  readonly rejected: number;
}

/** What a drain needs of the pool. */
export interface DrainablePool<C extends PoolableClient> {
  readonly leases: ActiveLeases<C>;
  readonly counters: Pick<PoolCounters, 'released' | 'closed'>;
  now(): number;
  /** Whether nothing is leased and nothing waits. */
  isQuiescent(): boolean;
  /** Resolves when nothing is leased and nothing waits, or after `timeoutMs`. */
  whenQuiescent(timeoutMs: number): Promise<void>;
  /** Rejects the waiters and leases no more; resolves when every connection is closed. */
  close(): Promise<void>;
  reclaim(lease: Lease<C>, reason: 'shutdown'): void;
  /** Destroys shared connections with statements in flight, and returns their number. */
  destroyShared?(): number;
}

/** How long a borrower has to release its connection after the statement was cancelled. */
const CANCEL_GRACE_MS = 500;

/** Closes the pool in steps, as `ConnectionPool.drain` describes. */
export async function drain<C extends PoolableClient>(
  pool: DrainablePool<C>,
  timeoutMs: number,
): Promise<DrainReport> {
  const { released, closed } = pool.counters;
  const deadline = pool.now() + timeoutMs;
  do await pool.whenQuiescent(Math.max(0, deadline - pool.now()));
  while (
    // A borrower may release a connection and acquire one again before this function continues.
    !pool.isQuiescent() &&
    pool.now() < deadline
  );

  const whenClosed = pool.close();
  if (!pool.isQuiescent()) {
    for (const lease of pool.leases) void lease.entry.connection.cancelRunning(CANCEL_GRACE_MS);
    await pool.whenQuiescent(CANCEL_GRACE_MS);
  }
  const remaining = [...pool.leases];
  for (const lease of remaining) pool.reclaim(lease, 'shutdown');
  const destroyedShared = pool.destroyShared?.() ?? 0;
  await whenClosed;
  return {
    released: pool.counters.released - released,
    destroyed: remaining.length + destroyedShared,
    rejected: pool.counters.closed - closed,
  };
}
