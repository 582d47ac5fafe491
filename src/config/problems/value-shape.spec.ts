import { describe, expect, it } from '@jest/globals';
import { kindOf, shapeOf, spaced } from './value-shape.js';

describe('shapeOf and kindOf', () => {
  it.each([
    [0, '0'],
    [Number.NaN, 'NaN'],
    [true, 'true'],
    [null, 'null'],
    [undefined, 'undefined'],
    ['', 'an empty string'],
    ['abc', '"abc"'],
    ['30 parsecs', '"30 parsecs"'],
    ['postgres://me:pw@host', 'a string of 21 characters'],
    ['x'.repeat(25), 'a string of 25 characters'],
    [[], 'a list'],
    [{ password: 'hunter2' }, 'an object'],
    [() => 'hunter2', 'a function'],
    [Symbol('hunter2'), 'a symbol'],
  ])('show %p as %p', (value, shape) => {
    expect(shapeOf(value)).toBe(shape);
  });

  it.each([
    ['hunter2', 'a string'],
    ['', 'an empty string'],
    [12345, 'a number'],
    [null, 'null'],
    [undefined, 'undefined'],
    [[], 'a list'],
    [{}, 'an object'],
  ])('show of a value that may be a secret only its kind: %p as %p', (value, kind) => {
    expect(kindOf(value)).toBe(kind);
  });
});

describe('spaced', () => {
  it.each([
    [0, '0'],
    [999, '999'],
    [1_000, '1 000'],
    [86_400_000, '86 400 000'],
  ])('writes %p as %p', (value, text) => {
    expect(spaced(value)).toBe(text);
  });
});
