import { DatabaseConfigError } from '../errors/config.errors.js';
import type { ConfigProblem } from '../errors/config.errors.js';
import type {
  ConnectRetrySettings,
  DatabaseModuleOptions,
  DatabaseProfile,
  EchoSettings,
  MultiplexSettings,
  PreparedStatementSettings,
  ResolvedDatabaseOptions,
} from '../database.options.js';
import { maskedCopy, maskedStartupOptions, printedAs } from '../text/masking.js';
import { processEnvironment } from './environment/environment.js';
import { missingUrl } from './environment/variable-names.js';
import type { Environment } from './environment/variable-names.js';
import { defaultApplicationName, defaultProfile } from './environment/environment-defaults.js';
import { checkCombinations } from './options/check-combinations.js';
import { checkOptions } from './options/check-options.js';
import type { CheckedSettings } from './options/check-options.js';
import { Origins, originsIn } from './options/origins.js';
import type { EnvironmentOrigins, Layer } from './options/origins.js';
import { Problems } from './problems/problems.js';
import { kindOf } from './problems/value-shape.js';
import { RotatingPassword } from './secrets/rotating-password.js';
import { resolveDirectServer } from './servers/direct-server.js';
import { nameInMaster, resolveReplication, withMaster } from './servers/replication.js';
import { resolveServer } from './servers/resolve-server.js';
import type { Server } from './servers/resolve-server.js';
import { applicationNameOf } from './servers/url-settings.js';
import { DEFAULTS } from './settings/defaults.js';
import {
  GROUPS,
  OPTION_NAMES,
  partsOf,
  SETTING_ROWS,
  SETTINGS,
  setValueAt,
  valueAt,
} from './settings/settings.js';
import type { GroupName } from './settings/settings.js';
import { resolveSsl } from './tls/ssl.js';

/** What the options are resolved for. */
interface ResolveContext {
  /** The name of the data source. @defaultValue 'default' */
  readonly name?: string;
  /** Where NODE_ENV and the name of the app come from. @defaultValue the environment of the process */
  readonly env?: Environment;
  /** Whether a missing server is a problem now; otherwise it is one of `initialize()`. @defaultValue true */
  readonly requireServer?: boolean;
}

/**
 * Resolves all settings, once. A value comes from the first of these that sets it: the options, the URL, the profile, the
 * default. Reads certificates, keys and the package.json of the app. Does not connect.
 * @throws DatabaseConfigError `DATABASE_CONFIG_INVALID` with everything that is wrong
 */
export function resolveDatabaseOptions(
  options: DatabaseModuleOptions,
  context: ResolveContext = {},
): ResolvedDatabaseOptions {
  const name = context.name ?? nameIn(options) ?? 'default';
  const env = context.env ?? processEnvironment();
  requireOptions(options, name);
  const environment = originsIn(options);
  const origins = new Origins(environment);
  const problems = new Problems(environment?.warnings);

  const filled = fillFromEnvironment(options, environment);
  const checked = checkOptions(filled, origins, problems);
  const given = withMaster(checked, origins, problems);

  const primary = resolvePrimary(given, origins, problems);
  const missingServer =
    primary.isMissing && !isServerInvalid(filled, checked) ? missingServerProblem(name, env) : undefined;
  // With `startup: 'off'` the server may be set as late as initialize().
  const isRequired = context.requireServer !== false && given.startup !== 'off';
  if (missingServer && isRequired) problems.add(missingServer.setting, missingServer.message);

  const ssl = resolvePrimarySsl(given, primary, origins, problems);
  const settings = resolveSettings(filled, given, primary, env, origins, problems);
  const { connectMs } = settings.timeouts;
  const password =
    typeof primary.password === 'function'
      ? new RotatingPassword(primary.password, connectMs)
      : primary.password;
  const server = { ...primary, password };
  const resolved: ResolvedDatabaseOptions = {
    name,
    server: server.address,
    password,
    ssl,
    ...settings,
    direct: resolveDirectServer(given, server, origins, problems),
    replication: resolveReplication(given, server, connectMs, origins, problems),
    toRetry: given.toRetry,
    missingServer,
    typeorm: typeOrmOptionsIn(filled),
    origins: origins.chosen,
    warnings: problems.warnings,
  };
  checkCombinations(resolved, problems);
  problems.throwIfAny(name);
  return freeze(resolved);
}

