import type { EventEmitter } from 'node:events';
import { ConnectionResetError, ConnectTimeoutError } from '../../errors/connection.errors.js';
import * as errors from '../../errors/pool.errors.js';
import type { LeaseInfo, PoolSnapshot } from '../../database.snapshot.js';
import { setStackFrom, withoutStack } from '../../text/call-site.js';
import type { CallSite } from '../../text/call-site.js';
import { shortSql } from '../../text/masking.js';
import { describeLease, describePool, duration } from './describe.js';
import { emitProcessWarning } from './pool-warning.js';
import type { PoolWarning } from './pool-warning.js';

/** How many of the longest holders an error names. */
const HOLDERS_SHOWN = 3;

/** A dial's failure in the words of who made the pool. */
export interface Advice {
  message: string;
  hint?: string;
}

const ownWords = ({ message }: Error): Advice => ({ message });

/** Everything that the pool says: its events, its warnings, and errors that tell its state. */
export class PoolReporter {
  readonly #emitter: EventEmitter;
  readonly #snapshot: () => PoolSnapshot;
  readonly #leases: Iterable<{ info(): LeaseInfo }>;
  readonly #onWarning: ((warning: PoolWarning) => void) | false;
  readonly #adviser: (cause: Error) => Advice;

  constructor(
    emitter: EventEmitter,
    snapshot: () => PoolSnapshot,
    leases: Iterable<{ info(): LeaseInfo }>,
    onWarning: ((warning: PoolWarning) => void) | false = emitProcessWarning,
    adviser: (cause: Error) => Advice = ownWords,
  ) {
    this.#emitter = emitter;
    this.#snapshot = snapshot;
    this.#leases = leases;
    this.#onWarning = onWarning;
    this.#adviser = adviser;
  }

  heard(event: string): boolean {
    return this.#emitter.listenerCount(event) > 0;
  }

  /** A listener that throws must not leave a connection between two states. */
  announce(event: string, ...args: unknown[]): void {
    if (!this.heard(event)) return;
    try {
      this.#emitter.emit(event, ...args);
    } catch (thrown) {
      rethrowOnNextTick(thrown);
    }
  }

