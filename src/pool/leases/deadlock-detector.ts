import type { Lease } from './lease.js';
import type { ActiveLeases } from './active-leases.js';
import type { PoolableClient } from '../connections/pooled-connection.js';
import { rethrowOnNextTick } from '../support/rethrow-on-next-tick.js';
import type { Waiter, WaiterQueue, WorkUnit } from '../waiters/waiter-queue.js';

const CHECK_INTERVAL_MS = 250;

/** How long the same leases must be blocked before they count as a deadlock. */
const MIN_DURATION_MS = 1_000;

/**
 * How many checks must confirm it. After a blocked event loop or a suspended process only one check runs, late: elapsed time alone
 * would then count a second in which no code could run.
 */
const MIN_CONFIRMATIONS = MIN_DURATION_MS / CHECK_INTERVAL_MS;

/** Up to this depth, units of work are visited again for each waiter, which is cheaper than a set of visited units. */
const UNTRACKED_DEPTH = 8;

interface BlockedLease<C extends PoolableClient> {
  readonly lease: Lease<C>;
  readonly holder: WorkUnit;
  readonly statementCount: number;
}

/** What a check has found when every lease was blocked. */
interface Finding<C extends PoolableClient> {
  readonly at: number;
  readonly blocked: readonly BlockedLease<C>[];
  /** When the youngest of the waiters that block these leases began to wait. */
  readonly waitingSince: number;
  confirmations: number;
}

export interface Deadlock<C extends PoolableClient, W> {
  /** The waiter to reject. */
  readonly waiter: Waiter<W>;
  /** A lease that its unit of work, or an ancestor of that unit, holds. */
  readonly lease: Lease<C>;
}

/**
 * Finds self-deadlocks among explicit holders. A lease is blocked when its connection is ready for a query, a unit of work keeps
 * it on purpose (`heldFor`), and that unit or a descendant of it waits for another connection. No connection will be released when
 * all `max` connections are leased, every lease is blocked, and the same leases have sent nothing for a second.
 *
 * A check takes linear time in leases and waiters, and ends at the first lease that is not blocked.
 */
export class DeadlockDetector<C extends PoolableClient, W> {
  readonly #leases: ActiveLeases<C>;
  readonly #waiters: WaiterQueue<W>;
  readonly #max: number;
  readonly #sharedCount: () => number;
  #finding: Finding<C> | undefined;

  /**
   * @param max the most connections of the pool
   * @param sharedCount how many of them are shared, and cannot be leased at this moment
   */
  constructor(
    leases: ActiveLeases<C>,
    waiters: WaiterQueue<W>,
    max: number,
    sharedCount: () => number = () => 0,
  ) {
    this.#leases = leases;
    this.#waiters = waiters;
    this.#max = max;
    this.#sharedCount = sharedCount;
  }

  /** Whether a check could find anything: a unit of work waits, and every connection is leased. */
  get isPossible(): boolean {
    return this.#waiters.unitCount > 0 && this.#leases.length >= this.#max - this.#sharedCount();
  }

  nextCheckAt(now: number): number {
    const finding = this.#finding;
    // Confirmed often enough, but a timer has fired a fraction of a millisecond early.
    if (finding && finding.confirmations >= MIN_CONFIRMATIONS) return finding.at + MIN_DURATION_MS;
    return now + CHECK_INTERVAL_MS;
  }

  /** The newest waiter of a deadlock that has lasted for a second; the next deadlock is found after another second. */
  check(now: number): Deadlock<C, W> | undefined {
    const previous = this.#finding;
    const finding = this.isPossible ? this.#find(now) : undefined;
    if (!finding || !previous || !isSame(previous, finding)) {
      this.#finding = finding;
      return undefined;
    }
    previous.confirmations += 1;
    if (previous.confirmations < MIN_CONFIRMATIONS || now - previous.at < MIN_DURATION_MS) return undefined;
    this.#finding = finding;
    return this.#newestWaiter(finding);
  }

