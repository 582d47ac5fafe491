import { AsyncResource } from 'node:async_hooks';
import { isTermination } from '../connection/disconnect.js';
import type { Restored } from '../connection/restore.js';
import { diagnose } from '../diagnosis.js';
import type { DestroyReason, LeaseInfo } from '../database.snapshot.js';
import { Alarm, prompt } from './clock.js';
import type { Clock } from './clock.js';
import { DialBackoff, dial, isWaking } from './dial.js';
import type { Counters } from './figures.js';
import { linkOf } from './link.js';
import type { PoolableClient } from './link.js';
import { Moment } from './moment.js';
import type { PoolOptions, ResolvedLimits } from './pool.options.js';
import { Slot } from './slot.js';
import { rethrowLater } from './voice.js';
import type { Voice } from './voice.js';

/** Up to this part of the lifetime is taken off at random. */
const LIFETIME_JITTER = 0.1;

/** How long after the end of a session by the server a refused connection is taken for a restart. */
const RESTART_MS = 5_000;

/** Timers of Node count whole milliseconds of the event loop, and ring up to one earlier than `performance.now()` says. */
const TIMER_MS = 1;

/** The words of `pg-pool` for a connection that it closes by itself. */
const PG_POOL_WORDS: Partial<Record<DestroyReason, string>> = {
  uses: 'remove expended client',
  lifetime: 'remove expired client',
  idle: 'remove idle client',
  overflow: 'remove idle client',
};

/** Those who want connections, as the supply sees them. */
export interface Demand<C extends PoolableClient> {
  /** How many wait. */
  readonly waiting: number;
  /** Lends to the longest waiter; there is one. */
  serve(slot: Slot<C>): void;
  /**
   * A dial that began at `bornAt` has failed, and there is no connection left. `passing`: the server is expected to serve
   * soon, so that only those fail who do not wait for that.
   */
  unserved(bornAt: number, cause: Error, passing: boolean): void;
  /** Calls `pump` at `due` or earlier, as long as somebody waits. */
  wakeBy(due: number): void;
  /** A connection has come to rest or is gone. */
  rested(): void;
  /** The pool ends: rejects those who wait beyond the first `count`. */
  keep(count: number): void;
}

/** What the pool was given, with the dial's deadline resolved. */
export type ClientOptions<C extends PoolableClient> = PoolOptions<C> & { connectTimeoutMs: number };

/**
 * The connections. Each stands in a slot, and a slot in one state:
 *
 *     dialling --connected--> idle --lent--> leased --clean--> idle
 *                              |  ^             |
 *                     stale    v  | alive       | not clean
 *                            checking        returning --cleaned--> idle
 *
 * Every state leads to `gone`: by a failed dial, a failed check or clean-up, by age, idleness, an error, or the end. A slot
 * that becomes idle serves the longest waiter; no waiter belongs to a dial, a check or a return. Dials are started while
 * more wait than connections are on their way, and no slot is above `max`.
 */
export class Supply<C extends PoolableClient> {
  ending = false;
  ended = false;
  generation = 0;
  dialling = 0;
  checking = 0;
  returning = 0;

  readonly #slots = new Set<Slot<C>>();
  /** Last in, first out: overflow at the bottom can die. */
  readonly #idle: Slot<C>[] = [];
  readonly #backoff: DialBackoff;
  readonly #housekeeping: Alarm;
  readonly #closed: Moment;
  /** The flow of calls in which the pool was made. */
  readonly #ownFlow = new AsyncResource('ConnectionPool');
  #closing = 0;
  #exitsOnIdle: boolean;
  /** When the server has last ended a session by its own word. */
  #terminatedAt = -Infinity;
  /** A primary became a standby: validation asks for a primary from then on. */
  #wantsPrimary = false;

  constructor(
    private readonly demand: Demand<C>,
    private readonly Client: new (options: never) => C,
    private readonly clientOptions: ClientOptions<C>,
    private readonly limits: ResolvedLimits,
    private readonly clock: Clock,
    private readonly voice: Voice,
    private readonly counters: Counters,
  ) {
    this.#exitsOnIdle = limits.allowExitOnIdle;
    this.#backoff = new DialBackoff(clock);
    this.#closed = new Moment(clock);
    this.#housekeeping = new Alarm(prompt(clock), () => this.#keepHouse(), false);
  }

