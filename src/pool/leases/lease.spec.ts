import { describe, expect, it } from '@jest/globals';
import { callSiteFrames } from '../../text/call-site.js';
import { captureCallSite } from './lease.js';
import type { Caller } from './lease.js';

function borrow(deep: boolean): { stack?: string } {
  return captureCallSite(borrow as Caller, deep);
}

/** Borrows below `depth` further callers. */
function nested(depth: number, deep: boolean): { stack?: string } {
  return depth > 0 ? nested(depth - 1, deep) : borrow(deep);
}

describe('the place of a borrower', () => {
  const framesAt = (deep: boolean, limit: number) => {
    const before = Error.stackTraceLimit;
    Error.stackTraceLimit = limit;
    const site = nested(80, deep);
    const after = Error.stackTraceLimit;
    Error.stackTraceLimit = before;
    expect(after).toBe(limit);
    return callSiteFrames(site)?.split('\n') ?? [];
  };

  it('is the frames of its callers alone, without a first line, which names no error', () => {
    const lines = framesAt(false, 10).map((frame) => /^ {4}at .*lease\.spec\.ts:(\d+)/.exec(frame)?.[1]);
    // That of `nested`, which calls itself and `borrow` in one line.
    expect([lines[0], lines[0]]).toEqual([expect.any(String), lines[1]]);
    expect(callSiteFrames(undefined)).toBeUndefined();
    expect(callSiteFrames({})).toBeUndefined();
  });

  it('is nothing, and no first line of an error, in a process that keeps no frames', () => {
    expect(framesAt(false, 0)).toEqual(['']);
  });

  it('has as many frames as the process keeps, and 50 or more where leaks are looked for', () => {
    expect(framesAt(false, 10)).toHaveLength(10);
    expect(framesAt(true, 10)).toHaveLength(50);
    expect(framesAt(true, 60)).toHaveLength(60);
  });
});
