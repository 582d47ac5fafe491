import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { judge, recordedFor } from '../../bench/http/guard-decision.js';

describe('The guard of the CPU time per request', () => {
  it('passes a ratio that is 30 % above the recorded one, and fails one that is higher', () => {
    expect(judge([1.3], 1)).toEqual({ best: 1.3, limit: 1.3, passed: true });
    expect(judge([1.31], 1).passed).toBe(false);
  });

  it('judges by the best of the tries', () => {
    expect(judge([2.5, 1.2, 1.9], 1)).toEqual({ best: 1.2, limit: 1.3, passed: true });
    expect(judge([2.5, 1.4, 1.9], 1)).toMatchObject({ best: 1.4, passed: false });
  });

  it('fails without a measurement', () => {
    expect(judge([], 1).passed).toBe(false);
    expect(judge([Number.NaN, 1], 1).passed).toBe(false);
  });

  it('fails a route without a recorded ratio', () => {
    expect(judge([1], Number.NaN).passed).toBe(false);
  });
});

describe('The recorded ratios of a version of Node.js', () => {
  const records = { 20: { constant: 2 }, 24: { constant: 4 } };

  it.each([
    { major: 20, constant: 2, which: 'those of this version' },
    { major: 22, constant: 2, which: 'those of the next lower version' },
    { major: 26, constant: 4, which: 'those of the next lower version' },
    { major: 18, constant: 2, which: 'those of the lowest version when none is lower' },
  ])('are $which, for $major', ({ major, constant }) => {
    expect(recordedFor(records, major)).toEqual({ constant });
  });

  it('are an error when there are none', () => {
    expect(() => recordedFor({}, 24)).toThrow('No ratios are recorded');
  });

  it('contain the three routes of the guard for each recorded version', () => {
    const recorded = JSON.parse(readFileSync('bench/http/guard.json', 'utf8')) as Record<string, object>;
    for (const ratios of Object.values(recorded))
      expect(Object.keys(ratios)).toEqual(['constant', 'row by key', 'no database']);
  });
});
