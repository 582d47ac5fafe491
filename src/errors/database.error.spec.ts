import { describe, expect, it } from '@jest/globals';
import { DatabaseConfigError } from './config.errors.js';
import { DatabaseConnectionError } from './connection.errors.js';
import { DatabaseError } from './database.error.js';

describe('DatabaseError', () => {
  it('has a code, a hint, a cause and the name of its class', () => {
    const cause = new Error('below');
    const error = new DatabaseConnectionError('cannot connect', {
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

  it('is an instance of its classes when another copy of this package created it', async () => {
    const fromOtherCopy = Object.assign(new Error('x'), {
      [Symbol.for('nestjs-database.error.family')]: ['DatabaseConfigError', 'DatabaseError'],
    });
    expect(fromOtherCopy).toBeInstanceOf(DatabaseConfigError);
    expect(fromOtherCopy).toBeInstanceOf(DatabaseError);
    expect(fromOtherCopy).not.toBeInstanceOf(DatabaseConnectionError);
    expect(null).not.toBeInstanceOf(DatabaseError);
  });

  it('compares a subclass of the app by its prototype', () => {
    class Mine extends DatabaseError {}
    expect(new Mine('x', { code: 'MINE' })).toBeInstanceOf(Mine);
    expect(new Mine('x', { code: 'MINE' })).toBeInstanceOf(DatabaseError);
    expect(new DatabaseError('x', { code: 'OURS' })).not.toBeInstanceOf(Mine);
  });
});
