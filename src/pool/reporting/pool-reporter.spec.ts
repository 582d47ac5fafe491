import { EventEmitter } from 'node:events';
import { beforeEach, describe, expect, it, jest } from '@jest/globals';
import { ConnectTimeoutError } from '../../errors/connection.errors.js';
import * as errors from '../../errors/pool.errors.js';
import type { LeaseInfo, PoolSnapshot } from '../../database.snapshot.js';
import type { Explanation } from '../pool.options.js';
import { rethrowWithStack } from './error-stack.js';
import { PoolReporter } from './pool-reporter.js';
import type { PoolWarning } from './pool-warning.js';

const snapshot = {
  leased: 5,
  max: 6,
  connecting: 1,
  validating: 0,
  resetting: 0,
  waiting: 42,
} as PoolSnapshot;
const state = '5 of 6 connections in use, 1 connecting, 42 waiting; held longest: ';

function leaseOf(borrower: string | undefined, stack?: string): LeaseInfo {
  return { borrower, heldMs: 2_000, inTransaction: false, lastSql: undefined, stack };
}

const lease = leaseOf('GET /users');
const cause = new Error('read ECONNRESET');

let emitter: EventEmitter;
let leases: LeaseInfo[];
let warnings: PoolWarning[];
let explainConnectError: ((error: Error) => Explanation) | undefined;
let reporter: PoolReporter;
beforeEach(() => {
  emitter = new EventEmitter();
  leases = [lease];
  warnings = [];
  explainConnectError = undefined;
  reporter = new PoolReporter({
    emitter,
    snapshot: () => snapshot,
    leases: { [Symbol.iterator]: () => leases.map((info) => ({ info: () => info })).values() },
    onWarning: (warning) => void warnings.push(warning),
    explainConnectError: (error) => explainConnectError?.(error) ?? { meaning: error.message },
  });
});

