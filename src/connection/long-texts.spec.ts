import { runInNewContext } from 'node:vm';
import { describe, expect, it } from '@jest/globals';
import { textLeavesState } from './session/session-state.js';

describe('a script of many statements', () => {
  const inserts = 'INSERT INTO notes (id, text) VALUES (1, $$a note$$);\n'.repeat(50_000);

  it('is read in time that grows with its length alone: the event loop waits for it', () => {
    // A pattern that reads on to the end from each INTO would block the process for minutes; it is ended and fails.
    const read = { leavesState: textLeavesState, inserts };
    expect(runInNewContext('leavesState(inserts)', read, { timeout: 10_000 })).toBe(false);
  });

  it('is seen to leave state by its last statement too, and a word before what is made is not one', () => {
    expect(textLeavesState(`${inserts}CREATE TEMP TABLE t (id int)`)).toBe(true);
    expect(textLeavesState('SELECT temp FROM readings; CREATE TABLE u (id int)')).toBe(false);
  });
});
