import type { ResetMode } from '../database.options.js';
import { CLOSE_TIMEOUT_MS, withTimeout } from './deadline.js';
import { resetSession } from './session/reset.js';
import type { ResetResult } from './session/reset.js';
import { rejectQuery } from './statements/rejected-query.js';
import { sendCancelRequest } from './wire/cancel-request.js';
import { isFatal } from './wire/disconnect.js';
import { PgInternals } from './wire/pg-internals.js';

/** How long the answer to a confirmed cancel is awaited before the socket is destroyed. */
const CANCEL_ANSWER_TIMEOUT_MS = 100;

/** The methods that every client compatible with `pg` has. */
export interface PgClientLike {
  query(...args: never[]): unknown;
  end(callback: (error?: Error) => void): unknown;
}

/**
 * Adapts a client of another class, a plain `pg.Client` or a fake, to what the pool needs of a `Connection`. The adapter does
 * not see what changes the session: the reset mode `smart` does the same as `rollback`.
 */
export class PgClientAdapter {
  readonly #client: PgClientLike;
  readonly #pg: PgInternals;
  closeReason: Error | undefined;
  readonly lastSql: string | undefined;
  /** Whether a cancel request may still arrive: it is in flight, or the server has not confirmed it. */
  #isCancelPending = false;

  constructor(client: PgClientLike) {
    this.#client = client;
    this.#pg = new PgInternals(client);
    // `pg` reports a FATAL error to the active statement, and later only that the socket has ended.
    this.#pg.wire?.on?.('errorMessage', (error) => {
      if (isFatal(error)) this.closeReason ??= error;
    });
  }

  get isUsable(): boolean {
    return this.closeReason === undefined && this.#pg.isQueryable;
  }

  get isReadyForQuery(): boolean {
    return this.#pg.isReadyForQuery;
  }

  /** The number of bytes sent, which every statement increases; undefined for a client without a visible socket. */
  get statementCount(): number | undefined {
    return this.#pg.stream?.bytesWritten;
  }

  get transactionStatus(): 'I' | 'T' | 'E' | null {
    return this.#pg.transactionStatus;
  }

  reset(mode: ResetMode, timeoutMs: number): Promise<ResetResult> | undefined {
    if (this.#isCancelPending)
      return Promise.reject(new Error('The server has not confirmed a cancel request: it may still arrive.'));
    if (mode === 'none') return undefined;
    const status = this.transactionStatus;
    if (mode !== 'discard' && this.isReadyForQuery && (status === 'I' || status === null)) return undefined;
    return resetSession(this.#pg, {
      send: (statement) => this.#client.query(statement as never) as Promise<never>,
      whenReadyForQuery: () => this.#whenReadyForQuery(),
      needsDiscard: () => mode === 'discard',
      setup: [],
      suspectsStandby: () => false,
      cancelSettled: () => undefined,
      timeoutMs,
    });
  }

  validate(timeoutMs: number): Promise<void> {
    // An async function, since some classes throw where others reject.
    const asked = (async () => void (await this.#client.query('SELECT 1' as never)))();
    return withTimeout(
      asked,
      timeoutMs,
      () => new Error(`The connection did not answer within ${timeoutMs} ms.`),
    );
  }

  /** Asks the server to cancel the active statement, unless the client may have reached another server than its port names. */
  async cancelRunning(timeoutMs = CLOSE_TIMEOUT_MS): Promise<void> {
    await this.#cancelRunning(timeoutMs);
  }

  /** @returns whether a cancel request was sent and is over */
  async #cancelRunning(timeoutMs: number): Promise<boolean> {
    const { host, port } = this.#pg.target;
    // A stream of the caller may lead to another server, which must not get the cancel key.
    const isKnownServer = host?.startsWith('/') || this.#pg.stream?.remotePort === Number(port);
    if (!isKnownServer || this.isReadyForQuery || !this.#pg.cancelKey) return false;
    this.#isCancelPending = true;
    const isOver = await sendCancelRequest(this.#client, timeoutMs);
    if (isOver) this.#isCancelPending = false;
    return isOver;
  }

  close(timeoutMs = CLOSE_TIMEOUT_MS): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.destroy();
        resolve();
      }, timeoutMs);
      this.#client.end(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  /** Never throws: its error would replace that of a failed connect. */
  destroy(reason?: Error): void {
    this.closeReason ??= reason;
    try {
      if (!this.#pg.closeSocket(reason)) this.#client.end(() => undefined);
    } catch (error) {
      // A client whose `end` throws counts as closed.
      this.closeReason ??= error as Error;
    }
  }

  /**
   * Cancels the active statement, then destroys the socket. Later statements are rejected with `reason`, the active one with the
   * answer to the cancel if that arrives in time.
   */
  async terminate(reason: Error): Promise<void> {
    this.closeReason ??= reason;
    // On the object, since the class is the caller's. The borrower may still use the client.
    Object.defineProperty(this.#client, 'query', {
      value: (...request: unknown[]) => rejectQuery(request, reason, this.#pg.wire),
      writable: true,
      configurable: true,
    });
    // The cancel request ends on a socket of its own, often a moment before its answer arrives on this one.
    if (await this.#cancelRunning(CLOSE_TIMEOUT_MS))
      await withTimeout(this.#whenReadyForQuery(), CANCEL_ANSWER_TIMEOUT_MS, () => reason).catch(
        () => undefined,
      );
    this.destroy(reason);
  }

  #whenReadyForQuery(): Promise<void> {
    return this.#pg.whenReadyForQuery(() => this.isReadyForQuery);
  }
}
