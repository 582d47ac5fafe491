import type { SharedStatement } from '../../connection/shared/shared-statement.js';
import type { StatementLane } from '../../connection/shared/statement-lane.js';
import type { StatementFacts } from '../../connection/statements/statement-texts.js';
import type { ConnectionSet } from '../connections/connection-set.js';
import type { PoolEntry } from '../connections/pool-entry.js';
import type { PoolableClient } from '../connections/pooled-connection.js';
import type { ResolvedLimits, ResolvedMultiplex } from '../pool.options.js';
import { LinkedList } from '../support/linked-list.js';
import type { Linked } from '../support/linked-list.js';
import { immediateClock, instantOf } from '../support/clock.js';
import type { Clock, Instant } from '../support/clock.js';
import { Scheduler } from '../support/scheduler.js';

/** How long a shared connection without a statement stays shared. Milliseconds. */
const IDLE_MS = 500;

/** Why no shared connection takes a statement. */
export type NoLaneReason = 'unavailable' | 'full' | 'late';

interface SharedConnection<C extends PoolableClient> {
  readonly entry: PoolEntry<C>;
  readonly lane: StatementLane;
}

/** An acquire that waits for a connection for one statement, which can be shared. */
export interface SharingWaiter extends Linked<SharingWaiter> {
  readonly facts: StatementFacts;
  /** Whether it still waits. */
  isWaiting(): boolean;
  /** Ends the wait: the statement has a place on a shared connection. */
  move(statement: SharedStatement): void;
}

/** What shared connections need of the pool. */
export interface SharingPool<C extends PoolableClient> {
  /** Takes an idle connection that needs no validation, unless acquires wait. */
  takeFresh(at: Instant): PoolEntry<C> | undefined;
  /** An idle connection is shared now. */
  onAdopted(): void;
  /** No statement is in flight on a connection. An acquire that waits may need it. */
  onEmpty(): void;
}

/**
 * The connections of a pool that are shared at this moment. They are entries of the pool in the state `shared`, and count
 * within `size` and `maxOverflow`:
 *
 *     idle, or ready for a waiter --a statement could be shared--> shared --no statement for 500 ms--> idle
 *
 * So the pool connects, validates, counts and closes them as any other connection: an idle one is shared when a statement asks
 * for it, and without one the next connection that is ready for such a statement. It turns idle earlier when an acquire needs it. At
 * least one connection of the pool is never shared.
 *
 * A shared connection takes no further statement, and leaves after the answers to those in flight, when one of these holds:
 *
 * - It is older than its lifetime, or has had `maxUses` statements.
 * - Its session has changed.
 * - It is suspect after an outage.
 */
export class SharedConnections<C extends PoolableClient> {
  readonly #connections: ConnectionSet<C>;
  readonly #pool: SharingPool<C>;
  readonly #clock: Clock;
  readonly #max: number;
  readonly #maxInFlight: number;
  readonly #maxUses: number;
  readonly #idleScheduler: Scheduler;
  #shared: SharedConnection<C>[] = [];
  /** Acquires that wait for a connection of their own, and take a place on a shared one when that is free first. */
  readonly #waiters = new LinkedList<SharingWaiter>();
  /** How many of them have got a place. */
  movedCount = 0;

  constructor(
    connections: ConnectionSet<C>,
    pool: SharingPool<C>,
    { connections: max, maxInFlight }: ResolvedMultiplex,
    limits: ResolvedLimits,
    clock: Clock,
  ) {
    this.#connections = connections;
    this.#pool = pool;
    this.#clock = clock;
    this.#max = Math.min(max, limits.max - 1);
    this.#maxUses = limits.maxUses;
    this.#maxInFlight = maxInFlight;
    this.#idleScheduler = new Scheduler(immediateClock(clock), () => this.#returnIdle(), false);
  }

