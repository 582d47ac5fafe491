import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { IdleInTransactionLimit, idleInTransactionError } from './idle-in-transaction-limit.js';

describe('IdleInTransactionLimit', () => {
  let expired: number[];
  let limitMs: number;
  let limit: IdleInTransactionLimit;

  beforeEach(() => {
    jest.useFakeTimers();
    expired = [];
    limitMs = 1_000;
    limit = new IdleInTransactionLimit(
      () => limitMs,
      (ms) => expired.push(ms),
    );
  });
  afterEach(() => {
    jest.useRealTimers();
  });

  it.each(['T', 'E'])('expires for a transaction in status %s', (status) => {
    limit.onReadyForQuery(status);
    jest.advanceTimersByTime(999);
    expect(expired).toEqual([]);
    jest.advanceTimersByTime(1);
    expect(expired).toEqual([1_000]);
  });

  it('starts again after each statement, with one timer for all', () => {
    for (let i = 0; i < 5; i += 1) {
      limit.onReadyForQuery('T');
      expect(jest.getTimerCount()).toBe(1);
      jest.advanceTimersByTime(900);
      limit.onStatementSent();
    }
    expect(expired).toEqual([]);
    limit.onReadyForQuery('T');
    jest.advanceTimersByTime(1_000);
    expect(expired).toEqual([1_000]);
  });

  it('does not expire while a statement is active', () => {
    limit.onReadyForQuery('T');
    limit.onStatementSent();
    jest.advanceTimersByTime(60_000);
    expect(expired).toEqual([]);
    expect(jest.getTimerCount()).toBe(0);
  });

  it('does not expire outside a transaction', () => {
    limit.onReadyForQuery('T');
    limit.onReadyForQuery('I');
    jest.advanceTimersByTime(60_000);
    expect(expired).toEqual([]);
  });

  it('starts no timer while the limit is off', () => {
    limitMs = 0;
    limit.onReadyForQuery('T');
    expect(jest.getTimerCount()).toBe(0);
  });

  it('does not expire after the limit was turned off or the connection has ended', () => {
    limit.onReadyForQuery('T');
    limitMs = 0;
    jest.advanceTimersByTime(1_000);
    limitMs = 1_000;
    limit.onReadyForQuery('T');
    limit.stop();
    jest.advanceTimersByTime(1_000);
    expect(expired).toEqual([]);
    expect(jest.getTimerCount()).toBe(0);
  });

  it('has an error with the code of the server and the last statement', () => {
    expect(idleInTransactionError(1_000, 'UPDATE accounts SET x = 1')).toMatchObject({
      code: '25P03',
      severity: 'FATAL',
      message:
        'terminating connection due to idle-in-transaction timeout: a transaction was idle for 1000 ms; its last SQL was UPDATE accounts SET x = 1',
      hint: expect.stringContaining('poolerTerms.idleInTransactionMs'),
    });
    expect(idleInTransactionError(1_000, undefined, 'DB_IDLE')).toMatchObject({
      hint: expect.stringContaining('The limit is DB_IDLE.'),
    });
    expect(idleInTransactionError(1_000, undefined).message).toMatch(/ was idle for 1000 ms$/);
  });
});