function nameIn(options: unknown): string | undefined {
  const name = (options as { name?: unknown } | null | undefined)?.name;
  return typeof name === 'string' && name !== '' ? name : undefined;
}

/** Options from JavaScript may be anything. */
function requireOptions(options: unknown, dataSource: string): void {
  if (typeof options === 'object' && options !== null && !Array.isArray(options)) return;
  const message =
    typeof options === 'string'
      ? 'a string was given; pass a URL as { url: … }'
      : `${kindOf(options)} was given; does the factory return its settings?`;
  throw new DatabaseConfigError([{ setting: 'options', message }], { dataSource });
}

/**
 * Restores the value of the environment where the code spreads `databaseConfig` and then overwrites a setting with
 * `undefined` or an empty URL.
 */
function fillFromEnvironment(
  options: DatabaseModuleOptions,
  environment: EnvironmentOrigins | undefined,
): DatabaseModuleOptions {
  if (!environment) return options;
  const filled: Record<string, unknown> = { ...options };
  for (const [path, { value }] of Object.entries(environment.values)) {
    const [name, key] = partsOf(path);
    if (!(name in filled)) continue;
    const given = filled[name];
    const isEmptyUrl = path === 'url' && typeof given === 'string' && given.trim() === '';
    if (given === undefined || isEmptyUrl || (key !== undefined && isUndefinedIn(given, key)))
      setValueAt(filled, path, value);
  }
  return filled;
}

const isUndefinedIn = (group: unknown, key: string) =>
  typeof group === 'object' &&
  group !== null &&
  Object.hasOwn(group, key) &&
  (group as Record<string, unknown>)[key] === undefined;

/** Resolves the primary. Problems name its settings as the options do: `replication.master.url` or `url`. */
function resolvePrimary(given: CheckedSettings, origins: Origins, problems: Problems): Server {
  const found = new Problems();
  const primary = resolveServer(given, origins, found);
  problems.addAll(found, (setting) => nameInMaster(given, setting));
  return primary;
}

/** Whether a server is given but invalid. It is then not reported as missing, too. */
function isServerInvalid(options: DatabaseModuleOptions, checked: CheckedSettings): boolean {
  return (
    (options.url !== undefined && checked.url === undefined) ||
    (options.host !== undefined && checked.host === undefined) ||
    (options.replication?.master !== undefined && checked.replication?.master === undefined)
  );
}

/** Only the default data source uses `DB_URL`. Another data source must not silently connect to that database. */
function missingServerProblem(name: string, env: Environment): ConfigProblem {
  if (name === 'default') return { setting: 'DB_URL', message: missingUrl(env) };
  return {
    setting: 'url',
    message: `is not set or empty; give the data source "${name}" its url, or host, username, password and database, in code`,
  };
}

/** Resolves TLS of the primary and records the origins of its settings. `resolveSsl` records none: it serves all servers. */
function resolvePrimarySsl(
  given: CheckedSettings,
  { url, urlName, address }: Server,
  origins: Origins,
  problems: Problems,
): ResolvedDatabaseOptions['ssl'] {
  const parameters = url?.parameters;
  const { mode, negotiation, tls, from } = resolveSsl(
    {
      settings: given.ssl,
      url: parameters,
      urlName,
      host: address.host,
      nameOf: (path, value) => origins.nameOf(path, value),
    },
    problems,
  );
  const ssl = typeof given.ssl === 'object' ? given.ssl : {};
  origins.choose('ssl.mode', [[from, mode]]);
  for (const [key, inUrl] of [
    ['ca', parameters?.sslCa],
    ['cert', parameters?.sslCert],
    ['key', parameters?.sslKey],
    ['negotiation', parameters?.sslNegotiation],
  ] as const)
    origins.choose<unknown>(`ssl.${key}`, [
      ['options', ssl[key]],
      ['url', inUrl],
    ]);
  return { mode, negotiation, tls };
}

/** The settings that concern neither a server nor TLS. */
type OtherSettings = Omit<
  ResolvedDatabaseOptions,
  | 'name'
  | 'server'
  | 'password'
  | 'ssl'
  | 'direct'
  | 'replication'
  | 'toRetry'
  | 'missingServer'
  | 'typeorm'
  | 'origins'
  | 'warnings'
