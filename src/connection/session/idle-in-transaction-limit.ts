import { shortSql } from '../../text/masking.js';
import { ConnectionError } from '../../errors/connection.errors.js';

/**
 * The error of the client's limit, with the code and the severity of PostgreSQL's `idle_in_transaction_session_timeout`: an app
 * handles both limits alike.
 * @param sql the last statement of the transaction
 * @param setting the name of the setting that the limit comes from, for the hint
 */
export function idleInTransactionError(
  limitMs: number,
  sql: string | undefined,
  setting = 'poolerTerms.idleInTransactionMs',
): Error {
  const last = sql === undefined ? '' : `; its last SQL was ${shortSql(sql)}`;
  const error = new ConnectionError(
    `terminating connection due to idle-in-transaction timeout: a transaction was idle for ${limitMs} ms${last}`,
    {
      code: '25P03',
      hint: `The limit is ${setting}. The client enforces it: behind a pooler, the server does not.`,
    },
  );
  return Object.assign(error, { severity: 'FATAL' });
}

/**
 * The client's limit for an idle transaction, when the server enforces none. One timer serves all transactions of a
 * connection: most of them end long before the limit, and a timer for each would cost more than the statement.
 */
export class IdleInTransactionLimit {
  readonly #limitMs: () => number;
  readonly #onExpired: (limitMs: number) => void;
  #timer: NodeJS.Timeout | undefined;
  /** When the open transaction became idle. */
  #idleSince: number | undefined;

  /** @param limitMs milliseconds, 0 for no limit; read for each transaction */
  constructor(limitMs: () => number, onExpired: (limitMs: number) => void) {
    this.#limitMs = limitMs;
    this.#onExpired = onExpired;
  }

  onReadyForQuery(transactionStatus: string | null | undefined): void {
    this.#idleSince = undefined;
    if (transactionStatus !== 'T' && transactionStatus !== 'E') return;
    const limitMs = this.#limitMs();
    if (limitMs <= 0) return;
    this.#idleSince = performance.now();
    if (!this.#timer) this.#startTimer(limitMs);
  }

  onStatementSent(): void {
    this.#idleSince = undefined;
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#idleSince = undefined;
  }

  #startTimer(ms: number): void {
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      // A statement is active, or no transaction is open. The next idle transaction starts the timer again.
      if (this.#idleSince === undefined) return;
      const limitMs = this.#limitMs();
      const remainingMs = this.#idleSince + limitMs - performance.now();
      if (remainingMs > 0) this.#startTimer(Math.ceil(remainingMs));
      else if (limitMs > 0) this.#onExpired(limitMs);
    }, ms);
    this.#timer.unref();
  }
}
