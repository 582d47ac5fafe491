import { describe, expect, it } from '@jest/globals';
import { REQUIRED_SAMPLES, SharingRecord } from './sharing-record.js';

const LIMITS = { maxMeanMs: 5, maxMeanBytes: 1_000 };

function record(): SharingRecord & { addMany(count: number, ms: number, bytes?: number): void } {
  return Object.assign(new SharingRecord(), {
    addMany(this: SharingRecord, count: number, ms: number, bytes = 100) {
      for (let sample = 0; sample < count; sample += 1) this.add(ms, bytes, LIMITS);
    },
  });
}

/** How many fast samples it takes until the text is shared. */
function samplesUntilShared(text: SharingRecord): number {
  for (let count = 1; ; count += 1) {
    text.add(1, 100, LIMITS);
    if (text.notShareableReason === undefined) return count;
  }
}

describe('A record of the statements of one text', () => {
  const { first, afterEnd, most } = REQUIRED_SAMPLES;

  it('shares a text after a few fast and small statements', () => {
    const text = record();
    expect(text.notShareableReason).toBe('unknown');
    expect(samplesUntilShared(text)).toBe(first);
  });

  it('ends the sharing at one statement far above a limit', () => {
    const slow = record();
    slow.addMany(10, 1);
    slow.addMany(1, 21);
    expect(slow.notShareableReason).toBe('slow');
    const large = record();
    large.addMany(10, 1);
    large.addMany(1, 1, 4_001);
    expect(large.notShareableReason).toBe('large');
  });

  it('ends the sharing when the mean exceeds a limit, and not at one statement a little above it', () => {
    const text = record();
    text.addMany(10, 1);
    text.addMany(1, 15);
    expect(text.notShareableReason).toBeUndefined();
    text.addMany(5, 15);
    expect(text.notShareableReason).toBe('slow');
  });

  it('shares the text again after twice as many statements as the last time', () => {
    const text = record();
    text.addMany(10, 1);
    text.addMany(1, 100);
    expect(samplesUntilShared(text)).toBe(afterEnd);
    text.addMany(1, 100);
    expect(samplesUntilShared(text)).toBe(2 * afterEnd);
  });

  it('begins to count again at each slow statement', () => {
    const text = record();
    text.addMany(10, 1);
    text.addMany(1, 100);
    text.addMany(afterEnd - 1, 1);
    text.addMany(1, 100);
    text.addMany(afterEnd - 1, 1);
    expect(text.notShareableReason).toBe('slow');
    text.addMany(1, 1);
    expect(text.notShareableReason).toBeUndefined();
  });

  it('ends the sharing before the answer of a late statement', () => {
    const text = record();
    text.addMany(10, 1);
    text.markSlow();
    expect(text.notShareableReason).toBe('slow');
  });

  it('shares a text again that may have changed a session, as late as possible', () => {
    const text = record();
    text.addMany(10, 1);
    text.markSessionChanging();
    text.addMany(most - 1, 1);
    expect(text.notShareableReason).toBe('session');
    text.addMany(1, 1);
    expect(text.notShareableReason).toBeUndefined();
    text.markSessionChanging();
    text.addMany(most - 1, 1);
    expect(text.notShareableReason).toBe('session');
  });
});