  /** Whether the process may end while connections are idle. */
  set exitsOnIdle(allowed: boolean) {
    this.#exitsOnIdle = allowed;
    for (const { client } of this.#idle) {
      if (allowed) client.unref?.();
      else client.ref?.();
    }
  }

  get total(): number {
    return this.#slots.size;
  }

  get idle(): number {
    return this.#idle.length;
  }

  /** Connections that will be idle if all goes well. */
  get onTheirWay(): number {
    return this.dialling + this.checking + this.returning;
  }

  /** How many could be served without anybody giving back. */
  get room(): number {
    return this.limits.max - this.#slots.size + this.onTheirWay + this.#idle.length;
  }

  /** Connections past their lifetime. */
  get expiredCount(): number {
    return [...this.#slots].filter((slot) => slot.expired).length;
  }

  /** Why there was no connection of late. */
  get lastError(): Error | undefined {
    return this.#backoff.lastError;
  }

  // ---- there and back ------------------------------------------------------------------------------------------------

  /** An idle connection that may be lent as it is. */
  take(): Slot<C> | undefined {
    const slot = this.#popIdle();
    if (!slot) return undefined;
    if (!this.#needsCheck(slot)) return this.#lent(slot);
    this.#idle.push(slot);
    return undefined;
  }

  #lent(slot: Slot<C>): Slot<C> {
    slot.state = 'leased';
    slot.link.lent?.();
    if (this.#exitsOnIdle) slot.client.ref?.();
    return slot;
  }

  /** A lease is over. */
  putBack(slot: Slot<C>, error: Error | boolean | undefined, lease: { info(): LeaseInfo }): void {
    slot.uses += 1;
    if (this.ending) return this.drop(slot, 'shutdown');
    if (!slot.usable) return this.drop(slot, 'broken');
    if (error) return this.drop(slot, 'released-with-error');
    if (slot.uses >= this.limits.maxUses) return this.drop(slot, 'uses');
    if (slot.expired) return this.drop(slot, 'lifetime');
    const { reset, resetTimeoutMs } = this.limits;
    const cleaning = slot.link.restore(reset, resetTimeoutMs);
    if (!cleaning) return this.#park(slot);
    this.#clean(slot, cleaning, lease.info());
  }

  #clean(slot: Slot<C>, cleaning: Promise<Restored>, lease: LeaseInfo): void {
    slot.state = 'returning';
    this.returning += 1;
    cleaning.then(
      ({ rolledBack, cleared, left }) => {
        if (rolledBack) {
          this.counters.rollbacks += 1;
          this.voice.leftOpen(lease);
        }
        if (cleared) this.counters.resets += 1;
        if (left !== undefined) this.voice.stateLeft(lease, left);
        if (slot.state !== 'returning') return;
        this.returning -= 1;
        this.#park(slot);
      },
      (error: Error) => {
        if (slot.state !== 'returning') return;
        const standby = isStandby(error);
        if (standby) this.#wantsPrimary = true;
        if (standby || !slot.usable) this.#age(slot, error);
        this.voice.resetFailed(lease, error);
        this.drop(slot, 'reset', error);
      },
    );
  }

  /** Back to the idle ones, or straight to the longest waiter. */
  #park(slot: Slot<C>): void {
    if (this.ending && this.demand.waiting === 0) return this.drop(slot, 'shutdown');
    slot.state = 'idle';
    slot.touch();
    // It has just answered. Were its age asked here, a window of 0 would have it validated for ever.
    if (this.demand.waiting > 0 && slot.usable && slot.generation === this.generation) {
      this.demand.serve(this.#lent(slot));
      // A dial that has succeeded after failures lets the others be dialled.
      if (this.demand.waiting > 0) this.pump();
      return;
    }
    this.#idle.push(slot);
    if (this.#exitsOnIdle) slot.client.unref?.();
    this.#lookAgain(slot);
    if (this.demand.waiting > 0) this.pump();
    this.demand.rested();
  }

  /** The connection used last, if it may still be lent; those that may not are closed on the way. */
  #popIdle(): Slot<C> | undefined {
    for (let slot = this.#idle.pop(); slot; slot = this.#idle.pop()) {
      if (!slot.usable) this.drop(slot, 'broken');
      else if (slot.expired) this.drop(slot, 'lifetime');
      else if (!this.#dropMisused(slot)) return slot;
    }
    return undefined;
  }

  /**
   * Closes an idle connection that was used after its release: the next borrower would inherit its transaction, wait for
   * its statement, or find its session changed.
   */
  #dropMisused(slot: Slot<C>): boolean {
    const misuse = this.#misuseOf(slot);
    if (!misuse) return false;
    const error = this.voice.usedAfterRelease(misuse, slot.link.lastSql);
    this.drop(slot, 'reset', error);
    return true;
  }

  #misuseOf(slot: Slot<C>): string | undefined {
    if (slot.inTransaction) return 'was in a transaction';
    const { reset } = this.limits;
    // Never lent, it runs what its hooks and listeners have sent; without a reset it comes back in any state.
    if (slot.uses === 0 || reset === 'none') return undefined;
    if (!slot.link.quiet) return 'ran a statement';
    return reset !== 'rollback' && slot.link.dirty ? 'had its session changed' : undefined;
  }

