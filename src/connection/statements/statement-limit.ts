import { Query } from 'pg';
import { QueryTimeoutError } from '../../errors/connection.errors.js';
import { after } from '../deadline.js';
import { internalsOf, isReadyForQuery } from '../wire/pg-internals.js';

/** What the limit does to a connection whose statement has run out of time. */
export interface Limited {
  cancelRunning(timeoutMs?: number): Promise<void>;
  destroy(reason: Error): void;
}

const LEAST_GRACE_MS = 500;
const LONGEST_GRACE_MS = 5_000;

/** How much longer than the server's own limit the client waits, where nothing else is set: a quarter, within bounds. */
export function statementGraceMs(limitMs: number): number {
  return Math.min(Math.max(Math.round(limitMs / 4), LEAST_GRACE_MS), LONGEST_GRACE_MS);
}

/** How long the server has for its answer to a cancel before the socket is cut. */
const CANCEL_GRACE_MS = 1_000;

/** How often it is looked whether a statement that its reader keeps open has stalled: so often in a limit, or more. */
const LOOKS = 10;
const LOOK_MS = 250;

const hintAlone = (setting = 'terms.statementLimitMs') =>
  `The limit is ${setting}, kept by the client: behind a pooler the server keeps none.`;

/**
 * The client's half of a statement's time limit. The server's `statement_timeout` comes first; this one is for a
 * network that has frozen, where the server's word never arrives and every caller would hang for ever. Where the server
 * keeps no limit, since a pooler let none pass, the client keeps it alone, and the caller hears the server's own word for
 * a cancelled statement.
 */
export class StatementLimit {
  readonly #client: object & Limited;
  readonly #limitMs: number;
  readonly #aloneMs: () => number;
  readonly #setting: string | undefined;
  /** Takes the time back that runs. */
  #cancel: (() => void) | undefined;
  #suspended = false;
  // For statements that live as long as their reader wants (cursors, COPY):
  /** Bytes that had come by the last look. */
  #read = 0;
  /** Since when the server has surely owed an answer and sent nothing; undefined when it owes none. */
  #silentSince: number | undefined;
  /** Bytes that had been sent when the last answer was complete. */
  #answered = 0;
  /** The running statement was cancelled by the limit that the client keeps alone. */
  #cancelledAlone = false;

  /**
   * @param limitMs where the server's limit comes first
   * @param aloneMs where there is none at the server; 0 while there is
   * @param setting the name of the limit, for hints; undefined is the option of a connection
   */
  constructor(client: object & Limited, limitMs: number, aloneMs: () => number = () => 0, setting?: string) {
    this.#client = client;
    this.#limitMs = limitMs;
    this.#aloneMs = aloneMs;
    this.#setting = setting;
  }

  /** A statement goes out. */
  start(): void {
    if (this.#suspended || this.#cancel) return;
    this.answered();
    this.#read = internalsOf(this.#client).connection?.stream.bytesRead ?? 0;
    this.#silentSince = undefined;
    this.#arm();
  }

  /** The rows that a cursor had asked for are here. */
  answered(): void {
    this.#answered = internalsOf(this.#client).connection?.stream.bytesWritten ?? 0;
  }

  /** The server is ready again; with statements sent ahead, the next one's time begins. */
  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#cancelledAlone = false;
    if (internalsOf(this.#client)._sentQueryQueue?.length) this.start();
  }

  /** Has the server's answer to a cancelled statement say what it says at a limit of its own; it knows of a cancel only. */
  explain(error: Error & { code?: string; hint?: string }): void {
    if (!this.#cancelledAlone || error.code !== '57014') return;
    error.message = 'canceling statement due to statement timeout';
    error.hint ??= hintAlone(this.#setting);
  }

  #limit(): number {
    const alone = this.#aloneMs();
    return this.#isAlone(alone) ? alone : this.#limitMs;
  }

  #isAlone(alone: number): boolean {
    return alone > 0 && (this.#limitMs <= 0 || alone < this.#limitMs);
  }

  /** The borrower sets its own limit on the server: ours would cut a migration that asked for an hour. */
  suspend(): void {
    this.#suspended = true;
    this.#cancel?.();
    this.#cancel = undefined;
  }

  /** The borrower's settings are gone again. */
  resume(): void {
    this.#suspended = false;
  }

  #arm(): void {
    const limit = this.#limit();
    if (limit <= 0) return;
    const active = internalsOf(this.#client)._activeQuery;
    const looks = active && !(active instanceof Query);
    const ms = looks ? Math.min(limit, LOOK_MS, Math.ceil(limit / LOOKS)) : limit;
    const ring = () => {
      this.#cancel = undefined;
      if (isReadyForQuery(this.#client)) return;
      const plain = internalsOf(this.#client)._activeQuery instanceof Query;
      if (plain ? looks : !this.#stalled(limit)) return this.#arm();
      this.#expire(limit);
    };
    this.#cancel = after(ms, ring, false);
  }

  #expire(limitMs: number): void {
    const active = internalsOf(this.#client)._activeQuery;
    const plain = active instanceof Query;
    this.#cancelledAlone = this.#isAlone(limitMs);
    const error = new QueryTimeoutError(limitMs, active?.text, this.#hint());
    // The caller learns of it now; what the server still says to this statement is for nobody. Where no other limit came
    // before this one, the network is likely to be well, and the server's word is on its way.
    if (plain && active.callback && !this.#cancelledAlone) {
      const callback = active.callback;
      active.callback = () => undefined;
      callback(error);
    }
    void this.#client.cancelRunning(CANCEL_GRACE_MS);
    const cut = () => {
      if (internalsOf(this.#client)._activeQuery === active && !isReadyForQuery(this.#client))
        this.#client.destroy(error);
    };
    after(CANCEL_GRACE_MS, cut, false);
  }

  #hint(): string | undefined {
    if (this.#cancelledAlone) return hintAlone(this.#setting);
    return (
      this.#setting && `The limit is ${this.#setting} and the client's grace; the server did not keep it.`
    );
  }

  /**
   * A cursor may lie open for as long as its reader likes: it has stalled only when something was sent and nothing came
   * back for a whole limit. A paused socket with bytes in it is a reader that takes its time; COPY … TO pauses it always.
   */
  #stalled(limitMs: number): boolean {
    const stream = internalsOf(this.#client).connection?.stream;
    const { bytesRead = 0, bytesWritten = 0, readableLength } = stream ?? {};
    const waits =
      bytesWritten > this.#answered &&
      bytesRead === this.#read &&
      (readableLength === 0 || !stream?.isPaused());
    this.#read = bytesRead;
    // The server may have been asked just now: the time up to the first look does not count.
    this.#silentSince = waits ? (this.#silentSince ?? performance.now()) : undefined;
    return this.#silentSince !== undefined && performance.now() - this.#silentSince >= limitMs;
  }
}
