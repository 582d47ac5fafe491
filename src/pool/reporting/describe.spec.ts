import { describe, expect, it } from '@jest/globals';
import type { PoolSnapshot } from '../../database.snapshot.js';
import { describeLease, describePool, duration } from './describe.js';

describe('the words of an operator', () => {
  it('say durations shortly', () => {
    expect([0, 999, 1_000, 28_140].map(duration)).toEqual(['0 ms', '999 ms', '1.0 s', '28.1 s']);
  });

  it('say who has a connection, also when nothing is known', () => {
    const nothing = {
      borrower: undefined,
      heldMs: 5,
      inTransaction: false,
      lastSql: undefined,
      stack: undefined,
    };
    expect(describeLease(nothing)).toBe('(unnamed borrower) for 5 ms');
    expect(describeLease({ ...nothing, borrower: 'job', inTransaction: true, lastSql: 'SELECT 1' })).toBe(
      'job for 5 ms, in transaction, last SQL SELECT 1',
    );
  });

  it('say how the pool is, and who has had a connection longest, leaving out what is not', () => {
    const pool = {
      leased: 3,
      max: 9,
      connecting: 0,
      validating: 0,
      resetting: 0,
      waiting: 0,
    } as PoolSnapshot;
    expect(describePool(pool, [])).toBe('3 of 9 connections in use, 0 waiting');
    const holders = ['one', 'two'].map((borrower) => ({
      borrower,
      heldMs: 5,
      inTransaction: false,
      lastSql: undefined,
      stack: undefined,
    }));
    expect(describePool({ ...pool, connecting: 1, validating: 2, resetting: 3, waiting: 4 }, holders)).toBe(
      '3 of 9 connections in use, 1 being opened, 2 being validated, 3 being cleaned, 4 waiting; ' +
        'held longest: one for 5 ms; two for 5 ms',
    );
  });
});
