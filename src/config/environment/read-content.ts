import { Secret } from '../secrets/secret.js';
import type { Variable } from '../settings/variables.js';
import { readPem } from '../tls/pem.js';
import { parseDatabaseUrl } from '../url/database-url.js';
import { passwordOfFile, readSecretFile } from './secret-files.js';

/** The value of a variable, or all problems of its text. */
export type ReadVariable = { readonly value: unknown } | { readonly problems: readonly string[] };

/** Whether checking a variable takes a parser or a file: it holds a URL, PEM text, or the path of a file. */
export const hasContent = ({ isFile, setting: { type } }: Variable) => isFile || type.content !== undefined;

/**
 * Reads a variable for which `hasContent` is true. URLs and files are checked before the options are resolved, so that one
 * error names all invalid variables.
 */
export function readContent({ name, isFile, setting: { type } }: Variable, text: string): ReadVariable {
  if (isFile) return type.content === 'url' ? readUrlFile(text) : readPasswordFile(name, text);
  const problems =
    type.content === 'url' ? parseDatabaseUrl(text).problems : pemProblems(type.content!, text);
  if (problems.length > 0) return { problems };
  const read = type.read(text);
  return 'problem' in read ? { problems: [read.problem] } : read;
}

function pemProblems(kind: 'certificate' | 'key', text: string): readonly string[] {
  const read = readPem(text, kind);
  return 'problem' in read ? [read.problem] : [];
}

function readUrlFile(path: string): ReadVariable {
  const read = readSecretFile(path);
  if ('problem' in read) return { problems: [read.problem] };
  const { problems } = parseDatabaseUrl(read.text);
  return problems.length > 0 ? { problems } : { value: new Secret(read.text) };
}

/** Returns a password function that reads the file again at each connect. */
function readPasswordFile(variable: string, path: string): ReadVariable {
  const read = readSecretFile(path);
  return 'problem' in read ? { problems: [read.problem] } : { value: passwordOfFile(variable, path) };
}
