import { connectTimeoutError } from '../../connection/wire/connect-stages.js';
import type { Clock } from '../support/clock.js';
import type { LeasedClient, PooledConnection, PoolableClient } from './pooled-connection.js';
import type { PoolOptions } from '../pool.options.js';

type ConnectHooks<C extends PoolableClient> = Pick<PoolOptions<C>, 'onConnect' | 'verify'>;

/**
 * Connects a client and runs the hooks, all within `connectTimeoutMs`. A failure or a timeout destroys the connection, so that a
 * client that connects too late leaves no socket open.
 */
export function connectClient<C extends PoolableClient>(
  client: C,
  connection: PooledConnection,
  options: ConnectHooks<C> & { connectTimeoutMs: number },
  clock: Clock,
): Promise<void> {
  const { connectTimeoutMs } = options;
  return new Promise((resolve, reject) => {
    const fail = (error: Error) => {
      cancelTimer?.();
      connection.destroy();
      reject(error);
    };
    const cancelTimer =
      connectTimeoutMs === Infinity
        ? undefined
        : clock.after(connectTimeoutMs, () => fail(connectTimeoutError(client, connectTimeoutMs)), false);
    connectAndRunHooks(client, options).then(() => {
      cancelTimer?.();
      resolve();
    }, fail);
  });
}

async function connectAndRunHooks<C extends PoolableClient>(
  client: C,
  { onConnect, verify }: ConnectHooks<C>,
): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    client.connect((error) => (error ? reject(error) : resolve()));
  });
  await onConnect?.(client);
  if (!verify) return;
  await new Promise<void>((resolve, reject) => {
    // `pg-pool` passes a client with `release`; a hook that calls it has finished.
    (client as LeasedClient<C>).release = (error) => (error instanceof Error ? reject(error) : resolve());
    verify(client as LeasedClient<C>, (error) => (error ? reject(error) : resolve()));
  });
}