>;

function resolveSettings(
  { entities }: DatabaseModuleOptions,
  given: CheckedSettings,
  { url, urlName }: Server,
  env: Environment,
  origins: Origins,
  problems: Problems,
): OtherSettings {
  const parameters = url?.parameters;
  const profile = resolveProfile(given, env, origins);
  const simple = resolveSimpleSettings(origins, profile, {
    options: given,
    url: { timeouts: parameters?.timeouts, applicationName: applicationNameOf(url, urlName, problems) },
    default: { applicationName: defaultApplicationName(env), autoLoadEntities: entities === undefined },
  });
  return {
    profile,
    ...simple,
    channelBinding: origins.choose('channelBinding', [['url', parameters?.channelBinding]]),
    requireAuth: origins.choose('requireAuth', [['url', parameters?.requireAuth]]),
    serverKind: origins.choose('serverKind', [['url', parameters?.serverKind]]),
    startupOptions: origins.choose('startupOptions', [['url', parameters?.startupOptions]]),
    session: resolveSession(given, origins),
    connectRetry: resolveConnectRetry(given, origins, problems),
    echo: resolveFlagOrGroup<EchoSettings>('echo', given.echo, origins),
    preparedStatements: resolveFlagOrGroup<PreparedStatementSettings>(
      'preparedStatements',
      given.preparedStatements,
      origins,
    ),
    multiplex: resolveMultiplex(given, origins),
  };
}

function resolveProfile(given: CheckedSettings, env: Environment, origins: Origins): DatabaseProfile {
  const profile = defaultProfile(env);
  const chosen = origins.choose<DatabaseProfile>('profile', [
    ['options', given.profile],
    [profile === 'production' ? 'default' : 'environment NODE_ENV', profile],
  ]);
  return chosen!;
}

/** The sources of the simple settings, in the shape of the options. */
interface Sources {
  readonly options: object;
  readonly url: object;
  /** Defaults that depend on the app. They take precedence over the table of settings. */
  readonly default: object;
}

/** Options that have their own function in this folder. */
const NOT_SIMPLE = [
  'url',
  'directUrl',
  'host',
  'port',
  'username',
  'password',
  'database',
  'replication',
  'ssl',
  'profile',
  'session',
  'echo',
  'preparedStatements',
  'multiplex',
  'connectRetry',
  'retryAttempts',
  'retryDelay',
  'toRetry',
] as const;

/** Without those of {@link NOT_SIMPLE}, and without settings that only a URL has. */
type SimpleSettings = Omit<
  OtherSettings,
  (typeof NOT_SIMPLE)[number] | 'channelBinding' | 'requireAuth' | 'serverKind' | 'startupOptions'
>;

/** Resolves all other rows of the table of settings. A new row needs no code here. */
function resolveSimpleSettings(origins: Origins, profile: DatabaseProfile, sources: Sources): SimpleSettings {
  const resolved: Record<string, unknown> = {};
  for (const row of SETTING_ROWS) {
    if ((NOT_SIMPLE as readonly string[]).includes(partsOf(row.path)[0])) continue;
    const value = origins.choose(row.path, [
      ['options', valueAt(sources.options, row.path)],
      ['url', valueAt(sources.url, row.path)],
      ['profile', row.profiles?.[profile]],
      ['default', valueAt(sources.default, row.path) ?? row.default],
    ]);
    setValueAt(resolved, row.path, value);
  }
  return resolved as unknown as SimpleSettings;
}

/** Resolves `session`. The values are texts of SQL: `on` for true. */
function resolveSession(given: CheckedSettings, origins: Origins): Record<string, string> {
  const text = (value: string | number | boolean) =>
    typeof value === 'boolean' ? (value ? 'on' : 'off') : String(value);
  const session = Object.entries(given.session ?? {}).map(([key, value]) => {
    origins.choose(`session.${key}`, [['options', value]]);
    return [key, text(value)] as const;
  });
  return withHiddenSecrets(Object.fromEntries(session));
}

/**
 * Resolves `connectRetry`, or the same settings in the form of `@nestjs/typeorm`: `retryAttempts` includes the first attempt,
 * and `retryDelay` is the pause before each retry.
 */
