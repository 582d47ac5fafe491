import { setTimeout as pause } from 'node:timers/promises';
import { DatabaseConfigError } from '../../errors/config.errors.js';
import { DatabaseConnectionError } from '../../errors/connection.errors.js';
import { PoolError } from '../../errors/pool.errors.js';
import type { ResolvedDatabaseOptions } from '../../database.options.js';
import type { DatabaseLogger } from '../logging/database.logger.js';
import type { DataSourcePool } from '../pools/data-source.pool.js';
import { connectFailure } from '../logging/connect-failure.js';
import { retryDelayMs } from './retry-delay.js';
import { queryServerInfo } from './server-info.js';
import type { ServerInfo } from './server-info.js';

/**
 * Connects and queries the server. Retries transient failures, each time after a longer delay.
 *
 * @param retries the maximum number of retries
 * @param signal ends the retries
 * @throws DatabaseConnectionError with the diagnosis, and the last failure as its cause; the reason of `signal` when it is aborted
 * @throws DatabaseConfigError when no server is configured
 */
export async function connectWithRetry(
  pool: DataSourcePool,
  options: ResolvedDatabaseOptions,
  logger: DatabaseLogger,
  retries: number,
  signal: AbortSignal,
): Promise<ServerInfo> {
  if (options.missingServer)
    throw new DatabaseConfigError([options.missingServer], { dataSource: options.name });
  for (let attempt = 0; ; attempt++) {
    try {
      return await connectAndQuery(pool, options, logger);
    } catch (error) {
      const failure = failureOf(error, options);
      signal.throwIfAborted();
      const isRetried = options.toRetry ? options.toRetry(failure.cause) : failure.transient;
      if (!isRetried || attempt >= retries) throw failure.error;
      const delay = retryDelayMs(options.connectRetry, attempt);
      logger.warn(
        `${failure.error.message} Trying again in ${Math.round(delay)} ms (${attempt + 1} of ${retries}).`,
      );
      await pause(delay, undefined, { signal }).catch(() => signal.throwIfAborted());
    }
  }
}

async function connectAndQuery(
  pool: DataSourcePool,
  options: ResolvedDatabaseOptions,
  logger: DatabaseLogger,
): Promise<ServerInfo> {
  const connection = await pool.acquire({ borrower: 'start', failFast: true });
  try {
    const info = await queryServerInfo(connection, options, (reason) => logger.debug(reason));
    connection.release();
    return info;
  } catch (error) {
    connection.release(error as Error);
    throw error;
  }
}

function failureOf(error: unknown, options: ResolvedDatabaseOptions) {
  // The error of the pool describes the pool, which is empty at the start. Its cause is the error of the server or the socket, which
  // `@nestjs/typeorm` passes to `toRetry`, too.
  let cause = error;
  while (cause instanceof PoolError && cause.cause !== undefined) cause = cause.cause;
  const { code, hint, transient, target, summary } = connectFailure(cause, options);
  return {
    cause,
    transient,
    error: new DatabaseConnectionError(`Cannot connect to ${target}: ${summary}. ${hint}`, {
      code,
      hint,
      cause,
      dataSource: options.name,
    }),
  };
}
