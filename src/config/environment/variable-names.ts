import { nearMiss } from '../problems/near-miss.js';
import type { Problems } from '../problems/problems.js';
import { FOREIGN_NAMES, VARIABLES } from '../settings/variables.js';

/** Variables by name, as in `process.env`. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** The trimmed text of a variable. Empty means not set: Docker Compose passes a variable without a value as an empty one. */
export const textOf = (env: Environment, name: string) => env[name]?.trim() ?? '';

const DB = 'DB_';

/** Warns of names that resemble a known variable. Other names with the prefix `DB_` may be the app's own. */
export function warnOfMisspelledNames(env: Environment, problems: Problems): void {
  const known = VARIABLES.flatMap(({ name, alias }) => (alias === undefined ? [name] : [name, alias]));
  const withoutPrefix = (name: string) => name.slice(DB.length);
  const ours = known.filter((name) => name.startsWith(DB)).map(withoutPrefix);
  for (const name of Object.keys(env)) {
    if (!/^DB_/i.test(name) || known.includes(name) || textOf(env, name) === '') continue;
    const near = nearMiss(withoutPrefix(name), ours);
    const meant = FOREIGN_NAMES.get(name.toUpperCase()) ?? (near === undefined ? undefined : `${DB}${near}`);
    if (meant !== undefined) problems.warn(name, `is not read; did you mean ${meant}?`);
  }
}

/** The variables that name a part of the server. */
const SERVER_VARIABLES = /^DB_(?:URL|HOST|PORT|USERNAME|PASSWORD|PASSWORD_FILE|NAME)$/;

/** The message about a missing URL. It lists the variables that are set but do not suffice. */
export function missingUrl(env: Environment): string {
  const found = [...VARIABLES.map(({ name }) => name), ...FOREIGN_NAMES.keys()].filter(
    (name) =>
      /^DB_(?!URL)/.test(name) &&
      SERVER_VARIABLES.test(FOREIGN_NAMES.get(name) ?? name) &&
      textOf(env, name) !== '',
  );
  return (
    'is not set; give DB_URL (or DATABASE_URL), as postgres://user:password@host:5432/database, or DB_HOST, ' +
    'DB_USERNAME, DB_PASSWORD and DB_NAME. A .env file is loaded by ConfigModule.forRoot() or node --env-file' +
    (found.length > 0 ? `. Set, but not enough alone: ${found.join(', ')}` : '')
  );
}
