import { readFile } from 'node:fs/promises';
import { PasswordError } from '../../errors/connection.errors.js';
import type { PasswordFunction } from '../../database.options.js';
import { fileProblem, readTextFile, shownPath } from './text-file.js';
import { parseDatabaseUrl } from '../url/database-url.js';
import type { ParsedUrl } from '../url/database-url.js';

/** Removes what editors add: a byte order mark at the beginning, and line ends at the end. */
const withoutMarkAndLineEnd = (text: string) => text.replace(/^\uFEFF/, '').replace(/[\r\n]+$/, '');

/** Reads a mounted secret, or says why it cannot. */
export function readSecretFile(path: string): { text: string } | { problem: string } {
  const read = readTextFile(path);
  if ('problem' in read) return read;
  const text = withoutMarkAndLineEnd(read.text);
  return text === '' ? { problem: `the file${shownPath(path)} is empty` } : { text };
}

/** Creates a function that reads the password from the file at each connect. A rotated password needs no restart. */
export function passwordOfFile(variable: string, path: string): PasswordFunction {
  return async () => readAgain(variable, path);
}

/**
 * Creates a function that reads the URL from the file at each connect and returns its password. The server in the URL must
 * not change: pool, TLS and logs are set up for the one at start.
 * @throws PasswordError `PASSWORD_UNAVAILABLE` from the function, when the file holds no valid URL, another server, or no
 * password
 */
export function passwordOfUrlFile(variable: string, path: string, atStart: ParsedUrl): PasswordFunction {
  return async () => {
    const url = parseDatabaseUrl(await readAgain(variable, path));
    if (url.problems.length > 0) throw unavailable(variable, url.problems.join('; '));
    const changed = (['host', 'port', 'username', 'database'] as const).filter(
      (part) => url[part] !== atStart[part],
    );
    if (changed.length > 0)
      throw unavailable(variable, `the URL has another ${changed.join(', ')} than at start`);
    if (url.password === undefined) throw unavailable(variable, 'the URL no longer has a password');
    return url.password.reveal();
  };
}

async function readAgain(variable: string, path: string): Promise<string> {
  let text: string;
  try {
    text = withoutMarkAndLineEnd(await readFile(path, 'utf8'));
  } catch (error) {
    throw unavailable(variable, `the file${shownPath(path)} ${fileProblem(error)}`);
  }
  // A file is empty for a moment while its secret is being replaced.
  if (text === '') throw unavailable(variable, `the file${shownPath(path)} is empty`);
  return text;
}

function unavailable(variable: string, problem: string): PasswordError {
  return new PasswordError(`${variable}: ${problem}.`, {
    hint: `${variable} is read at each connect. Correct the file, or restart the app to use another server.`,
  });
}
