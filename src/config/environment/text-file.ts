import { readFileSync } from 'node:fs';

/** Longer than any path of an operating system. */
const LONGEST_PATH = 4_096;

/** The text of a file at this path, or what is wrong; a path that may be a secret in the wrong place is not repeated. */
export function readTextFile(path: string): { text: string } | { problem: string } {
  if (/[\n\r]/.test(path) || path.length > LONGEST_PATH)
    return { problem: `a text of ${path.length} characters is not the path of a file` };
  try {
    return { text: readFileSync(path, 'utf8') };
  } catch (error) {
    return { problem: `the file${shownPath(path)} ${fileProblem(error)}` };
  }
}

/** ` /etc/ssl/ca.pem`; nothing where the text may be something else than a path. */
export const shownPath = (path: string) => (looksLikePath(path) ? ` ${path}` : '');

function looksLikePath(text: string): boolean {
  if (text.length > 255) return false;
  return /^(?:\/|\.{1,2}\/|~|[A-Za-z]:\\)/.test(text) || /\.(?:pem|crt|cer|cert|key|p8|ca|crl)$/i.test(text);
}

/** Why a file could not be read, without its path. */
export function fileProblem(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'ENOENT' || code === 'ENOTDIR') return 'does not exist';
  if (code === 'EACCES' || code === 'EPERM') return 'cannot be read by this user';
  if (code === 'EISDIR') return 'is a folder';
  return `cannot be read${code ? ` (${code})` : ''}`;
}
