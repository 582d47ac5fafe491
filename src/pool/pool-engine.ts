import type { EventEmitter } from 'node:events';
import type { Restored } from '../connection/restore.js';
import type { DestroyReason, LeaseInfo, PoolSnapshot } from '../database.snapshot.js';
import { Alarm, systemClock } from './clock.js';
import type { Clock } from './clock.js';
import { findDeadlock } from './deadlock.js';
import { DialBackoff, dial } from './dial.js';
import { drain } from './drain.js';
import type { DrainReport } from './drain.js';
import { DurationHistogram, newCounters } from './figures.js';
import type { Counters } from './figures.js';
import { captureSite } from './lease.js';
import type { Caller, Lease } from './lease.js';
import { LeaseBook } from './lease-book.js';
import { linkOf } from './link.js';
import type { Leased, PoolableClient } from './link.js';
import { Moment } from './moment.js';
import { resolveLimits } from './pool.options.js';
import type { PoolOptions, ResolvedLimits } from './pool.options.js';
import { Slot } from './slot.js';
import { Voice } from './voice.js';
import { WaiterQueue } from './waiters.js';
import type { AcquireOptions, Waiter } from './waiters.js';

/** How soon it is looked again whether those who wait for each other have finished what they run. */
const DEADLOCK_LOOK_MS = 100;
/** Up to this part of the lifetime is taken off at random. */
const LIFETIME_JITTER = 0.1;

/**
 * The engine. Every connection stands in a slot, and a slot in one state:
 *
 *     dialling --connected--> idle --lent--> leased --clean--> idle
 *                              |  ^             |
 *                     stale    v  | alive       | not clean
 *                            checking        returning --cleaned--> idle
 *
 * Every state leads to `gone`: by a failed dial, a failed check or clean-up, by age, idleness, an error, or the end. A slot
 * that becomes idle serves the longest waiter; no waiter belongs to a dial, a check or a return. Dials are started while
 * more wait than connections are on their way, and no slot is above `max`. `#park`, `#drop` and `#ask` are the only places
 * from which the pool is pumped.
 */
export class PoolEngine<C extends PoolableClient> {
  ending = false;
  ended = false;

  readonly #clientOptions: PoolOptions<C> & { connectTimeoutMs: number };
  readonly #limits: ResolvedLimits;
  readonly #clock: Clock;
  readonly #slots = new Set<Slot<C>>();
  /** Last in, first out: overflow at the bottom can die. */
  readonly #idle: Slot<C>[] = [];
  readonly #leases: LeaseBook<C>;
  readonly #waiters: WaiterQueue<Leased<C>>;
  readonly #backoff: DialBackoff;
  readonly #voice: Voice;
  readonly #counters = newCounters();
  readonly #waitTimes = new DurationHistogram();
  /** For waiters; it holds the process, since a process that ends with an acquire pending has lost it. */
  readonly #waiterAlarm: Alarm;
  readonly #housekeeping: Alarm;
  #dialling = 0;
  #checking = 0;
  #returning = 0;
  #closing = 0;
  #generation = 0;
  /** A primary became a standby: validation asks for a primary from then on. */
  #wantsPrimary = false;
  #draining: Promise<DrainReport> | undefined;
  /** Nothing is out and nobody waits. */
  readonly #quiescence: Moment;
  readonly #closed: Moment;

