import { describe, expect, it } from '@jest/globals';
import { migrationName } from './migration-name.js';

const TIMESTAMP = 1716200000000;

describe('migrationName', () => {
  it.each([
    ['AddUsers', 'AddUsers', 'add-users'],
    ['add-users', 'AddUsers', 'add-users'],
    ['add_users table', 'AddUsersTable', 'add-users-table'],
    ['addHTTPLog2', 'AddHTTPLog2', 'add-http-log2'],
    ['x', 'X', 'x'],
  ])('makes of %s the class %s and the file %s', (given, className, fileName) => {
    expect(migrationName(given, TIMESTAMP)).toEqual({
      className: `${className}${TIMESTAMP}`,
      fileName: `${TIMESTAMP}-${fileName}`,
    });
  });

  it('refuses a name that is no identifier, and points to --dir for a path', () => {
    expect(() => migrationName(undefined, TIMESTAMP)).toThrow('The name of the migration is missing');
    expect(() => migrationName('2nd', TIMESTAMP)).toThrow('begins with a letter');
    expect(() => migrationName('src/migrations/AddUsers', TIMESTAMP)).toThrow(
      expect.objectContaining({ hint: 'Name the folder with --dir.' }),
    );
  });
});
