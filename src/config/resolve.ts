import { DatabaseConfigError } from '../database.errors.js';
import type { ConfigProblem } from '../database.errors.js';
import type {
  ConnectRetrySettings,
  DatabaseModuleOptions,
  DatabaseProfile,
  EchoSettings,
  ResolvedDatabaseOptions,
  SettingOrigin,
} from '../database.options.js';
import { maskedCopy, maskedStartupOptions, printedAs } from '../text/masking.js';
import { checkCombinations } from './options/check-combinations.js';
import {
  applicationName,
  environmentProfile,
  missingUrl,
  processEnvironment,
} from './environment/environment.js';
import type { Environment } from './environment/environment.js';
import { checkOptions } from './options/check-options.js';
import type { CheckedSettings } from './options/check-options.js';
import { Origins, originsIn } from './options/origins.js';
import type { EnvironmentOrigins } from './options/origins.js';
import { resolveDirect } from './servers/direct-server.js';
import { RotatingPassword } from './secrets/rotating-password.js';
import { Problems } from './problems/problems.js';
import { DEFAULTS, PROFILES } from './settings/defaults.js';
import { namedAsMaster, resolveReplication, withMaster } from './servers/replication.js';
import { SETTINGS } from './settings/schema.js';
import { applicationNameIn, resolveServer } from './servers/resolve-server.js';
import type { Server } from './servers/resolve-server.js';
import { kindOf } from './problems/value-shape.js';
import { resolveSsl } from './tls/ssl.js';

/** What the options are resolved for. */
export interface ResolveContext {
  /** The data source's name. @defaultValue 'default' */
  readonly name?: string;
  /** Where NODE_ENV and the app's name are looked up. @defaultValue the environment of the process */
  readonly env?: Environment;
}

/**
 * All settings, once: what was set explicitly, else the URL, else the profile, else the default. Reads the files of CA,
 * certificate and key and the app's package.json; connects to nothing.
 * @throws DatabaseConfigError with everything that is wrong
 */
export function resolveDatabaseOptions(
  options: DatabaseModuleOptions,
  context: ResolveContext = {},
): ResolvedDatabaseOptions {
  const name = context.name ?? nameIn(options) ?? 'default';
  if (typeof options !== 'object' || options === null || Array.isArray(options))
    throw new DatabaseConfigError(
      [
        {
          setting: 'options',
          message:
            typeof options === 'string'
              ? 'a text was given; a URL is written { url: … }'
              : `${kindOf(options)} was given; does the factory return its settings?`,
        },
      ],
      { dataSource: name },
    );
  const env = context.env ?? processEnvironment();
  const environment = originsIn(options);
  options = withoutErasures(options, environment);
  const origins = new Origins(environment);
  const problems = new Problems();
  problems.warnings.push(...(environment?.warnings ?? []));

  const checked = checkOptions(options, origins, problems);
  const unusable =
    (['url', 'host'] as const).some((key) => options[key] !== undefined && checked[key] === undefined) ||
    // A wrong one has become a problem.
    (options.replication?.master !== undefined && checked.replication?.master === undefined);
  const given = withMaster(checked, origins, problems);
  const ofServer = new Problems();
  let missing: ConfigProblem | undefined;
  const server = resolveServer(
    given,
    () => {
      // Otherwise it has been told already.
      if (!unusable) missing = missingServer(name, env);
    },
    origins,
    ofServer,
  );
  namedAsMaster(given, ofServer, problems);
  // A data source that is left alone needs a server only when it is initialized.
  if (missing && given.startup !== 'off') problems.add(missing.setting, missing.message);
  const ssl = resolveSsl(
    {
      settings: given.ssl,
      url: server.url?.parameters,
      urlName: server.urlName,
      host: server.address.host,
      nameOf: (path, value) => origins.nameOf(path, value),
    },
    problems,
  );
  chooseSslOrigins(given, ssl, server, origins);
  const settled = settings(options, given, server, env, origins, problems);
  const password =
    typeof server.password === 'function'
      ? new RotatingPassword(server.password, settled.timeouts.connectMs)
      : server.password;
  const resolved: ResolvedDatabaseOptions = {
    name,
    server: server.address,
    password,
    ...settled,
    ssl: { mode: ssl.mode, negotiation: ssl.negotiation, tls: ssl.tls },
    direct: resolveDirect(given, { ...server, password }, origins, problems),
    replication: resolveReplication(
      given,
      { ...server, password },
      settled.timeouts.connectMs,
      origins,
      problems,
    ),
    toRetry: given.toRetry,
    missingServer: missing,
    typeorm: passedOn(options),
    origins: origins.chosen,
    warnings: problems.warnings,
  };
  checkCombinations(resolved, problems);
  problems.throwIfAny(name);
  return frozen(resolved);
}

