import { readFileSync } from 'node:fs';

/** Longer than the path of any operating system. */
const LONGEST_PATH = 4_096;

/** The text of a file, or what is wrong. Messages show no path that may be a secret in the wrong place. */
export function readTextFile(path: string): { text: string } | { problem: string } {
  if (/[\n\r]/.test(path) || path.length > LONGEST_PATH)
    return { problem: `a text of ${path.length} characters is not the path of a file` };
  try {
    return { text: readFileSync(path, 'utf8') };
  } catch (error) {
    return { problem: `the file${shownPath(path)} ${fileProblem(error)}` };
  }
}

/** The path for a message, as ` /etc/ssl/ca.pem`; empty for a text that may not be a path. */
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
