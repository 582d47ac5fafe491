import { inspect } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import { Secret } from './secret.js';

describe('Secret', () => {
  const secret = new Secret('hunter2');

  it('returns its text from reveal()', () => {
    expect(secret.reveal()).toBe('hunter2');
  });

  it.each([
    ['String()', () => String(secret)],
    ['a template literal', () => `${secret as unknown as string}`],
    ['concatenation', () => 'x' + (secret as unknown as string)],
    ['JSON', () => JSON.stringify({ secret })],
    ['inspect', () => inspect({ secret }, { depth: 9, showHidden: true, getters: true })],
    ['inspect without our own', () => inspect(secret, { customInspect: false, showHidden: true })],
    ['its keys', () => Reflect.ownKeys(secret).map(String).join()],
    ['Object.entries', () => JSON.stringify(Object.entries(secret))],
    ['a format', () => inspect(new Error('wrong', { cause: secret }))],
    ['a clone', () => inspect(structuredClone(secret))],
  ])('hides its text from %s', (_, print) => {
    expect(print()).not.toContain('hunter2');
  });

  it('shows a mask, so that a log says that a secret is set', () => {
    expect(`${secret as unknown as string} ${JSON.stringify(secret)} ${inspect(secret)}`).toBe(
      '*** "***" ***',
    );
  });

  it('cannot be changed', () => {
    expect(Object.isFrozen(secret)).toBe(true);
  });

  it('is created from a string, and is returned unchanged when it is a secret already', () => {
    expect(Secret.from('a').reveal()).toBe('a');
    expect(Secret.from(secret)).toBe(secret);
  });

  it('hides the text of any object with reveal()', () => {
    const theirs = { text: 'hunter2', reveal: () => 'hunter2' };
    expect(Secret.is(theirs)).toBe(true);
    expect(inspect(Secret.from(theirs))).toBe('***');
    expect(Secret.from(theirs).reveal()).toBe('hunter2');
  });

  it('recognises a secret of another copy of the package', () => {
    const copy = { reveal: () => 'a', [Symbol.for('nestjs-database.secret')]: true };
    expect(Secret.from(copy)).toBe(copy);
  });

  it.each([[undefined], [null], ['text'], [3], [{}], [{ reveal: 'text' }]])('is not %p', (value) => {
    expect(Secret.is(value)).toBe(false);
  });
});
