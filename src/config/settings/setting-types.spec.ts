import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { BOUNDS } from './bounds.js';
import { duration, milliseconds, wholeNumber } from './setting-types.js';

describe('a duration', () => {
  it('is the same in every unit', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 100_000 }), (n) => {
        expect(milliseconds(`${n}`)).toBe(n * 1_000);
        expect(milliseconds(`${n}s`)).toBe(milliseconds(`${n}`));
        expect(milliseconds(`${n * 1_000}ms`)).toBe(milliseconds(`${n}s`));
        expect(milliseconds(`${n * 60}s`)).toBe(milliseconds(`${n}m`));
        expect(milliseconds(`${n * 60}min`)).toBe(milliseconds(`${n}h`));
      }),
    );
  });

  it.each(['', ' ', 's', '-1', '+1', '1e3', '0x10', '1,5', '1 2', '1d', '٣', 'Infinity', '1..5', '0.0001s'])(
    'is not %p',
    (text) => {
      expect(milliseconds(text)).toBeUndefined();
    },
  );

  it('that is too small to be sent is not taken for off', () => {
    expect(duration(BOUNDS.timeouts.lockMs).schema.safeParse('0.0001ms').success).toBe(false);
    expect(duration(BOUNDS.timeouts.lockMs).schema.safeParse('0').data).toBe(0);
  });
});

describe('a whole number', () => {
  it('is within its bounds or refused, whatever the text', () => {
    const { schema } = wholeNumber({ min: 1, max: 100 });
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.integer().map(String), fc.double().map(String)), (text) => {
        const { success, data } = schema.safeParse(text);
        if (success)
          expect(Number.isInteger(data) && (data as number) >= 1 && (data as number) <= 100).toBe(true);
        else expect(/^\d+$/.test(text) && Number(text) >= 1 && Number(text) <= 100).toBe(false);
      }),
    );
  });
});
