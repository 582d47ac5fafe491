import { ConnectionError } from '../../errors/connection.errors.js';
import { shortSql } from '../../text/masking.js';

/**
 * The error that the server gives in such a case, so that one handler is enough for both.
 * @param setting the name of the limit
 */
export function idleInTransaction(
  limitMs: number,
  sql: string | undefined,
  setting = 'terms.idleInTransactionMs',
): Error {
  const last = sql === undefined ? '' : `; its last SQL was ${shortSql(sql)}`;
  const error = new ConnectionError(
    `terminating connection due to idle-in-transaction timeout: a transaction was idle for ${limitMs} ms${last}`,
    {
      code: '25P03',
      hint: `The limit is ${setting}, kept by the client: behind a pooler the server keeps none.`,
    },
  );
  return Object.assign(error, { severity: 'FATAL' });
}

/**
 * The client's limit for a pause inside a transaction, where the server keeps none. One timer at most, which looks at
 * the time: most transactions end long before it, and none of them pays for a timer of its own.
 */
export class IdleLimit {
  readonly #limitMs: () => number;
  readonly #expire: (limitMs: number) => void;
  #timer: NodeJS.Timeout | undefined;
  /** Since when the server waits for the next statement of the transaction. */
  #since: number | undefined;

  constructor(limitMs: () => number, expire: (limitMs: number) => void) {
    this.#limitMs = limitMs;
    this.#expire = expire;
  }

  /** The server is ready, in this state of the transaction. */
  ready(status: string | undefined): void {
    this.#since = undefined;
    if (status !== 'T' && status !== 'E') return;
    const limit = this.#limitMs();
    if (limit <= 0) return;
    this.#since = performance.now();
    if (!this.#timer) this.#arm(limit);
  }

  /** A statement goes out. */
  sent(): void {
    this.#since = undefined;
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#since = undefined;
  }

  #arm(ms: number): void {
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      // Something runs, or the transaction has ended: the next pause arms it again.
      if (this.#since === undefined) return;
      const limit = this.#limitMs();
      const left = this.#since + limit - performance.now();
      if (left > 0) this.#arm(Math.ceil(left));
      else if (limit > 0) this.#expire(limit);
    }, ms);
    this.#timer.unref();
  }
}
