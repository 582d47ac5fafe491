import { Query } from 'pg';
import { QueryTimeoutError } from '../../errors/connection.errors.js';
import { LONGEST_TIMER_MS, startDeadline } from '../deadline.js';
import type { PgInternals, SubmittedQuery } from '../wire/pg-internals.js';

/** The connection whose statements are limited. */
export interface LimitedConnection {
  readonly isReadyForQuery: boolean;
  cancelRunning(timeoutMs?: number): Promise<void>;
  destroy(reason: Error): void;
}

const MIN_GRACE_MS = 500;
const MAX_GRACE_MS = 5_000;

/**
 * How much longer than the server's `statement_timeout` the client waits by default: a quarter of it, at least 500 ms and
 * at most 5 s.
 */
export function statementGraceMs(limitMs: number): number {
  return Math.min(Math.max(Math.round(limitMs / 4), MIN_GRACE_MS), MAX_GRACE_MS);
}

/**
 * The client's limit for a statement: the shorter of `query_timeout` and `statementLimitMs`. The default of the latter is the
 * server's `statement_timeout` plus the grace. Milliseconds, 0 is off.
 */
export function statementLimitMs(
  options: { statementLimitMs?: number; statementGraceMs?: number },
  statementTimeoutMs: number,
  queryTimeoutMs: number,
): number {
  const graceMs = options.statementGraceMs ?? statementGraceMs(statementTimeoutMs);
  const limitMs = options.statementLimitMs ?? (statementTimeoutMs > 0 ? statementTimeoutMs + graceMs : 0);
  const limits = [limitMs, queryTimeoutMs].filter((ms) => ms > 0);
  return limits.length > 0 ? Math.min(...limits) : 0;
}

/** How long the server has to end a cancelled statement before the client closes the socket. Milliseconds. */
const CANCEL_GRACE_MS = 1_000;

/** A limit checks at least this many times whether a cursor or a COPY has stalled, */
const MIN_STALL_CHECKS = 10;
/** and waits at most this long between two checks. */
const MAX_STALL_CHECK_INTERVAL_MS = 250;

/** Whether a statement lasts as long as its reader likes: a cursor or a COPY. */
function isOpenEnded(query: SubmittedQuery | null | undefined): boolean {
  return !!query && !(query instanceof Query);
}

/**
 * The client's limit for a statement. There are two, and the shorter one counts:
 * - The backup limit is longer than the server's `statement_timeout`. It expires only when the server's error does not arrive,
 *   on a frozen network: the statement is rejected with a QueryTimeoutError.
 * - The client-only limit replaces `statement_timeout` behind a pooler that does not forward it. It cancels the statement, and
 *   the caller gets the server's error, rewritten as that of a statement timeout.
 */
export class StatementLimit {
  readonly #connection: LimitedConnection;
  readonly #pg: PgInternals;
  readonly #backupLimitMs: number;
  readonly #clientOnlyLimitMs: () => number;
  readonly #setting: string | undefined;
  /** One timer serves all statements of a connection: most of them end long before the limit. */
  #timer: NodeJS.Timeout | undefined;
  /** When the timer fires, and when the active statement is checked; `performance.now()`. Infinity is never. */
  #timerAt = Infinity;
  #checkAt = Infinity;
  /** The limit of the active statement, and whether the next check is a stall check. */
  #limitMs = 0;
  #isStallCheck = false;
  #isSuspended = false;
  /** Whether the client-only limit has cancelled the active statement. */
  #hasCancelled = false;
  // For open-ended statements:
  /** `bytesRead` of the socket at the last check; undefined before the first check of a plain query. */
  #lastBytesRead: number | undefined;
  /** `bytesWritten` of the socket at the time when the server had answered every request. */
  #bytesAnswered = 0;
  /** When a check first found that the server owes an answer and sends nothing; undefined when the last one did not. */
  #silentSince: number | undefined;

  /**
   * @param backupLimitMs milliseconds, 0 is off
   * @param clientOnlyLimitMs milliseconds, 0 is off; read for each statement
   * @param setting the name of the setting that the limit comes from, for hints
   */
  constructor(
    connection: LimitedConnection,
    pg: PgInternals,
    backupLimitMs: number,
    clientOnlyLimitMs: () => number = () => 0,
    setting?: string,
  ) {
    this.#connection = connection;
    this.#pg = pg;
    this.#backupLimitMs = backupLimitMs;
    this.#clientOnlyLimitMs = clientOnlyLimitMs;
    this.#setting = setting;
  }

  /** The limit that is longer than the server's. Milliseconds, 0 is off. */
  get backupLimitMs(): number {
    return this.#backupLimitMs;
  }

  /** The name of the setting that the limit comes from. */
  get setting(): string | undefined {
    return this.#setting;
  }

