import { inspect } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import {
  DatabaseConfigError,
  DatabaseConnectionError,
  DatabaseError,
  redact,
  maskedSql,
  plainCause,
  shortSql,
} from './database.errors.js';

const problems = [
  { setting: 'DB_URL', message: 'is not set' },
  { setting: 'pool.size', message: '0 is not allowed' },
];

describe('errors', () => {
  it('have a code, a hint, a cause and the name of their class', () => {
    const cause = new Error('below');
    const error = new DatabaseConnectionError('no way', {
      code: 'CONNECTION_REFUSED',
      hint: 'start it',
      cause,
    });
    expect(error).toMatchObject({
      name: 'DatabaseConnectionError',
      code: 'CONNECTION_REFUSED',
      hint: 'start it',
      cause,
    });
    expect(error).toBeInstanceOf(DatabaseError);
    expect(error).toBeInstanceOf(Error);
    expect(error).not.toBeInstanceOf(DatabaseConfigError);
  });

  it('name every problem in one message, and print it once', () => {
    const error = new DatabaseConfigError(problems);
    expect(error.message).toContain('DB_URL: is not set');
    expect(error.message).toContain('pool.size: 0 is not allowed');
    expect(error.problems).toEqual(problems);
    expect(inspect(error).match(/is not set/g)).toHaveLength(1);
  });

  it('are recognised by family when another copy of the package made them', async () => {
    const fromOtherCopy = Object.assign(new Error('x'), {
      [Symbol.for('nestjs-database.error.family')]: ['DatabaseConfigError', 'DatabaseError'],
    });
    expect(fromOtherCopy).toBeInstanceOf(DatabaseConfigError);
    expect(fromOtherCopy).toBeInstanceOf(DatabaseError);
    expect(fromOtherCopy).not.toBeInstanceOf(DatabaseConnectionError);
    expect(null).not.toBeInstanceOf(DatabaseError);
  });

  it('compare a subclass of a user by its prototype', () => {
    class Mine extends DatabaseError {}
    expect(new Mine('x', { code: 'MINE' })).toBeInstanceOf(Mine);
    expect(new Mine('x', { code: 'MINE' })).toBeInstanceOf(DatabaseError);
    expect(new DatabaseError('x', { code: 'OURS' })).not.toBeInstanceOf(Mine);
  });

  it('show no credentials of a URL in a text', () => {
    for (const secret of [`p'w`, 'p"w', 'p w', 'p@w'])
      expect(redact(`no way to postgres://app:${secret}@db today`)).toBe('no way to postgres://***@db today');
    expect(redact('postgres://db/app?user=me&password=secret&x=1')).toBe(
      'postgres://db/app?user=me&password=***&x=1',
    );
    expect(redact('no way to postgres://me:p@ss/w#rd@host/db today')).toBe(
      'no way to postgres://***@host/db today',
    );
  });

  it.each([
    ["'secret'", "'***'"],
    ["'it''s secret' VALID UNTIL 'x'", "'***' VALID UNTIL 'x'"],
    [String.raw`E'it\'s secret', b`, "E'***', b"],
    ["U&'secret'; SELECT 'x'", "U&'***'; SELECT 'x'"],
    ['$$secret$$, b', "'***', b"],
    ['$a$secret $$ password$a$;', "'***';"],
    ["'secret", "'***'"],
    ['$a$secret$', "'***'"],
    // Where standard_conforming_strings is off, the literal goes on behind the quote.
    [String.raw`'a\'secret' x`, "'***'"],
  ])('show no password that a statement sets: %s', (literal, masked) => {
    for (const begin of ['ALTER ROLE app PASSWORD ', 'create role b encrypted password\n']) {
      expect(maskedSql(begin + literal)).toBe(begin + masked);
      expect(shortSql(begin + literal)).toBe((begin + masked).replace('\n', ' '));
    }
  });

  it('leave a statement that sets no password as it is', () => {
    for (const sql of ['SELECT password FROM users', 'UPDATE t SET password = $1'])
      expect(maskedSql(sql)).toBe(sql);
  });

  it("keep a stranger's error without its further properties", () => {
    const error = Object.assign(new TypeError('Invalid URL'), {
      code: 'ERR_INVALID_URL',
      input: 'postgres://a:b@c',
    });
    const copy = plainCause(error);
    expect(copy).toMatchObject({ name: 'TypeError', message: 'Invalid URL', code: 'ERR_INVALID_URL' });
    expect(inspect(copy)).not.toContain('a:b');
    expect(plainCause('just a text').message).toBe('just a text');
  });
});
