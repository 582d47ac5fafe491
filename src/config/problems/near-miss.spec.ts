import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { editDistance, nearMiss } from './near-miss.js';

describe('editDistance', () => {
  it.each([
    ['size', 'size', 0],
    ['siez', 'size', 1],
    ['pool', 'pools', 1],
    ['poll', 'pool', 1],
    ['kitten', 'sitting', 3],
    ['', 'abc', 3],
  ])('from %p to %p is %p', (a, b, edits) => {
    expect(editDistance(a, b)).toBe(edits);
  });

  it('is symmetric, and 0 only for equal names', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 12 }), fc.string({ maxLength: 12 }), (a, b) => {
        expect(editDistance(a, b)).toBe(editDistance(b, a));
        expect(editDistance(a, b) === 0).toBe(a === b);
      }),
    );
  });
});

describe('nearMiss', () => {
  const known = ['url', 'host', 'pool', 'poolSize', 'timeouts', 'rejectUnauthorized', 'POOL_SIZE'];

  it.each([
    ['poolsize', 'poolSize'],
    ['pool_size', 'poolSize'],
    ['POOLSIZE', 'poolSize'],
    ['uri', 'url'],
    ['timeout', 'timeouts'],
    ['rejectUnauthorised', 'rejectUnauthorized'],
  ])('corrects %p to %p', (written, meant) => {
    expect(nearMiss(written, known)).toBe(meant);
  });

  it.each(['pool', 'user', 'port', 'password', 'cache', 'anything'])('finds nothing for %p', (written) => {
    expect(nearMiss(written, ['pool', 'url', 'timeouts'])).toBeUndefined();
  });
});
