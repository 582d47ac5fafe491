import { describe, expect, it } from '@jest/globals';
import { isDisconnect, isFatal, isInterrupt, isReadOnlyRefusal } from './disconnect.js';

const error = (fields: object, message = 'x') => Object.assign(new Error(message), fields);

describe('isDisconnect', () => {
  it.each([
    ['the server has ended the session', error({ severity: 'FATAL', code: '57P01' })],
    ['the server has panicked', error({ severity: 'PANIC', code: 'XX000' })],
    ...[
      'ECONNRESET',
      'ECONNREFUSED',
      'ECONNABORTED',
      'ETIMEDOUT',
      'ENETDOWN',
      'ENETUNREACH',
      'EHOSTDOWN',
      'EHOSTUNREACH',
    ].map((code) => [`the socket has failed by ${code}`, error({ code, syscall: 'read' })] as const),
    ['the socket was closed while writing', error({ code: 'EPIPE', syscall: 'write' })],
    ['the socket has ended', error({}, 'Connection terminated unexpectedly')],
    [
      'the client has failed before',
      error({}, 'Client has encountered a connection error and is not queryable'),
    ],
    ['the client was closed', error({}, 'Client was closed and is not queryable')],
  ])('is true when %s', (_, failure) => {
    expect(isDisconnect(failure)).toBe(true);
  });

  it.each([
    ['a wrong count of parameters', error({ severity: 'ERROR', code: '08P01' })],
    ['a foreign server that is down', error({ severity: 'ERROR', code: '08001' })],
    ['a RAISE with the code of a lost connection', error({ severity: 'ERROR', code: '08006' })],
    ['a cancelled statement', error({ severity: 'ERROR', code: '57014' })],
    ['an error of the app that has the code of a socket', error({ code: 'ECONNRESET' })],
    ['a RAISE with a message of pg', error({ severity: 'ERROR', code: 'P0001' }, 'Connection terminated')],
    ['an end of another connection', error({}, 'Redis: Connection terminated')],
    ['a close of another client', error({}, 'The other Client was closed')],
    ['a string', 'Connection terminated'],
    ['undefined', undefined],
  ])('is false for %s', (_, failure) => {
    expect(isDisconnect(failure)).toBe(false);
  });
});

describe('isFatal', () => {
  it('is false without an error', () => {
    expect([isFatal(undefined), isFatal(null)]).toEqual([false, false]);
  });
});

describe('isReadOnlyRefusal', () => {
  it('is true for the SQLSTATE 25006', () => {
    expect(isReadOnlyRefusal(error({ code: '25006' }))).toBe(true);
    expect(isReadOnlyRefusal(error({ code: '42501' }))).toBe(false);
    expect(isReadOnlyRefusal(undefined)).toBe(false);
  });
});

describe('isInterrupt', () => {
  const interrupt = { severity: 'FATAL', code: '57P01', routine: 'ProcessInterrupts' };
  it.each([
    ['an administrator has ended the session', interrupt, true],
    ['the session was idle for too long', { ...interrupt, code: '57P05' }, true],
    ['a pooler sends the same code', { ...interrupt, routine: 'disconnect_client' }, false],
    ['the error has no routine', { ...interrupt, routine: undefined }, false],
    [
      'the message is a warning, as after a commit that waits for a standby',
      { ...interrupt, severity: 'WARNING' },
      false,
    ],
    ['the server has crashed', { ...interrupt, code: '57P02' }, false],
  ])('distinguishes an interrupt from other errors: %s', (_what, fields, expected) => {
    expect(isInterrupt(error(fields))).toBe(expected);
  });
});
