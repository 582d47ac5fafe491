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
import { PgPoolErrors } from './pg-pool-errors.js';

const site = { stack: 'Error\n    at usersService (users.service.ts:1:1)' };
const restate = (error: Error) => new PgPoolErrors().restate(error, site);
const connectError = (cause: unknown) => new PoolConnectError('Could not open a connection', { cause });
const timeout = (cause?: Error, figures: Partial<PoolSnapshot> = {}) =>
  new PoolAcquireTimeoutError('no connection', {
    cause,
    snapshot: { leased: 0, connecting: 0, ...figures } as PoolSnapshot,
  });

describe('the error that connect() and query() reject with', () => {
  it('is that of the dial, with the stack of the caller', () => {
    const cause = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
    const restated = restate(connectError(cause));
    expect(restated).toBe(cause);
    expect(restated.stack).toBe('Error: connect ECONNREFUSED\n    at usersService (users.service.ts:1:1)');
  });

  it('is a copy for each further waiter of one dial, and where it could not be given a stack', () => {
    class Refusal extends Error {
      code = '28P01';
    }
    const errors = new PgPoolErrors();
    const cause = new Refusal('wrong password');
    const given = [cause, cause, Object.freeze(new Refusal('wrong password'))].map((error) =>
      errors.restate(connectError(error), site),
    );
    expect(new Set(given).size).toBe(3);
    for (const error of given) {
      expect(error).toBeInstanceOf(Refusal);
      expect(error).toMatchObject({ message: 'wrong password', code: '28P01' });
      expect(error.stack).toContain('usersService');
    }
  });

  it.each([['a text'], [undefined], [null]])('is %p where a hook has thrown that', (thrown) => {
    expect(restate(connectError(thrown))).toBe(thrown);
  });

  it('has the words of pg.Pool for a dial that took too long', () => {
    const late = new ConnectTimeoutError('db:5432', 100);
    const words = 'Connection terminated due to connection timeout';
    expect(restate(connectError(late))).toMatchObject({ message: words, cause: late });
    const connecting = timeout(undefined, { connecting: 1 });
    expect(restate(connecting)).toMatchObject({ message: words, cause: connecting });
  });

  it('has those for a wait while the connections are in use, though others are being opened', () => {
    const busy = timeout(undefined, { leased: 1, connecting: 1 });
    const restated = restate(busy) as Error & { code?: string };
    expect(restated).toMatchObject({ message: 'timeout exceeded when trying to connect', cause: busy });
    expect([restated.name, restated.code]).toEqual(['Error', undefined]);
  });

  it('is the last error of the dials that have failed all the while, and no error of a validation', () => {
    const refused = Object.assign(new Error('too many clients'), { code: '53300' });
    expect(restate(timeout(refused, { leased: 3 }))).toBe(refused);
    const silent = timeout(new PoolValidationError('silent'));
    expect(restate(silent)).toMatchObject({
      message: 'timeout exceeded when trying to connect',
      cause: silent,
    });
  });

  it('keeps its code when the pool has ended, and is as it was where pg.Pool has no such error', () => {
    const cause = new Error('refused');
    expect(restate(new PoolClosedError('closed: 1 of 5', { cause }))).toMatchObject({
      message: 'Cannot use a pool after calling end on the pool',
      code: 'POOL_CLOSED',
      cause,
      stack: expect.stringContaining('usersService'),
    });
    const full = new PoolQueueFullError('full');
    expect(restate(full)).toBe(full);
  });
});
