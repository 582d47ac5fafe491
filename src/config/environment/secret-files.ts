import { readFile } from 'node:fs/promises';
import { PasswordError } from '../../errors/connection.errors.js';
import type { PasswordFunction } from '../../database.options.js';
import { fileProblem, readTextFile, shownPath } from './text-file.js';
import { parseDatabaseUrl } from '../url/database-url.js';
import type { ParsedUrl } from '../url/database-url.js';

/** Editors and `echo` end a file with a line end, and some editors begin it with a byte order mark. */
const withoutLineEnd = (text: string) => text.replace(/^\uFEFF/, '').replace(/[\r\n]+$/, '');

/** The current content of a mounted secret, or what is wrong with it. */
export function readSecretFile(path: string): { text: string } | { problem: string } {
  const read = readTextFile(path);
  if ('problem' in read) return read;
  const text = withoutLineEnd(read.text);
  return text === '' ? { problem: `the file${shownPath(path)} is empty` } : { text };
}

/** A function that reads the password at each connect, so that a rotated password is used without a restart. */
export function passwordOfFile(variable: string, path: string): PasswordFunction {
  return async () => readAgain(variable, path);
}

/**
 * A function that reads the password in the URL of a file at each connect. The server must stay the one of the start: pool,
 * TLS and logs are set up for it.
 */
export function passwordOfUrlFile(variable: string, path: string, atStart: ParsedUrl): PasswordFunction {
  return async () => {
    const url = parseDatabaseUrl(await readAgain(variable, path));
    if (url.problems.length > 0) throw unavailable(variable, url.problems.join('; '));
    const changed = (['host', 'port', 'username', 'database'] as const).filter(
      (part) => url[part] !== atStart[part],
    );
    if (changed.length > 0)
      throw unavailable(variable, `the URL has another ${changed.join(', ')} than at the start`);
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
  // A secret may be empty for a moment while it is being replaced.
  if (text === '') throw unavailable(variable, `the file${shownPath(path)} is empty`);
  return text;
}

function unavailable(variable: string, problem: string): PasswordError {
  return new PasswordError(`${variable}: ${problem}.`, {
    hint: `${variable} is read at each connect; correct the file, or restart the app for another server.`,
  });
}
