import { describe, expect, it } from '@jest/globals';
import { CommandError } from '../errors/command.error.js';
import { DatabaseConfigError } from '../errors/config.errors.js';
import { DatabaseConnectionError } from '../errors/connection.errors.js';
import { MigrationError } from '../errors/migration.errors.js';
import { EXIT } from './exit-codes.js';
import { exitCodeOf, reportFailure } from './failure.js';

const migrationError = (code: string) => new MigrationError('It failed.', { code });
const connectionError = (code: string) =>
  new DatabaseConnectionError('It failed.', {
    code,
    cause: Object.assign(new Error('refused'), { code: 'ECONNREFUSED' }),
  });

describe('The exit code of a failure', () => {
  it.each<[unknown, keyof typeof EXIT]>([
    [new CommandError('usage', 'x'), 'usage'],
    [new CommandError('file', 'x'), 'file'],
    [new DatabaseConfigError([{ setting: 'DB_URL', message: 'is missing' }]), 'settings'],
    [connectionError('CONNECTION_REFUSED'), 'network'],
    [migrationError('MIGRATION_FAILED'), 'migration'],
    [migrationError('MIGRATION_POOLER'), 'migration'],
    [migrationError('MIGRATION_LOCK_TIMEOUT'), 'locked'],
    [migrationError('MIGRATION_DESTRUCTIVE'), 'destructive'],
    [new TypeError('a mistake of the app'), 'usage'],
    ['a string', 'usage'],
  ])('follows from its class: %s', (error, code) => {
    expect(exitCodeOf(error)).toBe(EXIT[code]);
  });
});

describe('The report of a failure', () => {
  const report = (error: unknown, isJson: boolean) => {
    const printed = { out: '', err: '' };
    reportFailure(error, {
      command: 'migration:run',
      isJson,
      out: { write: (text) => (printed.out += text) },
      err: { write: (text) => (printed.err += text) },
    });
    return printed;
  };

  it('has the code, the message and the hint, as lines or as JSON', () => {
    const error = new MigrationError('It failed.', { code: 'MIGRATION_FAILED', hint: 'Correct it.' });
    expect(report(error, false)).toEqual({
      out: '',
      err: '✖ MIGRATION_FAILED: It failed.\n  → Correct it.\n',
    });
    expect(JSON.parse(report(error, true).out)).toEqual({
      command: 'migration:run',
      ok: false,
      exitCode: 8,
      error: { code: 'MIGRATION_FAILED', message: 'It failed.', hint: 'Correct it.' },
    });
  });

  it('has the stack of an error of the app, and no secret', () => {
    const { err } = report(new Error('cannot reach redis://app:secret@cache/0'), false);
    expect(err).toMatch(/^Error: cannot reach redis:\/\/.*\n {4}at /);
    expect(err).not.toContain('secret');
    expect(report(undefined, false).err).toBe('undefined\n');
    expect(report(Object.create(null), false).err).toBe('[object Object]\n');
  });

  it("has the statement of a server's error instead of the stack", () => {
    const error = Object.assign(new Error('permission denied for schema public'), {
      code: '42501',
      query: 'CREATE TABLE migrations ()',
    });
    expect(report(error, false).err).toBe(
      '✖ 42501: permission denied for schema public: CREATE TABLE migrations ()\n',
    );
  });
});