/** The error that `act` throws on the next tick. */
async function thrownOnNextTick(act: () => unknown): Promise<unknown[]> {
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

describe('A warning', () => {
  const reports: [Record<string, unknown>, () => unknown][] = [
    [
      {
        code: 'CONNECTION_LEAK',
        level: 'warn',
        message: 'Possible connection leak: held for 2.0 s by GET /users.',
        lease,
      },
      () => reporter.reportLeak(lease),
    ],
    [
      {
        code: 'CONNECTION_LEAK_ENDED',
        level: 'info',
        message:
          'A connection that was reported as a possible leak was released: held for 2.0 s by GET /users.',
        lease,
      },
      () => reporter.reportLeakEnded(lease),
    ],
    [
      {
        code: 'CONNECTION_RECLAIMED',
        level: 'warn',
        message: 'A connection was forcibly reclaimed: held for 2.0 s by GET /users.',
        lease,
        error: expect.any(errors.PoolLeaseReclaimedError),
      },
      () => reporter.reportReclaimed(lease),
    ],
    [
      {
        code: 'TRANSACTION_LEFT_OPEN',
        level: 'warn',
        message:
          'A connection was released with an open transaction, which was rolled back: held for 2.0 s by GET /users.',
        lease,
      },
      () => reporter.reportTransactionLeftOpen(lease),
    ],
    [
      {
        code: 'SESSION_STATE_LEFT',
        level: 'warn',
        message:
          'A statement has changed the session of a connection that a pooler shares; other clients can see the change, ' +
          "and the pool cannot reset it: SET ROLE x PASSWORD '***'. The connection was held for 2.0 s by GET /users.",
        lease,
      },
      () => reporter.reportSessionStateLeft(lease, "SET ROLE x PASSWORD 's3cret'"),
    ],
    [
      {
        code: 'CONNECTION_RESET_FAILED',
        level: 'warn',
        message:
          'A connection could not be reset and was closed: read ECONNRESET It was held for 2.0 s by GET /users.',
        lease,
        error: cause,
      },
      () => reporter.reportResetFailed(lease, cause),
    ],
    [
      {
        code: 'CONNECTION_VALIDATION_FAILED',
        level: 'info',
        message: expect.stringMatching(
          /^An idle connection has failed its validation and is replaced: read ECONNRESET$/,
        ),
        error: expect.any(errors.PoolValidationError),
      },
      () => reporter.reportValidationFailed(cause),
    ],
    [
      {
        code: 'CONNECTION_LOST',
        level: 'info',
        message: 'An idle connection was lost: read ECONNRESET',
        error: cause,
      },
      () => reporter.reportConnectionLost(cause),
    ],
    [
      {
        code: 'OUTAGE',
        level: 'info',
        message:
          'A connection was lost; older connections are validated before they are used: read ECONNRESET',
        error: cause,
      },
      () => reporter.reportOutage(cause),
    ],
    [
      {
        code: 'CONNECT_FAILED',
        level: 'info',
        message: 'Could not open a connection: read ECONNRESET',
        error: cause,
      },
      () => reporter.reportConnectFailed(cause),
    ],
    [
      {
        code: 'SELF_DEADLOCK',
        level: 'warn',
        message:
          'Self-deadlock: every connection has an explicit holder (an open transaction or a pinned connection) that ' +
          'waits for another connection; (unnamed borrower) acquires a second connection while it holds one ' +
          '(GET /users for 2.0 s)',
        lease,
        error: expect.any(errors.PoolSelfDeadlockError),
      },
      () => reporter.deadlockError(undefined, lease),
    ],
  ];

  it.each(reports.map(([warning, report]) => [warning['code'], warning, report] as const))(
    '%s has a level, a message and the lease or error',
    (_code, warning, report) => {
      report();
      expect(warnings).toEqual([warning]);
    },
  );

  it('of a failed connect uses the meaning that explainConnectError returns', () => {
    explainConnectError = ({ message }) => ({ meaning: `at home: ${message}` });
    reporter.reportConnectFailed(cause);
    expect(warnings[0]?.message).toBe('Could not open a connection: at home: read ECONNRESET');
  });

  it('is dropped with onWarning: false', () => {
    const emitted = jest.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
    new PoolReporter({ emitter, snapshot: () => snapshot, leases: [], onWarning: false }).reportLeak(lease);
    expect(emitted).not.toHaveBeenCalled();
    emitted.mockRestore();
  });

  it('does not fail its caller when the listener throws', async () => {
    const deaf = new PoolReporter({
      emitter,
      snapshot: () => snapshot,
      leases: [],
      onWarning: () => {
        throw new Error('from onWarning');
      },
    });
    expect(await thrownOnNextTick(() => deaf.reportLeak(lease))).toEqual([new Error('from onWarning')]);
  });
});

describe('An event', () => {
  it('is emitted with its arguments, and an error without a listener does not throw', () => {
    const listener = jest.fn();
    emitter.on('acquire', listener);
    reporter.emit('acquire', 'client', 2);
    expect(listener.mock.calls).toEqual([['client', 2]]);
    expect(() => reporter.emit('error', cause)).not.toThrow();
  });

  it('does not fail its caller when the listener throws', async () => {
    emitter.on('acquire', () => {
      throw new Error('from acquire');
    });
    expect(await thrownOnNextTick(() => reporter.emit('acquire'))).toEqual([new Error('from acquire')]);
  });
});

describe('An error', () => {
  const builders: [string, Record<string, unknown>, () => errors.PoolError][] = [
    [
      'Cannot use a pool after calling end on the pool',
      { name: 'PoolClosedError', code: 'POOL_CLOSED', cause },
      () => reporter.closedError(true, cause),
    ],
    [
      'The wait for a connection was cancelled',
      { name: 'PoolAcquireCancelledError', code: 'POOL_ACQUIRE_CANCELLED', cause },
      () => reporter.cancelledError(cause),
    ],
    [
      'The queue for a connection is full',
      { name: 'PoolQueueFullError', code: 'POOL_QUEUE_FULL' },
      () => reporter.queueFullError(),
    ],
    [
      'Connection timeout: no connection within 30.0 s (timeout exceeded when trying to connect)',
      {
        name: 'PoolAcquireTimeoutError',
        code: 'POOL_ACQUIRE_TIMEOUT',
        cause,
        hint: 'Find out which borrowers hold the connections; then adjust size, maxOverflow or acquireTimeoutMs.',
      },
      () => reporter.timeoutError(30_000, cause),
    ],
    [
      'Could not open a connection: read ECONNRESET',
      { name: 'PoolConnectError', code: 'POOL_CONNECT_FAILED', cause },
      () => reporter.connectError(cause),
    ],
    [
      'A connection was forcibly reclaimed: held for 2.0 s by GET /users.',
      {
        name: 'PoolLeaseReclaimedError',
        code: 'POOL_LEASE_RECLAIMED',
        hint: 'Release connections sooner, or raise reclaimAfterMs.',
      },
      () => reporter.reportReclaimed(lease),
    ],
    [
      'An idle connection has failed its validation and is replaced: read ECONNRESET',
      { name: 'PoolValidationError', code: 'POOL_VALIDATION_FAILED', cause },
      () => reporter.reportValidationFailed(cause),
    ],
    [
      'Self-deadlock: every connection has an explicit holder (an open transaction or a pinned connection) that waits for another connection; ' +
        'job acquires a second connection while it holds one (GET /users for 2.0 s)',
      {
        name: 'PoolSelfDeadlockError',
        code: 'POOL_SELF_DEADLOCK',
        hint: 'Use the connection that the transaction or the pinned runner already holds, or raise size or maxOverflow.',
      },
      () => reporter.deadlockError('job', lease),
    ],
  ];

  it.each(builders)(
    '"%s" adds a code, a hint, the state of the pool and the holders',
    (what, expected, build) => {
      const error = build();
      expect(error).toMatchObject(expected);
      expect(error.message).toBe(`${what}: ${state}GET /users for 2.0 s`);
      expect([error.snapshot, error.holders]).toEqual([snapshot, [lease]]);
    },
  );

  it('names the three longest holders', () => {
    leases = ['a', 'b', 'c', 'd'].map((name) => leaseOf(name));
    const { message, holders } = reporter.closedError();
    expect(message).toContain(`${state}a for 2.0 s; b for 2.0 s; c for 2.0 s`);
    expect(holders.map(({ borrower }) => borrower)).toEqual(['a', 'b', 'c']);
  });

  it('of a failed connect uses the meaning and the hint that explainConnectError returns, and a separate code for a timeout', () => {
    explainConnectError = ({ message }) => ({ meaning: `at home: ${message}`, hint: 'Wait.' });
    expect(reporter.connectError(cause)).toMatchObject({
      message: expect.stringMatching(/^Could not open a connection: at home: read ECONNRESET: 5 of 6/),
      hint: 'Wait.',
    });
    expect(reporter.timeoutError(1, cause).hint).toBe('Wait.');
    expect(reporter.timeoutError(1, undefined).hint).toMatch(/^Find out which/);
    const late = new ConnectTimeoutError('db:5432', 100);
    expect(reporter.connectError(late).code).toBe('POOL_CONNECT_TIMEOUT');
  });

  it('of a failed connect uses the message of the cause when explainConnectError throws', async () => {
    explainConnectError = () => {
      throw new Error('from explainConnectError');
    };
    let error: Error | undefined;
    expect(await thrownOnNextTick(() => (error = reporter.connectError(cause)))).toEqual([
      new Error('from explainConnectError'),
    ]);
    expect(error?.message).toMatch(/^Could not open a connection: read ECONNRESET: /);
  });
});

/** The error with the stack that its waiter gets. */
async function awaited(error: Error): Promise<Error> {
  try {
    return await Promise.reject<never>(error).catch(rethrowWithStack);
  } catch (rejected) {
    return rejected as Error;
  }
}

describe('The stack of an error', () => {
  it('begins where the acquire is awaited, not in the timer that rejects the waiter', async () => {
    const error = await awaited(reporter.timeoutError(1, undefined));
    expect(error.stack).toMatch(
      /^PoolAcquireTimeoutError: Connection timeout: .*\n[^]* {4}at (?:async )?awaited .*reporter\.spec\.ts/,
    );
    expect(error.stack).not.toMatch(/reporter\.ts/);
  });

  it('is that of the error itself when nothing waits', () => {
    expect(reporter.closedError().stack).toMatch(/reporter\.spec\.ts/);
    expect(reporter.queueFullError().stack).toMatch(/reporter\.spec\.ts/);
  });

  it('is the first line alone until the error is awaited', () => {
    const error = reporter.closedError(true);
    expect(error.stack).toMatch(/^(?:Pool)?\w*Error: Cannot use a pool.*$/);
  });

  it('shows both acquires of a self-deadlock when the first one is known', async () => {
    const both = await awaited(reporter.deadlockError('job', leaseOf('job', '    at first (app.js:1:1)')));
    expect(both.stack).toMatch(
      /^PoolSelfDeadlockError: .*\n[^]* {4}at .*reporter\.spec\.ts[^]*\nThe connection that it holds was acquired\n {4}at first \(app\.js:1:1\)$/,
    );
    const one = await awaited(reporter.deadlockError('job', leaseOf('job')));
    expect(one.stack).not.toContain('was acquired');
    expect(one.stack).toMatch(/\n {4}at .*$/);
  });

  it('is writable, for tools that show or wrap errors', async () => {
    const error = await awaited(reporter.closedError(true));
    error.stack = 'mine';
    expect(error.stack).toBe('mine');
    error.stack = 'mine again';
    expect(error.stack).toBe('mine again');
    Object.defineProperty(error, 'stack', { get: () => 'theirs' });
    expect(error.stack).toBe('theirs');
  });

  it('leaves Error.stackTraceLimit as it was', async () => {
    const limit = Error.stackTraceLimit;
    await awaited(reporter.closedError(true));
    expect(Error.stackTraceLimit).toBe(limit);
  });

  it('is left to an error that a hook has frozen, and to a value that is no error', async () => {
    const frozen = Object.freeze(new Error('refused'));
    expect(await awaited(frozen)).toBe(frozen);
    expect(await awaited('refused' as unknown as Error)).toBe('refused');
  });
});
