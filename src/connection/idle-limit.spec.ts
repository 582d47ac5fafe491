import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { IdleLimit, idleInTransaction } from './idle-limit.js';

beforeEach(() => {
  jest.useFakeTimers();
});
afterEach(() => {
  jest.useRealTimers();
});

describe('the limit of a pause inside a transaction', () => {
  it.each(['T', 'E'])('comes when nothing is sent for so long in status %s', (status) => {
    const expire = jest.fn();
    const limit = new IdleLimit(() => 1_000, expire);
    limit.ready(status);
    jest.advanceTimersByTime(999);
    expect(expire).not.toHaveBeenCalled();
    jest.advanceTimersByTime(1);
    expect(expire.mock.calls).toEqual([[1_000]]);
  });

  it('counts from the last answer, with one timer', () => {
    const expire = jest.fn();
    const limit = new IdleLimit(() => 1_000, expire);
    for (let round = 0; round < 5; round += 1) {
      limit.ready('T');
      expect(jest.getTimerCount()).toBe(1);
      jest.advanceTimersByTime(600);
      limit.sent();
    }
    limit.ready('T');
    jest.advanceTimersByTime(999);
    expect(expire).not.toHaveBeenCalled();
    jest.advanceTimersByTime(1);
    expect(expire).toHaveBeenCalledTimes(1);
  });

  it.each([
    ['while a statement runs', (limit: IdleLimit) => limit.sent()],
    ['after the transaction has ended', (limit: IdleLimit) => limit.ready('I')],
    ['after the connection has ended', (limit: IdleLimit) => limit.stop()],
  ])('does not come %s', (_when, change) => {
    const expire = jest.fn();
    const limit = new IdleLimit(() => 1_000, expire);
    limit.ready('T');
    change(limit);
    jest.advanceTimersByTime(10_000);
    expect(expire).not.toHaveBeenCalled();
    expect(jest.getTimerCount()).toBe(0);
  });

  it('is none outside of a transaction, and none where the server keeps one', () => {
    let ms = 0;
    const expire = jest.fn();
    const limit = new IdleLimit(() => ms, expire);
    limit.ready('T');
    limit.ready('I');
    limit.ready(undefined);
    expect(jest.getTimerCount()).toBe(0);
    ms = 1_000;
    limit.ready('T');
    ms = 0;
    jest.advanceTimersByTime(10_000);
    expect(expire).not.toHaveBeenCalled();
  });

  it('is told in the words of the server, with the last statement', () => {
    expect(idleInTransaction(5, 'SELECT 1')).toMatchObject({
      code: '25P03',
      severity: 'FATAL',
      message: expect.stringMatching(/idle for 5 ms; its last SQL was SELECT 1$/),
    });
    expect(idleInTransaction(5, undefined).message).toMatch(/idle for 5 ms$/);
  });
});
