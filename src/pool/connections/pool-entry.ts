import type { Clock } from '../support/clock.js';
import type { PooledConnection, PoolableClient } from './pooled-connection.js';

/** Where a connection is; the head of `connection-set.ts` draws the ways between them. */
export type PoolEntryState = 'connecting' | 'idle' | 'validating' | 'leased' | 'resetting' | 'closed';

/** A place in the pool with its connection. */
export class PoolEntry<C extends PoolableClient> {
  readonly #clock: Clock;
  state: PoolEntryState = 'connecting';
  /** Whether the dial and its hooks have succeeded; listeners hear of it before it leaves `connecting`. */
  isOpen = false;
  /** The error that ended the connection. */
  closeReason: Error | undefined;
  uses = 0;
  lifetimeMs = Infinity;
  readonly connectStartedAt: number;
  readonly #bornWall: number;
  #idleAt: number;
  #idleWall: number;

  constructor(
    readonly client: C,
    readonly connection: PooledConnection,
    public generation: number,
    clock: Clock,
  ) {
    this.#clock = clock;
    this.connectStartedAt = this.#idleAt = clock.now();
    this.#bornWall = this.#idleWall = clock.wall();
  }

  get isUsable(): boolean {
    return this.closeReason === undefined && this.connection.isUsable;
  }

  /** Whether the server is in a transaction, and waits. */
  get inTransaction(): boolean {
    const { isReadyForQuery, transactionStatus } = this.connection;
    return isReadyForQuery && (transactionStatus === 'T' || transactionStatus === 'E');
  }

  /** By both clocks: a machine that slept has not counted the time in which its connections were cut. */
  get ageMs(): number {
    return Math.max(this.#clock.now() - this.connectStartedAt, this.#clock.wall() - this.#bornWall);
  }

  get idleMs(): number {
    return Math.max(this.#clock.now() - this.#idleAt, this.#clock.wall() - this.#idleWall);
  }

  get isExpired(): boolean {
    return this.ageMs >= this.lifetimeMs;
  }

  /** It has just been used, or has just answered. */
  markUsed(): void {
    this.#idleAt = this.#clock.now();
    this.#idleWall = this.#clock.wall();
  }
}
