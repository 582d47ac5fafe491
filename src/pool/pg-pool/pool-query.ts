import { rethrowFromCaller } from '../../text/call-site.js';
import type { LeasedClient, PoolableClient } from '../connections/pooled-connection.js';

type Done = (error: Error | null | undefined, result?: unknown) => void;
type QueryCall = (text: unknown, values: unknown, done: Done) => unknown;

/**
 * `pool.query` in the forms of `pg.Pool`: a text, a config or a submittable, with values, by promise or callback. The
 * connection goes back even after an error of the statement: `pg.Pool` closes it each time.
 */
export function queryOnPool<C extends PoolableClient>(
  connect: () => Promise<LeasedClient<C>>,
  text: unknown,
  values: unknown,
  callback: unknown,
): Promise<unknown> | undefined {
  const done = [text, values, callback].find((argument) => typeof argument === 'function') as
    Done | undefined;
  const result = run(connect, text, typeof values === 'function' ? undefined : values);
  if (!done) return result;
  result.then(
    (answer) => process.nextTick(done, undefined, answer),
    (error: Error) => process.nextTick(done, error),
  );
  return undefined;
}

async function run<C extends PoolableClient>(
  connect: () => Promise<LeasedClient<C>>,
  text: unknown,
  values: unknown,
): Promise<unknown> {
  if (typeof text === 'function')
    throw new Error('Passing a function as the first parameter to pool.query is not supported');
  const client = await connect();
  let lost!: (error: Error) => void;
  try {
    return await new Promise((resolve, reject) => {
      // A client that is lost while it is silent calls nothing back: its end does.
      lost = reject;
      client.once('error', lost);
      (client.query as QueryCall).call(client, text, values, (error, answer) =>
        error ? reject(error) : resolve(answer),
      );
    }).catch(rethrowFromCaller);
  } finally {
    client.removeListener('error', lost);
    client.release();
  }
}
