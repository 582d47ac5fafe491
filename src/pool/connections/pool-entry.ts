import type { Clock } from '../support/clock.js';
import type { PooledConnection, PoolableClient } from './pooled-connection.js';

/** The state of a connection; `connection-set.ts` draws the transitions. */
export type PoolEntryState = 'connecting' | 'idle' | 'validating' | 'leased' | 'resetting' | 'closed';

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
  readonly #startedAt: number;
  readonly #startedAtWall: number;
  #usedAt: number;
  #usedAtWall: number;

  constructor(
    readonly client: C,
    readonly connection: PooledConnection,
    /** The pool's generation when the connection was started or last validated. */
    public generation: number,
    clock: Clock,
  ) {
    this.#clock = clock;
    this.#startedAt = this.#usedAt = clock.now();
    this.#startedAtWall = this.#usedAtWall = clock.wall();
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

  /** The longer of both clocks: the monotonic clock stops while the machine sleeps, and firewalls do not. */
  get ageMs(): number {
    return Math.max(this.#clock.now() - this.#startedAt, this.#clock.wall() - this.#startedAtWall);
  }

  /** Milliseconds since the last use or answer, by the longer of both clocks. */
  get idleMs(): number {
    return Math.max(this.#clock.now() - this.#usedAt, this.#clock.wall() - this.#usedAtWall);
  }

  get isExpired(): boolean {
    return this.ageMs >= this.lifetimeMs;
  }

  /** Restarts `idleMs`: the connection was used, or has answered. */
  markUsed(): void {
    this.#usedAt = this.#clock.now();
    this.#usedAtWall = this.#clock.wall();
  }
}
