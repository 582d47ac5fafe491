import type { EventEmitter } from 'node:events';
import { ConnectionResetError, ConnectTimeoutError } from '../../errors/connection.errors.js';
import * as errors from '../../errors/pool.errors.js';
import type { LeaseInfo, PoolSnapshot } from '../../database.snapshot.js';
import { withoutStack } from '../../text/call-site.js';
import { duration } from '../../text/duration.js';
import { shortSql } from '../../text/masking.js';
import type { Explanation } from '../pool.options.js';
import { rethrowOnNextTick } from '../support/rethrow-on-next-tick.js';
import { describeHeld, describeLease, describePool } from './describe.js';
import { emitProcessWarning } from './pool-warning.js';
import type { PoolWarning } from './pool-warning.js';

/** How many holders an error names. */
const HOLDERS_SHOWN = 3;

export interface PoolReporterOptions {
  emitter: EventEmitter;
  snapshot: () => PoolSnapshot;
  /** The active leases, the longest first. */
  leases: Iterable<{ info(): LeaseInfo }>;
  /** @defaultValue `process.emitWarning` */
  onWarning?: ((warning: PoolWarning) => void) | false | undefined;
  /** @defaultValue returns the message of the error, without a hint */
  explainConnectError?: ((cause: Error) => Explanation) | undefined;
}

/** Emits the events of the pool, reports its warnings, and builds its errors. */
export class PoolReporter {
  readonly #emitter: EventEmitter;
  readonly #snapshot: () => PoolSnapshot;
  readonly #leases: Iterable<{ info(): LeaseInfo }>;
  readonly #onWarning: ((warning: PoolWarning) => void) | false;
  readonly #explainConnectError: (cause: Error) => Explanation;

  constructor(options: PoolReporterOptions) {
    this.#emitter = options.emitter;
    this.#snapshot = options.snapshot;
    this.#leases = options.leases;
    this.#onWarning = options.onWarning ?? emitProcessWarning;
    this.#explainConnectError = options.explainConnectError ?? messageOf;
  }

  /** Emits an event if it has listeners. A listener that throws must not leave a connection between two states. */
  emit(event: string, ...args: unknown[]): void {
    if (this.#emitter.listenerCount(event) === 0) return;
    try {
      this.#emitter.emit(event, ...args);
    } catch (thrown) {
      rethrowOnNextTick(thrown);
    }
  }

  /** Explains a failed connect. An `explainConnectError` that throws must not leave a waiter unsettled. */
  #explain(cause: Error): Explanation {
    try {
      return this.#explainConnectError(cause);
    } catch (thrown) {
      rethrowOnNextTick(thrown);
      return messageOf(cause);
    }
  }

  // ---- warnings ------------------------------------------------------------------------------------------------------

  reportLeak(lease: LeaseInfo): void {
    const message = `Possible connection leak: ${describeHeld(lease)}.`;
    this.#warn('CONNECTION_LEAK', 'warn', message, { lease });
  }

  reportLeakEnded(lease: LeaseInfo): void {
    const message = `A connection that was reported as a possible leak was released: ${describeHeld(lease)}.`;
    this.#warn('CONNECTION_LEAK_ENDED', 'info', message, { lease });
  }

  reportReclaimed(lease: LeaseInfo): errors.PoolLeaseReclaimedError {
    const message = `A connection was forcibly reclaimed: ${describeHeld(lease)}.`;
    const hint = 'Release connections sooner, or raise reclaimAfterMs.';
    const error = this.#error(errors.PoolLeaseReclaimedError, message, { hint });
    this.#warn('CONNECTION_RECLAIMED', 'warn', message, { lease, error });
    return error;
  }

  reportTransactionLeftOpen(lease: LeaseInfo): void {
    const message = `A connection was released with an open transaction, which was rolled back: ${describeHeld(lease)}.`;
    this.#warn('TRANSACTION_LEFT_OPEN', 'warn', message, { lease });
  }

  reportSessionStateLeft(lease: LeaseInfo, sql: string): void {
    const message = `A statement has changed the session of a connection that a pooler shares; other clients can see the change, and the pool cannot reset it: ${shortSql(sql)}. The connection was ${describeHeld(lease)}.`;
    this.#warn('SESSION_STATE_LEFT', 'warn', message, { lease });
  }

  /** @param misuse the state in which the idle connection was found, such as `was in a transaction` */
  reportUsedAfterRelease(misuse: string, sql: string | undefined): ConnectionResetError {
    const message = `An idle connection ${misuse} and was closed: its last borrower used it after the release${sql ? `, last SQL ${shortSql(sql)}` : ''}.`;
    const hint = 'Do not use a connection after its release(); await its statements before the release.';
    const error = new ConnectionResetError(message, { hint });
    this.#warn('USED_AFTER_RELEASE', 'warn', message, { error });
    return error;
  }

  reportResetFailed(lease: LeaseInfo, error: Error): void {
    const message = `A connection could not be reset and was closed: ${error.message} It was ${describeHeld(lease)}.`;
    this.#warn('CONNECTION_RESET_FAILED', 'warn', message, { lease, error });
  }

