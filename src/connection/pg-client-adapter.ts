import { bounded } from './bounded.js';
import { sendCancel } from './wire/cancel.js';
import { isFatal } from './wire/disconnect.js';
import {
  cutSocket,
  internalsOf,
  isQueryable,
  isReadyForQuery,
  transactionStatusOf,
} from './wire/pg-internals.js';
import { refuseFrom } from './statements/refusal.js';
import { resetSession } from './session/reset.js';
import type { ResettableClient, ResetMode, ResetResult } from './session/reset.js';

/** Longest wait for the server's goodbye, or for its word that it was told to stop. */
const CLOSE_TIMEOUT_MS = 1_000;

/** What any `pg`-compatible client has. */
export interface PgClientLike {
  query(...args: never[]): unknown;
  end(callback: (error?: Error) => void): unknown;
}

/**
 * The care that a `Connection` takes of itself, for a client of another class: `pg.Client`, one that a tracing tool has
 * wrapped, a fake. It cannot see what a session was changed by, so `smart` is `rollback` here.
 */
export class PgClientAdapter {
  readonly #client: PgClientLike;
  closeReason: Error | undefined;
  readonly lastSql: string | undefined;
  /** A cancel is under way, or was sent and not confirmed: it may still arrive. */
  #cancelAstray = false;

  constructor(client: PgClientLike) {
    this.#client = client;
    // `pg` tells it to the statement that runs; all that it emits later is that the socket has ended.
    internalsOf(client).connection?.on?.('errorMessage', (error: Error) => {
      if (isFatal(error)) this.closeReason ??= error;
    });
  }

  get isUsable(): boolean {
    return this.closeReason === undefined && isQueryable(this.#client);
  }

  get isReadyForQuery(): boolean {
    return isReadyForQuery(this.#client);
  }

  /** Bytes sent, which no statement leaves as they were; unknown where the client shows no socket. */
  get statementCount(): number | undefined {
    const { connection } = internalsOf(this.#client) as {
      connection?: { stream?: { bytesWritten?: number } };
    };
    return connection?.stream?.bytesWritten;
  }

  get transactionStatus(): 'I' | 'T' | 'E' | null {
    return transactionStatusOf(this.#client);
  }

  reset(mode: ResetMode, timeoutMs: number): Promise<ResetResult> | undefined {
    if (this.#cancelAstray)
      return Promise.reject(
        new Error('A cancel was sent that the server has not confirmed: it may still arrive.'),
      );
    if (mode === 'none') return undefined;
    const status = this.transactionStatus;
    if (mode !== 'discard' && this.isReadyForQuery && (status === 'I' || status === null)) return undefined;
    return resetSession(this.#client as unknown as object & ResettableClient, {
      clear: () => mode === 'discard',
      setup: [],
      suspectStandby: () => false,
      cancelled: () => undefined,
      timeoutMs,
    });
  }

  validate(timeoutMs: number): Promise<void> {
    // Some classes throw instead of rejecting.
    const asked = (async () => void (await this.#client.query('SELECT 1' as never)))();
    return bounded(
      asked,
      timeoutMs,
      () => new Error(`The connection did not answer within ${timeoutMs} ms.`),
    );
  }

  /** Asks the server to stop what runs, where it is known to be the one that the client has reached. */
  async cancelRunning(timeoutMs = CLOSE_TIMEOUT_MS): Promise<void> {
    const { host, port, connection } = internalsOf(this.#client);
    // A stream of the caller's own may lead elsewhere than host and port say, and the key is for that server alone.
    const known = host?.startsWith('/') || connection?.stream.remotePort === Number(port);
    if (!known || this.isReadyForQuery) return;
    this.#cancelAstray = true;
    if (await sendCancel(this.#client, timeoutMs)) this.#cancelAstray = false;
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

  /** Never throws: what is left of a dial that failed must not hide why. */
  destroy(reason?: Error): void {
    this.closeReason ??= reason;
    try {
      if (!cutSocket(this.#client, reason)) this.#client.end(() => undefined);
    } catch (thrown) {
      // A fake has no `end`; a client that can't be ended is as gone as it will be.
      this.closeReason ??= thrown as Error;
    }
  }

  /** Stops what is running on the server, then destroys; every later statement fails with `reason`. */
  async terminate(reason: Error): Promise<void> {
    this.closeReason ??= reason;
    refuseFrom(this.#client, reason);
    await this.cancelRunning();
    this.destroy(reason);
  }
}
