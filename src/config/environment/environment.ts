import { readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { registerAs } from '@nestjs/config';
import { z } from 'zod';
import type { DatabaseProfile, DatabaseSettings } from '../../database.options.js';
import { BOUNDS } from '../settings/bounds.js';
import { nearMiss } from '../problems/near-miss.js';
import { ORIGINS } from '../options/origins.js';
import type { EnvironmentOrigins } from '../options/origins.js';
import { Problems } from '../problems/problems.js';
import { DEFAULTS } from '../settings/defaults.js';
import { passwordOfUrlFile, readSecretFile } from './secret-files.js';
import { parseDatabaseUrl } from '../url/database-url.js';
import type { ParsedUrl } from '../url/database-url.js';
import { RELATIVES, VARIABLES } from '../settings/variables.js';
import type { Variable } from '../settings/variables.js';

/** Variables by name, as in `process.env`. */
export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The settings in the environment, for `ConfigModule.forFeature(databaseConfig)`: validated, frozen and sparse. It holds
 * what was set and no defaults, so that whatever is set in code can be told from what nobody set.
 */
export const databaseConfig = registerAs('database', () => readEnvironment(processEnvironment()));

/** The only place that looks at the process. */
export const processEnvironment = (): Environment => process.env;

const environmentSchema = z.object(
  Object.fromEntries(VARIABLES.map(({ name, parser }) => [name, parser.schema.optional()])),
);

/**
 * What the variables of `env` say, in the shape of the options.
 * @param options `requireUrl`: a missing URL is a problem too, for who has no other source of settings
 * @throws DatabaseConfigError with every variable that is wrong
 */
export function readEnvironment(
  env: Environment,
  { requireUrl = false }: { readonly requireUrl?: boolean } = {},
): Readonly<DatabaseSettings> {
  const problems = new Problems();
  const names: Record<string, string> = {};
  const texts: Record<string, string> = {};
  for (const variable of VARIABLES) {
    const name = [variable.name, variable.alias].find((one) => one !== undefined && textOf(env, one) !== '');
    if (name === undefined) continue;
    names[variable.name] = name;
    texts[variable.name] = variable.verbatim ? env[name]! : textOf(env, name);
  }
  refuseBoth(['DB_URL', 'DB_URL_FILE'], names, texts, problems);
  refuseBoth(['DB_PASSWORD', 'DB_PASSWORD_FILE'], names, texts, problems);
  const url = urlIn(texts);
  if (url) leaveOutParts(url, names, texts, problems);
  const result = environmentSchema.safeParse(texts);
  for (const issue of result.error?.issues ?? []) {
    const name = names[String(issue.path[0])]!;
    problems.add(name, issue.message);
  }
  const named = ['DB_URL', 'DB_URL_FILE', 'DB_HOST'].some((name) => texts[name] !== undefined);
  if (requireUrl && !named && texts['DB_STARTUP']?.toLowerCase() !== 'off')
    problems.add('DB_URL', missingUrl(env));
  warnOfMisspelt(env, problems);
  problems.throwIfAny();

  const settings: Record<string, unknown> = {};
  const values: Record<string, { variable: string; value: unknown }> = {};
  const set = (path: string, variable: string, value: unknown) => {
    place(settings, path, value);
    values[path] = { variable, value };
  };
  for (const variable of VARIABLES) {
    const value = result.data?.[variable.name];
    const name = names[variable.name];
    if (value === undefined || name === undefined) continue;
    set(variable.path, name, value);
    warnOfMilliseconds(variable, name, texts[variable.name]!, problems);
  }
  const file = texts['DB_URL_FILE'];
  if (file !== undefined && url?.password !== undefined)
    set('password', 'DB_URL_FILE', passwordOfUrlFile('DB_URL_FILE', file, url));
  const origins: EnvironmentOrigins = { values, warnings: problems.warnings };
  return deepFrozen({ ...(settings as DatabaseSettings), [ORIGINS]: origins });
}

/** Empty is not set: that is how a compose file writes a variable that its caller doesn't have. */
const textOf = (env: Environment, name: string) => env[name]?.trim() ?? '';

/** Which of the two would be used nobody could tell. */
function refuseBoth(
  [text, file]: readonly [string, string],
  names: Record<string, string>,
  texts: Record<string, string>,
  problems: Problems,
): void {
  // An alias counts only where the first name is not set, and gives way to the file.
  if (names[text] === text && names[file] !== undefined)
    problems.add(file, `is set beside ${text}; give one of them`);
  else if (names[text] !== undefined && names[file] !== undefined) {
    Reflect.deleteProperty(names, text);
    Reflect.deleteProperty(texts, text);
  }
}

/** The URL that is named, when it is one. */
function urlIn(texts: Readonly<Record<string, string>>): ParsedUrl | undefined {
  const file = texts['DB_URL_FILE'];
  const read = file === undefined ? undefined : readSecretFile(file);
  const text = read && 'text' in read ? read.text : texts['DB_URL'];
  return text === undefined ? undefined : parseDatabaseUrl(text);
}

/** Where there is a URL, single parts are the app's own: it decides, and only a password that it has not is added. */
function leaveOutParts(
  url: ParsedUrl,
  names: Readonly<Record<string, string>>,
  texts: Record<string, string>,
  problems: Problems,
): void {
  const name = names['DB_URL_FILE'] ?? names['DB_URL']!;
  const password = url.password?.reveal();
  const parts: Record<string, string | undefined> = {
    DB_HOST: url.host,
    DB_PORT: String(url.port ?? DEFAULTS.port),
    DB_USERNAME: url.username,
    DB_NAME: url.database,
    ...(password !== undefined && { DB_PASSWORD: password, DB_PASSWORD_FILE: undefined }),
  };
  for (const [part, value] of Object.entries(parts)) {
    if (texts[part] === undefined) continue;
    if (texts[part] !== value) problems.warn(part, `is not read, since ${name} is set`);
    Reflect.deleteProperty(texts, part);
  }
}

/** `pool.size` into `{ pool: { size } }`. */
function place(settings: Record<string, unknown>, path: string, value: unknown): void {
  const [first, second] = path.split('.') as [string, string?];
  if (second === undefined) settings[first] = value;
  else settings[first] = { ...(settings[first] as object | undefined), [second]: value };
}

/** Other variables with our prefix are the app's own; one that is nearly ours is probably meant to be ours. */
function warnOfMisspelt(env: Environment, problems: Problems): void {
  const known = VARIABLES.flatMap(({ name, alias }) => (alias === undefined ? [name] : [name, alias]));
  const bare = (name: string) => name.slice('DB_'.length);
  for (const name of Object.keys(env)) {
    if (!/^DB_/i.test(name) || known.includes(name) || textOf(env, name) === '') continue;
    const near = nearMiss(bare(name), known.filter((one) => one.startsWith('DB_')).map(bare));
    const meant = RELATIVES.get(name.toUpperCase()) ?? (near === undefined ? undefined : `DB_${near}`);
    if (meant !== undefined) problems.warn(name, `is not read; did you mean ${meant}?`);
  }
}

/** 30000 is within the limits of some variables, as 8 hours. */
function warnOfMilliseconds({ path }: Variable, name: string, text: string, problems: Problems): void {
  const seconds = /^\d+$/.test(text) && path.endsWith('Ms') ? Number(text) : 0;
  if (seconds >= 1_000 && seconds % 1_000 === 0)
    problems.warn(name, `${text} is read as seconds; if milliseconds are meant, write ${text}ms`);
}

function deepFrozen<T extends object>(value: T): T {
  for (const key of Reflect.ownKeys(value)) {
    const inner: unknown = Reflect.get(value, key);
    if (typeof inner === 'object' && inner !== null && !Object.isFrozen(inner)) deepFrozen(inner);
  }
  return Object.freeze(value);
}

/** What is said where no URL is set. */
export function missingUrl(env: Environment): string {
  const found = [...VARIABLES.map(({ name }) => name), ...RELATIVES.keys()].filter(
    (name) =>
      /^DB_(?!URL)/.test(name) && OF_SERVER.test(RELATIVES.get(name) ?? name) && textOf(env, name) !== '',
  );
  return (
    'is not set; give DB_URL (or DATABASE_URL), as postgres://user:password@host:5432/database, or DB_HOST, ' +
    'DB_USERNAME, DB_PASSWORD and DB_NAME. A .env file is loaded by ConfigModule.forRoot() or node --env-file' +
    (found.length > 0 ? `. Not enough by themselves: ${found.join(', ')}` : '')
  );
}

/** What tells a part of the server. */
const OF_SERVER = /^DB_(?:URL|HOST|PORT|USERNAME|PASSWORD|PASSWORD_FILE|NAME)$/;

/** The profile where none is set. */
export function environmentProfile(env: Environment): DatabaseProfile {
  const stage = textOf(env, 'NODE_ENV').toLowerCase();
  return stage === 'development' || stage === 'test' ? 'development' : 'production';
}

const NAMELESS = 'nestjs-database';

/**
 * What the server shows connections as where no name is set: the name in the nearest package.json above `folder`, else
 * npm's; without its scope, and cut to what PostgreSQL keeps.
 */
export function applicationName(env: Environment, folder: string = process.cwd()): string {
  const name = packageName(folder) ?? textOf(env, 'npm_package_name');
  return cut(name.replace(/^@[^/]*\//, ''), BOUNDS.applicationNameBytes) || NAMELESS;
}

/** A package.json without a name (`{ "type": "module" }` in a build's folder) is not the app's. */
function packageName(folder: string): string | undefined {
  for (let at = folder; ; at = dirname(at)) {
    if (basename(at) !== 'node_modules') {
      const name = nameIn(join(at, 'package.json'));
      if (name !== undefined) return name;
    }
    if (dirname(at) === at) return undefined;
  }
}

function nameIn(file: string): string | undefined {
  try {
    const { name } = JSON.parse(readFileSync(file, 'utf8')) as { name?: unknown };
    return typeof name === 'string' && name.trim() !== '' ? name.trim() : undefined;
  } catch {
    // Not there, not readable or not JSON: the name is a convenience, and an app must not fail for it.
    return undefined;
  }
}

/** Whole characters, up to `bytes` bytes of UTF-8. */
function cut(text: string, bytes: number): string {
  let kept = '';
  for (const character of text) {
    if (Buffer.byteLength(kept + character, 'utf8') > bytes) break;
    kept += character;
  }
  return kept;
}
