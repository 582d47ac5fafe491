import { EventEmitter } from 'node:events';
import { describe, expect, it } from '@jest/globals';
import type { LoginMethod } from '../../database.options.js';
import { requireLoginMethods } from './login-methods.js';

/** What the server says at a login, in order, and what comes of it where only `allowed` are. */
function login(allowed: LoginMethod[], ...messages: string[]): Error[] {
  const wire = new EventEmitter();
  const refused: Error[] = [];
  requireLoginMethods(wire as never, allowed, (error) => refused.push(error));
  for (const message of messages) wire.emit(`authentication${message}`, {});
  return refused;
}

describe('a login by a method', () => {
  it.each<[LoginMethod, string[]]>([
    ['password', ['CleartextPassword', 'Ok']],
    ['md5', ['MD5Password', 'Ok']],
    ['scram-sha-256', ['SASL', 'SASLContinue', 'SASLFinal', 'Ok']],
    ['none', ['Ok']],
  ])('that is allowed passes: %s', (method, messages) => {
    expect(login([method], ...messages)).toEqual([]);
    expect(login(['none', 'password', 'md5', 'scram-sha-256'], ...messages)).toEqual([]);
  });

  it.each<[LoginMethod, string]>([
    ['password', 'CleartextPassword'],
    ['md5', 'MD5Password'],
    ['scram-sha-256', 'SASL'],
  ])('that is not is refused as soon as it is asked for: %s', (method, message) => {
    const others = (['none', 'password', 'md5', 'scram-sha-256'] as const).filter((name) => name !== method);
    expect(login(others, message)).toEqual([
      expect.objectContaining({
        code: 'LOGIN_METHOD_REFUSED',
        message: `The server asks for a login by ${method}, which require_auth does not allow.`,
        hint: expect.stringContaining('require_auth'),
      }),
    ]);
  });

  it('is needed where none is not allowed', () => {
    expect(login(['password', 'md5', 'scram-sha-256'], 'Ok')).toEqual([
      expect.objectContaining({
        code: 'LOGIN_METHOD_REFUSED',
        message: 'The server lets us in without a login, which require_auth does not allow.',
      }),
    ]);
  });

  it('is none when the server stops half-way and says that we are in', () => {
    expect(login(['scram-sha-256'], 'SASL', 'SASLContinue', 'Ok')).toHaveLength(1);
  });
});
