import { readFileSync } from 'node:fs';

/** The longest path of any operating system, in characters (PATH_MAX of Linux). */
export const LONGEST_PATH = 4_096;

/** Reads a text file, or says why it cannot. Messages show only what is certainly a path, and not a misplaced secret. */
export function readTextFile(path: string): { text: string } | { problem: string } {
  if (/[\n\r]/.test(path) || path.length > LONGEST_PATH)
    return { problem: `a string of ${path.length} characters is not the path of a file` };
  try {
    return { text: readFileSync(path, 'utf8') };
  } catch (error) {
    return { problem: `the file${shownPath(path)} ${fileProblem(error)}` };
  }
}

/** The path for a message, with a space before it: ` /etc/ssl/ca.pem`. Empty for a string that may be a secret. */
export const shownPath = (path: string) => (looksLikePath(path) ? ` ${path}` : '');

function looksLikePath(text: string): boolean {
  if (text.length > 255) return false;
  return /^(?:\/|\.{1,2}\/|~|[A-Za-z]:\\)/.test(text) || /\.(?:pem|crt|cer|cert|key|p8|ca|crl)$/i.test(text);
}

/** Says why a file cannot be read, without its path. */
export function fileProblem(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'ENOENT' || code === 'ENOTDIR') return 'does not exist';
  if (code === 'EACCES' || code === 'EPERM') return 'cannot be read by this user';
  if (code === 'EISDIR') return 'is a directory';
  return `cannot be read${code ? ` (${code})` : ''}`;
}
