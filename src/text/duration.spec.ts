import { expect, it } from '@jest/globals';
import { duration } from './duration.js';

it('duration() shows milliseconds below one second, and seconds with one decimal from one second on', () => {
  expect([0, 999, 1_000, 28_140].map(duration)).toEqual(['0 ms', '999 ms', '1.0 s', '28.1 s']);
});
