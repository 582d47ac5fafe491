import { Secret } from '../secrets/secret.js';
import type { SettingType } from '../settings/setting-types.js';
import type { Variable } from '../settings/variables.js';
import { readPem } from '../tls/pem.js';
import { parseDatabaseUrl } from '../url/database-url.js';
import { passwordOfFile, readSecretFile } from './secret-files.js';

/** The value of a variable, or everything that is wrong with its text. */
type ReadVariable = { readonly value: unknown } | { readonly problems: readonly string[] };

/**
 * Reads the text of a variable as its setting demands. URLs and files are checked here too, so that one error names them
 * together with all other variables.
 */
export function readVariable({ name, isFile, setting: { type } }: Variable, text: string): ReadVariable {
  if (isFile) return type.content === 'url' ? readUrlFile(text) : readPasswordFile(name, text);
  const problems = contentProblems(type, text);
  if (problems.length > 0) return { problems };
  const read = type.read(text);
  return 'problem' in read ? { problems: [read.problem] } : read;
}

function contentProblems({ content }: SettingType, text: string): readonly string[] {
  if (content === undefined) return [];
  if (content === 'url') return parseDatabaseUrl(text).problems;
  const read = readPem(text, content);
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