  onStatementSent(): void {
    if (this.#isSuspended || this.#checkAt !== Infinity) return;
    const limitMs = this.#currentLimitMs();
    if (limitMs <= 0) return;
    this.#silentSince = this.#lastBytesRead = undefined;
    if (!(this.#pg.activeQuery instanceof Query)) {
      this.#recordAnswer();
      this.#lastBytesRead = this.#pg.stream?.bytesRead ?? 0;
    }
    this.#scheduleCheck(limitMs);
  }

  /** The server has sent all rows that a cursor has requested. */
  onPortalSuspended(): void {
    this.#recordAnswer();
  }

  #recordAnswer(): void {
    this.#bytesAnswered = this.#pg.stream?.bytesWritten ?? 0;
  }

  /** Ends the time of the active statement. With pipelining, starts that of the next one. */
  onReadyForQuery(): void {
    this.#checkAt = Infinity;
    this.#hasCancelled = false;
    if (this.#pg.hasPipelinedQueries) this.onStatementSent();
  }

  /** The borrower sets its own limit on the server. The client's would cancel a migration that sets one of an hour. */
  suspend(): void {
    this.#isSuspended = true;
    this.stop();
  }

  /** Stops the timer, until a statement starts it again. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#checkAt = Infinity;
  }

  /** The borrower's own limit is no longer in force. */
  resume(): void {
    this.#isSuspended = false;
  }

  /**
   * Rewrites the server's error as that of a statement timeout, when the client-only limit has cancelled the statement. The
   * server reports a cancel request by the user, because it knows of no limit.
   */
  rewriteCancelError(error: Error & { code?: string; hint?: string }): void {
    if (!this.#hasCancelled || error.code !== '57014') return;
    error.message = 'canceling statement due to statement timeout';
    error.hint ??= this.#clientOnlyHint();
  }

  #currentLimitMs(): number {
    const clientOnlyMs = this.#clientOnlyLimitMs();
    return this.#isClientOnly(clientOnlyMs) ? clientOnlyMs : this.#backupLimitMs;
  }

  #isClientOnly(limitMs: number): boolean {
    return limitMs > 0 && (this.#backupLimitMs <= 0 || limitMs < this.#backupLimitMs);
  }

  /** Schedules a check: after the whole limit, or at the next stall check when the active statement is open-ended. */
  #scheduleCheck(limitMs: number): void {
    this.#limitMs = limitMs;
    this.#isStallCheck = isOpenEnded(this.#pg.activeQuery);
    const checkInMs = this.#isStallCheck
      ? Math.min(limitMs, MAX_STALL_CHECK_INTERVAL_MS, Math.ceil(limitMs / MIN_STALL_CHECKS))
      : limitMs;
    this.#checkAt = performance.now() + checkInMs;
    if (!this.#timer || this.#checkAt < this.#timerAt) this.#startTimer(checkInMs);
  }

  #startTimer(ms: number): void {
    clearTimeout(this.#timer);
    this.#timerAt = performance.now() + ms;
    // After the event loop was blocked, timers fire before the sockets are read. An answer there has arrived in time.
    const timer = setTimeout(
      () => setImmediate(() => this.#timer === timer && this.#onTimer()),
      Math.min(ms, LONGEST_TIMER_MS),
    );
    timer.unref();
    this.#timer = timer;
  }

  #onTimer(): void {
    this.#timer = undefined;
    // No statement is active. The next one starts the timer again.
    if (this.#checkAt === Infinity) return;
    const remainingMs = this.#checkAt - performance.now();
    if (remainingMs > 0) return this.#startTimer(Math.ceil(remainingMs));
    this.#checkAt = Infinity;
    if (this.#connection.isReadyForQuery) return;
    // A plain query expires after the whole limit. Any other statement expires when the server stalls, and so does a connection
    // without an active query, which has received an error and no ReadyForQuery.
    const isExpired =
      this.#pg.activeQuery instanceof Query ? !this.#isStallCheck : this.#hasStalled(this.#limitMs);
    if (isExpired) return this.#expire(this.#limitMs);
    const limitMs = this.#currentLimitMs();
    if (limitMs > 0) this.#scheduleCheck(limitMs);
  }

  #expire(limitMs: number): void {
    const active = this.#pg.activeQuery;
    this.#hasCancelled = this.#isClientOnly(limitMs);
    const error = new QueryTimeoutError(limitMs, active?.text, this.#hint());
    // At the backup limit, the network is frozen: the statement is rejected now, and a later answer of the server is dropped.
    // At the client-only limit, the network is probably healthy: the server's error will arrive.
    if (active instanceof Query && !this.#hasCancelled) this.#rejectActive(active, error);
    void this.#connection.cancelRunning(CANCEL_GRACE_MS);
    const destroyIfRunning = () => {
      if (this.#pg.activeQuery === active && !this.#connection.isReadyForQuery)
        this.#connection.destroy(error);
    };
    startDeadline(CANCEL_GRACE_MS, destroyIfRunning, false);
  }

  #rejectActive(active: SubmittedQuery, error: Error): void {
    const { callback } = active;
    if (!callback) return;
    active.callback = () => undefined;
    callback(error);
  }

  #hint(): string | undefined {
    if (this.#hasCancelled) return this.#clientOnlyHint();
    return (
      this.#setting &&
      `The limit is ${this.#setting} plus the client's grace; the server did not enforce it in time.`
    );
  }

  #clientOnlyHint(): string {
    const setting = this.#setting ?? 'poolerTerms.statementLimitMs';
    return `The limit is ${setting}. The client enforces it: behind a pooler, the server does not.`;
  }

  /**
   * Whether the server has owed an answer and has sent nothing for a whole limit. It owes none to a cursor that is merely
   * open. It is not silent while the reader is slow; COPY … TO always pauses the socket, so that only buffered data counts.
   */
  #hasStalled(limitMs: number): boolean {
    const { stream } = this.#pg;
    const { bytesRead = 0, bytesWritten = 0, readableLength } = stream ?? {};
    const owesAnswer = bytesWritten > this.#bytesAnswered;
    const hasSentNothing = this.#lastBytesRead === undefined || bytesRead === this.#lastBytesRead;
    const isReaderSlow = readableLength !== 0 && stream?.isPaused() === true;
    this.#lastBytesRead = bytesRead;
    if (!owesAnswer || !hasSentNothing || isReaderSlow) {
      this.#silentSince = undefined;
      return false;
    }
    // The silence starts at this check, since the request may have been sent just before it.
    this.#silentSince ??= performance.now();
    return performance.now() - this.#silentSince >= limitMs;
  }
}
