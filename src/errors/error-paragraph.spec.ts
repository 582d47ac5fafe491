import { inspect } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import { errorParagraph } from './error-paragraph.js';

const paragraphOf = (error: Error, further = {}) =>
  errorParagraph(error, further, {}, inspect as (value: unknown) => string);

describe('an error as a paragraph', () => {
  const error = (properties: object, options?: ErrorOptions) =>
    Object.assign(new Error('failed', options), { stack: 'Error: failed' }, properties);

  it('has its texts and numbers, and no objects', () => {
    expect(paragraphOf(error({ code: 'X', ms: 5, gone: undefined, snapshot: { size: 1 } }))).toBe(
      `Error: failed { code: 'X', ms: 5 }`,
    );
  });

  it('has the further properties', () => {
    expect(paragraphOf(error({}), { query: 'SELECT 1' })).toBe(`Error: failed { query: 'SELECT 1' }`);
  });

  it('has a line for each cause, with its code', () => {
    const socket = Object.assign(new Error('refused'), { code: 'ECONNREFUSED', stack: 'Error: refused' });
    const middle = Object.assign(new Error('no connection', { cause: socket }), {
      stack: 'Error: no connection',
    });
    expect(paragraphOf(error({}, { cause: middle })).split('\n')).toEqual([
      'Error: failed',
      'Caused by Error: no connection',
      'Caused by Error: refused (ECONNREFUSED)',
    ]);
  });

  it('prints a cause that is not an error as a text', () => {
    expect(paragraphOf(error({}, { cause: 'a text' }))).toBe('Error: failed\nCaused by a text');
  });
});