  get count(): number {
    let count = 0;
    for (const { entry } of this.#shared) if (entry.state === 'shared') count += 1;
    return count;
  }

  /** Statements in flight on all shared connections. */
  get inFlight(): number {
    let inFlight = 0;
    for (const { lane } of this.#shared) inFlight += lane.length;
    return inFlight;
  }

  /** The connection with the fewest statements in flight that takes another one. */
  choose(): StatementLane | NoLaneReason {
    if (this.#connections.isClosing) return 'unavailable';
    const at = instantOf(this.#clock);
    const { lane: free, isAnyLate, isAnyUnusable } = this.#findPlace(at);
    if (isAnyUnusable) this.#removeUnusable(at);
    const canAdopt = this.#shared.length < this.#max;
    // A connection that was idle answers at once.
    const chosen = (free?.length !== 0 && canAdopt ? this.#adoptIdle(at) : undefined) ?? free;
    return chosen ?? (isAnyLate ? 'late' : canAdopt || this.#max === 0 ? 'unavailable' : 'full');
  }

  /** The usable lane with the fewest statements that takes another one. */
  #findPlace(at: Instant): { lane: StatementLane | undefined; isAnyLate: boolean; isAnyUnusable: boolean } {
    let chosen: StatementLane | undefined;
    let isAnyLate = false;
    let isAnyUnusable = false;
    for (const shared of this.#shared) {
      const { lane } = shared;
      if (!this.#isUsable(shared, at)) isAnyUnusable = true;
      else if (lane.length < (chosen?.length ?? this.#maxInFlight)) {
        if (lane.length > 0 && lane.checkLate()) isAnyLate = true;
        else chosen = lane;
      }
    }
    return { lane: chosen, isAnyLate, isAnyUnusable };
  }

  /** Adds an acquire for one statement that can be shared, for which no place is free now. */
  addWaiter(waiter: SharingWaiter): void {
    // Without a shared connection, nothing else removes those that got a connection of their own.
    for (let first = this.#waiters.head; first && !first.isWaiting(); first = this.#waiters.head)
      this.#waiters.remove(first);
    this.#waiters.append(waiter);
  }

  /** A statement has ended: the acquire that has waited for the longest time gets its place. */
  #serveWaiters(): void {
    for (let waiter = this.#waiters.head; waiter; waiter = this.#waiters.head) {
      const isWaiting = waiter.isWaiting();
      const lane = isWaiting ? this.#findPlace(instantOf(this.#clock)).lane : undefined;
      if (isWaiting && (!lane || this.#connections.isClosing)) return;
      // First: a listener of the pool may serve the next one.
      this.#waiters.remove(waiter);
      if (!lane) continue;
      this.movedCount += 1;
      waiter.move(lane.reserve(waiter.facts));
    }
  }

  /**
   * A connection is ready for an acquire whose statement can be shared, and the pool cannot open another: shares it. It then serves
   * those that wait behind that acquire, too.
   * @returns false when it cannot be shared
   */
  serve(entry: PoolEntry<C>): boolean {
    const { availableCapacity, isClosing } = this.#connections;
    if (isClosing || availableCapacity > 0 || !this.#adopt(entry)) return false;
    this.#serveWaiters();
    return true;
  }

  /** Returns the connections without a statement to the idle ones, because an acquire waits and cannot be served otherwise. */
  returnEmpty(): void {
    const at = instantOf(this.#clock);
    for (const shared of [...this.#shared]) if (shared.lane.length === 0) this.#leave(shared, at);
  }

  #removeUnusable(at: Instant): void {
    for (const shared of [...this.#shared])
      if (shared.lane.length === 0 && !this.#isUsable(shared, at)) this.#leave(shared, at);
  }

  #isUsable({ entry, lane }: SharedConnection<C>, at: Instant): boolean {
    return (
      lane.isOpen &&
      entry.isUsable &&
      entry.uses < this.#maxUses &&
      !entry.isExpired(at) &&
      entry.connection.isSessionChanged !== true &&
      (lane.length > 0
        ? entry.generation === this.#connections.generation
        : !this.#connections.needsValidation(entry, at))
    );
  }

  #adoptIdle(at: Instant): StatementLane | undefined {
    const entry = this.#pool.takeFresh(at);
    const lane = entry && this.#adopt(entry);
    if (entry && !lane) this.#connections.putBack(entry);
    if (lane) this.#pool.onAdopted();
    return lane;
  }

  #adopt(entry: PoolEntry<C>): StatementLane | undefined {
    this.forgetClosed();
    if (this.#shared.length >= this.#max) return undefined;
    const lane = entry.connection.startSharing?.({
      onAnswer: () => this.#onAnswer(shared),
      onEmpty: () => this.#onEmpty(shared),
    });
    if (!lane) return undefined;
    const shared = { entry, lane };
    this.#connections.share(entry);
    this.#shared.push(shared);
    this.#idleScheduler.schedule(this.#clock.now() + IDLE_MS);
    return lane;
  }

  #onAnswer({ entry }: SharedConnection<C>): void {
    // Under load a shared connection is never released: its statements count as uses.
    entry.uses += 1;
    if (this.#waiters.length > 0) this.#serveWaiters();
  }

  /**
   * The last answer has arrived. The end of the session may follow it in the same data of the socket: the connection is returned after
   * that was read, or else an acquire would get a connection that has ended.
   */
  #onEmpty(shared: SharedConnection<C>): void {
    queueMicrotask(() => {
      // Meanwhile it may have left, or even have been shared anew.
      if (this.#shared.includes(shared) && shared.lane.length === 0) this.#settleEmpty(shared);
    });
  }

  #settleEmpty(shared: SharedConnection<C>): void {
    const at = instantOf(this.#clock);
    shared.entry.markUsed(at);
    if (!this.#isUsable(shared, at)) this.#leave(shared, at);
    else this.#idleScheduler.schedule(at.now + IDLE_MS);
    this.#pool.onEmpty();
  }

  /** Returns the connections that have had no statement for a while to the idle ones, whose timeouts apply again. */
  #returnIdle(): void {
    const at = instantOf(this.#clock);
    for (const shared of [...this.#shared]) {
      if (shared.lane.length > 0) continue;
      const leftMs = IDLE_MS - shared.entry.idleMs(at);
      if (leftMs <= 1) this.#leave(shared, at);
      else this.#idleScheduler.schedule(at.now + leftMs);
    }
  }

  /** Ends the sharing of a connection without a statement in flight. */
  #leave(shared: SharedConnection<C>, at: Instant): void {
    const { entry, lane } = shared;
    this.#shared = this.#shared.filter((other) => other !== shared);
    // A setting that a statement has changed is not that of a clean session, and a reset does not know of it.
    const isChanged = lane.isSessionChanged || entry.connection.isSessionChanged === true;
    entry.connection.stopSharing?.();
    if (entry.state !== 'shared') return;
    if (!entry.isUsable) this.#connections.remove(entry, 'broken');
    else if (isChanged) this.#connections.remove(entry, 'reset');
    else if (entry.uses >= this.#maxUses) this.#connections.remove(entry, 'uses');
    else if (entry.isExpired(at)) this.#connections.remove(entry, 'lifetime');
    else this.#connections.returnShared(entry, at);
    this.#pool.onEmpty();
  }

  /** While the pool is closing: closes the connections without a statement in flight. */
  closeEmpty(): void {
    for (const { entry, lane } of [...this.#shared])
      if (lane.length === 0) this.#connections.remove(entry, 'shutdown');
    this.forgetClosed();
  }

  /**
   * Destroys the connections with statements in flight, which fail with `error`.
   * @returns how many statements each of them had
   */
  destroyAll(error: Error): number[] {
    const inFlight: number[] = [];
    for (const { entry, lane } of [...this.#shared]) {
      if (lane.length > 0) inFlight.push(lane.length);
      lane.rejectAll(error);
      this.#connections.remove(entry, 'shutdown', error);
    }
    this.forgetClosed();
    return inFlight;
  }

  /** Forgets the connections that the pool has removed. */
  forgetClosed(): void {
    this.#shared = this.#shared.filter(({ entry }) => entry.state === 'shared');
    if (this.#shared.length === 0) this.#idleScheduler.cancel();
  }
}
