import { describe, expect, it } from '@jest/globals';
import type { LeaseInfo, PoolSnapshot } from '../../database.snapshot.js';
import { describeHeld, describeHolders, describeLease, describePool } from './describe.js';

const lease = (borrower?: string, further: Partial<LeaseInfo> = {}): LeaseInfo => ({
  borrower,
  heldMs: 5,
  inTransaction: false,
  lastSql: undefined,
  stack: undefined,
  ...further,
});

describe('describeLease() and describeHeld()', () => {
  it('name the borrower and the duration, and (unnamed borrower) where no name is known', () => {
    expect(describeLease(lease())).toBe('(unnamed borrower) for 5 ms');
    expect(describeHeld(lease())).toBe('held for 5 ms by (unnamed borrower)');
  });

  it('add the transaction and the last statement', () => {
    const active = { inTransaction: true, lastSql: 'SELECT 1' };
    expect(describeLease(lease('job', active))).toBe('job for 5 ms, in transaction, last SQL SELECT 1');
    expect(describeHeld(lease('job', active))).toBe(
      'held for 5 ms by job, in transaction, last SQL SELECT 1',
    );
  });
});

describe('describeHolders()', () => {
  it('counts leases that differ only in their duration, and shows the longest', () => {
    const leases = [lease('job'), lease('report', { heldMs: 9 }), lease('job', { heldMs: 7 })];
    expect(describeHolders(leases)).toBe('2 by job for up to 7 ms; report for 9 ms');
  });
});

describe('describePool()', () => {
  it('gives the counts that are not 0 and the holders', () => {
    const pool = {
      leased: 3,
      max: 9,
      connecting: 0,
      validating: 0,
      resetting: 0,
      waiting: 0,
    } as PoolSnapshot;
    expect(describePool(pool, [])).toBe('3 of 9 connections in use, 0 waiting');
    const holders = ['one', 'two'].map((borrower) => lease(borrower));
    expect(describePool({ ...pool, connecting: 1, validating: 2, resetting: 3, waiting: 4 }, holders)).toBe(
      '3 of 9 connections in use, 1 connecting, 2 validating, 3 resetting, 4 waiting; ' +
        'held longest: one for 5 ms; two for 5 ms',
    );
  });
});
