import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { defaultApplicationName, defaultProfile } from './environment-defaults.js';

describe('defaultProfile', () => {
  it.each([
    ['development', 'development'],
    ['test', 'development'],
    ['production', 'production'],
    ['staging', 'production'],
    [undefined, 'production'],
  ])('for NODE_ENV %p is %s', (stage, profile) => {
    expect(defaultProfile({ NODE_ENV: stage })).toBe(profile);
  });
});

describe('defaultApplicationName', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'app-'));
    const write = (path: string, content: string) => {
      mkdirSync(join(folder, path), { recursive: true });
      writeFileSync(join(folder, path, 'package.json'), content);
    };
    write('app', '{"name":"users-api"}');
    write('app/dist', '{"type":"module"}');
    write('scoped', '{"name":"@acme/users-api"}');
    write('long', JSON.stringify({ name: 'ä'.repeat(40) }));
    write('broken', '{');
    mkdirSync(join(folder, 'app/src/deep'), { recursive: true });
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it.each([
    ['app', 'users-api'],
    ['app/src/deep', 'users-api'],
    ['app/dist', 'users-api'],
    ['scoped', 'users-api'],
    ['long', 'ä'.repeat(31)],
    ['broken', 'nestjs-database'],
  ])('in %s is %s', (path, name) => {
    expect(defaultApplicationName({}, join(folder, path))).toBe(name);
  });

  it('is the name that npm passes when there is no package.json', () => {
    expect(defaultApplicationName({ npm_package_name: '@acme/jobs' }, folder)).toBe('jobs');
  });
});
