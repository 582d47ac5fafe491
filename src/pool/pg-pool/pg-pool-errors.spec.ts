import { describe, expect, it } from '@jest/globals';
import { ConnectTimeoutError } from '../../errors/connection.errors.js';
import {
  PoolAcquireTimeoutError,
  PoolClosedError,
  PoolConnectError,
  PoolQueueFullError,
  PoolValidationError,
} from '../../errors/pool.errors.js';
import type { PoolSnapshot } from '../../database.snapshot.js';
import { rethrowWithStack } from '../reporting/error-stack.js';
import { PgPoolErrors } from './pg-pool-errors.js';

/** Rejects as an acquire of the pool does. */
async function usersService(error: Error): Promise<never> {
  return await Promise.reject<never>(error).catch(rethrowWithStack);
}
const map = (error: Error) => new PgPoolErrors().map(error);
const connectError = (cause: unknown) => new PoolConnectError('Could not open a connection', { cause });
const timeout = (cause?: Error, changes: Partial<PoolSnapshot> = {}) =>
  new PoolAcquireTimeoutError('no connection', {
    cause,
    snapshot: { leased: 0, connecting: 0, ...changes } as PoolSnapshot,
  });

describe('The error that connect() and query() reject with', () => {
  it('is that of the connect, with the stack of the caller', async () => {
    const cause = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
    const mapped = map(connectError(cause));
    expect(mapped).toBe(cause);
    await expect(usersService(mapped)).rejects.toBe(cause);
    expect(mapped.stack).toMatch(/^Error: connect ECONNREFUSED\n[^]* {4}at (?:async )?usersService /);
  });

  it('is a copy for each further waiter of one connect, and for a frozen error', async () => {
    class Refusal extends Error {
      code = '28P01';
    }
    const errors = new PgPoolErrors();
    const cause = new Refusal('wrong password');
    const given = [cause, cause, Object.freeze(new Refusal('wrong password'))].map((error) =>
      errors.map(connectError(error)),
    );
    expect(new Set(given).size).toBe(3);
    for (const error of given) {
      expect(error).toBeInstanceOf(Refusal);
      expect(error).toMatchObject({ message: 'wrong password', code: '28P01' });
      await expect(usersService(error)).rejects.toBe(error);
      expect(error.stack).toContain('usersService');
    }
  });

  it.each([['a text'], [undefined], [null]])('is %p when a hook has thrown it', (thrown) => {
    expect(map(connectError(thrown))).toBe(thrown);
  });

  it('has the message of pg.Pool for a connect that timed out', () => {
    const late = new ConnectTimeoutError('db:5432', 100);
    const words = 'Connection terminated due to connection timeout';
    expect(map(connectError(late))).toMatchObject({ message: words, cause: late });
    const connecting = timeout(undefined, { connecting: 1 });
    expect(map(connecting)).toMatchObject({ message: words, cause: connecting });
  });

  it('has the message of pg.Pool for a full pool while connections are leased, even when others are connecting', () => {
    const busy = timeout(undefined, { leased: 1, connecting: 1 });
    const mapped = map(busy) as Error & { code?: string };
    expect(mapped).toMatchObject({ message: 'timeout exceeded when trying to connect', cause: busy });
    expect([mapped.name, mapped.code]).toEqual(['Error', undefined]);
  });

  it('is the error of the last connect when every connect has failed, but not the error of a validation', () => {
    const refused = Object.assign(new Error('too many clients'), { code: '53300' });
    expect(map(timeout(refused, { leased: 3 }))).toBe(refused);
    const silent = timeout(new PoolValidationError('silent'));
    expect(map(silent)).toMatchObject({
      message: 'timeout exceeded when trying to connect',
      cause: silent,
    });
  });

  it('keeps its code when the pool is closed, and is unchanged where pg.Pool has no such error', () => {
    const cause = new Error('refused');
    expect(map(new PoolClosedError('closed: 1 of 5', { cause }))).toMatchObject({
      message: 'Cannot use a pool after calling end on the pool',
      code: 'POOL_CLOSED',
      cause,
      stack: expect.stringContaining('pg-pool-errors.spec.ts'),
    });
    const full = new PoolQueueFullError('full');
    expect(map(full)).toBe(full);
  });
});
