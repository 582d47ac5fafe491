import { resolve } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { migrationsFolder } from './migrations-folder.js';

class AddUsers {}

describe('migrationsFolder', () => {
  it.each<[string, unknown, string]>([
    ['a pattern', ['db/migrations/*.ts'], 'db/migrations'],
    ['a pattern of several extensions', ['db/migrations/*{.ts,.js}'], 'db/migrations'],
    ['a pattern of all folders below', ['./db/migrations/**/*.{js,ts}'], 'db/migrations'],
    ['an absolute pattern', [resolve('db', '*.ts')], 'db'],
    ['a pattern beside a class', [AddUsers, 'db/*.ts'], 'db'],
    ['the same folder twice', ['db/*.ts', 'db/*.js'], 'db'],
    ['options as an object', { first: 'db/*.ts' }, 'db'],
    ['the current folder', ['*.ts'], '.'],
  ])('is the folder of %s', (_what, migrations, folder) => {
    expect(migrationsFolder(migrations, 'ts')).toBe(folder);
  });

  it.each<[string, unknown]>([
    ['there are no migrations', undefined],
    ['there are only classes', [AddUsers]],
    ['the pattern is one of compiled files', ['dist/migrations/*.js']],
    ['the pattern is one of an output folder', ['dist/migrations/*{.ts,.js}']],
    ['the folder is a pattern', ['src/**/migrations/*.ts']],
    ['the patterns name two folders', ['one/*.ts', 'two/*.ts']],
  ])('is src/migrations if %s', (_what, migrations) => {
    expect(migrationsFolder(migrations, 'ts')).toBe('src/migrations');
  });

  it('is that of the patterns for the extension of the new file', () => {
    expect(migrationsFolder(['one/*.ts', 'two/*.mjs'], 'mjs')).toBe('two');
  });
});
