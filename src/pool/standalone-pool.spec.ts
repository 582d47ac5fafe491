import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { PasswordError, QueryTimeoutError } from '../errors/connection.errors.js';

/** The sources of the pool and of the connection, without comments. */
function sources(): [string, string][] {
  return ['../pool/', '../connection/'].flatMap((folder) => {
    const at = new URL(folder, import.meta.url);
    return (readdirSync(at, { recursive: true }) as string[])
      .filter((file) => /(?<!\.spec)\.ts$/.test(file))
      .map((file): [string, string] => [
        file,
        readFileSync(new URL(file, at), 'utf8').replace(/\/\*[^]*?\*\/|\/\/.*/g, ''),
      ]);
  });
}

describe('The pool and its connections, which are used without Nest too', () => {
  it('name no variable and no option of the module in their messages', () => {
    const named = sources().flatMap(([file, text]) =>
      [...text.matchAll(/DB_[A-Z]\w*|\b(?:timeouts|connectRetry)\.\w+/g)].map(([name]) => `${file}: ${name}`),
    );
    expect(named).toEqual([]);
    for (const { hint } of [PasswordError.timeout(1), new QueryTimeoutError(1)])
      expect(hint).not.toMatch(/DB_|timeouts\./);
  });

  it('import only pg, Node and files of this package', () => {
    const imported = sources().flatMap(([, text]) =>
      [...text.matchAll(/\bfrom '([^.'][^']*)'/g)].map(([, name]) => name!),
    );
    expect([...new Set(imported)].filter((name) => name !== 'pg' && !name.startsWith('node:'))).toEqual([]);
  });
});
