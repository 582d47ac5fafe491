import { rethrowFromCaller } from '../../text/call-site.js';
import { NOT_EXECUTED } from '../../connection/shared/shared-statement.js';
import type { Multiplexer } from '../shared/multiplexer.js';
import type { LeasedClient, PoolableClient } from '../connections/pooled-connection.js';

type QueryCallback = (error: Error | null | undefined, result?: unknown) => void;
type QueryMethod = (text: unknown, values: unknown, callback: QueryCallback) => unknown;

/**
 * `pool.query` in the forms of `pg.Pool`: a text, a config or a submittable, with values, by promise or callback. Unlike `pg.Pool`,
 * it does not close the connection after an error of the statement.
 */
export function queryOnPool<C extends PoolableClient>(
  connect: () => Promise<LeasedClient<C>>,
  text: unknown,
  values: unknown,
  callback: unknown,
  multiplexer?: Pick<Multiplexer<C>, 'choose'>,
): Promise<unknown> | undefined {
  const given = [text, values, callback].find((argument) => typeof argument === 'function') as
    QueryCallback | undefined;
  const result = run(connect, text, typeof values === 'function' ? undefined : values, multiplexer);
  if (!given) return result;
  result.then(
    (rows) => process.nextTick(given, undefined, rows),
    (error: Error) => process.nextTick(given, error),
  );
  return undefined;
}

async function run<C extends PoolableClient>(
  connect: () => Promise<LeasedClient<C>>,
  text: unknown,
  values: unknown,
  multiplexer: Pick<Multiplexer<C>, 'choose'> | undefined,
): Promise<unknown> {
  if (multiplexer) {
    const shared = sendShared(multiplexer, text, values);
    try {
      if (shared) return await shared;
    } catch (error) {
      if (error !== NOT_EXECUTED) rethrowFromCaller(error as Error);
    }
  }
  if (typeof text === 'function')
    throw new Error('Passing a function as the first parameter to pool.query is not supported');
  const client = await connect();
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

/** Sends a text with values on a shared connection; undefined when the statement needs one of its own. */
function sendShared<C extends PoolableClient>(
  multiplexer: Pick<Multiplexer<C>, 'choose'>,
  text: unknown,
  values: unknown,
): Promise<unknown> | undefined {
  // A config may ask for another form of the rows, a name or a type of its own.
  if (typeof text !== 'string' || !Array.isArray(values) || values.length === 0) return undefined;
  return multiplexer.choose(text)?.send(values as unknown[]);
}
