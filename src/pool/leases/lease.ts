import type { LeaseInfo } from '../../database.snapshot.js';
import { callSiteFrames } from '../../text/call-site.js';
import type { CallSite } from '../../text/call-site.js';
import { shortSql } from '../../text/masking.js';
import type { Linked } from '../support/linked-list.js';
import type { PoolableClient } from '../connections/pooled-connection.js';
import type { PoolEntry } from '../connections/pool-entry.js';
import type { AcquireOptions, WorkUnit } from '../waiters/waiter-queue.js';

/** A leased connection: its borrower, its duration and its activity. */
export interface PoolLease {
  /** The borrower, as `acquire({ borrower })` has named it. Writable, for a name that is known only later. */
  borrower: string | undefined;
  /** The unit of work of the acquire. */
  readonly unit: WorkUnit | undefined;
  /** Milliseconds since the acquire. */
  readonly heldMs: number;
  /** Whether a transaction is open, a failed one included. */
  readonly inTransaction: boolean;
  /** The last statement, in full. */
  readonly lastSql: string | undefined;
  /** The call stack of the acquire, with `leakThresholdMs`. */
  readonly stack: string | undefined;
  /** The error with which the pool has forcibly ended the lease; undefined otherwise. */
  readonly reclaimedBy: Error | undefined;
  /** The lease as warnings and errors show it. */
  info(): LeaseInfo;
}

export class Lease<C extends PoolableClient> implements PoolLease, Linked<Lease<C>> {
  readonly #callSite: CallSite | undefined;
  /** Private, so that no log prints it: it may reference the whole request of the borrower. */
  readonly #request: AcquireOptions;
  previous: Lease<C> | undefined;
  next: Lease<C> | undefined;
  #borrower: string | undefined;
  readonly unit: WorkUnit | undefined;
  isReleased = false;
  isLeakReported = false;
  /** The start of `leakThresholdMs`: the acquire, or the last check that found an active statement. */
  inactiveSince: number;
  reclaimedBy: Error | undefined;

  constructor(
    readonly entry: PoolEntry<C>,
    readonly since: number,
    request: AcquireOptions,
    callSite: CallSite | undefined,
  ) {
    this.#request = request;
    this.#callSite = callSite;
    this.unit = request.unit;
    this.inactiveSince = since;
  }

  /** Read when a message needs it: building the name of a request costs more than a field. */
  get borrower(): string | undefined {
    return this.#borrower ?? this.#request.borrower;
  }

  set borrower(name: string | undefined) {
    this.#borrower = name;
  }

  /** The unit of work that keeps the connection on purpose at this moment. */
  heldFor(): WorkUnit | undefined {
    return this.#request.heldFor?.();
  }

  /** Marks the lease as forcibly ended and notifies the borrower. */
  reclaim(error: Error): void {
    this.reclaimedBy = error;
    this.#request.onReclaimed?.(error);
  }

  get heldMs(): number {
    return this.entry.now() - this.since;
  }

  get inTransaction(): boolean {
    const status = this.entry.connection.transactionStatus;
    return status === 'T' || status === 'E';
  }

  get lastSql(): string | undefined {
    return this.entry.connection.lastSql;
  }

  get stack(): string | undefined {
    return callSiteFrames(this.#callSite);
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
