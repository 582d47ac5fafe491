import { ConnectTimeoutError } from '../../errors/connection.errors.js';
import {
  PoolAcquireTimeoutError,
  PoolClosedError,
  PoolConnectError,
  PoolError,
} from '../../errors/pool.errors.js';
import { setStackFrom } from '../../text/call-site.js';

/** Turns an error of the pool into the one that the caller gets; `site` is where the caller stands. */
export type Restate = (error: Error, site: { stack?: string }) => Error;

/**
 * The errors of `connect()` and `query()` as `pg.Pool` gives them: those of the dial itself, and its own words for the
 * rest. Code that tells failures apart by `error.code` or by these words goes on working.
 */
export class PgPoolErrors {
  /** Errors that a caller has got. One dial can fail several waiters, and each needs a stack of its own. */
  readonly #given = new WeakSet<object>();

  readonly restate: Restate = (error, site) => {
    const restated = this.#restated(error);
    // A hook may throw anything.
    if (typeof restated !== 'object' || restated === null) return restated;
    if (restated !== error) setStackFrom(restated, site);
    return restated;
  };

  #restated(error: Error): Error {
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
    // Dials have failed all the time. A failed validation is no dial.
    if (cause !== undefined && !(cause instanceof PoolError)) return this.#connectError(cause as Error);
    const connecting = snapshot && snapshot.connecting > 0 && snapshot.leased === 0;
    return connecting
      ? connectTimeoutError(error)
      : new Error('timeout exceeded when trying to connect', { cause: error });
  }

  #connectError(cause: Error): Error {
    if (cause instanceof ConnectTimeoutError) return connectTimeoutError(cause);
    if (typeof cause !== 'object' || cause === null) return cause;
    // The first caller gets the object itself: a hook may compare what comes of its error.
    if (this.#given.has(cause) || !Object.isExtensible(cause)) return copyOf(cause);
    this.#given.add(cause);
    return cause;
  }
}

function connectTimeoutError(cause: Error): Error {
  return new Error('Connection terminated due to connection timeout', { cause });
}

/** The same error with all its properties but the stack. */
function copyOf(error: Error): Error {
  const { stack: _stack, ...properties } = Object.getOwnPropertyDescriptors(error) as PropertyDescriptorMap;
  const copy = new Error(error.message);
  Object.setPrototypeOf(copy, Object.getPrototypeOf(error) as object);
  return Object.defineProperties(copy, properties);
}
