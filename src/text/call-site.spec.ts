import { describe, expect, it } from '@jest/globals';
import { callSite, callSiteFrames } from './call-site.js';
import type { CallSite } from './call-site.js';

function capture(depth: number | undefined): CallSite {
  return callSite(capture, depth);
}

/** Captures a call site below `callers` further callers. */
function nested(callers: number, depth: number | undefined): CallSite {
  return callers > 0 ? nested(callers - 1, depth) : capture(depth);
}

describe('callSite()', () => {
  const framesAt = (depth: number | undefined, limit: number) => {
    const before = Error.stackTraceLimit;
    Error.stackTraceLimit = limit;
    const site = nested(80, depth);
    const after = Error.stackTraceLimit;
    Error.stackTraceLimit = before;
    expect(after).toBe(limit);
    return callSiteFrames(site)?.split('\n') ?? [];
  };

  it('captures the frames of the callers, without the first line of an error', () => {
    const lines = framesAt(0, 10).map((frame) => /^ {4}at .*call-site\.spec\.ts:(\d+)/.exec(frame)?.[1]);
    // `nested` calls itself and `capture` in the same line.
    expect([lines[0], lines[0]]).toEqual([expect.any(String), lines[1]]);
    expect(callSiteFrames(undefined)).toBeUndefined();
    expect(callSiteFrames({})).toBeUndefined();
  });

  it('captures nothing with depth 0 in a process that keeps no frames', () => {
    expect(framesAt(0, 0)).toEqual(['']);
  });

  it('keeps as many frames as the process does with depth 0, and at least 50 by default', () => {
    expect(framesAt(0, 10)).toHaveLength(10);
    expect(framesAt(undefined, 10)).toHaveLength(50);
    expect(framesAt(undefined, 60)).toHaveLength(60);
  });
});
