import { AsyncResource } from 'node:async_hooks';
import { leadToCaller } from './caller-stack.js';
import { internalsOf, isReadyForQuery, isQueryable } from '../wire/pg-internals.js';
import { refuseWith } from './refusal.js';

/** The client that the line stands before. */
interface QueuedClient {
  pipeline?: boolean;
  query: unknown;
  readonly closeReason: Error | undefined;
  /** Whether a cancel is under way, which would hit whatever runs when it arrives. */
  readonly isCancelling: boolean;
  /** The length of this line. */
  readonly queuedStatements: number;
  on(event: 'end', listener: () => void): unknown;
}

type Query = (...request: unknown[]) => unknown;

/**
 * Statements that wait for the one before them. `pg` 8 queues them itself and warns; `pg` 9 refuses a statement while
 * another one runs.
 */
export class QueryQueue {
  readonly #waiting: ((query: Query) => void)[] = [];
  readonly #client: QueuedClient;
  readonly #query: Query;

  /** @param query the client's own, which `send` stands in for */
  constructor(client: QueuedClient, query: unknown) {
    this.#client = client;
    this.#query = query as Query;
    client.on('end', () => this.#rejectAll());
  }

  /**
   * Sends the next one, when no cancel is under way that was meant for another; whether there was one. A statement that `pg`
   * refuses to take leaves the line free.
   */
  advance(): boolean {
    if (this.#client.isCancelling) return this.#waiting.length > 0;
    for (let send = this.#waiting.shift(); send; send = this.#waiting.shift())
      try {
        send(this.#query);
        return true;
      } catch {
        // Nothing runs that would drain: the next one's turn is now.
      }
    return false;
  }

  /** The connection is gone, and those who waited were never sent; they hear what `pg` says to those in its own queue. */
  #rejectAll(): void {
    const ended = internalsOf(this.#client)._ending
      ? 'Connection terminated'
      : 'Connection terminated unexpectedly';
    const refuse = refuseWith(this.#client, new Error(ended, { cause: this.#client.closeReason }));
    for (const send of this.#waiting.splice(0)) send(refuse);
  }

  /** No cancel is under way any more. */
  resume(): void {
    const { _activeQuery, readyForQuery } = internalsOf(this.#client);
    if (readyForQuery && !_activeQuery) this.advance();
  }

  get length(): number {
    return this.#waiting.length;
  }

  /** As the client's `query`, in all its forms: at once when nothing runs, else when all before it are through. */
  send(request: unknown[]): unknown {
    const client = this.#client;
    const free = isReadyForQuery(client) && !client.isCancelling;
    if (free || client.pipeline || !isQueryable(client)) return this.#query(...request);
    // As `pg` does at once, and not in the middle of somebody else's answer.
    if (request[0] === null || request[0] === undefined)
      throw new TypeError('Client was passed a null or undefined query');
    const own = client.query;
    // Cut off meanwhile, the client has another `query`, which says why.
    // In the caller's flow of calls: a tracing tool that has wrapped `query` looks there for the parent of its span.
    const later = AsyncResource.bind((query: Query) =>
      (client.query === own ? query : (client.query as Query))(...request),
    );
    const [config, ...rest] = request as [
      { submit?: unknown; callback?: unknown; destroyed?: boolean },
      ...unknown[],
    ];
    if (typeof config.submit === 'function') {
      this.#waiting.push((query) => {
        // Nothing would read it or close it, and all behind it would wait for ever.
        if (query === this.#query && config.destroyed) throw new Error('The stream was destroyed');
        return later(query);
      });
      return config;
    }
    if ([config.callback, ...rest].some((callback) => typeof callback === 'function')) {
      this.#waiting.push(later);
      return undefined;
    }
    return new Promise((resolve, reject) =>
      this.#waiting.push((query) => {
        try {
          resolve(later(query));
        } catch (thrown) {
          const error = thrown as Error;
          reject(error);
          throw error;
        }
      }),
    ).catch(leadToCaller);
  }
}
