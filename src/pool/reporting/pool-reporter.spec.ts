import { EventEmitter } from 'node:events';
import { beforeEach, describe, expect, it, jest } from '@jest/globals';
import { ConnectTimeoutError } from '../../errors/connection.errors.js';
import * as errors from '../../errors/pool.errors.js';
import type { LeaseInfo, PoolSnapshot } from '../../database.snapshot.js';
import { captureCallSite } from '../leases/lease.js';
import { PoolReporter } from './pool-reporter.js';
import type { Advice } from './pool-reporter.js';
import type { PoolWarning } from './pool-warning.js';

const snapshot = {
  leased: 5,
  max: 6,
  connecting: 1,
  validating: 0,
  resetting: 0,
  waiting: 42,
} as PoolSnapshot;
const state = '5 of 6 connections in use, 1 being opened, 42 waiting; held longest: ';

function leaseOf(borrower: string | undefined, stack?: string): LeaseInfo {
  return { borrower, heldMs: 2_000, inTransaction: false, lastSql: undefined, stack };
}

const lease = leaseOf('GET /users');
const cause = new Error('read ECONNRESET');

let emitter: EventEmitter;
let out: LeaseInfo[];
let warnings: PoolWarning[];
let advice: ((error: Error) => Advice) | undefined;
let reporter: PoolReporter;
beforeEach(() => {
  emitter = new EventEmitter();
  out = [lease];
  warnings = [];
  advice = undefined;
  reporter = new PoolReporter(
    emitter,
    () => snapshot,
    { [Symbol.iterator]: () => out.map((info) => ({ info: () => info })).values() },
    (warning) => void warnings.push(warning),
    (error) => advice?.(error) ?? { message: error.message },
  );
});

/** What is thrown where nobody is between two states. */
async function surfacing(act: () => unknown): Promise<unknown[]> {
  const thrown: unknown[] = [];
  const nextTick = jest.spyOn(process, 'nextTick').mockImplementation((callback) => {
    try {
      callback();
    } catch (error) {
      thrown.push(error);
    }
  });
  await act();
  nextTick.mockRestore();
  return thrown;
}

function askedHere(): { stack?: string } {
  return captureCallSite(askedHere, false);
}

describe('a warning', () => {
  const saying: [Record<string, unknown>, () => unknown][] = [
    [
      {
        code: 'CONNECTION_LEAK',
        level: 'warn',
        message: 'A connection is out for long, perhaps it was never released: GET /users for 2.0 s.',
        lease,
      },
      () => reporter.leak(lease),
    ],
    [
      {
        code: 'CONNECTION_LEAK_ENDED',
        level: 'info',
        message: 'The connection came back: GET /users for 2.0 s.',
        lease,
      },
      () => reporter.leakEnded(lease),
    ],
    [
      {
        code: 'CONNECTION_RECLAIMED',
        level: 'warn',
        message: 'The connection was taken back by force: GET /users for 2.0 s.',
        lease,
        error: expect.any(errors.PoolLeaseReclaimedError),
      },
      () => reporter.reclaimed(lease),
    ],
    [
      {
        code: 'TRANSACTION_LEFT_OPEN',
        level: 'warn',
        message: 'A connection came back in an open transaction and was rolled back: GET /users for 2.0 s.',
        lease,
      },
      () => reporter.leftOpen(lease),
    ],
    [
      {
        code: 'SESSION_STATE_LEFT',
        level: 'warn',
        message:
          'A statement has changed the session of a connection that a pooler shares; others may see it, and nothing takes ' +
          "it back: SET ROLE x PASSWORD '***'. The connection was held by GET /users for 2.0 s.",
        lease,
      },
      () => reporter.stateLeft(lease, "SET ROLE x PASSWORD 's3cret'"),
    ],
    [
      {
        code: 'CONNECTION_RESET_FAILED',
        level: 'warn',
        message:
          'A connection could not be cleaned and was closed: read ECONNRESET It was held by GET /users for 2.0 s.',
        lease,
        error: cause,
      },
      () => reporter.resetFailed(lease, cause),
    ],
    [
      {
        code: 'CONNECTION_VALIDATION_FAILED',
        level: 'info',
        message: expect.stringMatching(
          /^An idle connection did not pass its validation and is replaced: read ECONNRESET$/,
        ),
        error: expect.any(errors.PoolValidationError),
      },
      () => reporter.invalid(cause),
    ],
    [
      {
        code: 'CONNECTION_LOST',
        level: 'info',
        message: 'An idle connection was lost: read ECONNRESET',
        error: cause,
      },
      () => reporter.lost(cause),
    ],
    [
      {
        code: 'OUTAGE',
        level: 'info',
        message: 'A connection was lost; older ones are validated before they are used: read ECONNRESET',
        error: cause,
      },
      () => reporter.outage(cause),
    ],
    [
      {
        code: 'CONNECT_FAILED',
        level: 'info',
        message: 'Could not open a connection: read ECONNRESET',
        error: cause,
      },
      () => reporter.connectFailed(cause),
    ],
    [
      {
        code: 'SELF_DEADLOCK',
        level: 'warn',
        message:
          'Self-deadlock: every connection has an explicit holder (an open transaction or a pinned connection) that ' +
          'waits for another one; one of them asks for a ' +
          'second while it holds one (GET /users for 2.0 s)',
        lease,
        error: expect.any(errors.PoolSelfDeadlockError),
      },
      () => reporter.deadlockError(undefined, lease, {}),
    ],
  ];

  it.each(saying.map(([said, say]) => [said['code'], said, say] as const))(
    '%s says how bad it is, what happened, and to whom',
    (_code, said, say) => {
      say();
      expect(warnings).toEqual([said]);
    },
  );

  it('of a dial that failed is in the words of who made the pool', () => {
    advice = ({ message }) => ({ message: `at home: ${message}` });
    reporter.connectFailed(cause);
    expect(warnings[0]?.message).toBe('Could not open a connection: at home: read ECONNRESET');
  });

  it('is heard by nobody when that was asked for', () => {
    const emitted = jest.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
    new PoolReporter(emitter, () => snapshot, [], false).leak(lease);
    expect(emitted).not.toHaveBeenCalled();
    emitted.mockRestore();
  });

  it('whose listener throws is nobody’s failure', async () => {
    const deaf = new PoolReporter(
      emitter,
      () => snapshot,
      [],
      () => {
        throw new Error('from onWarning');
      },
    );
    expect(await surfacing(() => deaf.leak(lease))).toEqual([new Error('from onWarning')]);
  });
});

