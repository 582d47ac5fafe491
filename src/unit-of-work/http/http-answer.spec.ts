import { describe, expect, it } from '@jest/globals';
import { QueryFailedError } from 'typeorm';
import { DatabaseConnectionError, QueryTimeoutError } from '../../errors/connection.errors.js';
import { noteHttpErrors } from '../../errors/http-errors.js';
import {
  PoolAcquireTimeoutError,
  PoolClosedError,
  PoolConnectError,
  PoolQueueFullError,
  PoolSelfDeadlockError,
} from '../../errors/pool.errors.js';
import { CONNECTION_RULES } from '../../diagnosis/connection-rules.js';
import { httpAnswerOf, toHttpException } from './http-answer.js';

const failedQuery = (driverError: object) => {
  const error = new QueryFailedError('SELECT 1', [], Object.assign(new Error('something'), driverError));
  noteHttpErrors(error, true);
  return error;
};
const statusOf = (error: unknown) => toHttpException(error)?.getStatus();

describe('the answer to a request that fails', () => {
  it.each([
    ['an exhausted pool', new PoolAcquireTimeoutError('x'), 503, 1],
    ['a full queue', new PoolQueueFullError('x'), 503, 1],
    [
      'a pool that cannot connect in time',
      new PoolAcquireTimeoutError('x', { cause: new Error('x') }),
      503,
      5,
    ],
    ['a pool that cannot connect', new PoolConnectError('x'), 503, 5],
    ['a closed pool', new PoolClosedError('x'), 503, 5],
    ['a failed start', new DatabaseConnectionError('x', { code: 'CONNECTION_REFUSED' }), 503, 5],
    ['a statement without an answer', new QueryTimeoutError(1), 504, undefined],
    [
      'a statement that the server stopped',
      failedQuery({
        code: '57014',
        severity: 'ERROR',
        routine: 'ProcessInterrupts',
        message: 'canceling statement due to statement timeout',
      }),
      504,
      undefined,
    ],
    ['a terminated connection', failedQuery({ code: '57P01', severity: 'FATAL' }), 503, 5],
  ])('by %s has status and Retry-After', (_what, error, status, retryAfter) => {
    expect(statusOf(error)).toBe(status);
    expect(httpAnswerOf(error)?.retryAfter).toBe(retryAfter);
  });

  it.each([
    ['a self-deadlock', new PoolSelfDeadlockError('x')],
    ['a unique violation', failedQuery({ code: '23505', severity: 'ERROR', routine: 'x' })],
    ['a deadlock', failedQuery({ code: '40P01', severity: 'ERROR', routine: 'x' })],
    ['the server of a foreign table', failedQuery({ code: '57P03', severity: 'ERROR' })],
    ['an error of another library', new Error('x')],
  ])('by %s is left to the app', (_what, error) => {
    expect(httpAnswerOf(error)).toBeUndefined();
  });

  it('by a statement has status 503 for these diagnoses', () => {
    const codes = [...CONNECTION_RULES].flatMap(({ code, httpStatus }) => (httpStatus === 503 ? [code] : []));
    expect([...new Set(codes)].sort()).toEqual([
      'CONNECTION_KILLED',
      'CONNECTION_REFUSED',
      'CONNECTION_RESET',
      'CONNECTION_SILENT',
      'CONNECT_TIMEOUT',
      'DATA_SOURCE_CLOSED',
      'DNS_TEMPORARY_FAILURE',
      'HANDSHAKE_TIMEOUT',
      'HOST_UNREACHABLE',
      'NEON_TOO_MANY_ATTEMPTS',
      'NEON_UNAVAILABLE',
      'POOLER_QUEUE_TIMEOUT',
      'POOLER_SERVER_UNREACHABLE',
      'SERVER_CRASHED',
      'SERVER_RECOVERING',
      'SERVER_SHUTTING_DOWN',
      'SERVER_STARTING',
      'TOO_MANY_CONNECTIONS',
    ]);
  });
});
