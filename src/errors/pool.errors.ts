import type { LeaseInfo, PoolSnapshot } from '../database.snapshot.js';
import { DatabaseError } from './database.error.js';
import type { DatabaseErrorOptions } from './database.error.js';

/** What the constructors of the pool's errors take in addition to the message. */
export interface PoolErrorOptions extends Partial<DatabaseErrorOptions> {
  /** The state of the pool when the error occurred. */
  snapshot?: PoolSnapshot;
  /** The leases when the error occurred, the longest first. */
  holders?: readonly LeaseInfo[];
}

/**
 * The base class of the pool's errors. The message names the settings and the longest leases; `snapshot` and `holders` hold
 * them for programs. Both are not enumerable, so that a log does not print them.
 *
 * @example
 * ```ts
 * if (error instanceof PoolError) metrics.record(error.code, error.snapshot?.waiting);
 * ```
 */
export class PoolError extends DatabaseError {
  static override readonly family: string = 'PoolError';
  /** The state of the pool when the error occurred. */
  declare readonly snapshot: PoolSnapshot | undefined;
  /** The leases when the error occurred, the longest first. */
  declare readonly holders: readonly LeaseInfo[];

  constructor(message: string, options: PoolErrorOptions & { code: string }) {
    super(message, options);
    Object.defineProperty(this, 'snapshot', { value: options.snapshot });
    Object.defineProperty(this, 'holders', { value: options.holders ?? [] });
  }
}

/**
 * No connection became free within `pool.acquireTimeoutMs` (`DB_POOL_TIMEOUT`): `POOL_ACQUIRE_TIMEOUT`. Release connections
 * sooner, or raise `DB_POOL_SIZE` or `DB_MAX_OVERFLOW`. A `cause` is the error of the connection
 * attempts for which the caller waited.
 *
 * @example
 * ```ts
 * if (error instanceof PoolAcquireTimeoutError) {
 *   const [longest] = error.holders;
 *   logger.warn(`${error.message} The longest lease belongs to ${longest?.borrower}.`);
 * }
 * ```
 */
export class PoolAcquireTimeoutError extends PoolError {
  static override readonly family: string = 'PoolAcquireTimeoutError';
  constructor(message: string, options: PoolErrorOptions = {}) {
    super(message, { code: 'POOL_ACQUIRE_TIMEOUT', ...options });
  }
}

/**
 * `pool.maxWaiting` callers are already waiting for a connection: `POOL_QUEUE_FULL`. Shed load, or raise `pool.maxWaiting`,
 * `DB_POOL_SIZE` or `DB_MAX_OVERFLOW`.
 *
 * @example
 * ```ts
 * if (error instanceof PoolQueueFullError) throw new ServiceUnavailableException('Try again later.');
 * ```
 */
export class PoolQueueFullError extends PoolError {
  static override readonly family: string = 'PoolQueueFullError';
  constructor(message: string, options: PoolErrorOptions = {}) {
    super(message, { code: 'POOL_QUEUE_FULL', ...options });
  }
}

/**
 * No connection could be opened, and no other connection exists that the caller could wait for. `cause` is the error of the server
 * or the socket; `diagnose()` explains it.
 *
 * - `POOL_CONNECT_FAILED`: the attempt failed.
 * - `POOL_CONNECT_TIMEOUT`: the attempt exceeded the connect timeout.
 *
 * @example
 * ```ts
 * if (error instanceof PoolConnectError) logger.error(diagnose(error).hint);
 * ```
 */
export class PoolConnectError extends PoolError {
  static override readonly family: string = 'PoolConnectError';
  constructor(message: string, options: PoolErrorOptions = {}) {
    super(message, { code: 'POOL_CONNECT_FAILED', ...options });
  }
}

/**
 * An idle connection failed its validation: `POOL_VALIDATION_FAILED`. The pool replaces the connection. This error appears
 * only as the cause of another one.
 */
export class PoolValidationError extends PoolError {
  static override readonly family: string = 'PoolValidationError';
  constructor(message: string, options: PoolErrorOptions = {}) {
    super(message, { code: 'POOL_VALIDATION_FAILED', ...options });
  }
}

/** The pool is closed, or was closed while the caller waited: `POOL_CLOSED`. The app is stopping, or has not started. */
export class PoolClosedError extends PoolError {
  static override readonly family: string = 'PoolClosedError';
  constructor(message: string, options: PoolErrorOptions = {}) {
    super(message, { code: 'POOL_CLOSED', ...options });
  }
}

/**
 * The caller gave up waiting for a connection: `POOL_ACQUIRE_CANCELLED`. The client of the request disconnected, the query
 * runner was released, or the signal of `acquire({ signal })` was aborted; `cause` is the signal's reason.
 */
export class PoolAcquireCancelledError extends PoolError {
  static override readonly family: string = 'PoolAcquireCancelledError';
  constructor(message: string, options: PoolErrorOptions = {}) {
    super(message, { code: 'POOL_ACQUIRE_CANCELLED', ...options });
  }
}

/**
 * Every connection belongs to an open transaction or a pinned runner that waits for another connection:
 * `POOL_SELF_DEADLOCK`. Use the connection of the transaction for all its statements, or raise `DB_POOL_SIZE`.
 */
export class PoolSelfDeadlockError extends PoolError {
  static override readonly family: string = 'PoolSelfDeadlockError';
  /** The call stack of the acquire whose connection it holds, with leak detection. */
  declare readonly holderStack: string | undefined;

  constructor(message: string, options: PoolErrorOptions & { holderStack?: string | undefined } = {}) {
    super(message, { code: 'POOL_SELF_DEADLOCK', ...options });
    Object.defineProperty(this, 'holderStack', { value: options.holderStack });
  }
}

/**
 * The connection was leased for longer than `pool.reclaimAfterMs`, and the pool closed it: `POOL_LEASE_RECLAIMED`. Release it
 * sooner, or raise `pool.reclaimAfterMs`.
 */
export class PoolLeaseReclaimedError extends PoolError {
  static override readonly family: string = 'PoolLeaseReclaimedError';
  constructor(message: string, options: PoolErrorOptions = {}) {
    super(message, { code: 'POOL_LEASE_RECLAIMED', ...options });
  }
}
