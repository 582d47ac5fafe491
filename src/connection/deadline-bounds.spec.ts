import { expect, it, jest } from '@jest/globals';
import { LONGEST_TIMER_MS, after } from './deadline.js';

it.each([Infinity, Number.MAX_SAFE_INTEGER, LONGEST_TIMER_MS + 5_000])(
  'a deadline in %d ms is far away, and not over at once as a timer of that time would be',
  (ms) => {
    jest.useFakeTimers();
    try {
      const ring = jest.fn();
      const cancel = after(ms, ring);
      jest.advanceTimersByTime(LONGEST_TIMER_MS - 1);
      expect(ring).not.toHaveBeenCalled();
      cancel();
      expect(jest.getTimerCount()).toBe(0);
    } finally {
      jest.useRealTimers();
    }
  },
);
