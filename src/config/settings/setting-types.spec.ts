import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { duration, flag, oneOf, password, wholeNumber } from './setting-types.js';
import type { SettingType } from './setting-types.js';

const valueOf = (type: SettingType, text: string) => {
  const read = type.read(text);
  return 'value' in read ? read.value : undefined;
};

describe('wholeNumber', () => {
  it('reads a number within its bounds, and refuses any other text', () => {
    const type = wholeNumber(1, 100);
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.integer().map(String), fc.double().map(String)), (text) => {
        const value = valueOf(type, text);
        if (value !== undefined)
          expect(Number.isInteger(value) && (value as number) >= 1 && (value as number) <= 100).toBe(true);
        else expect(/^\d+$/.test(text) && Number(text) >= 1 && Number(text) <= 100).toBe(false);
      }),
    );
  });

  it('checks numbers in code by the same bounds, and refuses a string', () => {
    const type = wholeNumber(1, 100);
    for (const value of [1, 100]) expect(type.problemOf(value)).toBeUndefined();
    for (const value of [0, 101, 2.5, Number.NaN, Infinity, '5', null, [5]])
      expect(type.problemOf(value)).toMatch(/ is not a whole number from 1 to 100$/);
  });
});

describe('duration', () => {
  const type = duration({ min: 1, max: 86_400_000, off: true });

  it('does not read a duration below 1 ms as off', () => {
    expect(valueOf(type, '0.0001ms')).toBeUndefined();
    expect(valueOf(type, '0')).toBe(0);
    expect(valueOf(type, 'OFF')).toBe(0);
  });

  it('takes milliseconds in code, and 0 only where it means off', () => {
    for (const value of [0, 1, 86_400_000]) expect(type.problemOf(value)).toBeUndefined();
    expect(duration({ min: 1_000, max: 2_000 }).problemOf(0)).toMatch(/^0 is not/);
    expect(duration({ min: 1_000, max: 60_000 }).problemOf(30)).toMatch(/; 30 seconds are 30 000$/);
    expect(type.problemOf('30s')).toMatch(/^"30s" is not a whole number of milliseconds/);
  });
});

describe('A value in code', () => {
  it('cannot be read from the text of a variable', () => {
    expect(flag.problemOf('true')).toBe('"true" is not true or false');
    expect(oneOf('a', 'b').problemOf('A')).toBe('"A" is not one of a, b');
  });

  it('is not repeated in a message when it may be a secret', () => {
    expect(password.problemOf({ password: 'hunter2' })).toBe(
      'an object is not a password, or a function that returns one',
    );
  });
});
