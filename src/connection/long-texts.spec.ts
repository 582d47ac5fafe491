import { describe, expect, it } from '@jest/globals';
import { textLeavesState } from './session-state.js';

describe('a script of many statements', () => {
  const inserts = 'INSERT INTO notes (id, text) VALUES (1, $$a note$$);\n'.repeat(20_000);

  it('is read in time that grows with its length alone: the event loop waits for it', () => {
    const began = performance.now();
    expect(textLeavesState(inserts)).toBe(false);
    // A pattern that reads on to the end from each INTO takes more than ten times as long.
    expect(performance.now() - began).toBeLessThan(2_000);
  });

  it('is seen to leave state by its last statement too, and a word before what is made is not one', () => {
    expect(textLeavesState(`${inserts}CREATE TEMP TABLE t (id int)`)).toBe(true);
    expect(textLeavesState('SELECT temp FROM readings; CREATE TABLE u (id int)')).toBe(false);
  });
});