/** `undefined` in code is no value, also where it stands before one that the environment has set. */
function withoutErasures(
  options: DatabaseModuleOptions,
  environment: EnvironmentOrigins | undefined,
): DatabaseModuleOptions {
  if (!environment) return options;
  const whole: Record<string, unknown> = { ...options };
  for (const [path, { value }] of Object.entries(environment.values)) {
    const [first, second] = path.split('.') as [string, string?];
    const group = whole[first];
    if (second === undefined) {
      const isEmptyUrl = first === 'url' && typeof group === 'string' && group.trim() === '';
      if (first in whole && (group === undefined || isEmptyUrl)) whole[first] = value;
    } else if (first in whole && (group === undefined || isErased(group, second)))
      whole[first] = { ...(group as object | undefined), [second]: value };
  }
  return whole;
}

const isErased = (group: unknown, key: string) =>
  typeof group === 'object' &&
  group !== null &&
  Object.hasOwn(group, key) &&
  (group as Record<string, unknown>)[key] === undefined;

/** `DB_URL` is for the default data source; another one would silently be the same database. */
function missingServer(name: string, env: Environment): ConfigProblem {
  return name === 'default'
    ? { setting: 'DB_URL', message: missingUrl(env) }
    : {
        setting: 'url',
        message: `is not set, or empty; give the data source "${name}" its url, or host, username, password and database, in code`,
      };
}

/** Which of them decided; the values themselves are in `ssl`. */
function chooseSslOrigins(
  given: CheckedSettings,
  { mode, from }: ReturnType<typeof resolveSsl>,
  { url }: Server,
  origins: Origins,
): void {
  const ssl = typeof given.ssl === 'object' ? given.ssl : {};
  origins.choose('ssl.mode', [[from, mode]]);
  for (const [part, ofUrl] of [
    ['ca', url?.parameters.sslCa],
    ['cert', url?.parameters.sslCert],
    ['key', url?.parameters.sslKey],
    ['negotiation', url?.parameters.sslNegotiation],
  ] as const)
    origins.choose<unknown>(`ssl.${part}`, [
      ['options', ssl[part]],
      ['url', ofUrl],
    ]);
}

type Settled = Omit<
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

function settings(
  { entities }: DatabaseModuleOptions,
  given: CheckedSettings,
  { url, urlName }: Server,
  env: Environment,
  origins: Origins,
  problems: Problems,
): Settled {
  const parameters = url?.parameters;
  const profile = origins.choose<DatabaseProfile>('profile', [
    ['options', given.profile],
    [environmentProfile(env) === 'production' ? 'default' : 'environment NODE_ENV', environmentProfile(env)],
  ])!;
  const nameOfUrl = applicationNameIn(url, urlName, problems);
  return {
    profile,
    pool: layered(origins, 'pool', DEFAULTS.pool, [
      ['options', given.pool],
      ['profile', PROFILES[profile].pool],
    ]),
    timeouts: layered(origins, 'timeouts', DEFAULTS.timeouts, [
      ['options', given.timeouts],
      ['url', parameters?.timeouts],
    ]),
    channelBinding: origins.choose('channelBinding', [['url', parameters?.channelBinding]]),
    requireAuth: origins.choose('requireAuth', [['url', parameters?.requireAuth]]),
    serverKind: origins.choose('serverKind', [['url', parameters?.serverKind]]),
    startupOptions: origins.choose('startupOptions', [['url', parameters?.startupOptions]]),
    session: sessionOf(given, origins),
    startup: origins.choose('startup', [
      ['options', given.startup],
      ['default', DEFAULTS.startup],
    ])!,
    connectRetry: retries(given, origins, problems),
    pooler: origins.choose('pooler', [['options', given.pooler]]),
    instances: origins.choose('instances', [
      ['options', given.instances],
      ['default', DEFAULTS.instances],
    ])!,
    applicationName: origins.choose('applicationName', [
      ['options', given.applicationName],
      ['url', nameOfUrl],
      ['default', applicationName(env)],
    ])!,
    echo: echoOf(given.echo, origins),
    cancelOnDisconnect: origins.choose('cancelOnDisconnect', [
      ['options', given.cancelOnDisconnect],
      ['default', false],
    ])!,
    retryTerminated: origins.choose('retryTerminated', [
      ['options', given.retryTerminated],
      ['default', true],
    ])!,
    httpErrors: origins.choose('httpErrors', [
      ['options', given.httpErrors],
      ['default', true],
    ])!,
    autoLoadEntities: origins.choose('autoLoadEntities', [
      ['options', given.autoLoadEntities],
      ['default', entities === undefined],
    ])!,
  };
}

