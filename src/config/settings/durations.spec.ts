import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { durationIn, durationText } from './durations.js';

describe('durationIn', () => {
  it('reads the same duration in every unit', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 100_000 }), (n) => {
        expect(durationIn(`${n}`)).toBe(n * 1_000);
        expect(durationIn(`${n}s`)).toBe(durationIn(`${n}`));
        expect(durationIn(`${n * 1_000}ms`)).toBe(durationIn(`${n}s`));
        expect(durationIn(`${n * 60}s`)).toBe(durationIn(`${n}m`));
        expect(durationIn(`${n * 60}min`)).toBe(durationIn(`${n}h`));
      }),
    );
  });

  it.each(['', ' ', 's', '-1', '+1', '1e3', '0x10', '1,5', '1 2', '1d', '٣', 'Infinity', '1..5', '0.0001s'])(
    'reads no duration from %p',
    (text) => {
      expect(durationIn(text)).toBeUndefined();
    },
  );
});

describe('durationText', () => {
  it('writes what durationIn reads as the same duration', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 100_000_000 }), (ms) => {
        expect(durationIn(durationText(ms))).toBe(ms);
      }),
    );
  });

  it.each([
    [500, '500ms'],
    [30_000, '30s'],
    [60_000, '60s'],
    [1_800_000, '30m'],
  ])('writes %p ms as %p', (ms, text) => {
    expect(durationText(ms)).toBe(text);
  });
});
