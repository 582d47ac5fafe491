import type { Lease } from './lease.js';
import type { LeaseBook } from './lease-book.js';
import type { PoolableClient } from './link.js';
import type { Waiter, WaiterQueue } from './waiters.js';

/**
 * Whether everybody waits for each other: all `max` connections are held by units of work that wait for another one.
 * `later` when one of them still runs something, so that it may come back by itself; else the newest of the waiters and
 * the connection that it holds.
 */
export function findDeadlock<C extends PoolableClient, W>(
  leases: LeaseBook<C>,
  waiters: WaiterQueue<W>,
  max: number,
): { waiter: Waiter<W>; held: Lease<C> } | 'later' | undefined {
  if (leases.units.blocked < max) return undefined;
  for (const lease of leases) if (!lease.slot.link.quiet) return 'later';
  for (let waiter = waiters.last; waiter; waiter = waiter.previous)
    for (const held of leases)
      if (held.unit !== undefined && held.unit === waiter.request.unit) return { waiter, held };
  return undefined;
}