describe('an event', () => {
  it('is told with its arguments, and an error that nobody listens to ends no process', () => {
    const listener = jest.fn();
    emitter.on('acquire', listener);
    reporter.announce('acquire', 'client', 2);
    expect(listener.mock.calls).toEqual([['client', 2]]);
    expect(() => reporter.announce('error', cause)).not.toThrow();
    expect([reporter.heard('acquire'), reporter.heard('error')]).toEqual([true, false]);
  });

  it('whose listener throws is nobody’s failure', async () => {
    emitter.on('acquire', () => {
      throw new Error('from acquire');
    });
    expect(await surfacing(() => reporter.announce('acquire'))).toEqual([new Error('from acquire')]);
  });
});

describe('an error', () => {
  const raising: [string, Record<string, unknown>, () => errors.PoolError][] = [
    [
      'Cannot use a pool after calling end on the pool',
      { name: 'PoolClosedError', code: 'POOL_CLOSED', cause },
      () => reporter.closedError({}, cause),
    ],
    [
      'The wait for a connection was given up',
      { name: 'PoolAcquireCancelledError', code: 'POOL_ACQUIRE_CANCELLED', cause },
      () => reporter.cancelledError(cause),
    ],
    [
      'The queue for a connection is full',
      { name: 'PoolQueueFullError', code: 'POOL_QUEUE_FULL' },
      () => reporter.queueFullError({}),
    ],
    [
      'Connection timeout: no connection within 30.0 s (timeout exceeded when trying to connect)',
      {
        name: 'PoolAcquireTimeoutError',
        code: 'POOL_ACQUIRE_TIMEOUT',
        cause,
        hint: 'Look at who holds the connections; then at size, maxOverflow and acquireTimeoutMs.',
      },
      () => reporter.timeoutError(30_000, {}, cause),
    ],
    [
      'Could not open a connection: read ECONNRESET',
      { name: 'PoolConnectError', code: 'POOL_CONNECT_FAILED', cause },
      () => reporter.connectError(cause, {}),
    ],
    [
      'The connection was taken back by force: GET /users for 2.0 s.',
      {
        name: 'PoolLeaseReclaimedError',
        code: 'POOL_LEASE_RECLAIMED',
        hint: 'Release connections sooner, or raise reclaimAfterMs.',
      },
      () => reporter.reclaimed(lease),
    ],
    [
      'An idle connection did not pass its validation and is replaced: read ECONNRESET',
      { name: 'PoolValidationError', code: 'POOL_VALIDATION_FAILED', cause },
      () => reporter.invalid(cause),
    ],
    [
      'Self-deadlock: every connection has an explicit holder (an open transaction or a pinned connection) that waits for another one; ' +
        'job asks for a second while it holds one (GET /users for 2.0 s)',
      {
        name: 'PoolSelfDeadlockError',
        code: 'POOL_SELF_DEADLOCK',
        hint: 'Use the connection that the transaction or the pinned runner already holds, or raise size or maxOverflow.',
      },
      () => reporter.deadlockError('job', lease, {}),
    ],
  ];

  it.each(raising)('"%s" says so, what to do, how the pool is and who has it', (what, expected, raise) => {
    const error = raise();
    expect(error).toMatchObject(expected);
    expect(error.message).toBe(`${what}: ${state}GET /users for 2.0 s`);
    expect([error.snapshot, error.holders]).toEqual([snapshot, [lease]]);
  });

  it('names the three who have had a connection longest, and no more', () => {
    out = ['a', 'b', 'c', 'd'].map((name) => leaseOf(name));
    const { message, holders } = reporter.closedError();
    expect(message).toContain(`${state}a for 2.0 s; b for 2.0 s; c for 2.0 s`);
    expect(holders.map(({ borrower }) => borrower)).toEqual(['a', 'b', 'c']);
  });

  it('of a dial has the words and the hint of who made the pool, and tells a deadline apart', () => {
    advice = ({ message }) => ({ message: `at home: ${message}`, hint: 'Wait.' });
    expect(reporter.connectError(cause, {})).toMatchObject({
      message: expect.stringMatching(/^Could not open a connection: at home: read ECONNRESET: 5 of 6/),
      hint: 'Wait.',
    });
    expect(reporter.timeoutError(1, {}, cause).hint).toBe('Wait.');
    expect(reporter.timeoutError(1, {}, undefined).hint).toMatch(/^Look at who/);
    const late = new ConnectTimeoutError('db:5432', 100);
    expect(reporter.connectError(late, {}).code).toBe('POOL_CONNECT_TIMEOUT');
  });

  it('of a dial has its own words when those of who made the pool throw', async () => {
    advice = () => {
      throw new Error('from explain');
    };
    let error: Error | undefined;
    expect(await surfacing(() => (error = reporter.connectError(cause, {})))).toEqual([
      new Error('from explain'),
    ]);
    expect(error?.message).toMatch(/^Could not open a connection: read ECONNRESET: /);
  });
});

