import { spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text as readAll } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createFile, replaceFile } from './write-file.js';

describe('The file of a command', () => {
  let folder: string;
  const path = (name: string) => join(folder, name);

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'nestjs-database-'));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  it('replaces the file of a symbolic link, with its permissions, and not the link', async () => {
    writeFileSync(path('real.sql'), 'old');
    chmodSync(path('real.sql'), 0o640);
    symlinkSync('real.sql', path('link.sql'));
    await replaceFile(path('link.sql'), 'new');
    expect(lstatSync(path('link.sql')).isSymbolicLink()).toBe(true);
    expect(readFileSync(path('real.sql'), 'utf8')).toBe('new');
    expect(statSync(path('real.sql')).mode & 0o777).toBe(0o640);
  });

  it('is written to a pipe, which stays a pipe', async () => {
    spawnSync('mkfifo', [path('pipe')]);
    const reader = spawn('cat', [path('pipe')]);
    try {
      await replaceFile(path('pipe'), 'text');
      expect(lstatSync(path('pipe')).isFIFO()).toBe(true);
      expect(await readAll(reader.stdout)).toBe('text');
    } finally {
      reader.kill();
    }
  });

  it('is not created over another one, and leaves nothing behind', async () => {
    await createFile(path('new/one.ts'), 'first');
    await expect(createFile(path('new/one.ts'), 'second')).rejects.toThrow('exists; it is not overwritten');
    expect(readFileSync(path('new/one.ts'), 'utf8')).toBe('first');
    expect(readdirSync(path('new'))).toEqual(['one.ts']);
  });

  it('fails by the path that was given', async () => {
    mkdirSync(path('folder'));
    await expect(replaceFile(path('folder'), 'x')).rejects.toThrow(
      `The file ${path('folder')} is a directory.`,
    );
    await expect(replaceFile(path('missing/x.sql'), 'x')).rejects.toThrow(
      `The folder ${path('missing')} does not exist.`,
    );
  });
});