  // ---- new ones and checked ones -------------------------------------------------------------------------------------

  /** Gives what is there to those who wait, and sees that more is on its way while more wait; at the end, no more than wait. */
  pump(): void {
    const { demand } = this;
    while (demand.waiting > 0) {
      const slot = this.#popIdle();
      if (!slot) break;
      if (!this.#needsCheck(slot)) {
        demand.serve(this.#lent(slot));
      } else if (this.checking < demand.waiting) {
        this.#check(slot);
      } else {
        this.#idle.push(slot);
        break;
      }
    }
    if (this.ending) return this.#windUp();
    while (demand.waiting > this.onTheirWay && this.#mayDial(this.limits.max)) this.#dial();
    this.fill();
  }

  /** Opens ahead what `minIdle` asks for. */
  fill(): void {
    const { minIdle, size } = this.limits;
    if (minIdle === 0) return;
    const ready = () => this.#idle.length + this.onTheirWay;
    while (ready() - this.demand.waiting < minIdle && this.#mayDial(size)) this.#dial();
  }

  #mayDial(limit: number): boolean {
    if (this.ending || this.#slots.size >= limit) return false;
    const at = this.#backoff.nextDial(this.dialling);
    if (at <= this.clock.now()) return true;
    if (this.demand.waiting > 0) this.demand.wakeBy(at);
    // By an alarm of its own: who waits may be gone by then, and nobody would be woken.
    if (this.limits.minIdle > 0) this.#housekeeping.by(at);
    return false;
  }

  /**
   * In no borrower's flow of calls: a socket keeps what is in the AsyncLocalStorage of whoever had it opened, a request with
   * its body perhaps, for as long as it lives, and callbacks of later borrowers would run in it.
   */
  #dial(): void {
    this.#ownFlow.runInAsyncScope(() => this.#open());
  }

  #open(): void {
    const { maxLifetimeMs, connectTimeoutMs } = this.limits;
    const bornAt = this.clock.now();
    let client: C;
    try {
      client = new this.Client({ ...this.clientOptions, ...this.clientOptions.dialOptions?.() } as never);
    } catch (thrown) {
      return this.#dialFailed(bornAt, thrown as Error);
    }
    this.#log('opening a connection');
    const slot = new Slot(client, linkOf(client), this.generation, this.clock);
    slot.lifetimeMs = maxLifetimeMs * (1 - Math.random() * LIFETIME_JITTER);
    client.on('error', (error: Error) => this.#lose(slot, error));
    this.#slots.add(slot);
    this.dialling += 1;
    this.#backoff.started();
    dial(client, slot.link, this.clientOptions, this.clock, connectTimeoutMs).then(
      () => {
        if (slot.state !== 'dialling') return;
        slot.opened = true;
        this.#backoff.succeeded();
        this.counters.created += 1;
        this.#log('opened a connection');
        this.voice.announce('connect', client);
        slot.link.finishSetup?.();
        // A listener may have lost it, or ended the pool.
        if (slot.state !== 'dialling') return;
        this.dialling -= 1;
        this.#park(slot);
      },
      (error: Error) => {
        if (slot.state !== 'dialling') return;
        this.dialling -= 1;
        slot.state = 'gone';
        this.#slots.delete(slot);
        if (!this.ending && this.#hasTaught(error)) this.pump();
        else this.#dialFailed(bornAt, error);
        this.#noteClosed();
      },
    );
  }

  /** A hook that throws must not leave those who wait without a dial. */
  #hasTaught(error: Error): boolean {
    try {
      return this.clientOptions.redial?.(error) ?? false;
    } catch (thrown) {
      rethrowLater(thrown);
      return false;
    }
  }

  #dialFailed(bornAt: number, cause: Error): void {
    this.#backoff.failed(cause, bornAt);
    this.counters.dialFailures += 1;
    this.voice.dialFailed(cause);
    // While connections are out, one of them will come back.
    if (this.#slots.size === 0) this.demand.unserved(bornAt, cause, this.#isPassing(cause));
    this.pump();
  }

  /**
   * A server that ends its sessions by its own word (57P01) is mostly restarted, and refuses connections meanwhile: a failure
   * that passes is waited for then, as one of a server that is starting is.
   */
  #isPassing(cause: Error): boolean {
    if (isWaking(cause)) return true;
    return this.clock.now() - this.#terminatedAt < RESTART_MS && diagnose(cause).transient;
  }

  #needsCheck(slot: Slot<C>): boolean {
    if (slot.generation !== this.generation) return true;
    return this.limits.prePing && slot.idleMs > this.limits.validateAfterIdleMs;
  }

