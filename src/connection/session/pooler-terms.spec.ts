import { describe, expect, it } from '@jest/globals';
import { Query } from 'pg';
import { withoutStatementName } from './pooler-terms.js';

describe('withoutStatementName', () => {
  it('removes the name alone, and leaves the caller’s object unchanged', () => {
    const given = { name: 'mine', text: 'SELECT $1', values: [1], rowMode: 'array' };
    const callback = () => undefined;
    const [sent, then] = withoutStatementName([given, callback]) as [typeof given, unknown];
    const { name, text, values, rowMode } = sent;
    expect({ name, text, values, rowMode }).toEqual({ ...given, name: undefined });
    expect(then).toBe(callback);
    expect(given.name).toBe('mine');
  });

  it('accepts an object of a class whose text is a getter', () => {
    class Template {
      name = 'mine';
      values = [1];
      constructor(private readonly parts: string[]) {}
      get text() {
        return this.parts.join('$1');
      }
    }
    const [sent] = withoutStatementName([new Template(['SELECT ', '::int'])]) as [Template];
    expect(sent.text).toBe('SELECT $1::int');
    expect(sent.name).toBeUndefined();
  });

  it('returns an object that a tracing tool can change', () => {
    const [sent] = withoutStatementName([{ name: 'mine', text: 'SELECT 1' }]) as [{ name?: string }];
    expect(Object.keys({ ...sent })).toEqual(['name']);
    sent.name = 'theirs';
    expect(sent.name).toBe('theirs');
  });

  it('returns a Query of pg as the same object', () => {
    const query = new Query({ name: 'mine', text: 'SELECT 1' });
    const [sent] = withoutStatementName([query]);
    expect(sent).toBe(query);
    expect((query as unknown as { name?: string }).name).toBeUndefined();
  });

  it('returns a request without a name unchanged', () => {
    for (const request of [['SELECT 1', [1]], [{ text: 'SELECT 1' }], [null], [undefined], []])
      expect(withoutStatementName(request)).toBe(request);
  });
});
