import type { Clock } from './clock.js';
import type { Link, PoolableClient } from './link.js';

/** Where a connection is; the head of `supply.ts` draws the ways between them. */
export type SlotState = 'dialling' | 'idle' | 'checking' | 'leased' | 'returning' | 'gone';

/** A place in the pool with its connection. */
export class Slot<C extends PoolableClient> {
  state: SlotState = 'dialling';
  /** Whether the dial and its hooks have succeeded; listeners hear of it before it leaves `dialling`. */
  opened = false;
  /** The error that ended the connection. */
  lost: Error | undefined;
  uses = 0;
  lifetimeMs = Infinity;
  readonly bornAt: number;
  readonly #bornWall: number;
  #idleAt: number;
  #idleWall: number;

  constructor(
    readonly client: C,
    readonly link: Link,
    public generation: number,
    private readonly clock: Clock,
  ) {
    this.bornAt = this.#idleAt = clock.now();
    this.#bornWall = this.#idleWall = clock.wall();
  }

  get usable(): boolean {
    return this.lost === undefined && this.link.usable;
  }

  /** Whether the server is in a transaction, and waits. */
  get inTransaction(): boolean {
    const { quiet, transaction } = this.link;
    return quiet && (transaction === 'T' || transaction === 'E');
  }

  /** By both clocks: a machine that slept has not counted the time in which its connections were cut. */
  get ageMs(): number {
    return Math.max(this.clock.now() - this.bornAt, this.clock.wall() - this.#bornWall);
  }

  get idleMs(): number {
    return Math.max(this.clock.now() - this.#idleAt, this.clock.wall() - this.#idleWall);
  }

  get expired(): boolean {
    return this.ageMs >= this.lifetimeMs;
  }

  /** It has just been used, or has just answered. */
  touch(): void {
    this.#idleAt = this.clock.now();
    this.#idleWall = this.clock.wall();
  }
}
