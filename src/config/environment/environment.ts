import { registerAs } from '@nestjs/config';
import type { DatabaseSettings } from '../../database.options.js';
import { ORIGINS } from '../options/origins.js';
import type { EnvironmentOrigins } from '../options/origins.js';
import { nearMiss } from '../problems/near-miss.js';
import { Problems } from '../problems/problems.js';
import { partsOf, SETTINGS } from '../settings/settings.js';
import { FOREIGN_NAMES, VARIABLES } from '../settings/variables.js';
import type { Variable } from '../settings/variables.js';
import { parseDatabaseUrl } from '../url/database-url.js';
import type { ParsedUrl } from '../url/database-url.js';
import { readVariable } from './read-variable.js';
import { passwordOfUrlFile, readSecretFile } from './secret-files.js';

/** Variables by name, as in `process.env`. */
export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The settings in the environment, for `ConfigModule.forFeature(databaseConfig)`: validated, frozen and sparse. They hold
 * no defaults, so that a setting in code can be told from one that is not set anywhere.
 * @throws DatabaseConfigError `DATABASE_CONFIG_INVALID` with every variable that is wrong
 */
export const databaseConfig = registerAs('database', () => readEnvironment(processEnvironment()));

/** The only place that reads `process.env`. */
export const processEnvironment = (): Environment => process.env;

/** The trimmed text of a variable. Empty means not set: a Compose file passes a variable that its caller lacks as empty. */
export const textOf = (env: Environment, name: string) => env[name]?.trim() ?? '';

/** A variable that is set. */
interface GivenVariable {
  readonly variable: Variable;
  /** Its name, or that of its alias. */
  readonly name: string;
  readonly text: string;
}

/** The variables that are set, by their first name. */
type GivenVariables = Map<string, GivenVariable>;

/**
 * The settings that the variables of `env` hold, in the shape of the options.
 * @param options `requireUrl`: a missing server is a problem, since there is no other source of settings
 * @throws DatabaseConfigError `DATABASE_CONFIG_INVALID` with every variable that is wrong
 */
export function readEnvironment(
  env: Environment,
  { requireUrl = false }: { readonly requireUrl?: boolean } = {},
): Readonly<DatabaseSettings> {
  const problems = new Problems();
  const given = givenVariables(env);
  refuseValueBesideFile(given, problems);
  const url = givenUrl(given);
  if (url) removeServerParts(given, url, problems);

  const values = readValues(given, problems);
  if (requireUrl && !hasServer(given) && !isStartupOff(given)) problems.add('DB_URL', missingUrl(env));
  warnOfMisspelledNames(env, problems);
  problems.throwIfAny();

  const urlFile = given.get('DB_URL_FILE');
  if (urlFile && url?.password !== undefined)
    values['password'] = {
      variable: urlFile.name,
      value: passwordOfUrlFile(urlFile.name, urlFile.text, url),
    };
  return settingsWithOrigins({ values, warnings: problems.warnings });
}

function givenVariables(env: Environment): GivenVariables {
  const given: GivenVariables = new Map();
  for (const variable of VARIABLES) {
    const names = variable.alias === undefined ? [variable.name] : [variable.name, variable.alias];
    const name = names.find((candidate) => textOf(env, candidate) !== '');
    if (name === undefined) continue;
    // White space may be part of a password.
    const isPassword = variable.path === 'password' && !variable.isFile;
    const text = isPassword ? env[name]! : textOf(env, name);
    given.set(variable.name, { variable, name, text });
  }
  return given;
}

/** `DB_URL` beside `DB_URL_FILE` is ambiguous. An alias is read only when nothing else is set, so it gives way to the file. */
function refuseValueBesideFile(given: GivenVariables, problems: Problems): void {
  for (const { variable, name } of [...given.values()]) {
    const file = variable.isFile ? undefined : given.get(variable.setting.file?.variable ?? '');
    if (!file) continue;
    if (name === variable.name) problems.add(file.name, `is set beside ${name}; give one of them`);
    else given.delete(variable.name);
  }
}

