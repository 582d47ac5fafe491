import { EventEmitter } from 'node:events';
import { describe, expect, it } from '@jest/globals';
import type { LoginMethod } from '../../database.options.js';
import { requireChannelBinding, requireLoginMethods } from './login-checks.js';

const SASL_WITH_BINDING = { mechanisms: ['SCRAM-SHA-256-PLUS', 'SCRAM-SHA-256'] };

/** The refusals by requireChannelBinding of a login in which the server sends these messages. */
function bindingLogin(...messages: [name: string, message?: object][]): Error[] {
  const wire = new EventEmitter();
  const refused: Error[] = [];
  requireChannelBinding(wire, (error) => refused.push(error));
  for (const [name, message] of messages) wire.emit(`authentication${name}`, message ?? {});
  return refused;
}

describe('requireChannelBinding', () => {
  it('accepts a login that is bound to its TLS connection', () => {
    expect(bindingLogin(['SASL', SASL_WITH_BINDING], ['SASLContinue'], ['SASLFinal'], ['Ok'])).toEqual([]);
  });

  it('refuses an offer without binding before the client answers with the password', () => {
    const refusal = expect.objectContaining({
      code: 'CHANNEL_BINDING_MISSING',
      message: 'The server offers no login that is bound to the TLS connection.',
      hint: expect.stringContaining('channel_binding=require'),
    });
    expect(bindingLogin(['SASL', { mechanisms: ['SCRAM-SHA-256'] }])).toEqual([refusal]);
    expect(bindingLogin(['CleartextPassword'])).toEqual([refusal]);
    expect(bindingLogin(['MD5Password'])).toEqual([refusal]);
    expect(bindingLogin(['SASL', SASL_WITH_BINDING], ['CleartextPassword'])).toEqual([refusal]);
  });

  it('refuses a login that the server accepts without completing a bound one', () => {
    expect(bindingLogin(['Ok'])).toHaveLength(1);
    expect(bindingLogin(['SASL', SASL_WITH_BINDING], ['SASLContinue'], ['Ok'])).toHaveLength(1);
    expect(bindingLogin(['SASLFinal'], ['Ok'])).toHaveLength(1);
  });
});

/** The refusals by requireLoginMethods of a login in which the server sends these messages. */
function methodLogin(allowed: LoginMethod[], ...messages: string[]): Error[] {
  const wire = new EventEmitter();
  const refused: Error[] = [];
  requireLoginMethods(wire, allowed, (error) => refused.push(error));
  for (const message of messages) wire.emit(`authentication${message}`, {});
  return refused;
}

describe('requireLoginMethods', () => {
  it.each<[LoginMethod, string[]]>([
    ['password', ['CleartextPassword', 'Ok']],
    ['md5', ['MD5Password', 'Ok']],
    ['scram-sha-256', ['SASL', 'SASLContinue', 'SASLFinal', 'Ok']],
    ['none', ['Ok']],
  ])('accepts a login by an allowed method: %s', (method, messages) => {
    expect(methodLogin([method], ...messages)).toEqual([]);
    expect(methodLogin(['none', 'password', 'md5', 'scram-sha-256'], ...messages)).toEqual([]);
  });

  it.each<[LoginMethod, string]>([
    ['password', 'CleartextPassword'],
    ['md5', 'MD5Password'],
    ['scram-sha-256', 'SASL'],
  ])('refuses another method as soon as the server asks for it: %s', (method, message) => {
    const others = (['none', 'password', 'md5', 'scram-sha-256'] as const).filter((name) => name !== method);
    expect(methodLogin(others, message)).toEqual([
      expect.objectContaining({
        code: 'LOGIN_METHOD_REFUSED',
        message: `The server asks for a login by ${method}, which require_auth does not allow.`,
        hint: expect.stringContaining('require_auth'),
      }),
    ]);
  });

  it('refuses a server that requires no login', () => {
    expect(methodLogin(['password', 'md5', 'scram-sha-256'], 'Ok')).toEqual([
      expect.objectContaining({
        code: 'LOGIN_METHOD_REFUSED',
        message: 'The server requires no login, which require_auth does not allow.',
      }),
    ]);
  });

  it('refuses a server that accepts the login before SCRAM is complete', () => {
    expect(methodLogin(['scram-sha-256'], 'SASL', 'SASLContinue', 'Ok')).toHaveLength(1);
  });
});
