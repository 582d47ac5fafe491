import type { DynamicModule } from '@nestjs/common';
import type { DatabaseModuleOptions, DatabaseSettings } from '../../database.options.js';
import { ORIGINS } from '../options/origins.js';
import type { EnvironmentOrigins } from '../options/origins.js';
import { Problems } from '../problems/problems.js';
import { GROUPS, setValueAt, SETTINGS } from '../settings/settings.js';
import { VARIABLES } from '../settings/variables.js';
import type { Variable } from '../settings/variables.js';
import { parseDatabaseUrl } from '../url/database-url.js';
import type { ParsedUrl } from '../url/database-url.js';
import { hasContent, readContent } from './read-content.js';
import type { ReadVariable } from './read-content.js';
import { passwordOfUrlFile, readSecretFile } from './secret-files.js';
import { missingUrl, textOf, warnOfMisspelledNames } from './variable-names.js';
import type { Environment } from './variable-names.js';

/**
 * The settings in the environment, for `ConfigModule.forFeature(databaseConfig)`: validated and frozen. Only settings
 * that a variable sets are present. The module applies the defaults later, after the options in code.
 * @throws DatabaseConfigError `DATABASE_CONFIG_INVALID` with every variable that is wrong
 * @example
 * ```ts
 * DatabaseModule.forRootAsync({
 *   imports: [ConfigModule.forFeature(databaseConfig)],
 *   inject: [databaseConfig.KEY],
 *   useFactory: (config: ConfigType<typeof databaseConfig>) => ({ ...config, startup: 'lazy' }),
 * });
 * ```
 */
export const databaseConfig: DatabaseConfigFactory = registerAs('database', () =>
  readEnvironment(processEnvironment()),
);

/** A configuration factory as `registerAs` of `@nestjs/config` returns it. */
export interface DatabaseConfigFactory {
  (): Readonly<DatabaseSettings>;
  /** The injection token. */
  readonly KEY: string;
  /** The options of `forRootAsync` that take the settings from this factory. */
  asProvider(): {
    imports: [Promise<DynamicModule>];
    useFactory: (config: Readonly<DatabaseSettings>) => Readonly<DatabaseSettings>;
    inject: [string];
  };
}

/** As `registerAs` of `@nestjs/config`, whose import takes longer than that of this package. */
function registerAs(name: string, factory: () => Readonly<DatabaseSettings>): DatabaseConfigFactory {
  const KEY = `CONFIGURATION(${name})`;
  const asProvider: DatabaseConfigFactory['asProvider'] = () => ({
    imports: [import('@nestjs/config').then(({ ConfigModule }) => ConfigModule.forFeature(databaseConfig))],
    useFactory: (config) => config,
    inject: [KEY],
  });
  // Not enumerable, as those of `registerAs`. `ConfigModule.forFeature` reads the first two.
  return Object.defineProperties(factory, {
    PARTIAL_CONFIGURATION_KEY: { value: name },
    KEY: { value: KEY },
    asProvider: { value: asProvider },
  }) as DatabaseConfigFactory;
}

/** The only place that reads `process.env`. */
export const processEnvironment = (): Environment => process.env;

/**
 * Adds the settings of the environment to the options of `forRoot`. Options in code take precedence. Options that name a
 * server (`url` or `host`, also in `replication.master`) are returned without the environment.
 * @param context `requireServer`: whether a missing server is a problem. @defaultValue true
 * @throws DatabaseConfigError `DATABASE_CONFIG_INVALID` with every variable that is wrong
 */
export function withEnvironment(
  options: DatabaseModuleOptions,
  dataSource: string,
  { requireServer = true }: { readonly requireServer?: boolean } = {},
): DatabaseModuleOptions {
  const given = withoutUndefined(options);
  const servers = [given, given.replication?.master];
  if (servers.some((server) => server?.url !== undefined || server?.host !== undefined)) return given;
  const isDefault = dataSource === 'default';
  // `url: process.env.X` with X unset must not silently connect to the database of DB_URL instead.
  if (!isDefault && ('url' in options || 'host' in options)) return given;
  const requireUrl = requireServer && isDefault && given.startup !== 'off';
  const environment = readEnvironment(processEnvironment(), { requireUrl });
  return { ...environment, ...given, ...mergedGroups(environment, given) };
}