  #check(slot: Slot<C>): void {
    slot.state = 'checking';
    this.#log('validating a connection');
    this.checking += 1;
    this.counters.validations += 1;
    const { generation } = this;
    slot.link.check(this.limits.validationTimeoutMs, this.#wantsPrimary).then(
      () => {
        if (slot.state !== 'checking') return;
        this.checking -= 1;
        slot.generation = generation;
        this.#park(slot);
      },
      (cause: Error) => {
        if (slot.state !== 'checking') return;
        if (isStandby(cause) && slot.generation === this.generation) {
          // Opened since, and on a standby again: there is no primary at this address, and reads are all it is for.
          this.#wantsPrimary = false;
          this.checking -= 1;
          return this.#park(slot);
        }
        this.counters.validationFailures += 1;
        const error = this.voice.invalid(cause);
        this.#backoff.lastError = error;
        this.#age(slot, error);
        // It was silent instead of refused: those that lay idle for longer went the same way, and each would cost the
        // waiter a timeout of its own.
        const alike = slot.usable ? this.#idle.filter(({ idleMs }) => idleMs >= slot.idleMs) : [];
        for (const older of alike) this.drop(older, 'validation', error);
        this.drop(slot, 'validation', error);
      },
    );
  }

  // ---- loss and age --------------------------------------------------------------------------------------------------

  /** The connection's own `error`: the socket has ended, or the server has ended the session. */
  #lose(slot: Slot<C>, error: Error): void {
    const { state } = slot;
    if (state === 'gone' || !slot.opened) return;
    // The server's own word came before the end of the socket, and went to the statement that ran.
    slot.lost ??= slot.link.lostBy ?? error;
    this.#age(slot, slot.lost);
    // In somebody's hands it stays his until he gives it back; his statement has its own error.
    if (state === 'leased') return;
    this.drop(slot, 'broken');
    // Between a check or a clean-up and its answer it is nobody's, and nobody is told of either.
    if (state !== 'idle') return;
    (error as { client?: unknown }).client = slot.client;
    this.voice.lost(error);
    // `pg.Pool` ends a process that does not listen; an idle connection that is cut is no reason to.
    this.voice.announce('error', error, slot.client);
  }

  /** One outage makes all older connections suspect, once: those opened or validated since are not counted again. */
  #age(slot: Slot<C>, error: Error): void {
    if (isTermination(error)) this.#terminatedAt = this.clock.now();
    if (slot.generation !== this.generation || this.ending) return;
    this.generation += 1;
    this.counters.outages += 1;
    this.voice.outage(error);
  }

  /** How long a connection may stay idle as things are. */
  #idleLimit(): number {
    const { size, min, minIdle, idleTimeoutMs, overflowIdleMs } = this.limits;
    const { total } = this;
    if (total > size) return Math.min(overflowIdleMs, idleTimeoutMs);
    return total > Math.max(min, minIdle) ? idleTimeoutMs : Infinity;
  }

  /** Sets the alarm to when an idle connection is too old, was idle for too long, or is to be asked. */
  #lookAgain(slot: Slot<C>): void {
    const limitMs = this.#idleLimit();
    // Those that are to be closed are not asked; an alarm for it would ring on and on.
    const idleMs = limitMs === Infinity ? this.limits.keepaliveMs : limitMs;
    const left = Math.min(idleMs - slot.idleMs, slot.lifetimeMs - slot.ageMs);
    this.#housekeeping.by(this.clock.now() + left);
  }

  #keepHouse(): void {
    for (const slot of [...this.#idle]) {
      const limitMs = this.#idleLimit();
      if (slot.expired) this.drop(slot, 'lifetime');
      else if (slot.idleMs > limitMs - TIMER_MS)
        this.drop(slot, this.total > this.limits.size ? 'overflow' : 'idle');
      // Its answer counts as a use, which must not keep open what is to be closed for idleness.
      else if (slot.idleMs >= this.limits.keepaliveMs && limitMs === Infinity) {
        if (this.#dropMisused(slot)) continue;
        this.#idle.splice(this.#idle.indexOf(slot), 1);
        this.#check(slot);
      }
    }
    this.fill();
    for (const slot of this.#idle) this.#lookAgain(slot);
  }

  // ---- the end -------------------------------------------------------------------------------------------------------

  /** Ends a slot, frees its place at once, and closes the connection behind it. */
  drop(slot: Slot<C>, reason: DestroyReason, error?: Error): void {
    if (slot.state === 'gone') return;
    const { state, client, link } = slot;
    const lost = slot.lost ?? link.lostBy;
    if (reason === 'broken' && lost) this.#age(slot, lost);
    if (state === 'dialling') this.dialling -= 1;
    if (state === 'checking') this.checking -= 1;
    if (state === 'returning') this.returning -= 1;
    const at = this.#idle.indexOf(slot);
    if (at >= 0) this.#idle.splice(at, 1);
    slot.state = 'gone';
    this.#slots.delete(slot);
    // Never opened, so never closed: what was created and what was destroyed must add up.
    if (slot.opened) this.counters.destroyed[reason] += 1;
    this.#log(PG_POOL_WORDS[reason] ?? 'closing a connection', reason);
    this.#closing += 1;
    const abrupt = error ?? (slot.opened ? undefined : this.voice.closedError());
    void (abrupt ? link.terminate(abrupt) : link.close())
      .catch(() => link.destroy())
      .then(() => {
        this.#closing -= 1;
        // A client that could not even be opened was never there for `pg.Pool`'s listeners.
        if (slot.opened) this.voice.announce('remove', client);
        this.#noteClosed();
      });
    this.pump();
    this.demand.rested();
  }

  /**
   * Opens no more. Who waits and has a connection on its way still gets it, unless nobody is to be served any more; what is
   * lent is closed when it comes back, all else now. Resolves when all is closed.
   */
  close(serving: boolean): Promise<void> {
    this.ending = true;
    if (!serving) this.demand.keep(0);
    const closed = this.#closed.wait();
    this.#windUp();
    this.#noteClosed();
    return closed;
  }

  /** From the end on nobody waits without a connection on its way, and none is on its way for nobody. */
  #windUp(): void {
    this.demand.keep(this.onTheirWay);
    for (const slot of [...this.#slots].reverse()) {
      if (slot.state === 'leased') continue;
      if (slot.state === 'idle' || this.onTheirWay > this.demand.waiting) this.drop(slot, 'shutdown');
    }
  }

  /** What throws in it must not leave a connection between two states. */
  #log(message: string, ...details: unknown[]): void {
    try {
      this.clientOptions.log?.(message, ...details);
    } catch (thrown) {
      rethrowLater(thrown);
    }
  }

  #noteClosed(): void {
    if (!this.ending || this.#slots.size > 0 || this.#closing > 0) return;
    this.ended = true;
    this.#housekeeping.silence();
    this.#closed.hasCome();
  }
}

function isStandby(error: Error): boolean {
  return (error as { code?: unknown }).code === 'CONNECTION_STANDBY';
}
