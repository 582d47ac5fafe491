import { isQuiet, isQueryable } from './pg-internals.js';

/** The client that the line stands before. */
interface LineClient {
  pipeline?: boolean;
  query: unknown;
  /** The length of this line. */
  readonly queuedStatements: number;
  on(event: 'drain' | 'end', listener: () => void): unknown;
}

type Query = (...request: unknown[]) => unknown;

/**
 * Statements that wait for the one before them. `pg` 8 queues them itself and warns; `pg` 9 refuses a statement while
 * another one runs.
 */
export class QueryLine {
  readonly #waiting: (() => void)[] = [];
  readonly #client: LineClient;
  readonly #query: Query;

  /** @param query the client's own, which `send` stands in for */
  constructor(client: LineClient, query: unknown) {
    this.#client = client;
    this.#query = query as Query;
    client.on('drain', () => this.#next());
    // Nothing drains any more: each is told by the client that it is gone.
    client.on('end', () => {
      while (this.#waiting.length > 0) this.#next();
    });
  }

  /** A statement that `pg` refuses to take leaves the line free for the one behind it. */
  #next(): void {
    const send = this.#waiting.shift();
    if (!send) return;
    try {
      send();
    } catch {
      this.#next();
    }
  }

  get length(): number {
    return this.#waiting.length;
  }

  /** As the client's `query`, in all its forms: at once when nothing runs, else when all before it are through. */
  send(request: unknown[]): unknown {
    const client = this.#client;
    if (isQuiet(client) || client.pipeline || !isQueryable(client)) return this.#query(...request);
    // As `pg` does at once, and not in the middle of somebody else's answer.
    if (request[0] === null || request[0] === undefined)
      throw new TypeError('Client was passed a null or undefined query');
    const own = client.query;
    // Cut off meanwhile, the client has another `query`, which says why.
    const later = () =>
      client.query === own ? this.#query(...request) : (client.query as Query)(...request);
    const [config, ...rest] = request as [{ submit?: unknown; callback?: unknown }, ...unknown[]];
    if (typeof config.submit === 'function') {
      this.#waiting.push(later);
      return config;
    }
    if ([config.callback, ...rest].some((callback) => typeof callback === 'function')) {
      this.#waiting.push(later);
      return undefined;
    }
    return new Promise((resolve, reject: (error: Error) => void) =>
      this.#waiting.push(() => {
        try {
          void (later() as Promise<unknown>).then(resolve, reject);
        } catch (error) {
          // `pg` throws what it takes for a mistake of the caller, who waits for the promise by now.
          reject(error as Error);
          throw error;
        }
      }),
    );
  }
}
