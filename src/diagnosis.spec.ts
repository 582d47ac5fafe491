import { describe, expect, it } from '@jest/globals';
import { PoolAcquireTimeoutError, PoolDialError } from './database.errors.js';
import { diagnose } from './diagnosis.js';
import { FAILURES } from './failures.js';

const withCode = (code: string, message = 'something') => Object.assign(new Error(message), { code });

describe('diagnose', () => {
  it.each([
    ['ECONNREFUSED', 'CONNECTION_REFUSED', true],
    ['ENOTFOUND', 'HOST_NOT_FOUND', false],
    ['EAI_AGAIN', 'DNS_TEMPORARY_FAILURE', true],
    ['28P01', 'PASSWORD_WRONG', false],
    ['3D000', 'DATABASE_UNKNOWN', false],
    ['53300', 'TOO_MANY_CONNECTIONS', true],
    ['57P03', 'SERVER_STARTING', true],
    ['CERT_HAS_EXPIRED', 'TLS_CERTIFICATE_EXPIRED', false],
  ])('explains %s as %s, which passes by itself: %p', (code, name, transient) => {
    expect(diagnose(withCode(code))).toMatchObject({
      code: name,
      transient,
      meaning: expect.any(String),
      cure: expect.any(String),
    });
  });

  it.each([
    ['The server does not support SSL connections', 'TLS_NOT_OFFERED'],
    ['timeout expired', 'CONNECT_TIMEOUT'],
    ['Connection terminated unexpectedly', 'CONNECTION_RESET'],
    ['SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a non-empty string', 'PASSWORD_MISSING'],
  ])('knows "%s" by its words', (message, code) => {
    expect(diagnose(new Error(message)).code).toBe(code);
  });

  it('does not take the words of a statement for those of a connection', () => {
    const raised = withCode('P0001', 'timeout exceeded; Connection terminated; endpoint not found');
    expect(diagnose(raised).code).toBe('CONNECTION_FAILED');
  });

  const signs = FAILURES.flatMap((failure) => failure.signs.map((sign) => ({ failure, sign })));

  it('finds every row of its table by each of its signs', () => {
    for (const { failure, sign } of signs) {
      const shown =
        typeof sign === 'string'
          ? [withCode(sign)]
          : (sign.codes ?? []).length > 0
            ? sign.codes!.map((code) => withCode(code, sign.example))
            : [new Error(sign.example)];
      for (const error of shown)
        expect({ sign, ...diagnose(error) }).toMatchObject({
          sign,
          code: failure.code,
          meaning: failure.meaning,
        });
    }
  });

  it('knows each code by one row', () => {
    const codes = signs.flatMap(({ sign }) => (typeof sign === 'string' ? [sign] : []));
    expect(codes).toEqual([...new Set(codes)]);
  });

  it('looks through causes and the errors of several addresses', () => {
    const several = new AggregateError([withCode('ECONNREFUSED'), withCode('ECONNREFUSED')]);
    expect(diagnose(new PoolDialError('no connection', { cause: several })).code).toBe('CONNECTION_REFUSED');
  });

  it('tells the failed dial as the reason of a timeout in the queue, and the queue when there is none', () => {
    const cause = withCode('28P01');
    expect(diagnose(new PoolAcquireTimeoutError('timeout', { cause })).code).toBe('PASSWORD_WRONG');
    expect(diagnose(new PoolAcquireTimeoutError('timeout')).code).toBe('POOL_ACQUIRE_TIMEOUT');
  });

  it('takes an unknown name for one that appears later only when it is a local one', () => {
    expect(diagnose(withCode('ENOTFOUND'), { localHost: true }).transient).toBe(true);
    expect(diagnose(withCode('ENOTFOUND'), { localHost: false }).transient).toBe(false);
  });

  it.each([[undefined], ['text'], [new Error('something else')]])('has a word for anything: %p', (error) => {
    expect(diagnose(error)).toMatchObject({ code: 'CONNECTION_FAILED', transient: false });
  });
});
