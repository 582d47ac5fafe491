import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { retryDelayMs, withJitter } from './retry-delay.js';

const RETRY = { initialDelayMs: 100, maxDelayMs: 300 };

describe('the delay before a retry', () => {
  afterEach(() => {
    jest.restoreAllMocks();
  });

  it('doubles with each attempt up to its maximum', () => {
    jest.spyOn(Math, 'random').mockReturnValue(0);
    expect([0, 1, 2, 3].map((attempt) => retryDelayMs(RETRY, attempt))).toEqual([100, 200, 300, 300]);
  });

  it('is up to 20 % longer by its jitter', () => {
    jest.spyOn(Math, 'random').mockReturnValue(0.5);
    expect(retryDelayMs(RETRY, 0)).toBeCloseTo(110);
    expect(withJitter(50)).toBeCloseTo(55);
  });
});
