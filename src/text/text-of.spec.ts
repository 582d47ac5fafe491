import { describe, expect, it } from '@jest/globals';
import { textOf } from './text-of.js';

describe('The text of a thrown value', () => {
  it('is a text whatever was thrown', () => {
    expect([new TypeError('x'), 'x', undefined, null, Object.create(null), {}].map(textOf)).toEqual([
      'TypeError: x',
      'x',
      'undefined',
      'null',
      '[object Object]',
      '[object Object]',
    ]);
  });
});
