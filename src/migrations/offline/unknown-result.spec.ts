import { inspect } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import { refuseAffected, unknownResult } from './unknown-result.js';

const refuse = (): never => {
  throw new Error('refused');
};

describe('the result of a statement that is not executed', () => {
  const result = unknownResult(refuse) as Record<string, unknown>[];

  it('may be awaited, returned and logged', async () => {
    expect((await (async () => result)()) === result).toBe(true);
    expect((await Promise.resolve(result)) === result).toBe(true);
    expect(inspect(result)).toBe('[the result of a statement that was not executed]');
  });

  it.each<[string, () => unknown]>([
    ['an element', () => result[0]],
    ['its length', () => result.length],
    [
      'its elements by destructuring',
      () => {
        const [first] = result;
        return first;
      },
    ],
    ['a loop', () => result.forEach(() => undefined)],
    ['spreading', () => ({ ...result })],
    ['its keys', () => Object.keys(result)],
    ['in', () => 0 in result],
    ['JSON', () => JSON.stringify(result)],
    ['a comparison', () => (result as unknown as number) > 0],
    ['text', () => 'text' + (result as unknown as string)],
    ['an assignment', () => (result[0] = {})],
    ['a definition', () => Object.defineProperty(result, 'a', { value: 1 })],
    ['a removal', () => Reflect.deleteProperty(result, 0)],
  ])('refuses %s', (_use, use) => {
    expect(use).toThrow('refused');
  });

  it('refuses the number of affected rows in the result of a query builder', () => {
    const updated = { raw: [], affected: 1 };
    expect(refuseAffected(updated, refuse)).toBe(updated);
    expect(() => updated.affected).toThrow('refused');
    expect(inspect(updated)).toBe('{ raw: [] }');
    expect(refuseAffected([1], refuse)).toEqual([1]);
  });
});
