import { EventEmitter } from 'node:events';
import { describe, expect, it } from '@jest/globals';
import { requireChannelBinding } from './channel-binding.js';

const PLUS = { mechanisms: ['SCRAM-SHA-256-PLUS', 'SCRAM-SHA-256'] };

/** What the server says at a login, in order, and how often that is refused. */
function login(...messages: [name: string, message?: object][]): Error[] {
  const wire = new EventEmitter();
  const refused: Error[] = [];
  requireChannelBinding(wire as never, (error) => refused.push(error));
  for (const [name, message] of messages) wire.emit(`authentication${name}`, message ?? {});
  return refused;
}

describe('a login that has to be bound to its TLS connection', () => {
  it('passes when it is', () => {
    expect(login(['SASL', PLUS], ['SASLContinue'], ['SASLFinal'], ['Ok'])).toEqual([]);
  });

  it('is refused as soon as another one is offered, before the password is answered with', () => {
    const refusal = expect.objectContaining({
      code: 'CHANNEL_BINDING_MISSING',
      message: 'The server offers no login that is bound to the TLS connection.',
      hint: expect.stringContaining('channel_binding=require'),
    });
    expect(login(['SASL', { mechanisms: ['SCRAM-SHA-256'] }])).toEqual([refusal]);
    expect(login(['CleartextPassword'])).toEqual([refusal]);
    expect(login(['MD5Password'])).toEqual([refusal]);
    expect(login(['SASL', PLUS], ['CleartextPassword'])).toEqual([refusal]);
  });

  it('is refused when the server lets us in without the end of one', () => {
    expect(login(['Ok'])).toHaveLength(1);
    expect(login(['SASL', PLUS], ['SASLContinue'], ['Ok'])).toHaveLength(1);
    expect(login(['SASLFinal'], ['Ok'])).toHaveLength(1);
  });
});
