import { shortSql } from '../../text/masking.js';
import type { LeaseInfo } from '../../database.snapshot.js';
import { callSiteFrames } from '../../text/call-site.js';
import type { Caller } from '../../text/call-site.js';
import type { Linked } from '../support/linked-list.js';
import type { PoolableClient } from '../connections/pooled-connection.js';
import type { PoolEntry } from '../connections/pool-entry.js';
import type { AcquireOptions, WorkUnit } from '../waiters/waiter-queue.js';

/** A connection that is out, as the floors above see it. */
export interface PoolLease {
  /** Who has it; may be named better once that is known. */
  borrower: string | undefined;
  /** The unit of work that has asked for it. */
  readonly unit: WorkUnit | undefined;
  readonly heldMs: number;
  readonly inTransaction: boolean;
  /** The last statement, whole. */
  readonly lastSql: string | undefined;
  /** Where it was acquired, when leak detection is on. */
  readonly stack: string | undefined;
  /** Set when the pool has taken the connection back by force. */
  readonly reclaimedBy: Error | undefined;
  /** As messages show it. */
  info(): LeaseInfo;
}

export class Lease<C extends PoolableClient> implements PoolLease, Linked<Lease<C>> {
  readonly #now: () => number;
  readonly #site: { stack?: string } | undefined;
  previous: Lease<C> | undefined;
  next: Lease<C> | undefined;
  borrower: string | undefined;
  readonly unit: WorkUnit | undefined;
  released = false;
  leakReported = false;
  /** While a statement runs the lease is no leak; it is looked at again then. */
  leakLookAt: number;
  reclaimedBy: Error | undefined;
  /** Not listed: it may lead to all that its borrower knows. */
  readonly #request: AcquireOptions;

  constructor(
    readonly entry: PoolEntry<C>,
    readonly since: number,
    now: () => number,
    request: AcquireOptions,
    site: { stack?: string } | undefined,
  ) {
    this.#now = now;
    this.#site = site;
    this.#request = request;
    this.borrower = request.borrower;
    this.unit = request.unit;
    this.leakLookAt = since;
  }

  /** The unit of work that keeps the connection on purpose at this moment, if there is one. */
  heldFor(): WorkUnit | undefined {
    return this.#request.heldFor?.();
  }

  /** The pool takes the connection back by force. */
  reclaim(error: Error): void {
    this.reclaimedBy = error;
    this.#request.onReclaimed?.(error);
  }

  get heldMs(): number {
    return this.#now() - this.since;
  }

  get inTransaction(): boolean {
    const status = this.entry.connection.transactionStatus;
    return status === 'T' || status === 'E';
  }

  get lastSql(): string | undefined {
    return this.entry.connection.lastSql;
  }

  get stack(): string | undefined {
    return callSiteFrames(this.#site);
  }

  info(): LeaseInfo {
    return {
      borrower: this.borrower ?? this.#request.describe?.(this.lastSql),
      heldMs: Math.round(this.heldMs),
      inTransaction: this.inTransaction,
      lastSql: this.lastSql === undefined ? undefined : shortSql(this.lastSql),
      stack: this.stack,
    };
  }
}

/** Frames kept when leak detection is on: below Nest and TypeORM, the user's own code is frame 13 to 16. */
const LEAK_FRAMES = 50;

export type { Caller };

/** Remembers where the caller of `below` stands. */
export function captureCallSite(below: Caller, deep: boolean): { stack?: string } {
  const site: { stack?: string } = {};
  const limit = Error.stackTraceLimit;
  if (deep) Error.stackTraceLimit = Math.max(limit, LEAK_FRAMES);
  Error.captureStackTrace(site, below);
  Error.stackTraceLimit = limit;
  return site;
}