  /** Advice that throws must not cost those who wait their error. */
  #explain(cause: Error): Advice {
    try {
      return this.#adviser(cause);
    } catch (thrown) {
      rethrowOnNextTick(thrown);
      return ownWords(cause);
    }
  }

  // Warnings

  leak(lease: LeaseInfo): void {
    const message = `A connection is out for long, perhaps it was never released: ${describeLease(lease)}.`;
    this.#warn('CONNECTION_LEAK', 'warn', message, { lease });
  }

  leakEnded(lease: LeaseInfo): void {
    const message = `The connection came back: ${describeLease(lease)}.`;
    this.#warn('CONNECTION_LEAK_ENDED', 'info', message, { lease });
  }

  reclaimed(lease: LeaseInfo): errors.PoolLeaseReclaimedError {
    const message = `The connection was taken back by force: ${describeLease(lease)}.`;
    const hint = 'Release connections sooner, or raise reclaimAfterMs.';
    const error = this.#error(errors.PoolLeaseReclaimedError, message, undefined, { hint });
    this.#warn('CONNECTION_RECLAIMED', 'warn', message, { lease, error });
    return error;
  }

  leftOpen(lease: LeaseInfo): void {
    const message = `A connection came back in an open transaction and was rolled back: ${describeLease(lease)}.`;
    this.#warn('TRANSACTION_LEFT_OPEN', 'warn', message, { lease });
  }

  stateLeft(lease: LeaseInfo, sql: string): void {
    const message = `A statement has changed the session of a connection that a pooler shares; others may see it, and nothing takes it back: ${shortSql(sql)}. The connection was held by ${describeLease(lease)}.`;
    this.#warn('SESSION_STATE_LEFT', 'warn', message, { lease });
  }

  /** @param misuse in what state the connection was found */
  usedAfterRelease(misuse: string, sql: string | undefined): ConnectionResetError {
    const message = `An idle connection ${misuse} and was closed: its last borrower has used it after giving it back${sql ? `, last SQL ${shortSql(sql)}` : ''}.`;
    const hint = 'Use a connection until its release() only; await what was sent before.';
    const error = new ConnectionResetError(message, { hint });
    this.#warn('USED_AFTER_RELEASE', 'warn', message, { error });
    return error;
  }

  resetFailed(lease: LeaseInfo, error: Error): void {
    const message = `A connection could not be cleaned and was closed: ${error.message} It was held by ${describeLease(lease)}.`;
    this.#warn('CONNECTION_RESET_FAILED', 'warn', message, { lease, error });
  }

  invalid(cause: Error): errors.PoolValidationError {
    const message = `An idle connection did not pass its validation and is replaced: ${cause.message}`;
    const error = this.#error(errors.PoolValidationError, message, undefined, { cause });
    this.#warn('CONNECTION_VALIDATION_FAILED', 'info', message, { error });
    return error;
  }

  lost(error: Error): void {
    this.#warn('CONNECTION_LOST', 'info', `An idle connection was lost: ${error.message}`, { error });
  }

  outage(error: Error): void {
    const message = `A connection was lost; older ones are validated before they are used: ${error.message}`;
    this.#warn('OUTAGE', 'info', message, { error });
  }

  connectFailed(error: Error): void {
    const message = `Could not open a connection: ${this.#explain(error).message}`;
    this.#warn('CONNECT_FAILED', 'info', message, { error });
  }

  /** At the end of a drain. */
  cut(lease: LeaseInfo): void {
    const message = `A connection was still in use at the end of the drain and was closed: ${describeLease(lease)}.`;
    this.#warn('CONNECTION_CUT', 'info', message, { lease });
  }

  /** An acquire has failed although connections could be opened. */
  #exhausted<E extends errors.PoolError>(error: E): E {
    const { snapshot, holders } = error;
    const message = `The pool is exhausted: ${describePool(snapshot!, holders)}`;
    this.#warn('POOL_EXHAUSTED', 'info', message, { error });
    return error;
  }

  // Errors

  closedError(site?: CallSite, cause?: Error): errors.PoolClosedError {
    const message = 'Cannot use a pool after calling end on the pool';
    return this.#error(errors.PoolClosedError, message, site, { cause });
  }

  cancelledError(cause: unknown, site?: CallSite): errors.PoolAcquireCancelledError {
    const message = 'The wait for a connection was given up';
    return this.#error(errors.PoolAcquireCancelledError, message, site, { cause });
  }

  queueFullError(site: CallSite): errors.PoolQueueFullError {
    return this.#exhausted(
      this.#error(errors.PoolQueueFullError, 'The queue for a connection is full', site),
    );
  }

  timeoutError(afterMs: number, site: CallSite, cause: Error | undefined): errors.PoolAcquireTimeoutError {
    const message = `Connection timeout: no connection within ${duration(afterMs)} (timeout exceeded when trying to connect)`;
    const held = 'Look at who holds the connections; then at size, maxOverflow and acquireTimeoutMs.';
    const hint = (cause && this.#explain(cause).hint) ?? held;
    const error = this.#error(errors.PoolAcquireTimeoutError, message, site, { cause, hint });
    return cause ? error : this.#exhausted(error);
  }

  connectError(cause: Error, site: CallSite): errors.PoolConnectError {
    const code = cause instanceof ConnectTimeoutError ? 'POOL_CONNECT_TIMEOUT' : 'POOL_CONNECT_FAILED';
    const { message, hint } = this.#explain(cause);
    return this.#error(errors.PoolConnectError, `Could not open a connection: ${message}`, site, {
      code,
      cause,
      hint,
    });
  }

  deadlockError(asks: string | undefined, held: LeaseInfo, site: CallSite): errors.PoolSelfDeadlockError {
    const message = `Self-deadlock: every connection has an explicit holder (an open transaction or a pinned connection) that waits for another one; ${asks ?? 'one of them'} asks for a second while it holds one (${describeLease(held)})`;
    const hint =
      'Use the connection that the transaction or the pinned runner already holds, or raise size or maxOverflow.';
    const error = this.#error(errors.PoolSelfDeadlockError, message, site, { hint });
    if (held.stack) setStackFrom(error, site, `\nThe connection that it holds was acquired\n${held.stack}`);
    this.#warn('SELF_DEADLOCK', 'warn', message, { lease: held, error });
    return error;
  }

  /** An error with the pool's state in its words, and the place that asked in its stack. */
  #error<E extends errors.PoolError>(
    Type: new (message: string, options: errors.PoolErrorOptions) => E,
    what: string,
    site?: CallSite,
    options: errors.PoolErrorOptions = {},
  ): E {
    const snapshot = this.#snapshot();
    const holders: LeaseInfo[] = [];
    for (const lease of this.#leases) if (holders.push(lease.info()) === HOLDERS_SHOWN) break;
    const message = `${what}: ${describePool(snapshot, holders)}`;
    // The frames of a timer or of an abort lead nowhere, and capturing them is most of what an error costs.
    const make = () => new Type(message, { ...options, snapshot, holders });
    if (!site) return make();
    const error = withoutStack(make);
    setStackFrom(error, site);
    return error;
  }

  #warn(
    code: PoolWarning['code'],
    level: PoolWarning['level'],
    message: string,
    details: Pick<PoolWarning, 'lease' | 'error'>,
  ): void {
    if (this.#onWarning === false) return;
    try {
      this.#onWarning({ code, level, message, ...details });
    } catch (thrown) {
      rethrowOnNextTick(thrown);
    }
  }
}

/** Where nobody is left between two states by it. */
export function rethrowOnNextTick(thrown: unknown): void {
  process.nextTick(() => {
    throw thrown;
  });
}
