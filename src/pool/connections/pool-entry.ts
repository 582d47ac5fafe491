import { instantOf } from '../support/clock.js';
import type { Clock, Instant } from '../support/clock.js';
import type { PooledConnection, PoolableClient } from './pooled-connection.js';

/** The state of a connection; `connection-set.ts` draws the transitions. */
export type PoolEntryState =
  'connecting' | 'idle' | 'validating' | 'leased' | 'shared' | 'resetting' | 'closed';

/** A connection and its place in the pool. */
export class PoolEntry<C extends PoolableClient> {
  readonly #clock: Clock;
  state: PoolEntryState = 'connecting';
  /** Whether the client has connected and its hooks have succeeded. `connect` listeners run while the state is `connecting`. */
  isOpen = false;
  /** The error that ended the connection. */
  closeReason: Error | undefined;
  /** Completed leases. */
  uses = 0;
  lifetimeMs = Infinity;
  readonly #startedAt: Instant;
  #usedAt: Instant;

  constructor(
    readonly client: C,
    readonly connection: PooledConnection,
    /** The pool's generation when the connection was started or last validated. */
    public generation: number,
    clock: Clock,
  ) {
    this.#clock = clock;
    this.#startedAt = this.#usedAt = instantOf(clock);
  }

  now(): number {
    return this.#clock.now();
  }

  get isUsable(): boolean {
    return this.closeReason === undefined && this.connection.isUsable;
  }

  /** Whether a transaction is open and no statement is active. */
  get isInTransaction(): boolean {
    const { isReadyForQuery, transactionStatus } = this.connection;
    return isReadyForQuery && (transactionStatus === 'T' || transactionStatus === 'E');
  }

  /** Milliseconds since the connect started. */
  ageMs(at: Instant): number {
    return elapsedMs(this.#startedAt, at);
  }

  /** Milliseconds since the last use or answer. */
  idleMs(at: Instant): number {
    return elapsedMs(this.#usedAt, at);
  }

  isExpired(at: Instant): boolean {
    return this.ageMs(at) >= this.lifetimeMs;
  }

  /** Restarts `idleMs`: the connection was used, or has answered. */
  markUsed(at: Instant): void {
    this.#usedAt = at;
  }
}

/** The longer of both clocks: the monotonic clock stops while the machine sleeps, and firewalls do not. */
function elapsedMs(since: Instant, at: Instant): number {
  return Math.max(at.now - since.now, at.wall - since.wall);
}
