import { inspect } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import { errorParagraph } from './error-paragraph.js';

const paragraphOf = (error: Error, further = {}) =>
  errorParagraph(error, further, {}, inspect as (value: unknown) => string);

describe('errorParagraph', () => {
  const error = (properties: object, options?: ErrorOptions) =>
    Object.assign(new Error('failed', options), { stack: 'Error: failed' }, properties);

  it('shows the strings and numbers of an error, but not its objects', () => {
    expect(paragraphOf(error({ code: 'X', ms: 5, gone: undefined, snapshot: { size: 1 } }))).toBe(
      `Error: failed { code: 'X', ms: 5 }`,
    );
  });

  it('shows further properties', () => {
    expect(paragraphOf(error({}), { query: 'SELECT 1' })).toBe(`Error: failed { query: 'SELECT 1' }`);
  });

  it('shows each cause on a line, with its code', () => {
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

  it('shows a cause that is not an error as a string', () => {
    expect(paragraphOf(error({}, { cause: 'a string' }))).toBe('Error: failed\nCaused by a string');
  });
});
