import { describe, expect, it } from '@jest/globals';
import type { LoadedMigration } from '../../data-source/migrations/loaded-migration.js';
import { readArguments } from '../arguments.js';
import { ProgressWriter } from './progress.js';
import { RUN } from './run.js';

const migration: LoadedMigration = {
  name: 'AddUsers1716200000000',
  timestamp: 1716200000000,
  instance: { up: () => Promise.resolve(), down: () => Promise.resolve() },
};

describe('The progress of migrations', () => {
  const writer = (isTTY: boolean, ...args: string[]) => {
    const printed = { out: '', err: '' };
    const progress = new ProgressWriter({
      args: readArguments(args, RUN.options),
      out: { write: (text) => (printed.out += text), isTTY },
      err: { write: (text) => (printed.err += text), isTTY },
      ask: undefined,
    });
    return { progress, printed };
  };
  const run = (progress: ProgressWriter) => {
    progress.report({ type: 'started', direction: 'up', migration });
    progress.report({ type: 'finished', direction: 'up', migration, ms: 1_234 });
  };

  it('is a line for each migration, with its time', () => {
    const { progress, printed } = writer(false);
    run(progress);
    progress.report({ type: 'finished', direction: 'down', migration, ms: 12 });
    expect(printed).toEqual({
      out: '✔ ↑ AddUsers1716200000000  1.2 s\n✔ ↓ AddUsers1716200000000  12 ms\n',
      err: '',
    });
  });

  it('shows a running migration on a terminal, and replaces its line at the end', () => {
    const { progress, printed } = writer(true);
    run(progress);
    expect(printed.out).toBe('… ↑ AddUsers1716200000000\r\u001B[K✔ ↑ AddUsers1716200000000  1.2 s\n');
  });

  it('names the session that holds the migration lock', () => {
    const { progress, printed } = writer(false);
    const since = new Date('2026-01-02T03:04:05Z');
    progress.report({ type: 'waiting', holder: { pid: 42, application: 'shop', since } });
    progress.report({ type: 'waiting', holder: undefined });
    expect(printed.out).toBe(
      '… Waiting for the migration lock: another process holds it (pid 42, application "shop", since 2026-01-02T03:04:05.000Z).\n' +
        '… Waiting for the migration lock.\n',
    );
  });

  it('leaves standard output to the document of --json', () => {
    const { progress, printed } = writer(true, '--json');
    run(progress);
    progress.report({ type: 'waiting', holder: undefined });
    progress.report({ type: 'retrying', migration, attempt: 1, error: new Error('canceled') });
    progress.report({ type: 'warning', message: 'An index is invalid.' });
    expect(printed.out).toBe('');
    expect(printed.err).toContain('was rolled back after attempt 1 and is tried again: canceled');
    expect(printed.err).toContain('! An index is invalid.\n');
    expect(progress.warnings).toEqual(['An index is invalid.']);
  });
});
