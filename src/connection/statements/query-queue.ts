import { AsyncResource } from 'node:async_hooks';
import { rethrowFromCaller } from '../../text/call-site.js';
import { callbackOf, isSubmittable } from './rejected-query.js';

/** Takes the arguments of `query` and returns what `query` returns. */
type Query = (request: unknown[]) => unknown;

/**
 * Statements that wait for the active one. `pg` 8 would queue them itself, with a warning that `pg` 9 will reject a statement
 * while another one is active.
 */
export class QueryQueue {
  readonly #waiting: { readonly request: unknown[]; readonly run: (query: Query) => void }[] = [];

  get length(): number {
    return this.#waiting.length;
  }

  /**
   * Queues a statement and returns what `query` returns for the form of its arguments.
   * @throws TypeError when there is no statement. As in `pg`, synchronously, not when the statement would be sent
   */
  add(request: unknown[]): unknown {
    const [config] = request;
    if (config === null || config === undefined)
      throw new TypeError('Client was passed a null or undefined query');
    if (isSubmittable(config)) {
      this.#push(request, (query) => query(request));
      return config;
    }
    if (callbackOf(request)) {
      this.#push(request, (query) => query(request));
      return undefined;
    }
    return new Promise((resolve, reject) => {
      this.#push(request, (query) => {
        try {
          resolve(query(request));
        } catch (thrown) {
          const error = thrown as Error;
          reject(error);
          throw error;
        }
      });
    }).catch(rethrowFromCaller);
  }

  /** Binds `run` to the async context of the caller: a tracing tool that wraps `query` takes the parent of its span from it. */
  #push(request: unknown[], run: (query: Query) => void): void {
    this.#waiting.push({ request, run: AsyncResource.bind(run) });
  }

  /**
   * Hands the next statement to `query`, and the one after it when `query` throws: then the first is not active.
   * @returns whether a statement was sent
   */
  sendNext(query: Query): boolean {
    for (let next = this.#waiting.shift(); next; next = this.#waiting.shift()) {
      // A destroyed stream would neither read its answer nor close its portal: all statements behind it would wait for ever.
      if ((next.request[0] as { destroyed?: boolean }).destroyed && isSubmittable(next.request[0])) continue;
      try {
        next.run(query);
        return true;
      } catch {
        // The error has reached the caller.
      }
    }
    return false;
  }

  /** Hands all statements to `reject`: the connection has ended. */
  rejectAll(reject: Query): void {
    for (const { run } of this.#waiting.splice(0)) run(reject);
  }
}
