import type { PgWire } from '../wire/pg-internals.js';

/** A statement that is a readable stream: pg-query-stream's, COPY … TO of pg-copy-streams. */
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
  // What is written to (COPY … FROM) hears of every end from `pg`, and tells of it itself.
  return (
    typeof submit === 'function' &&
    typeof destroy === 'function' &&
    readable !== undefined &&
    writable === undefined
  );
}

const ignore = () => undefined;

/**
 * The streams that read from a connection. `pg` tells a statement of the end; a stream hears it at its next read only, and
 * then waits for a ReadyForQuery that never comes before it tells its reader.
 */
export class ReadingStreams {
  readonly #wire: PgWire;
  readonly #open = new Set<unknown>();
  #ended = false;

  constructor(wire: PgWire) {
    this.#wire = wire;
  }

  /** A statement was handed to `query`; it may wait for its turn. */
  add(statement: unknown): void {
    if (this.#ended || typeof statement !== 'object' || statement === null || !isReadingStream(statement))
      return;
    this.#open.add(statement);
    statement.once('close', () => this.#open.delete(statement));
  }

  /** The server has completed or refused the statement: what its reader has not taken yet is complete. */
  done(statement: unknown): void {
    this.#open.delete(statement);
  }

  /** Ends all of them with `reason`. */
  end(reason: Error): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#answerWaits();
    for (const each of this.#open) {
      const stream = each as ReadingStream;
      if (stream.destroyed) continue;
      // A reader that does not listen yet finds the reason when it reads.
      stream.on('error', ignore);
      stream.destroy(reason);
      // The callback of a cursor is called by it; all else would emit a second error.
      if (stream.cursor === undefined) stream.handleError = ignore;
    }
    this.#open.clear();
  }

  /** Closing a cursor waits for ReadyForQuery: whoever waits, or comes to wait, would hang. */
  #answerWaits(): void {
    const wire = this.#wire;
    // The server listens no more: what a cursor writes to be closed would fail the socket, and stand for the reason.
    wire.close = wire.sync = ignore;
    const once = wire.once.bind(wire);
    wire.once = (event, listener) => {
      if (event !== 'readyForQuery') return once(event, listener);
      process.nextTick(listener);
      return wire;
    };
    for (const waiting of wire.rawListeners('readyForQuery')) {
      // Of `once`: it holds the listener that it was given.
      if (!('listener' in waiting)) continue;
      wire.removeListener('readyForQuery', waiting as never);
      process.nextTick(waiting.listener as () => void);
    }
  }
}
