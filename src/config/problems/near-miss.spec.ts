import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { distance, nearMiss } from './near-miss.js';

describe('distance', () => {
  it.each([
    ['size', 'size', 0],
    ['siez', 'size', 1],
    ['pool', 'pools', 1],
    ['poll', 'pool', 1],
    ['kitten', 'sitting', 3],
    ['', 'abc', 3],
  ])('from %p to %p is %p', (a, b, slips) => {
    expect(distance(a, b)).toBe(slips);
  });

  it('is symmetric, and 0 only for equal texts', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 12 }), fc.string({ maxLength: 12 }), (a, b) => {
        expect(distance(a, b)).toBe(distance(b, a));
        expect(distance(a, b) === 0).toBe(a === b);
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
  ])('finds for %p the name %p', (written, meant) => {
    expect(nearMiss(written, known)).toBe(meant);
  });

  it.each(['pool', 'user', 'port', 'password', 'cache', 'anything'])('finds nothing for %p', (written) => {
    expect(nearMiss(written, ['pool', 'url', 'timeouts'])).toBeUndefined();
  });
});
