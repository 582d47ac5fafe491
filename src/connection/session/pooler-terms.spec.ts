import { describe, expect, it } from '@jest/globals';
import { Query } from 'pg';
import { withoutStatementName } from './pooler-terms.js';

describe('a statement whose name is taken off', () => {
  it('keeps all the rest, and the caller’s object as it was', () => {
    const given = { name: 'mine', text: 'SELECT $1', values: [1], rowMode: 'array' };
    const callback = () => undefined;
    const [sent, then] = withoutStatementName([given, callback]) as [typeof given, unknown];
    const { name, text, values, rowMode } = sent;
    expect({ name, text, values, rowMode }).toEqual({ ...given, name: undefined });
    expect(then).toBe(callback);
    expect(given.name).toBe('mine');
  });

  it('may be an object of a class, which makes its text when it is read', () => {
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

  it('may be changed on its way, by a tool that traces statements', () => {
    const [sent] = withoutStatementName([{ name: 'mine', text: 'SELECT 1' }]) as [{ name?: string }];
    expect(Object.keys({ ...sent })).toEqual(['name']);
    sent.name = 'theirs';
    expect(sent.name).toBe('theirs');
  });

  it('may be a Query of pg, which has to stay the same object', () => {
    const query = new Query({ name: 'mine', text: 'SELECT 1' });
    const [sent] = withoutStatementName([query]);
    expect(sent).toBe(query);
    expect((query as unknown as { name?: string }).name).toBeUndefined();
  });

  it('is the same request where there is no name', () => {
    for (const request of [['SELECT 1', [1]], [{ text: 'SELECT 1' }], [null], [undefined], []])
      expect(withoutStatementName(request)).toBe(request);
  });
});
