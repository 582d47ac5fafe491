import { describe, expect, it } from '@jest/globals';
import { Query } from 'pg';
import { unnamed } from './session-terms.js';

describe('a statement whose name is taken off', () => {
  it('keeps all the rest, and the caller’s object as it was', () => {
    const given = { name: 'mine', text: 'SELECT $1', values: [1], rowMode: 'array' };
    const callback = () => undefined;
    expect(unnamed([given, callback])).toEqual([{ ...given, name: undefined }, callback]);
    expect(given.name).toBe('mine');
  });

  it('may be a Query of pg, which has to stay the same object', () => {
    const query = new Query({ name: 'mine', text: 'SELECT 1' });
    const [sent] = unnamed([query]);
    expect(sent).toBe(query);
    expect((query as unknown as { name?: string }).name).toBeUndefined();
  });

  it('is the same request where there is no name', () => {
    for (const request of [['SELECT 1', [1]], [{ text: 'SELECT 1' }], [null], [undefined], []])
      expect(unnamed(request)).toBe(request);
  });
});