/** Each setting of a group from the first layer that has it. */
function layered<T extends object>(
  origins: Origins,
  group: string,
  defaults: Required<T>,
  layers: readonly (readonly [SettingOrigin, { readonly [K in keyof T]?: T[K] | undefined } | undefined])[],
): Required<T> {
  const chosen = (key: keyof T & string) =>
    origins.choose(`${group}.${key}`, [
      ...layers.map(([origin, layer]) => [origin, layer?.[key]] as const),
      ['default', defaults[key]] as const,
    ]);
  return Object.fromEntries(
    Object.keys(defaults).map((key) => [key, chosen(key as keyof T & string)]),
  ) as Required<T>;
}

/** In the words of SQL, so that everybody below sends the same text. */
function sessionOf(given: CheckedSettings, origins: Origins): Record<string, string> {
  const text = (value: string | number | boolean) =>
    typeof value === 'boolean' ? (value ? 'on' : 'off') : String(value);
  const session = Object.fromEntries(
    Object.entries(given.session ?? {}).map(([key, value]) => [
      key,
      text(origins.choose(`session.${key}`, [['options', value]])!),
    ]),
  );
  return hidingSecrets(session);
}

/** The settings of `@nestjs/typeorm` count tries, the first one too, and pause for the same time before each. */
function retries(
  given: CheckedSettings,
  origins: Origins,
  problems: Problems,
): Required<ConnectRetrySettings> {
  const { connectRetry, retryAttempts, retryDelay } = given;
  const old = retryAttempts !== undefined || retryDelay !== undefined;
  if (connectRetry && old)
    problems.add(
      origins.nameOf('connectRetry.retries', connectRetry.retries),
      `contradicts ${retryAttempts === undefined ? 'retryDelay' : 'retryAttempts'}; give connectRetry alone`,
    );
  const initialDelayMs = connectRetry?.initialDelayMs;
  const maxDelayMs = connectRetry?.maxDelayMs;
  if (initialDelayMs !== undefined && maxDelayMs !== undefined && initialDelayMs > maxDelayMs)
    problems.add('connectRetry.initialDelayMs', `${initialDelayMs} is more than connectRetry.maxDelayMs`);
  const translated: ConnectRetrySettings = old
    ? {
        retries: retryAttempts === undefined ? undefined : Math.max(0, retryAttempts - 1),
        initialDelayMs: retryDelay,
        maxDelayMs: retryDelay,
      }
    : { ...connectRetry };
  const chosen = layered<ConnectRetrySettings>(origins, 'connectRetry', DEFAULTS.connectRetry, [
    ['options', translated],
  ]);
  // One of the two was given: it moves the other, which is only a default.
  if (initialDelayMs === undefined)
    chosen.initialDelayMs = Math.min(chosen.initialDelayMs, chosen.maxDelayMs);
  else chosen.maxDelayMs = Math.max(chosen.initialDelayMs, chosen.maxDelayMs);
  return chosen;
}

function echoOf(given: CheckedSettings['echo'], origins: Origins): Required<EchoSettings> | false {
  if (typeof given !== 'object') {
    const on = origins.choose('echo', [
      ['options', given],
      ['default', false],
    ]);
    return on ? { ...DEFAULTS.echo } : false;
  }
  return layered<EchoSettings>(origins, 'echo', DEFAULTS.echo, [['options', given]]);
}

/** What is TypeORM's. The URL, the password and TLS are not: they reach the pool by another way, and print nowhere. */
function passedOn(options: DatabaseModuleOptions): ResolvedDatabaseOptions['typeorm'] {
  const ours = [...Object.keys(SETTINGS), 'type', 'name'];
  const passed: Record<string, unknown> = Object.fromEntries(
    Object.entries(options).filter(([key, value]) => !ours.includes(key) && value !== undefined),
  );
  // TypeORM keeps these two in `DataSource.options`, where passwords of other servers would print.
  for (const key of ['extra', 'cache'])
    if (typeof passed[key] === 'object' && passed[key] !== null)
      passed[key] = hidingSecrets({ ...passed[key] });
  return hidingSecrets(passed);
}

const hidingSecrets = <T extends object>(settings: T): T =>
  printedAs(settings, () => maskedCopy({ ...settings }));

/** What was made here is frozen, and what belongs to the user (entities, loggers, functions) is left alone. */
function frozen(resolved: ResolvedDatabaseOptions): ResolvedDatabaseOptions {
  const { startupOptions } = resolved;
  if (startupOptions !== undefined)
    printedAs(resolved, () => ({ ...resolved, startupOptions: maskedStartupOptions(startupOptions) }));
  for (const value of Object.values(resolved))
    if (typeof value === 'object' && value !== null) Object.freeze(value);
  return Object.freeze(resolved);
}

function nameIn(options: unknown): string | undefined {
  const name = (options as { name?: unknown } | null | undefined)?.name;
  return typeof name === 'string' && name !== '' ? name : undefined;
}
