import { describe, expect, it } from '@jest/globals';
import { describeLease, duration } from './describe.js';

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
    expect(describeLease(nothing)).toBe('somebody without a name for 5 ms');
    expect(describeLease({ ...nothing, borrower: 'job', inTransaction: true, lastSql: 'SELECT 1' })).toBe(
      'job for 5 ms, in transaction, last SQL SELECT 1',
    );
  });
});
