import { ConnectTimeoutError } from '../../errors/connection.errors.js';
import {
  PoolAcquireTimeoutError,
  PoolClosedError,
  PoolConnectError,
  PoolError,
} from '../../errors/pool.errors.js';
import { copyOfError } from '../../text/error-copy.js';
import type { ErrorMapper } from '../waiters/waiter-queue.js';

/**
 * Maps errors to those of `connect()` and `query()` of `pg.Pool`: the error of the connect itself, or an error with the message of
 * `pg-pool`. Code that checks `error.code` or these messages keeps working.
 */
export class PgPoolErrors {
  /** Errors that a caller has received. One failed connect can reject several waiters, and each needs its own stack. */
  readonly #used = new WeakSet<object>();

  readonly map: ErrorMapper = (error) => {
    if (error instanceof PoolConnectError) return this.#connectError(error.cause as Error);
    if (error instanceof PoolClosedError) {
      const { snapshot, holders, cause } = error;
      return new PoolClosedError('Cannot use a pool after calling end on the pool', {
        ...(snapshot && { snapshot }),
        holders,
        cause,
      });
    }
    if (!(error instanceof PoolAcquireTimeoutError)) return error;
    const { cause, snapshot } = error;
    // Every connect has failed until the deadline; a failed validation is not a failed connect.
    if (cause !== undefined && !(cause instanceof PoolError)) return this.#connectError(cause as Error);
    const isConnecting = snapshot && snapshot.connecting > 0 && snapshot.leased === 0;
    return isConnecting
      ? connectTimeoutError(error)
      : new Error('timeout exceeded when trying to connect', { cause: error });
  };

  #connectError(cause: Error): Error {
    if (cause instanceof ConnectTimeoutError) return connectTimeoutError(cause);
    if (typeof cause !== 'object' || cause === null) return cause;
    // The first caller gets the error itself: a hook may compare it with the one that it has thrown.
    if (this.#used.has(cause) || !Object.isExtensible(cause)) return copyOfError(cause);
    this.#used.add(cause);
    return cause;
  }
}

function connectTimeoutError(cause: Error): Error {
  return new Error('Connection terminated due to connection timeout', { cause });
}
