import { EventEmitter } from 'node:events';
import { describe, expect, it } from '@jest/globals';
import type { LoginMethod } from '../../database.options.js';
import { requireChannelBinding, requireLoginMethods } from './login-checks.js';

const PLUS = { mechanisms: ['SCRAM-SHA-256-PLUS', 'SCRAM-SHA-256'] };

/** What the server says at a login, in order, and how often that is refused. */
function bindingLogin(...messages: [name: string, message?: object][]): Error[] {
  const wire = new EventEmitter();
  const refused: Error[] = [];
  requireChannelBinding(wire, (error) => refused.push(error));
  for (const [name, message] of messages) wire.emit(`authentication${name}`, message ?? {});
  return refused;
}

describe('a login that has to be bound to its TLS connection', () => {
  it('passes when it is', () => {
    expect(bindingLogin(['SASL', PLUS], ['SASLContinue'], ['SASLFinal'], ['Ok'])).toEqual([]);
  });

  it('is refused as soon as another one is offered, before the password is answered with', () => {
    const refusal = expect.objectContaining({
      code: 'CHANNEL_BINDING_MISSING',
      message: 'The server offers no login that is bound to the TLS connection.',
      hint: expect.stringContaining('channel_binding=require'),
    });
    expect(bindingLogin(['SASL', { mechanisms: ['SCRAM-SHA-256'] }])).toEqual([refusal]);
    expect(bindingLogin(['CleartextPassword'])).toEqual([refusal]);
    expect(bindingLogin(['MD5Password'])).toEqual([refusal]);
    expect(bindingLogin(['SASL', PLUS], ['CleartextPassword'])).toEqual([refusal]);
  });

  it('is refused when the server lets us in without the end of one', () => {
    expect(bindingLogin(['Ok'])).toHaveLength(1);
    expect(bindingLogin(['SASL', PLUS], ['SASLContinue'], ['Ok'])).toHaveLength(1);
    expect(bindingLogin(['SASLFinal'], ['Ok'])).toHaveLength(1);
  });
});

/** What the server says at a login, in order, and what comes of it where only `allowed` are. */
function methodLogin(allowed: LoginMethod[], ...messages: string[]): Error[] {
  const wire = new EventEmitter();
  const refused: Error[] = [];
  requireLoginMethods(wire, allowed, (error) => refused.push(error));
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
    expect(methodLogin([method], ...messages)).toEqual([]);
    expect(methodLogin(['none', 'password', 'md5', 'scram-sha-256'], ...messages)).toEqual([]);
  });

  it.each<[LoginMethod, string]>([
    ['password', 'CleartextPassword'],
    ['md5', 'MD5Password'],
    ['scram-sha-256', 'SASL'],
  ])('that is not is refused as soon as it is asked for: %s', (method, message) => {
    const others = (['none', 'password', 'md5', 'scram-sha-256'] as const).filter((name) => name !== method);
    expect(methodLogin(others, message)).toEqual([
      expect.objectContaining({
        code: 'LOGIN_METHOD_REFUSED',
        message: `The server asks for a login by ${method}, which require_auth does not allow.`,
        hint: expect.stringContaining('require_auth'),
      }),
    ]);
  });

  it('is needed where none is not allowed', () => {
    expect(methodLogin(['password', 'md5', 'scram-sha-256'], 'Ok')).toEqual([
      expect.objectContaining({
        code: 'LOGIN_METHOD_REFUSED',
        message: 'The server requires no login, which require_auth does not allow.',
      }),
    ]);
  });

  it('is none when the server stops half-way and says that we are in', () => {
    expect(methodLogin(['scram-sha-256'], 'SASL', 'SASLContinue', 'Ok')).toHaveLength(1);
  });
});
