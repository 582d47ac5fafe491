import type { Readable } from 'node:stream';
import type { Submittable } from 'pg';
import type { Connection } from '../../connection/connection.js';
import type { LeasedClient } from '../../pool/connections/pooled-connection.js';
import type { ReadStream } from '../typeorm-internals.js';

type QueryStreamClass = new (query: string, parameters?: unknown[]) => Submittable;

/** The open streams of one query runner. Each of them pins the connection. */
export class RunnerStreams {
  readonly #open = new Set<Readable>();

  /** @param onClose called once, when the stream has ended, failed or been destroyed */
  add(stream: Readable, onClose: () => void): void {
    this.#open.add(stream);
    stream.once('close', () => {
      this.#open.delete(stream);
      onClose();
    });
  }

  get isEmpty(): boolean {
    return this.#open.size === 0;
  }

  /** Destroys all streams: the cursor of an abandoned stream would keep the connection busy. */
  destroy(): void {
    for (const stream of this.#open) stream.destroy();
  }
}

/** @param queryStream the class of `pg-query-stream`, as TypeORM loads it */
export function openStream(
  connection: LeasedClient<Connection>,
  queryStream: unknown,
  query: string,
  parameters: unknown[] | undefined,
): ReadStream {
  const QueryStream = queryStream as QueryStreamClass;
  return connection.query(new QueryStream(query, parameters)) as unknown as ReadStream;
}

/** Calls `onEnd` and `onError` as TypeORM does, and `onEnd` also for a stream that is destroyed early. */
export function notifyCaller(
  stream: ReadStream,
  onEnd: (() => void) | undefined,
  onError: ((error: Error) => void) | undefined,
): ReadStream {
  if (onError) stream.once('error', onError);
  if (onEnd)
    // TypeORM releases its runner in `onEnd`, but a stream that is destroyed early emits neither 'end' nor 'error'.
    stream.once('end', onEnd).once('close', () => {
      if (!stream.readableEnded && !stream.errored) onEnd();
    });
  return stream;
}