/** A copy without undefined options and without an empty URL. It keeps the origins of `databaseConfig`. */
function withoutUndefined<T extends object>(options: T): T {
  const kept = { ...options };
  for (const [key, value] of Object.entries(options))
    if (value === undefined || (key === 'url' && typeof value === 'string' && value.trim() === ''))
      Reflect.deleteProperty(kept, key);
  return kept;
}

/** The groups that both sources set, merged. An option in code takes precedence over the same one of the environment. */
function mergedGroups(environment: DatabaseModuleOptions, options: DatabaseModuleOptions): object {
  const names = [...Object.keys(GROUPS), 'session'] as (keyof DatabaseModuleOptions)[];
  return Object.fromEntries(
    names
      .filter((name) => typeof environment[name] === 'object' && typeof options[name] === 'object')
      .map((name) => [
        name,
        { ...(environment[name] as object), ...withoutUndefined(options[name] as object) },
      ]),
  );
}

/** A variable that is set. */
interface GivenVariable {
  readonly variable: Variable;
  /** The name that is set: the variable's own name or its alias. */
  readonly name: string;
  readonly text: string;
}

/** The variables that are set, by their own names; the key is never an alias. */
type GivenVariables = Map<string, GivenVariable>;

/**
 * The settings that the variables of `env` hold, in the shape of the options.
 * @param options `requireUrl`: whether a missing server is a problem. @defaultValue false
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

/**
 * Refuses `DB_URL` together with `DB_URL_FILE`. An alias (`DATABASE_URL`) is read only when nothing else is set, so the file
 * takes precedence over it.
 */
function refuseValueBesideFile(given: GivenVariables, problems: Problems): void {
  for (const { variable, name } of [...given.values()]) {
    const file = variable.isFile ? undefined : given.get(variable.setting.file?.variable ?? '');
    if (!file) continue;
    if (name === variable.name) problems.add(file.name, `is set together with ${name}; set one of them`);
    else given.delete(variable.name);
  }
}

/** The URL in `DB_URL`, or in the file that `DB_URL_FILE` names; undefined when neither is set or the file cannot be read. */
function givenUrl(given: GivenVariables): ParsedUrl | undefined {
  const file = given.get('DB_URL_FILE');
  const read = file && readSecretFile(file.text);
  const text = read && 'text' in read ? read.text : given.get('DB_URL')?.text;
  return text === undefined ? undefined : parseDatabaseUrl(text);
}

/**
 * Ignores `DB_HOST` and the like when a URL is set, with a warning for each that differs from the URL: they may be
 * variables of the app. `DB_PASSWORD` is used when the URL has no password.
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

function readVariable(variable: Variable, text: string): ReadVariable {
  if (hasContent(variable)) return readContent(variable, text);
  const read = variable.setting.type.read(text);
  return 'problem' in read ? { problems: [read.problem] } : read;
}

/** Warns of a probable mix-up of units: `DB_STATEMENT_TIMEOUT=30000` is valid, but means more than 8 hours. */
function warnOfMilliseconds({ path }: Variable, name: string, text: string, problems: Problems): void {
  const seconds = /^\d+$/.test(text) && path.endsWith('Ms') ? Number(text) : 0;
  if (seconds >= 1_000 && seconds % 1_000 === 0)
    problems.warn(name, `${text} is read as seconds; if milliseconds are meant, write ${text}ms`);
}

const hasServer = (given: GivenVariables) =>
  ['DB_URL', 'DB_URL_FILE', 'DB_HOST'].some((name) => given.has(name));

const isStartupOff = (given: GivenVariables) => given.get('DB_STARTUP')?.text.toLowerCase() === 'off';

function settingsWithOrigins(origins: EnvironmentOrigins): Readonly<DatabaseSettings> {
  const settings: DatabaseSettings = {};
  for (const [path, { value }] of Object.entries(origins.values)) setValueAt(settings, path, value);
  return deepFrozen({ ...settings, [ORIGINS]: origins });
}

function deepFrozen<T extends object>(value: T): T {
  for (const key of Reflect.ownKeys(value)) {
    const inner: unknown = Reflect.get(value, key);
    if (typeof inner === 'object' && inner !== null && !Object.isFrozen(inner)) deepFrozen(inner);
  }
  return Object.freeze(value);
}