/** The URL in `DB_URL`, or in the file that `DB_URL_FILE` names; undefined when there is none. */
function givenUrl(given: GivenVariables): ParsedUrl | undefined {
  const file = given.get('DB_URL_FILE');
  const read = file && readSecretFile(file.text);
  const text = read && 'text' in read ? read.text : given.get('DB_URL')?.text;
  return text === undefined ? undefined : parseDatabaseUrl(text);
}

/**
 * Beside a URL, `DB_HOST` and the like are the app's own variables: they are ignored, with a warning for each that differs
 * from the URL. A password counts when the URL has none.
 */
function removeServerParts(given: GivenVariables, url: ParsedUrl, problems: Problems): void {
  const urlName = (given.get('DB_URL_FILE') ?? given.get('DB_URL'))!.name;
  const password = url.password?.reveal();
  const inUrl: Record<string, string | undefined> = {
    DB_HOST: url.host,
    DB_PORT: String(url.port ?? SETTINGS.port.default),
    DB_USERNAME: url.username,
    DB_NAME: url.database,
    ...(password !== undefined && { DB_PASSWORD: password, DB_PASSWORD_FILE: undefined }),
  };
  for (const [name, value] of Object.entries(inUrl)) {
    const part = given.get(name);
    if (!part) continue;
    if (part.text !== value) problems.warn(name, `is not read, since ${urlName} is set`);
    given.delete(name);
  }
}

type Values = Record<string, { readonly variable: string; readonly value: unknown }>;

/** The values of the variables, by the path of their setting. */
function readValues(given: GivenVariables, problems: Problems): Values {
  const values: Values = {};
  for (const { variable, name, text } of given.values()) {
    const read = readVariable(variable, text);
    if ('problems' in read) for (const problem of read.problems) problems.add(name, problem);
    else {
      values[variable.path] = { variable: name, value: read.value };
      warnOfMilliseconds(variable, name, text, problems);
    }
  }
  return values;
}

/** `DB_STATEMENT_TIMEOUT=30000` is within the bounds, as more than 8 hours. */
function warnOfMilliseconds({ path }: Variable, name: string, text: string, problems: Problems): void {
  const seconds = /^\d+$/.test(text) && path.endsWith('Ms') ? Number(text) : 0;
  if (seconds >= 1_000 && seconds % 1_000 === 0)
    problems.warn(name, `${text} is read as seconds; if milliseconds are meant, write ${text}ms`);
}

const hasServer = (given: GivenVariables) =>
  ['DB_URL', 'DB_URL_FILE', 'DB_HOST'].some((name) => given.has(name));

const isStartupOff = (given: GivenVariables) => given.get('DB_STARTUP')?.text.toLowerCase() === 'off';

const DB = 'DB_';

/** The app may have variables of its own with the prefix; a name that is nearly one of ours was probably meant to be it. */
function warnOfMisspelledNames(env: Environment, problems: Problems): void {
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

function settingsWithOrigins(origins: EnvironmentOrigins): Readonly<DatabaseSettings> {
  const settings: Record<string, unknown> = {};
  for (const [path, { value }] of Object.entries(origins.values)) {
    const [name, key] = partsOf(path);
    settings[name] = key === undefined ? value : { ...(settings[name] as object | undefined), [key]: value };
  }
  return deepFrozen({ ...(settings as DatabaseSettings), [ORIGINS]: origins });
}

function deepFrozen<T extends object>(value: T): T {
  for (const key of Reflect.ownKeys(value)) {
    const inner: unknown = Reflect.get(value, key);
    if (typeof inner === 'object' && inner !== null && !Object.isFrozen(inner)) deepFrozen(inner);
  }
  return Object.freeze(value);
}

/** The variables that name a part of the server. */
const SERVER_VARIABLES = /^DB_(?:URL|HOST|PORT|USERNAME|PASSWORD|PASSWORD_FILE|NAME)$/;

/** What an error says of a missing URL, with the variables that are set and do not suffice. */
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
    (found.length > 0 ? `. Not enough by themselves: ${found.join(', ')}` : '')
  );
}
