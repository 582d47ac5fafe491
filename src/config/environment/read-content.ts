import { Secret } from '../secrets/secret.js';
import type { Variable } from '../settings/variables.js';
import { readPem } from '../tls/pem.js';
import { parseDatabaseUrl } from '../url/database-url.js';
import { passwordOfFile, readSecretFile } from './secret-files.js';

/** The value of a variable, or everything that is wrong with its text. */
export type ReadVariable = { readonly value: unknown } | { readonly problems: readonly string[] };

/** Whether a variable holds more than its own text says: a URL, PEM text, or the path of a file. */
export const hasContent = ({ isFile, setting: { type } }: Variable) => isFile || type.content !== undefined;

/** Reads such a variable. URLs and files are checked here already, so that one error names all invalid variables. */
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

/** The value is a function: each connect reads the file again. */
function readPasswordFile(variable: string, path: string): ReadVariable {
  const read = readSecretFile(path);
  return 'problem' in read ? { problems: [read.problem] } : { value: passwordOfFile(variable, path) };
}
