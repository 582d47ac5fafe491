import type { Lease } from './lease.js';
import type { ActiveLeases } from './active-leases.js';
import type { PoolableClient } from '../connections/pooled-connection.js';
import { rethrowOnNextTick } from '../reporting/pool-reporter.js';
import type { Waiter, WaiterQueue, WorkUnit } from '../waiters/waiter-queue.js';

/** Time between two looks. */
const LOOK_MS = 250;

/** How long a situation must stand unchanged before it counts as a deadlock. */
const STANDS_MS = 1_000;

/**
 * How many looks must confirm it. A blocked event loop or a suspended process delivers one late look; elapsed time alone
 * would then count a second in which no code could run.
 */
const CONFIRMATIONS = STANDS_MS / LOOK_MS;

/** Up to this depth a chain of units is walked anew for each waiter, which costs less than to remember what was visited. */
const SHALLOW = 8;

/** One lease that is blocked. */
interface Blocked<C extends PoolableClient> {
  readonly lease: Lease<C>;
  readonly holder: WorkUnit;
  readonly statementCount: number;
}

/** All leases, every one of them blocked. */
interface Situation<C extends PoolableClient> {
  readonly at: number;
  readonly blocked: readonly Blocked<C>[];
  /** From here on each of them is blocked by a waiter that still waits. */
  readonly since: number;
  confirmations: number;
}

/** The waiter to reject and the lease that it waits behind. */
export interface Deadlock<C extends PoolableClient, W> {
  readonly waiter: Waiter<W>;
  readonly held: Lease<C>;
}

/**
 * Finds self-deadlocks among explicit holders. A lease is blocked when its connection is quiet, a unit of work keeps it on
 * purpose (`heldFor`), and a waiter belongs to that unit or to a descendant of it. When all `max` places are leased, every
 * lease is blocked, and the same leases with the same waiters have sent nothing for a second, no connection will come back.
 *
 * A look costs time linear in leases and waiters; it ends at the first lease that is not blocked.
 */
export class DeadlockDetector<C extends PoolableClient, W> {
  readonly #leases: ActiveLeases<C>;
  readonly #waiters: WaiterQueue<W>;
  readonly #max: number;
  #seen: Situation<C> | undefined;

  constructor(leases: ActiveLeases<C>, waiters: WaiterQueue<W>, max: number) {
    this.#leases = leases;
    this.#waiters = waiters;
    this.#max = max;
  }

  /** Whether a look could find anything: a unit of work waits, and all places are leased. */
  get possible(): boolean {
    return this.#waiters.unitCount > 0 && this.#leases.length >= this.#max;
  }

  /** When to look next. */
  nextLook(now: number): number {
    const seen = this.#seen;
    // Confirmed often enough; a timer that rang early leaves a fraction of a millisecond.
    if (seen && seen.confirmations >= CONFIRMATIONS) return seen.at + STANDS_MS;
    return now + LOOK_MS;
  }

  /** The newest waiter of a deadlock that has stood for a second. The next one is due a second later at the earliest. */
  look(now: number): Deadlock<C, W> | undefined {
    const seen = this.#seen;
    const situation = this.possible ? this.#situation(now) : undefined;
    if (!situation || !seen || !isSame(seen, situation)) {
      this.#seen = situation;
      return undefined;
    }
    seen.confirmations += 1;
    if (seen.confirmations < CONFIRMATIONS || now - seen.at < STANDS_MS) return undefined;
    this.#seen = situation;
    return this.#newest(situation);
  }

  /** No unit of work waits any more. */
  forget(): void {
    this.#seen = undefined;
  }

  /** Whether `unit` or an ancestor of it is an explicit holder at this moment. */
  holds(unit: WorkUnit): boolean {
    let chain: Set<WorkUnit> | undefined;
    for (const lease of this.#leases) {
      const holder = holderOf(lease);
      if (holder && (chain ??= chainOf(unit)).has(holder)) return true;
    }
    return false;
  }

  #situation(at: number): Situation<C> | undefined {
    const blocked: Blocked<C>[] = [];
    for (const lease of this.#leases) {
      const { isReadyForQuery, statementCount } = lease.entry.connection;
      const holder = isReadyForQuery ? holderOf(lease) : undefined;
      if (!holder || statementCount === undefined) return undefined;
      blocked.push({ lease, holder, statementCount });
    }
    const holders = new Set(blocked.map(({ holder }) => holder));
    const climber = new Climber((unit) => void holders.delete(unit));
    // The longest waiters first: the situation stands for as long as the youngest of those that it takes.
    for (const { request, since } of this.#waiters) {
      climber.climb(request.unit);
      if (holders.size === 0) return { at, blocked, since, confirmations: 0 };
    }
    return undefined;
  }

  #newest({ blocked }: Situation<C>): Deadlock<C, W> | undefined {
    const leases = new Map<WorkUnit, Lease<C>>();
    for (const { holder, lease } of blocked) if (!leases.has(holder)) leases.set(holder, lease);
    let held: Lease<C> | undefined;
    const climber = new Climber((unit) => (held ??= leases.get(unit)));
    for (let waiter = this.#waiters.last; waiter; waiter = waiter.previous) {
      climber.climb(waiter.request.unit);
      if (held) return { waiter, held };
    }
    return undefined;
  }
}

/**
 * Visits units of work and their ancestors; those far up once however many waiters share them. A chain that leads back into
 * itself ends.
 */
class Climber {
  readonly #visit: (unit: WorkUnit) => void;
  readonly #visited = new Set<WorkUnit>();
  #last: WorkUnit | undefined;

  constructor(visit: (unit: WorkUnit) => void) {
    this.#visit = visit;
  }

  climb(unit: WorkUnit | undefined): void {
    // Waiters of one unit mostly stand together.
    if (unit === this.#last) return;
    this.#last = unit;
    let depth = 0;
    for (let at = unit; at; at = at.parent, depth += 1) {
      if (depth >= SHALLOW) {
        if (this.#visited.has(at)) return;
        this.#visited.add(at);
      }
      this.#visit(at);
    }
  }
}

function chainOf(unit: WorkUnit): Set<WorkUnit> {
  const chain = new Set<WorkUnit>();
  for (let at: WorkUnit | undefined = unit; at && !chain.has(at); at = at.parent) chain.add(at);
  return chain;
}

/** A hook that throws must not stop the looks. */
function holderOf<C extends PoolableClient>(lease: Lease<C>): WorkUnit | undefined {
  try {
    return lease.heldFor();
  } catch (thrown) {
    rethrowOnNextTick(thrown);
    return undefined;
  }
}

function isSame<C extends PoolableClient>(seen: Situation<C>, now: Situation<C>): boolean {
  if (now.since > seen.at) return false;
  return now.blocked.every(({ lease, holder, statementCount }, index) => {
    const before = seen.blocked[index];
    return before?.lease === lease && before.holder === holder && before.statementCount === statementCount;
  });
}
