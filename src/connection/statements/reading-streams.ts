import type { PgInternals } from '../wire/pg-internals.js';

/** A submittable that is a readable stream: of pg-query-stream, or COPY … TO of pg-copy-streams. */
interface ReadingStream {
  readonly destroyed: boolean;
  readonly cursor?: unknown;
  handleError?: unknown;
  destroy(reason: Error): unknown;
  on(event: 'error', listener: () => void): unknown;
  once(event: 'close', listener: () => void): unknown;
}

function isReadingStream(statement: unknown): statement is ReadingStream {
  const { submit, destroy, readable, writable } = statement as Record<string, unknown>;
  // `pg` reports the end of the connection to a writable stream (COPY … FROM), which reports it to its user.
  return (
    typeof submit === 'function' &&
    typeof destroy === 'function' &&
    readable !== undefined &&
    writable === undefined
  );
}

const ignore = () => undefined;

/**
 * The streams that read from a connection. When the connection ends, `pg` reports it to the active statement only. Any other
 * stream would not fail at its next read, but wait for a ReadyForQuery that never arrives.
 */
export class ReadingStreams {
  readonly #pg: PgInternals;
  readonly #open = new Set<unknown>();
  #hasEnded = false;

  constructor(pg: PgInternals) {
    this.#pg = pg;
  }

  /** Records a statement if it is a readable stream. */
  add(statement: unknown): void {
    if (this.#hasEnded || !isReadingStream(statement)) return;
    this.#open.add(statement);
    statement.once('close', () => this.#open.delete(statement));
  }

  /** The server has completed or rejected the statement: all rows have arrived, and its reader may take them later. */
  onCompleted(statement: unknown): void {
    this.#open.delete(statement);
  }

  /** Destroys all open streams with `reason`. */
  end(reason: Error): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#pg.releaseReadyForQueryWaits();
    for (const open of this.#open) {
      const stream = open as ReadingStream;
      if (stream.destroyed) continue;
      // Without a listener, the error would crash the process. A later reader still gets it.
      stream.on('error', ignore);
      stream.destroy(reason);
      // A cursor calls the callback of its read in `handleError`; any other stream would emit a second error.
      if (stream.cursor === undefined) stream.handleError = ignore;
    }
    this.#open.clear();
  }
}