describe('the stack of an error', () => {
  it('begins where the connection was asked for, not in the timer that failed it', () => {
    const error = reporter.timeoutError(1, askedHere(), undefined);
    expect(error.stack).toMatch(
      /^PoolAcquireTimeoutError: Connection timeout: .*\n {4}at .*reporter\.spec\.ts/,
    );
    expect(error.stack).not.toMatch(/reporter\.ts/);
  });

  it('is that of the call where nobody asked', () => {
    expect(reporter.closedError().stack).toMatch(/reporter\.spec\.ts/);
  });

  it('is the first line alone where no frame is known', () => {
    const error = reporter.queueFullError({});
    expect(error.stack).toBe(`PoolQueueFullError: ${error.message}\n`);
  });

  it('names both places of a self-deadlock, when the first is known', () => {
    const both = reporter.deadlockError('job', leaseOf('job', '    at first (app.js:1:1)'), askedHere());
    expect(both.stack).toMatch(
      /^PoolSelfDeadlockError: .*\n {4}at .*reporter\.spec\.ts[^]*\nThe connection that it holds was acquired\n {4}at first \(app\.js:1:1\)$/,
    );
    const one = reporter.deadlockError('job', leaseOf('job'), askedHere());
    expect(one.stack).not.toContain('was acquired');
    expect(one.stack).toMatch(/\n {4}at .*$/);
  });

  it('can be written by who shows or wraps errors', () => {
    const error = reporter.queueFullError(askedHere());
    error.stack = 'mine';
    expect(error.stack).toBe('mine');
    error.stack = 'mine again';
    expect(error.stack).toBe('mine again');
    Object.defineProperty(error, 'stack', { get: () => 'theirs' });
    expect(error.stack).toBe('theirs');
  });

  it('is as long as before for everybody else', () => {
    const limit = Error.stackTraceLimit;
    reporter.queueFullError(askedHere());
    expect(Error.stackTraceLimit).toBe(limit);
  });
});
