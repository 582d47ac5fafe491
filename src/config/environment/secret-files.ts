import { readFile } from 'node:fs/promises';
import { PasswordError } from '../../database.errors.js';
import type { PasswordFunction } from '../../database.options.js';
import { fileProblem, readTextFile, shownPath } from './text-file.js';
import { parseDatabaseUrl } from '../url/database-url.js';
import type { ParsedUrl } from '../url/database-url.js';

/** Editors and `echo` end a file with a line end, which is not part of the secret. */
const withoutLineEnd = (text: string) => text.replace(/^\uFEFF/, '').replace(/[\r\n]+$/, '');

/** A mounted secret as it is now, or what is wrong with it. */
export function readSecretFile(path: string): { text: string } | { problem: string } {
  const read = readTextFile(path);
  if ('problem' in read) return read;
  const text = withoutLineEnd(read.text);
  return text === '' ? { problem: `the file${shownPath(path)} is empty` } : { text };
}

/** Reads the password at each connect, so that a rotated one is used without a restart. */
export function passwordOfFile(variable: string, path: string): PasswordFunction {
  return async () => readAgain(variable, path);
}

/**
 * The password in a file that holds a URL, read at each connect. The server stays the one that the app started with: pool,
 * TLS and logs are made for it.
 */
export function passwordOfUrlFile(variable: string, path: string, atStart: ParsedUrl): PasswordFunction {
  return async () => {
    const url = parseDatabaseUrl(await readAgain(variable, path));
    if (url.problems.length > 0) throw unavailable(variable, url.problems.join('; '));
    const moved = (['host', 'port', 'username', 'database'] as const).filter(
      (part) => url[part] !== atStart[part],
    );
    if (moved.length > 0)
      throw unavailable(variable, `the URL has another ${moved.join(', ')} than at the start`);
    if (url.password === undefined) throw unavailable(variable, 'the URL has no password any more');
    return url.password.reveal();
  };
}

async function readAgain(variable: string, path: string): Promise<string> {
  let text: string;
  try {
    text = withoutLineEnd(await readFile(path, 'utf8'));
  } catch (error) {
    throw unavailable(variable, `the file${shownPath(path)} ${fileProblem(error)}`);
  }
  // A secret that is being replaced may be empty for a moment.
  if (text === '') throw unavailable(variable, `the file${shownPath(path)} is empty`);
  return text;
}

function unavailable(variable: string, problem: string): PasswordError {
  return new PasswordError(`${variable}: ${problem}.`, {
    hint: `${variable} is read at each connect; correct the file, or restart the app for another server.`,
  });
}
