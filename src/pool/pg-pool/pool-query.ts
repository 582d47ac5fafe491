import { rethrowFromCaller } from '../../text/call-site.js';
import type { Multiplexer } from '../shared/multiplexer.js';
import { queryShareable } from '../shared/shareable-query.js';
import type { QueryConnections } from '../shared/shareable-query.js';
import type { LeasedClient, PoolableClient } from '../connections/pooled-connection.js';

type QueryCallback = (error: Error | null | undefined, result?: unknown) => void;
type QueryMethod = (text: unknown, values: unknown, callback: QueryCallback) => unknown;

/**
 * `pool.query` in the forms of `pg.Pool`: a text, a config or a submittable, with values, by promise or callback. Unlike `pg.Pool`,
 * it does not close the connection after an error of the statement.
 */
export function queryOnPool<C extends PoolableClient>(
  connections: QueryConnections<C>,
  text: unknown,
  values: unknown,
  callback: unknown,
  multiplexer?: Multiplexer<C>,
): Promise<unknown> | undefined {
  const given = [text, values, callback].find((argument) => typeof argument === 'function') as
    QueryCallback | undefined;
  const parameters = typeof values === 'function' ? undefined : values;
  const result =
    typeof text === 'function'
      ? Promise.reject(new Error('Passing a function as the first parameter to pool.query is not supported'))
      : multiplexer
        ? queryShareable(multiplexer, connections, text, parameters, (acquired) =>
            run(acquired, text, parameters),
          )
        : run(connections.acquire(), text, parameters);
  if (!given) return result;
  result.then(
    (rows) => process.nextTick(given, undefined, rows),
    (error: Error) => process.nextTick(given, error),
  );
  return undefined;
}

/** Runs the statement on a leased connection, and releases that. */
async function run<C extends PoolableClient>(
  acquired: LeasedClient<C> | Promise<LeasedClient<C>>,
  text: unknown,
  values: unknown,
): Promise<unknown> {
  const client = await acquired;
  let rejectQuery!: (error: Error) => void;
  try {
    return await new Promise((resolve, reject) => {
      // A client whose socket ends while it waits calls no callback; it emits `error`.
      rejectQuery = reject;
      client.once('error', rejectQuery);
      (client.query as QueryMethod).call(client, text, values, (error, result) =>
        error ? reject(error) : resolve(result),
      );
    }).catch(rethrowFromCaller);
  } finally {
    client.removeListener('error', rejectQuery);
    client.release();
  }
}
