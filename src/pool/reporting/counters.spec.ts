import { describe, expect, it } from '@jest/globals';
import { DurationHistogram } from './counters.js';

describe('DurationHistogram', () => {
  it('starts with 0 in each bucket', () => {
    const { boundsMs, counts, ...rest } = new DurationHistogram().snapshot();
    expect(counts).toEqual([...boundsMs, Infinity].map(() => 0));
    expect(rest).toEqual({ count: 0, sumMs: 0, maxMs: 0 });
  });

  it('counts a duration in the first bucket whose bound it does not exceed, and longer ones in the last bucket', () => {
    const histogram = new DurationHistogram();
    for (const ms of [0, 1, 1.1, 2, 2, 60_000, 60_001, 90_000]) histogram.record(ms);
    const { boundsMs, counts, count, sumMs, maxMs } = histogram.snapshot();
    expect(counts).toHaveLength(boundsMs.length + 1);
    expect(counts.slice(0, 3)).toEqual([2, 3, 0]);
    expect(counts.slice(-2)).toEqual([1, 2]);
    expect({ count, maxMs }).toEqual({ count: 8, maxMs: 90_000 });
    expect(sumMs).toBeCloseTo(210_007.1);
  });
});
