import { Query } from 'pg';
import { QueryTimeoutError } from '../../errors/connection.errors.js';
import { startDeadline } from '../deadline.js';
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
 * The client's limit for a statement: the shorter of `query_timeout` and `statementLimitMs`, whose default is the server's
 * limit with the grace. Milliseconds, 0 is none.
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

/** How long the server has to confirm a cancel before the client closes the socket. */
const CANCEL_GRACE_MS = 1_000;

/** How often a limit checks whether a cursor or a COPY has stalled: this many times in the limit, */
const STALL_CHECKS_PER_LIMIT = 10;
/** and at least in this interval. */
const STALL_CHECK_INTERVAL_MS = 250;

/**
 * The client's limit for a statement. The server's `statement_timeout` expires first; this limit is for a frozen network,
 * where the server's error never arrives. Where a pooler lets no `statement_timeout` pass, the limit is the client's alone:
 * it cancels the statement, and the caller gets the server's error for a statement timeout.
 */
export class StatementLimit {
  readonly #connection: LimitedConnection;
  readonly #pg: PgInternals;
  readonly #limitMs: number;
  readonly #clientOnlyLimitMs: () => number;
  readonly #setting: string | undefined;
  #cancelTimer: (() => void) | undefined;
  #isSuspended = false;
  /** Whether the limit that the client alone enforces has cancelled the active statement. */
  #hasCancelled = false;
  // For statements that last as long as their reader likes, cursors and COPY:
  /** `bytesRead` of the socket at the last check. */
  #bytesRead = 0;
  /** `bytesWritten` of the socket when the last answer was complete. */
  #bytesAnswered = 0;
  /** Since when the server owes an answer and sends nothing; undefined when it owes none. */
  #silentSince: number | undefined;

  /**
   * @param limitMs the limit beside that of the server, which expires first
   * @param clientOnlyLimitMs the limit where the server enforces none, else 0; read for each statement
   * @param setting the name of the setting that the limit comes from, for hints
   */
  constructor(
    connection: LimitedConnection,
    pg: PgInternals,
    limitMs: number,
    clientOnlyLimitMs: () => number = () => 0,
    setting?: string,
  ) {
    this.#connection = connection;
    this.#pg = pg;
    this.#limitMs = limitMs;
    this.#clientOnlyLimitMs = clientOnlyLimitMs;
    this.#setting = setting;
  }

  onStatementSent(): void {
    if (this.#isSuspended || this.#cancelTimer) return;
    this.onPortalSuspended();
    this.#bytesRead = this.#pg.stream?.bytesRead ?? 0;
    this.#silentSince = undefined;
    this.#startTimer();
  }

  /** The server has sent all the rows that a cursor had asked for. */
  onPortalSuspended(): void {
    this.#bytesAnswered = this.#pg.stream?.bytesWritten ?? 0;
  }

  /** Ends the time of the active statement. The time of the next one starts if it was sent ahead. */
  onReadyForQuery(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    this.#hasCancelled = false;
    if (this.#pg.hasPipelinedQueries) this.onStatementSent();
  }

  /** A borrower sets its own limit on the server: the client's would cancel a migration that asks for an hour. */
  suspend(): void {
    this.#isSuspended = true;
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }

  /** The limit of a borrower is no longer in force. */
  resume(): void {
    this.#isSuspended = false;
  }

  /**
   * Rewrites the server's error for a statement that this limit has cancelled as the error of a statement timeout: the
   * server knows of a cancel request only.
   */
  rewriteCancelError(error: Error & { code?: string; hint?: string }): void {
    if (!this.#hasCancelled || error.code !== '57014') return;
    error.message = 'canceling statement due to statement timeout';
    error.hint ??= this.#clientOnlyHint();
  }

  #currentLimitMs(): number {
    const clientOnlyMs = this.#clientOnlyLimitMs();
    return this.#isClientOnly(clientOnlyMs) ? clientOnlyMs : this.#limitMs;
  }

  #isClientOnly(limitMs: number): boolean {
    return limitMs > 0 && (this.#limitMs <= 0 || limitMs < this.#limitMs);
  }

  #startTimer(): void {
    const limitMs = this.#currentLimitMs();
    if (limitMs <= 0) return;
    const active = this.#pg.activeQuery;
    const checksStall = !!active && !(active instanceof Query);
    const ms = checksStall
      ? Math.min(limitMs, STALL_CHECK_INTERVAL_MS, Math.ceil(limitMs / STALL_CHECKS_PER_LIMIT))
      : limitMs;
    const onExpired = () => {
      this.#cancelTimer = undefined;
      if (this.#connection.isReadyForQuery) return;
      const isPlain = this.#pg.activeQuery instanceof Query;
      if (isPlain ? checksStall : !this.#hasStalled(limitMs)) return this.#startTimer();
      this.#expire(limitMs);
    };
    this.#cancelTimer = startDeadline(ms, onExpired, false);
  }

  #expire(limitMs: number): void {
    const active = this.#pg.activeQuery;
    this.#hasCancelled = this.#isClientOnly(limitMs);
    const error = new QueryTimeoutError(limitMs, active?.text, this.#hint());
    // Beside a limit of the server, the network is frozen: the caller gets the error now, and the server's answer, if one
    // arrives, is dropped. Without one, the network is probably healthy, and the server's error is on its way.
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
      `The limit is ${this.#setting} with the client's grace; the server did not enforce it in time.`
    );
  }

  #clientOnlyHint(): string {
    const setting = this.#setting ?? 'poolerTerms.statementLimitMs';
    return `The limit is ${setting}. The client enforces it: behind a pooler, the server does not.`;
  }

  /**
   * Whether something was sent, and nothing has come back for a whole limit. A cursor may stay open for as long as its
   * reader likes, and a paused socket that holds data means a slow reader, not a silent server: COPY … TO always pauses it.
   */
  #hasStalled(limitMs: number): boolean {
    const { stream } = this.#pg;
    const { bytesRead = 0, bytesWritten = 0, readableLength } = stream ?? {};
    const isServerSilent =
      bytesWritten > this.#bytesAnswered &&
      bytesRead === this.#bytesRead &&
      (readableLength === 0 || !stream?.isPaused());
    this.#bytesRead = bytesRead;
    // Counts from this check: the request may have been sent just before it.
    this.#silentSince = isServerSilent ? (this.#silentSince ?? performance.now()) : undefined;
    return this.#silentSince !== undefined && performance.now() - this.#silentSince >= limitMs;
  }
}