  reportValidationFailed(cause: Error): errors.PoolValidationError {
    const message = `An idle connection has failed its validation and is replaced: ${cause.message}`;
    const error = this.#error(errors.PoolValidationError, message, { cause });
    this.#warn('CONNECTION_VALIDATION_FAILED', 'info', message, { error });
    return error;
  }

  reportConnectionLost(error: Error): void {
    this.#warn('CONNECTION_LOST', 'info', `An idle connection was lost: ${error.message}`, { error });
  }

  reportOutage(error: Error): void {
    const message = `A connection was lost; older connections are validated before they are used: ${error.message}`;
    this.#warn('OUTAGE', 'info', message, { error });
  }

  reportConnectFailed(error: Error): void {
    const message = `Could not open a connection: ${this.#explain(error).meaning}`;
    this.#warn('CONNECT_FAILED', 'info', message, { error });
  }

  /** Reports a lease that was forcibly ended by a drain. */
  reportForceClosed(lease: LeaseInfo): void {
    const message = `A connection was still leased at the end of the drain and was forcibly closed: ${describeHeld(lease)}.`;
    this.#warn('CONNECTION_FORCE_CLOSED', 'info', message, { lease });
  }

  /** @param inFlight how many statements were in flight on the connection */
  reportForceClosedShared(inFlight: number): void {
    const message = `A shared connection had ${inFlight} statement(s) in flight at the end of the drain and was forcibly closed.`;
    this.#warn('CONNECTION_FORCE_CLOSED', 'info', message, {});
  }

  /** Reports an acquire that has failed although connections could be opened. */
  #reportExhausted<E extends errors.PoolError>(error: E): E {
    const { snapshot, holders } = error;
    const message = `The pool is exhausted: ${describePool(snapshot!, holders)}`;
    this.#warn('POOL_EXHAUSTED', 'info', message, { error });
    return error;
  }

  // ---- errors --------------------------------------------------------------------------------------------------------

  /** @param isForWaiter whether the error rejects a waiter: {@link rethrowWithStack} gives it its stack */
  closedError(isForWaiter = false, cause?: Error): errors.PoolClosedError {
    const message = 'Cannot use a pool after calling end on the pool';
    return this.#error(errors.PoolClosedError, message, { cause }, isForWaiter);
  }

  /** @param isForWaiter as for {@link closedError} */
  cancelledError(cause: unknown, isForWaiter = false): errors.PoolAcquireCancelledError {
    const message = 'The wait for a connection was cancelled';
    return this.#error(errors.PoolAcquireCancelledError, message, { cause }, isForWaiter);
  }

  queueFullError(): errors.PoolQueueFullError {
    return this.#reportExhausted(
      this.#error(errors.PoolQueueFullError, 'The queue for a connection is full'),
    );
  }

  timeoutError(waitedMs: number, cause: Error | undefined): errors.PoolAcquireTimeoutError {
    const message = `Connection timeout: no connection within ${duration(waitedMs)} (timeout exceeded when trying to connect)`;
    const ownHint =
      'Find out which borrowers hold the connections; then adjust size, maxOverflow or acquireTimeoutMs.';
    const hint = (cause && this.#explain(cause).hint) ?? ownHint;
    const error = this.#error(errors.PoolAcquireTimeoutError, message, { cause, hint }, true);
    return cause ? error : this.#reportExhausted(error);
  }

  connectError(cause: Error): errors.PoolConnectError {
    const code = cause instanceof ConnectTimeoutError ? 'POOL_CONNECT_TIMEOUT' : 'POOL_CONNECT_FAILED';
    const { meaning, hint } = this.#explain(cause);
    const message = `Could not open a connection: ${meaning}`;
    return this.#error(errors.PoolConnectError, message, { code, cause, hint }, true);
  }

  /** @param lease the lease that the waiter's unit of work, or an ancestor of it, holds */
  deadlockError(borrower: string | undefined, lease: LeaseInfo): errors.PoolSelfDeadlockError {
    const message = `Self-deadlock: every connection has an explicit holder (an open transaction or a pinned connection) that waits for another connection; ${borrower ?? '(unnamed borrower)'} acquires a second connection while it holds one (${describeLease(lease)})`;
    const hint =
      'Use the connection that the transaction or the pinned runner already holds, or raise size or maxOverflow.';
    const options = { hint, holderStack: lease.stack };
    const error = this.#error(errors.PoolSelfDeadlockError, message, options, true);
    this.#warn('SELF_DEADLOCK', 'warn', message, { lease, error });
    return error;
  }

  /**
   * Builds an error whose message ends with the state of the pool.
   * @param isForWaiter whether to build it without a stack: that of the timer or the abort that rejects a waiter does not show
   * the caller, and would be most of the cost of the error
   */
  #error<E extends errors.PoolError, O extends errors.PoolErrorOptions>(
    Type: new (message: string, options: O) => E,
    what: string,
    options = {} as O,
    isForWaiter = false,
  ): E {
    const snapshot = this.#snapshot();
    const holders: LeaseInfo[] = [];
    for (const lease of this.#leases) if (holders.push(lease.info()) === HOLDERS_SHOWN) break;
    const message = `${what}: ${describePool(snapshot, holders)}`;
    const make = () => new Type(message, { ...options, snapshot, holders });
    return isForWaiter ? withoutStack(make) : make();
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

function messageOf({ message }: Error): Explanation {
  return { meaning: message };
}
