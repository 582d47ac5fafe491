import { GatewayTimeoutException, ServiceUnavailableException } from '@nestjs/common';
import type { HttpException } from '@nestjs/common';
import { QueryFailedError } from 'typeorm';
import {
  DatabaseConnectionError,
  DatabaseError,
  httpErrorsOf,
  PoolAcquireCancelledError,
  PoolError,
  QueryTimeoutError,
} from '../../database.errors.js';
import { diagnose } from '../../diagnosis/diagnose.js';

/** What a client is told of a failure: no SQL, no value, no name of a host or a user. */
export interface HttpAnswer {
  readonly exception: HttpException;
  /** For the header `Retry-After`; whole seconds. */
  readonly retryAfter: number | undefined;
}

const busy = (): HttpAnswer => ({
  exception: new ServiceUnavailableException('The service is busy; try again shortly.'),
  retryAfter: 1,
});
const away = (): HttpAnswer => ({
  exception: new ServiceUnavailableException('The database is not available; try again later.'),
  retryAfter: 5,
});
const late = (): HttpAnswer => ({
  exception: new GatewayTimeoutException('The database did not answer in time.'),
  retryAfter: undefined,
});

/** What a statement fails with when the database, or the way to it, is away. A deadlock or a full disk is none of these. */
const AWAY: ReadonlySet<string> = new Set([
  'CONNECTION_REFUSED',
  'CONNECTION_RESET',
  'CONNECTION_KILLED',
  'CONNECTION_SILENT',
  'CONNECT_TIMEOUT',
  'HANDSHAKE_TIMEOUT',
  'HOST_UNREACHABLE',
  'DNS_TEMPORARY_FAILURE',
  'TOO_MANY_CONNECTIONS',
  'SERVER_STARTING',
  'SERVER_SHUTTING_DOWN',
  'SERVER_RECOVERING',
  'SERVER_CRASHED',
  'POOLER_QUEUE_TIMEOUT',
  'POOLER_SERVER_UNREACHABLE',
  'NEON_TOO_MANY_ATTEMPTS',
  'NEON_UNAVAILABLE',
  'DATA_SOURCE_CLOSED',
]);

/** How an HTTP request that fails with this error is answered; undefined for an error that is answered as any other. */
export function httpAnswerOf(error: unknown): HttpAnswer | undefined {
  if (error instanceof PoolError) return answerOfPool(error);
  if (error instanceof DatabaseConnectionError) return away();
  if (error instanceof QueryTimeoutError) return late();
  // Only those of a data source of this package: that of another database has codes of its own.
  if (!(error instanceof QueryFailedError) || httpErrorsOf(error) === undefined) return undefined;
  const driverError = error.driverError as { severity?: unknown };
  const { code } = diagnose(driverError);
  if (code === 'STATEMENT_TIMEOUT') return late();
  // The connection goes on: the failure is that of the statement, of a foreign table perhaps.
  return driverError.severity !== 'ERROR' && AWAY.has(code) ? away() : undefined;
}

function answerOfPool({ code, cause }: PoolError): HttpAnswer | undefined {
  switch (code) {
    case 'POOL_ACQUIRE_TIMEOUT':
      // With a cause it waited for connections that could not be opened.
      return cause === undefined ? busy() : away();
    case 'POOL_QUEUE_FULL':
      return busy();
    case 'POOL_CONNECT_FAILED':
    case 'POOL_CONNECT_TIMEOUT':
    case 'POOL_CLOSED':
      return away();
    default:
      return undefined;
  }
}

/** Whether a request fails with this error when its client has gone. */
export function mayBeOfGoneClient(error: unknown): boolean {
  if (error instanceof PoolAcquireCancelledError) return true;
  if (error instanceof DatabaseError) return error.code === 'REQUEST_CLOSED';
  return (
    error instanceof QueryFailedError &&
    httpErrorsOf(error) !== undefined &&
    (error.driverError as { code?: unknown }).code === '57014'
  );
}

/**
 * What a request that fails with this error is answered with by default: 503 when the pool is exhausted or the database is
 * away, 504 after a statement's time limit; undefined for every other error. For exception filters of an app.
 */
export function toHttpException(error: unknown): HttpException | undefined {
  return httpAnswerOf(error)?.exception;
}