  /** Discards what was found: no unit of work waits any more. */
  reset(): void {
    this.#finding = undefined;
  }

  /** Whether `unit` or an ancestor of it is an explicit holder at this moment. */
  isHolder(unit: WorkUnit): boolean {
    let lineage: Set<WorkUnit> | undefined;
    for (const lease of this.#leases) {
      const holder = holderOf(lease);
      if (holder && (lineage ??= lineageOf(unit)).has(holder)) return true;
    }
    return false;
  }

  #find(now: number): Finding<C> | undefined {
    const blocked: BlockedLease<C>[] = [];
    for (const lease of this.#leases) {
      const { isReadyForQuery, statementCount } = lease.entry.connection;
      const holder = isReadyForQuery ? holderOf(lease) : undefined;
      if (!holder || statementCount === undefined) return undefined;
      blocked.push({ lease, holder, statementCount });
    }
    const holders = new Set(blocked.map(({ holder }) => holder));
    const ancestors = new AncestorVisitor((unit) => void holders.delete(unit));
    // The longest waiters first: the leases are blocked since the youngest waiter that is needed to block all of them.
    for (const { request, since } of this.#waiters) {
      ancestors.visitFrom(request.unit);
      if (holders.size === 0) return { at: now, blocked, waitingSince: since, confirmations: 0 };
    }
    return undefined;
  }

  #newestWaiter({ blocked }: Finding<C>): Deadlock<C, W> | undefined {
    const leases = new Map<WorkUnit, Lease<C>>();
    for (const { holder, lease } of blocked) if (!leases.has(holder)) leases.set(holder, lease);
    let found: Lease<C> | undefined;
    const ancestors = new AncestorVisitor((unit) => (found ??= leases.get(unit)));
    for (let waiter = this.#waiters.last; waiter; waiter = waiter.previous) {
      ancestors.visitFrom(waiter.request.unit);
      if (found) return { waiter, lease: found };
    }
    return undefined;
  }
}

/**
 * Visits units of work and their ancestors. Distant ancestors are visited once, however many waiters share them. A visit stops at a
 * cycle of parents.
 */
class AncestorVisitor {
  readonly #visit: (unit: WorkUnit) => void;
  readonly #visited = new Set<WorkUnit>();
  #previousStart: WorkUnit | undefined;

  constructor(visit: (unit: WorkUnit) => void) {
    this.#visit = visit;
  }

  visitFrom(start: WorkUnit | undefined): void {
    // Waiters of one unit are usually adjacent in the queue.
    if (start === this.#previousStart) return;
    this.#previousStart = start;
    let depth = 0;
    for (let unit = start; unit; unit = unit.parent, depth += 1) {
      if (depth >= UNTRACKED_DEPTH) {
        if (this.#visited.has(unit)) return;
        this.#visited.add(unit);
      }
      this.#visit(unit);
    }
  }
}

/** The unit and its ancestors. */
function lineageOf(start: WorkUnit): Set<WorkUnit> {
  const lineage = new Set<WorkUnit>();
  for (let unit: WorkUnit | undefined = start; unit && !lineage.has(unit); unit = unit.parent)
    lineage.add(unit);
  return lineage;
}

/** The explicit holder of a lease. A `heldFor` that throws must not end the checks. */
function holderOf<C extends PoolableClient>(lease: Lease<C>): WorkUnit | undefined {
  try {
    return lease.heldFor();
  } catch (thrown) {
    rethrowOnNextTick(thrown);
    return undefined;
  }
}

/** Whether the same leases are blocked as before, nothing was sent on them, and no waiter that blocks them is new. */
function isSame<C extends PoolableClient>(before: Finding<C>, now: Finding<C>): boolean {
  if (now.waitingSince > before.at) return false;
  return now.blocked.every(({ lease, holder, statementCount }, index) => {
    const earlier = before.blocked[index];
    return earlier?.lease === lease && earlier.holder === holder && earlier.statementCount === statementCount;
  });
}