  constructor(
    options: PoolOptions<C>,
    private readonly Client: new (options: never) => C,
    emitter: EventEmitter,
  ) {
    this.#limits = resolveLimits(options);
    // The dial is bounded by the pool, whatever the class of its clients; theirs would only blur the reason.
    this.#clientOptions = {
      ...options,
      connectTimeoutMs: this.#limits.connectTimeoutMs === Infinity ? 0 : this.#limits.connectTimeoutMs,
      connectionTimeoutMillis: 0,
    };
    this.#clock = options.clock ?? systemClock;
    this.#quiescence = new Moment(this.#clock);
    this.#closed = new Moment(this.#clock);
    this.#backoff = new DialBackoff(this.#clock);
    this.#leases = new LeaseBook(() => this.#clock.now(), this.#limits, this.#counters);
    this.#voice = new Voice(emitter, () => this.snapshot(), this.#leases, options.onWarning);
    this.#waiters = new WaiterQueue((waiter, reason) => this.#cancel(waiter, reason));
    this.#waiterAlarm = new Alarm(this.#clock, () => this.#lookAtWaiters(), true);
    this.#housekeeping = new Alarm(this.#clock, () => this.#keepHouse(), false);
    this.#fill();
  }

  // ---- lending -------------------------------------------------------------------------------------------------------

  /** A connection for `borrower`, within `deadlineMs`, unless `signal` gives up first; `below` is left out of stacks. */
  acquire(request: AcquireOptions, below: Caller): Promise<Leased<C>> {
    if (this.ending) return Promise.reject(this.#voice.closedError());
    if (request.signal?.aborted) return Promise.reject(this.#voice.cancelledError(request.signal.reason));
    const detectsLeaks = this.#limits.leakThresholdMs !== Infinity;
    const fresh = this.#takeFresh();
    if (fresh) {
      const site = detectsLeaks ? captureSite(below, true) : undefined;
      const client = this.#lend(fresh, request, this.#clock.now(), 0, site);
      if (this.#limits.minIdle > 0) this.#fill();
      return Promise.resolve(client);
    }
    const site = captureSite(below, detectsLeaks);
    return new Promise((resolve, reject) => this.#ask(request, site, resolve, reject));
  }

  /** An idle connection that may be lent as it is; none while others wait, since nobody overtakes. */
  #takeFresh(): Slot<C> | undefined {
    if (this.#waiters.length > 0) return undefined;
    const slot = this.#popIdle();
    if (!slot || !this.#needsCheck(slot)) return slot;
    this.#idle.push(slot);
    return undefined;
  }

  #ask(
    request: AcquireOptions,
    site: { stack?: string },
    resolve: (client: Leased<C>) => void,
    reject: (error: Error) => void,
  ): void {
    const onTheirWay = this.#dialling + this.#checking + this.#returning;
    const room = this.#limits.max - this.#slots.size + onTheirWay + this.#idle.length;
    if (this.#waiters.length - room >= this.#limits.maxWaiting) {
      this.#counters.refused += 1;
      reject(this.#voice.queueFullError(site));
      return;
    }
    const since = this.#clock.now();
    const deadline = since + (request.deadlineMs ?? this.#limits.acquireTimeoutMs);
    const waiter = { request, site, since, deadline, resolve, reject, previous: undefined, next: undefined };
    if (this.#leases.units.holds(request.unit)) this.#counters.nestedAcquires += 1;
    this.#waiters.add(waiter);
    this.#leases.units.waiting(request.unit);
    if (deadline !== Infinity) this.#waiterAlarm.by(deadline);
    this.#pump();
    this.#breakDeadlock();
  }

  #settle(waiter: Waiter<Leased<C>>, error: Error): void {
    this.#dismiss(waiter);
    waiter.reject(error);
    if (this.#waiters.length === 0) this.#noteQuiescence();
  }

  #dismiss(waiter: Waiter<Leased<C>>): void {
    this.#waiters.remove(waiter);
    this.#leases.units.settled(waiter.request.unit);
    if (this.#waiters.length === 0) this.#waiterAlarm.silence();
  }

  #lend(
    slot: Slot<C>,
    request: AcquireOptions,
    now: number,
    waitedMs: number,
    site: { stack?: string } | undefined,
  ): Leased<C> {
    slot.state = 'leased';
    slot.link.lent?.();
    const lease = this.#leases.open(slot, now, request, site);
    this.#counters.acquired += 1;
    this.#waitTimes.record(waitedMs);
    const look = this.#leases.nextLook(lease);
    if (look !== Infinity) this.#housekeeping.by(look);
    const client = slot.client as Leased<C>;
    if (this.#limits.allowExitOnIdle) client.ref?.();
    client.release = (error) => this.#release(lease, error);
    this.#voice.announce('acquire', client);
    return client;
  }

  #release(lease: Lease<C>, error: Error | boolean | undefined): void {
    if (lease.released)
      throw new Error('Release called on client which has already been released to the pool.');
    lease.released = true;
    const { slot } = lease;
    if (lease.leakReported) this.#voice.leakEnded(lease.info());
    // Taken back already; the pool has forgotten it.
    if (lease.reclaimedBy) return;
    this.#leases.close(lease);
    this.#counters.released += 1;
    slot.uses += 1;
    this.#voice.announce('release', error, slot.client);
    if (this.ending) return this.#drop(slot, 'shutdown');
    if (!slot.usable) return this.#drop(slot, 'broken');
    if (error) return this.#drop(slot, 'released-with-error');
    if (slot.uses >= this.#limits.maxUses) return this.#drop(slot, 'uses');
    if (slot.expired) return this.#drop(slot, 'lifetime');
    const { reset, resetTimeoutMs } = this.#limits;
    const cleaning = slot.link.restore(reset, resetTimeoutMs);
    if (!cleaning) return this.#park(slot);
    this.#clean(slot, cleaning, lease.info());
  }

  #clean(slot: Slot<C>, cleaning: Promise<Restored>, lease: LeaseInfo): void {
    slot.state = 'returning';
    this.#returning += 1;
    cleaning.then(
      ({ rolledBack, cleared, left }) => {
        if (rolledBack) {
          this.#counters.rollbacks += 1;
          this.#voice.leftOpen(lease);
        }
        if (cleared) this.#counters.resets += 1;
        if (left !== undefined) this.#voice.stateLeft(lease, left);
        if (slot.state !== 'returning') return;
        this.#returning -= 1;
        this.#park(slot);
      },
      (error: Error) => {
        if (slot.state !== 'returning') return;
        const standby = (error as { code?: unknown }).code === 'CONNECTION_STANDBY';
        if (standby) this.#wantsPrimary = true;
        if (standby || !slot.usable) this.#age(slot, error);
        this.#voice.resetFailed(lease, error);
        this.#drop(slot, 'reset', error);
      },
    );
  }

  /** Back to the idle ones, or straight to the longest waiter. */
  #park(slot: Slot<C>): void {
    if (this.ending) return this.#drop(slot, 'shutdown');
    slot.state = 'idle';
    slot.touch();
    const waiter = this.#waiters.first;
    // It has just answered. Were its age asked here, a window of 0 would have it validated for ever.
    if (waiter && slot.usable && slot.generation === this.#generation) {
      this.#give(slot, waiter);
      // A dial that has succeeded after failures lets the others be dialled.
      if (this.#waiters.length > 0) this.#pump();
      return;
    }
    this.#idle.push(slot);
    if (this.#limits.allowExitOnIdle) slot.client.unref?.();
    const idleLimitMs = this.#idleLimit();
    const dueMs = Math.min(
      idleLimitMs,
      this.#limits.keepaliveMs,
      slot.lifetimeMs === Infinity ? Infinity : slot.lifetimeMs - slot.ageMs,
    );
    if (dueMs !== Infinity) this.#housekeeping.by(this.#clock.now() + dueMs);
    if (this.#waiters.length > 0) this.#pump();
    if (this.#leases.length === 0) this.#noteQuiescence();
  }

  // ---- supply --------------------------------------------------------------------------------------------------------

  /** Gives what is there to those who wait, and sees that more is on its way while more wait. */
  #pump(): void {
    while (this.#waiters.first) {
      const slot = this.#popIdle();
      if (!slot) break;
      if (!this.#needsCheck(slot)) {
        this.#give(slot, this.#waiters.first);
      } else if (this.#checking < this.#waiters.length) {
        this.#check(slot);
      } else {
        this.#idle.push(slot);
        break;
      }
    }
    while (
      this.#waiters.length > this.#dialling + this.#checking + this.#returning &&
      this.#mayDial(this.#limits.max)
    )
      this.#dial();
    this.#fill();
  }

  #give(slot: Slot<C>, waiter: Waiter<Leased<C>>): void {
    this.#dismiss(waiter);
    const now = this.#clock.now();
    waiter.resolve(this.#lend(slot, waiter.request, now, now - waiter.since, waiter.site));
    this.#breakDeadlock();
  }

  /** The connection used last, if it may still be lent; those that may not are closed on the way. */
  #popIdle(): Slot<C> | undefined {
    for (let slot = this.#idle.pop(); slot; slot = this.#idle.pop()) {
      if (!slot.usable) this.#drop(slot, 'broken');
      else if (slot.expired) this.#drop(slot, 'lifetime');
      else return slot;
    }
    return undefined;
  }

  #needsCheck(slot: Slot<C>): boolean {
    if (slot.generation !== this.#generation) return true;
    return this.#limits.prePing && slot.idleMs > this.#limits.validateAfterIdleMs;
  }

  #check(slot: Slot<C>): void {
    slot.state = 'checking';
    this.#checking += 1;
    this.#counters.validations += 1;
    const generation = this.#generation;
    slot.link.check(this.#limits.validationTimeoutMs, this.#wantsPrimary).then(
      () => {
        if (slot.state !== 'checking') return;
        this.#checking -= 1;
        slot.generation = generation;
        this.#park(slot);
      },
      (cause: Error) => {
        if (slot.state !== 'checking') return;
        const standby = (cause as { code?: unknown }).code === 'CONNECTION_STANDBY';
        if (standby && slot.generation === this.#generation) {
          // Opened since, and on a standby again: there is no primary at this address, and reads are all it is for.
          this.#wantsPrimary = false;
          this.#checking -= 1;
          return this.#park(slot);
        }
        this.#counters.validationFailures += 1;
        const error = this.#voice.invalid(cause);
        this.#backoff.lastError = error;
        this.#age(slot, error);
        // It was silent instead of refused: those that lay idle for longer went the same way, and each would cost the
        // waiter a timeout of its own.
        if (slot.usable) for (const older of [...this.#idle]) this.#drop(older, 'validation', error);
        this.#drop(slot, 'validation', error);
      },
    );
  }

  #mayDial(limit: number): boolean {
    if (this.ending || this.#slots.size >= limit) return false;
    const at = this.#backoff.nextDial(this.#dialling);
    if (at <= this.#clock.now()) return true;
    if (at !== Infinity) (this.#waiters.length > 0 ? this.#waiterAlarm : this.#housekeeping).by(at);
    return false;
  }

  /** Opens ahead what `minIdle` asks for. */
  #fill(): void {
    const { minIdle, size } = this.#limits;
    if (minIdle === 0) return;
    const ready = () => this.#idle.length + this.#dialling + this.#checking + this.#returning;
    while (ready() - this.#waiters.length < minIdle && this.#mayDial(size)) this.#dial();
  }

  #dial(): void {
    const { maxLifetimeMs, connectTimeoutMs } = this.#limits;
    const bornAt = this.#clock.now();
    let client: C;
    try {
      client = new this.Client({ ...this.#clientOptions, ...this.#clientOptions.dialOptions?.() } as never);
    } catch (thrown) {
      return this.#dialFailed(bornAt, thrown as Error);
    }
    const slot = new Slot(client, linkOf(client), this.#generation, this.#clock);
    if (maxLifetimeMs !== Infinity) slot.lifetimeMs = maxLifetimeMs * (1 - Math.random() * LIFETIME_JITTER);
    client.on('error', (error: Error) => this.#lose(slot, error));
    this.#slots.add(slot);
    this.#dialling += 1;
    dial(client, slot.link, this.#clientOptions, this.#clock, connectTimeoutMs).then(
      () => {
        if (slot.state !== 'dialling') return;
        this.#dialling -= 1;
        this.#backoff.succeeded();
        this.#counters.created += 1;
        this.#voice.announce('connect', client);
        slot.link.finishSetup?.();
        this.#park(slot);
      },
      (error: Error) => {
        if (slot.state !== 'dialling') return;
        this.#dialling -= 1;
        slot.state = 'gone';
        this.#slots.delete(slot);
        if (!this.ending && this.#clientOptions.redial?.(error)) this.#pump();
        else this.#dialFailed(bornAt, error);
        this.#noteClosed();
      },
    );
  }

  /**
   * A waiter fails with a dial's error when the dial began after it had asked, and nothing is left that could serve it:
   * then every error is fresh. While connections are out, one of them will come back.
   */
  #dialFailed(bornAt: number, cause: Error): void {
    this.#backoff.failed(cause);
    this.#counters.dialFailures += 1;
    this.#voice.dialFailed(cause);
    if (this.#slots.size === 0)
      for (const waiter of this.#waiters) {
        if (waiter.since > bornAt) break;
        this.#counters.failedByDial += 1;
        this.#settle(waiter, this.#voice.dialError(cause, waiter.site));
      }
    this.#pump();
  }

  /** The connection's own `error`: the socket has ended, or the server has ended the session. */
  #lose(slot: Slot<C>, error: Error): void {
    const { state } = slot;
    if (state === 'gone' || state === 'dialling') return;
    slot.lost ??= error;
    this.#age(slot, error);
    // In somebody's hands it stays his until he gives it back; his statement has its own error.
    if (state === 'leased') return;
    this.#drop(slot, 'broken');
    // Between a check or a clean-up and its answer it is nobody's, and nobody is told of either.
    if (state !== 'idle') return;
    (error as { client?: unknown }).client = slot.client;
    this.#voice.lost(error);
    // `pg.Pool` ends a process that does not listen; an idle connection that is cut is no reason to.
    this.#voice.announce('error', error, slot.client);
  }

  /** One outage makes all older connections suspect, once: those opened or validated since are not counted again. */
  #age(slot: Slot<C>, error: Error): void {
    if (slot.generation !== this.#generation || this.ending) return;
    this.#generation += 1;
    this.#counters.outages += 1;
    this.#voice.outage(error);
  }

  /** Ends a slot, frees its place at once, and closes the connection behind it. */
  #drop(slot: Slot<C>, reason: DestroyReason, error?: Error): void {
    if (slot.state === 'gone') return;
    const { state, client, link } = slot;
    const lost = slot.lost ?? link.lostBy;
    if (reason === 'broken' && lost) this.#age(slot, lost);
    if (state === 'dialling') this.#dialling -= 1;
    if (state === 'checking') this.#checking -= 1;
    if (state === 'returning') this.#returning -= 1;
    const at = state === 'idle' ? this.#idle.indexOf(slot) : -1;
    if (at >= 0) this.#idle.splice(at, 1);
    slot.state = 'gone';
    this.#slots.delete(slot);
    // Never opened, so never closed: what was created and what was destroyed must add up.
    if (state !== 'dialling') this.#counters.destroyed[reason] += 1;
    this.#clientOptions.log?.('closing a connection', reason);
    this.#closing += 1;
    const abrupt = error ?? (state === 'dialling' ? this.#voice.closedError() : undefined);
    void (abrupt ? link.terminate(abrupt) : link.close())
      .catch(() => link.destroy())
      .then(() => {
        this.#closing -= 1;
        // A client that could not even be opened was never there for `pg.Pool`'s listeners.
        if (state !== 'dialling') this.#voice.announce('remove', client);
        this.#noteClosed();
      });
    if (!this.ending) this.#pump();
    if (this.#leases.length === 0) this.#noteQuiescence();
  }

  // ---- time ----------------------------------------------------------------------------------------------------------

  #lookAtWaiters(): void {
    const { late, next } = this.#waiters.overdue(this.#clock.now());
    for (const waiter of late) {
      this.#counters.timeouts += 1;
      const afterMs = this.#clock.now() - waiter.since;
      this.#settle(waiter, this.#voice.timeoutError(afterMs, waiter.site, this.#backoff.lastError));
    }
    if (this.#waiters.length === 0) return;
    if (next !== Infinity) this.#waiterAlarm.by(next);
    this.#pump();
    this.#breakDeadlock();
  }

  #cancel(waiter: Waiter<Leased<C>>, reason: unknown): void {
    this.#counters.cancellations += 1;
    this.#settle(waiter, this.#voice.cancelledError(reason, waiter.site));
  }

  /** How long a connection may stay idle as things are. */
  #idleLimit(): number {
    const { size, min, minIdle, idleTimeoutMs, overflowIdleMs } = this.#limits;
    const total = this.#slots.size;
    if (total > size) return Math.min(overflowIdleMs, idleTimeoutMs);
    return total > Math.max(min, minIdle) ? idleTimeoutMs : Infinity;
  }

  #keepHouse(): void {
    for (const slot of [...this.#idle]) {
      const reason = slot.expired
        ? 'lifetime'
        : slot.idleMs >= this.#idleLimit()
          ? this.#slots.size > this.#limits.size
            ? 'overflow'
            : 'idle'
          : undefined;
      if (reason !== undefined) this.#drop(slot, reason);
      // Its answer counts as a use, which must not keep open what is to be closed for idleness.
      else if (slot.idleMs >= this.#limits.keepaliveMs && this.#idleLimit() === Infinity) {
        this.#idle.splice(this.#idle.indexOf(slot), 1);
        this.#check(slot);
      }
    }
    this.#leases.look(this.#voice, (lease, error) => this.takeBack(lease, 'reclaimed', error));
    this.#fill();
    const now = this.#clock.now();
    for (const slot of this.#idle) {
      const left = Math.min(
        this.#idleLimit() - slot.idleMs,
        this.#limits.keepaliveMs - slot.idleMs,
        slot.lifetimeMs - slot.ageMs,
      );
      if (left < Infinity) this.#housekeeping.by(now + left);
    }
    for (const lease of this.#leases) {
      const look = this.#leases.nextLook(lease);
      if (look !== Infinity) this.#housekeeping.by(look);
    }
  }

  /** Ends a lease against its owner's will; his statements fail with `error` and his release does nothing. */
  takeBack(
    lease: Lease<C>,
    reason: 'reclaimed' | 'shutdown',
    error: Error = this.#voice.closedError(),
  ): void {
    lease.reclaimedBy = error;
    this.#leases.close(lease);
    this.#voice.announce('release', error, lease.slot.client);
    this.#drop(lease.slot, reason, error);
  }

  /** When nobody will ever go on, the newest of those who wait fails, so that the others can. */
  #breakDeadlock(): void {
    const found = findDeadlock(this.#leases, this.#waiters, this.#limits.max);
    if (!found) return;
    if (found === 'later') return this.#waiterAlarm.by(this.#clock.now() + DEADLOCK_LOOK_MS);
    const { waiter, held } = found;
    this.#counters.selfDeadlocks += 1;
    const { borrower } = waiter.request;
    this.#settle(waiter, this.#voice.deadlockError(borrower, held.info(), waiter.site));
    this.#breakDeadlock();
  }

  // ---- figures -------------------------------------------------------------------------------------------------------

  get total(): number {
    return this.#slots.size;
  }

  get idle(): number {
    return this.#idle.length;
  }

  get dialling(): number {
    return this.#dialling;
  }

  get waiting(): number {
    return this.#waiters.length;
  }

  /** Connections past their lifetime that are still in use. */
  get expiredCount(): number {
    return [...this.#slots].filter((slot) => slot.expired).length;
  }

  /** The pool at this moment; costs the same however many connections and waiters there are. */
  snapshot(): PoolSnapshot {
    const { size, max } = this.#limits;
    const now = this.#clock.now();
    return {
      state: this.ended ? 'ended' : this.ending ? 'ending' : this.#draining ? 'draining' : 'open',
      size,
      maxOverflow: max - size,
      max,
      total: this.#slots.size,
      idle: this.#idle.length,
      leased: this.#leases.length,
      dialling: this.#dialling,
      validating: this.#checking,
      returning: this.#returning,
      overflow: Math.max(0, this.#slots.size - size),
      waiting: this.#waiters.length,
      oldestLeaseMs: this.#leases.head ? now - this.#leases.head.since : 0,
      oldestWaiterMs: this.#waiters.first ? now - this.#waiters.first.since : 0,
      generation: this.#generation,
      counters: { ...this.#counters, destroyed: { ...this.#counters.destroyed } },
      wait: this.#waitTimes.snapshot(),
      use: this.#leases.useTimes.snapshot(),
    };
  }

  get leases(): LeaseBook<C> {
    return this.#leases;
  }

  get counters(): Readonly<Counters> {
    return this.#counters;
  }

  // ---- the end -------------------------------------------------------------------------------------------------------

  /** One drain, however often it is asked for. */
  drain(timeoutMs: number): Promise<DrainReport> {
    this.#draining ??= drain(this, timeoutMs);
    return this.#draining;
  }

  /** Resolves when nothing is out and nobody waits, or when `timeoutMs` is over. */
  whenQuiescent(timeoutMs: number): Promise<void> {
    if (this.#leases.length === 0 && this.#waiters.length === 0) return Promise.resolve();
    return this.#quiescence.wait(timeoutMs);
  }

  #noteQuiescence(): void {
    if (this.#leases.length > 0 || this.#waiters.length > 0) return;
    this.#quiescence.hasCome();
  }

  /** Rejects the waiters, closes what is idle or under way, and resolves when what is out has come back too. */
  shut(): Promise<void> {
    this.ending = true;
    for (const waiter of this.#waiters) {
      this.#counters.closed += 1;
      this.#settle(waiter, this.#voice.closedError(waiter.site));
    }
    for (const slot of [...this.#slots]) if (slot.state !== 'leased') this.#drop(slot, 'shutdown');
    const closed = this.#closed.wait();
    this.#noteClosed();
    return closed;
  }

  #noteClosed(): void {
    if (!this.ending || this.#slots.size > 0 || this.#closing > 0) return;
    this.ended = true;
    this.#housekeeping.silence();
    this.#closed.hasCome();
  }
}
