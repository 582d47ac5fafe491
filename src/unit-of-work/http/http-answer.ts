import { GatewayTimeoutException, ServiceUnavailableException } from '@nestjs/common';
import type { HttpException } from '@nestjs/common';
import { QueryFailedError } from 'typeorm';
import { DatabaseConnectionError, QueryTimeoutError } from '../../errors/connection.errors.js';
import { DatabaseError } from '../../errors/database.error.js';
import { httpErrorsOf } from '../../errors/http-errors.js';
import { PoolAcquireCancelledError, PoolError } from '../../errors/pool.errors.js';
import { findRule } from '../../diagnosis/diagnose.js';

/** The answer to a request that failed. It contains no SQL, no value, and no name of a host or a user. */
export interface HttpAnswer {
  readonly exception: HttpException;
  /** Value of the header `Retry-After`, in whole seconds. */
  readonly retryAfter: number | undefined;
}

const busy = (): HttpAnswer => ({
  exception: new ServiceUnavailableException('The service is busy; try again shortly.'),
  retryAfter: 1,
});
const unavailable = (): HttpAnswer => ({
  exception: new ServiceUnavailableException('The database is not available; try again later.'),
  retryAfter: 5,
});
const timedOut = (): HttpAnswer => ({
  exception: new GatewayTimeoutException('The database did not answer in time.'),
  retryAfter: undefined,
});

/** The answer to an HTTP request that failed with this error; undefined if the error is left to the app. */
export function httpAnswerOf(error: unknown): HttpAnswer | undefined {
  if (error instanceof PoolError) return answerOfPool(error);
  if (error instanceof DatabaseConnectionError) return unavailable();
  if (error instanceof QueryTimeoutError) return timedOut();
  // A `QueryFailedError` of another database has other codes.
  if (!(error instanceof QueryFailedError) || httpErrorsOf(error) === undefined) return undefined;
  const driverError = error.driverError as { severity?: unknown };
  const { httpStatus } = findRule(driverError);
  if (httpStatus === 504) return timedOut();
  // After an ERROR the connection stays usable. Unavailable is another server, such as that of a foreign table.
  return httpStatus === 503 && driverError.severity !== 'ERROR' ? unavailable() : undefined;
}

function answerOfPool({ code, cause }: PoolError): HttpAnswer | undefined {
  switch (code) {
    case 'POOL_ACQUIRE_TIMEOUT':
      // With a cause, the acquire waited for connections that could not be opened.
      return cause === undefined ? busy() : unavailable();
    case 'POOL_QUEUE_FULL':
      return busy();
    case 'POOL_CONNECT_FAILED':
    case 'POOL_CONNECT_TIMEOUT':
    case 'POOL_CLOSED':
      return unavailable();
    default:
      return undefined;
  }
}

/** Whether this error can be the effect of a client that disconnected during its request. */
export function mayFollowDisconnect(error: unknown): boolean {
  if (error instanceof PoolAcquireCancelledError) return true;
  if (error instanceof DatabaseError) return error.code === 'REQUEST_CLOSED';
  return (
    error instanceof QueryFailedError &&
    httpErrorsOf(error) !== undefined &&
    (error.driverError as { code?: unknown }).code === '57014'
  );
}

/**
 * The exception that answers a failed request by default: 503 when the pool is exhausted or the database is unavailable,
 * 504 after the timeout of a statement. Its body contains no SQL and no value.
 *
 * @param error anything that was thrown
 * @returns undefined for every other error
 * @example
 * ```ts
 * // In an exception filter of the app.
 * catch(error: unknown, host: ArgumentsHost) {
 *   super.catch(toHttpException(error) ?? error, host);
 * }
 * ```
 */
export function toHttpException(error: unknown): HttpException | undefined {
  return httpAnswerOf(error)?.exception;
}