function resolveConnectRetry(
  given: CheckedSettings,
  origins: Origins,
  problems: Problems,
): Required<ConnectRetrySettings> {
  const { connectRetry, retryAttempts, retryDelay } = given;
  const hasNestForm = retryAttempts !== undefined || retryDelay !== undefined;
  if (connectRetry && hasNestForm)
    problems.add(
      origins.nameOf('connectRetry.retries', connectRetry.retries),
      `contradicts ${retryAttempts === undefined ? 'retryDelay' : 'retryAttempts'}; give connectRetry alone`,
    );
  const { initialDelayMs, maxDelayMs } = connectRetry ?? {};
  if (initialDelayMs !== undefined && maxDelayMs !== undefined && initialDelayMs > maxDelayMs)
    problems.add('connectRetry.initialDelayMs', `${initialDelayMs} is more than connectRetry.maxDelayMs`);

  const retries = retryAttempts === undefined ? undefined : Math.max(0, retryAttempts - 1);
  const chosen = resolveGroup<ConnectRetrySettings>(
    'connectRetry',
    hasNestForm ? { retries, initialDelayMs: retryDelay, maxDelayMs: retryDelay } : connectRetry,
    origins,
  );
  // One explicit delay adjusts the default of the other, so that initialDelayMs never exceeds maxDelayMs.
  if (initialDelayMs === undefined)
    return { ...chosen, initialDelayMs: Math.min(chosen.initialDelayMs, chosen.maxDelayMs) };
  return { ...chosen, maxDelayMs: Math.max(chosen.initialDelayMs, chosen.maxDelayMs) };
}

/** Resolves a group that is given as such or in its short form: `true` is the group with its defaults. */
function resolveFlagOrGroup<T extends object>(
  name: 'echo' | 'preparedStatements',
  given: T | boolean | undefined,
  origins: Origins,
): Required<T> | false {
  if (typeof given === 'object') return resolveGroup<T>(name, given, origins);
  const isOn = origins.choose<boolean>(name, [
    ['options', given],
    ['default', SETTINGS[name].default],
  ]);
  return isOn ? ({ ...DEFAULTS[name] } as object as Required<T>) : false;
}

/** Without a connection to share, `multiplex` is off. */
function resolveMultiplex(given: CheckedSettings, origins: Origins): Required<MultiplexSettings> | false {
  const multiplex = resolveGroup<MultiplexSettings>('multiplex', given.multiplex, origins);
  return multiplex.connections > 0 && multiplex;
}

function resolveGroup<T extends object>(
  group: GroupName,
  given: T | undefined,
  origins: Origins,
): Required<T> {
  const chosen = Object.entries(GROUPS[group]).map(([key, row]) => {
    const layers: Layer<unknown>[] = [
      ['options', given?.[key as keyof T]],
      ['default', row.default],
    ];
    return [key, origins.choose(`${group}.${key}`, layers)];
  });
  return Object.fromEntries(chosen) as Required<T>;
}

/** The options for TypeORM, without URL, password and TLS: `DataSource.options` is public and is often printed. */
function typeOrmOptionsIn(options: DatabaseModuleOptions): ResolvedDatabaseOptions['typeorm'] {
  const ours: readonly string[] = [...OPTION_NAMES, 'type', 'name'];
  const passed: Record<string, unknown> = Object.fromEntries(
    Object.entries(options).filter(([key, value]) => !ours.includes(key) && value !== undefined),
  );
  // TypeORM exposes these two in `DataSource.options`, and they may hold passwords of other servers.
  for (const key of ['extra', 'cache'])
    if (typeof passed[key] === 'object' && passed[key] !== null)
      passed[key] = withHiddenSecrets({ ...passed[key] });
  return withHiddenSecrets(passed);
}

const withHiddenSecrets = <T extends object>(settings: T): T =>
  printedAs(settings, () => maskedCopy({ ...settings }));

/** Freezes the objects that were created here, but not those of the app: entities, loggers, functions. */
function freeze(resolved: ResolvedDatabaseOptions): ResolvedDatabaseOptions {
  const { startupOptions } = resolved;
  if (startupOptions !== undefined)
    printedAs(resolved, () => ({ ...resolved, startupOptions: maskedStartupOptions(startupOptions) }));
  for (const value of Object.values(resolved))
    if (typeof value === 'object' && value !== null) Object.freeze(value);
  return Object.freeze(resolved);
}
