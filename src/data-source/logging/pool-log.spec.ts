import { EventEmitter } from 'node:events';
import { beforeEach, describe, expect, it } from '@jest/globals';
import { PoolAcquireTimeoutError } from '../../errors/pool.errors.js';
import type { PoolSnapshot } from '../../database.snapshot.js';
import type { PoolWarning } from '../../pool/reporting/pool-warning.js';
import { PoolLog } from './pool-log.js';
import type { ConnectFailureReports } from './pool-log.js';

class FakePool extends EventEmitter {
  waitingCount = 0;
  failed = 0;
  snapshot(): PoolSnapshot {
    return {
      leased: 6,
      max: 6,
      connecting: 0,
      validating: 0,
      resetting: 0,
      waiting: this.waitingCount,
      counters: { timeouts: this.failed, refused: 0, failedByConnect: 0 },
    } as PoolSnapshot;
  }
}

describe('the log of a pool', () => {
  let now: number;
  let lines: string[];
  let pool: FakePool;
  let log: PoolLog;
  const createLog = (connectFailureReports: ConnectFailureReports) => {
    const logger = Object.fromEntries(
      (['log', 'warn', 'error', 'debug'] as const).map((level) => [
        level,
        (message: string) => {
          if (level !== 'debug') lines.push(`${level} ${message}`);
        },
      ]),
    ) as never;
    log = new PoolLog(logger, connectFailureReports, () => now);
    log.watch(pool);
  };
  const warn = (code: PoolWarning['code'], borrower?: string, stack?: string) =>
    log.report({
      code,
      level: 'warn',
      message: `${code}.`,
      lease: { borrower, stack, heldMs: 1, inTransaction: false, lastSql: undefined },
    });
  const lost = () => log.report({ code: 'OUTAGE', level: 'info', message: 'lost' });
  const connectFailed = () => log.report({ code: 'CONNECT_FAILED', level: 'info', message: 'refused' });
  const exhausted = () => {
    pool.failed += 1;
    const error = new PoolAcquireTimeoutError('x', { snapshot: pool.snapshot() });
    log.report({ code: 'POOL_EXHAUSTED', level: 'info', message: 'x', error });
  };

  beforeEach(() => {
    now = 100_000;
    lines = [];
    pool = new FakePool();
    createLog('after-the-first');
    log.connected();
  });

  it('logs a warning once a minute for each borrower, with the number of suppressed ones', () => {
    for (let i = 0; i < 3; i++) warn('CONNECTION_LEAK', 'GET /a', '    at a');
    warn('CONNECTION_LEAK', 'GET /b');
    warn('SELF_DEADLOCK', 'GET /a');
    now += 60_000;
    warn('CONNECTION_LEAK', 'GET /a', '    at a');
    expect(lines).toEqual([
      'warn CONNECTION_LEAK.\n    at a',
      'warn CONNECTION_LEAK.',
      'warn SELF_DEADLOCK.',
      'warn CONNECTION_LEAK. 2 more like it since the last such line.\n    at a',
    ]);
  });

  it('remembers a bounded number of borrowers', () => {
    for (let i = 0; i < 1_001; i++) warn('CONNECTION_LEAK', `job ${i}`);
    warn('CONNECTION_LEAK', 'job 1000');
    warn('CONNECTION_LEAK', 'job 0');
    expect(lines).toHaveLength(1_002);
  });

  it('logs an outage at its begin and at its end', () => {
    lost();
    connectFailed();
    lost();
    pool.failed = 736;
    log.lostStatements += 1;
    now += 4_100;
    log.connected();
    expect(lines).toEqual(['warn lost', 'log The database is back after 4.1 s, 737 requests failed.']);
  });

  it('logs no end of a loss that failed no request', () => {
    lost();
    pool.emit('acquire');
    log.connected();
    expect(lines).toEqual(['warn lost']);
    expect(pool.listenerCount('acquire')).toBe(0);
  });

  it('does not end an outage with a leased connection while connects fail', () => {
    connectFailed();
    pool.emit('acquire');
    connectFailed();
    pool.emit('acquire');
    expect(lines).toEqual(['warn refused']);
    now += 1_000;
    log.connected();
    expect(lines).toHaveLength(2);
  });

  it('logs an outage soon after the last one only if it lasts', () => {
    connectFailed();
    log.connected();
    for (let i = 0; i < 5; i++) {
      connectFailed();
      now += 100;
      log.connected();
    }
    expect(lines).toHaveLength(2);
    connectFailed();
    now += 1_000;
    connectFailed();
    connectFailed();
    log.connected();
    expect(lines).toHaveLength(4);
  });

  it('leaves connect failures before the first connection to the start, unless the start is lazy', () => {
    createLog('after-the-first');
    connectFailed();
    expect(lines).toEqual([]);
    createLog('always');
    connectFailed();
    expect(lines).toEqual(['warn refused']);
    createLog('never');
    log.connected();
    connectFailed();
    expect(lines).toHaveLength(1);
  });

  it('logs an exhausted pool at its begin and when connections are free again', () => {
    exhausted();
    exhausted();
    pool.waitingCount = 1;
    now += 5_000;
    exhausted();
    pool.emit('release');
    pool.waitingCount = 0;
    pool.emit('release');
    now += 1_000;
    pool.emit('release');
    expect(pool.listenerCount('release')).toBe(0);
    now += 100;
    exhausted();
    expect(lines).toEqual([
      'warn The pool is exhausted: 6 of 6 connections in use, 0 waiting.',
      'log The pool has free connections again: it was exhausted for 5.0 s, 3 requests failed.',
    ]);
  });

  it('counts acquires that fail in or after an outage as part of it', () => {
    connectFailed();
    exhausted();
    log.connected();
    exhausted();
    expect(lines).toEqual(['warn refused', 'log The database is back after 0 ms, 1 request failed.']);
  });

  it('keeps the leases that a drain has forcibly ended', () => {
    warn('CONNECTION_FORCE_CLOSED', 'GET /slow');
    expect(log.closedLeases).toEqual(['GET /slow for 1 ms']);
    expect(lines).toEqual([]);
  });
});
