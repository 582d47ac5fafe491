import type {
  ConnectRetrySettings,
  DatabaseProfile,
  DatabaseSettings,
  EchoSettings,
  MultiplexSettings,
  PoolSettings,
  PreparedStatementSettings,
  ReplicationSettings,
  SslMode,
  TimeoutSettings,
} from '../../database.options.js';
import { durationText } from './durations.js';
import {
  applicationName,
  callback,
  certificate,
  duration,
  flag,
  group,
  host,
  LONGEST_TIMER_MS,
  name,
  oneOf,
  password,
  privateKey,
  serverList,
  url,
  wholeNumber,
} from './setting-types.js';
import type { NumberType, SettingType } from './setting-types.js';

/** One setting: everything that the code and the documentation need to know about it. */
export interface Setting {
  readonly type: SettingType;
  /** The default, unless the profile has another. Milliseconds for a duration. Absent when other settings or the app decide. */
  readonly default?: unknown;
  /** The defaults of the profiles that differ from `default`. */
  readonly profiles?: Readonly<Partial<Record<DatabaseProfile, unknown>>>;
  /** The default in words, when `default` is absent or needs an explanation. */
  readonly defaultText?: string;
  /** A shorter `defaultText`, for the table in the README. */
  readonly shortDefault?: string;
  /** The environment variable that sets it. */
  readonly variable?: string;
  /** Another variable, read when the first one is not set. */
  readonly alias?: string;
  /** The variable that names a file with the value. */
  readonly file?: { readonly variable: string; readonly text: string; readonly example: string };
  /** The value in `.env.example`. */
  readonly example?: string;
  /** Whether values are kept from logs and messages. */
  readonly secret?: true;
  /** Whether the README lists it among the ten most important settings. */
  readonly essential?: true;
  /** The PostgreSQL setting that each connection sets to this value. */
  readonly postgres?: string;
  /** What the setting does, in one sentence. */
  readonly text: string;
}

/** Paths of settings in the options: `startup`, `pool.size`. An option without a row does not compile. */
export type SettingPath =
  | Exclude<keyof DatabaseSettings, GroupName>
  | 'echo'
  | `pool.${keyof PoolSettings}`
  | `timeouts.${keyof TimeoutSettings}`
  | `connectRetry.${keyof ConnectRetrySettings}`
  | `echo.${keyof EchoSettings}`
  | 'preparedStatements'
  | `preparedStatements.${keyof PreparedStatementSettings}`
  | `multiplex.${keyof MultiplexSettings}`
  | `replication.${keyof ReplicationSettings}`
  | `ssl.${'mode' | 'negotiation' | 'ca' | 'cert' | 'key' | 'rejectUnauthorized' | 'servername' | 'passphrase'}`;

export type GroupName =
  'pool' | 'timeouts' | 'connectRetry' | 'echo' | 'preparedStatements' | 'multiplex' | 'replication' | 'ssl';

export const SSL_MODES = ['disable', 'require', 'verify-ca', 'verify-full'] as const satisfies SslMode[];

const SECOND = 1_000;
const DAY = 86_400 * SECOND;
const NO_LIMIT = LONGEST_TIMER_MS;

/**
 * All settings, by their path in the options. The checks of options and variables, the defaults, `.env.example` and the
 * tables of the documentation derive from these rows (`npm run docs:settings` writes the last two).
 */
export const SETTINGS = {
  url: {
    type: url,
    secret: true,
    defaultText: 'none: it is required, or DB_URL_FILE, or DB_HOST',
    shortDefault: 'none, required',
    variable: 'DB_URL',
    alias: 'DATABASE_URL',
    example: 'postgres://user:password@localhost:5432/app',
    file: {
      variable: 'DB_URL_FILE',
      text: 'File that contains the URL, instead of DB_URL. The password in it is read at each connect, so it can be rotated.',
      example: '/run/secrets/database-url',
    },
    essential: true,
    text: 'URL of the database. In user and password, @ / ? # % are percent-encoded.',
  },
  host: {
    type: host,
    defaultText: 'none',
    variable: 'DB_HOST',
    example: 'localhost',
    text: 'Host of the server, when no URL is given.',
  },
  port: {
    type: wholeNumber(1, 65_535),
    default: 5_432,
    defaultText: '5432',
    variable: 'DB_PORT',
    example: '5432',
    text: 'Port of the server, when no URL is given.',
  },
  username: {
    type: name('a user name'),
    defaultText: 'the user of the operating system',
    variable: 'DB_USERNAME',
    example: 'user',
    text: 'User, when no URL is given.',
  },
  password: {
    type: password,
    secret: true,
    defaultText: 'none',
    variable: 'DB_PASSWORD',
    example: 'password',
    file: {
      variable: 'DB_PASSWORD_FILE',
      text: 'File that contains the password, instead of DB_PASSWORD. It is read at each connect.',
      example: '/run/secrets/database-password',
    },
    text: 'Password of the user, when no URL is given or the URL has no password.',
  },
  database: {
    type: name('a database name'),
    defaultText: 'the name of the user',
    variable: 'DB_NAME',
    example: 'app',
    text: 'Database, when no URL is given.',
  },
  directUrl: {
    type: url,
    secret: true,
    defaultText: 'none; for a pooled host of Neon, the same host without -pooler',
    variable: 'DB_DIRECT_URL',
    example: 'postgres://user:password@localhost:5432/app',
    text: 'URL of the same database without the pooler, for migrations.',
  },
  'replication.master': {
    type: group,
    defaultText: '`url`, or `host` and its options',
    text: 'Primary, instead of `url`: [read replicas](#read-replicas).',
  },
  'replication.slaves': {
    type: serverList,
    defaultText: 'none',
    text: 'Read replicas.',
  },
  'replication.defaultMode': {
    type: oneOf('master', 'slave'),
    default: 'slave',
    text: 'Default server for reads: the primary (`master`) or a replica (`slave`).',
  },
  profile: {
    type: oneOf('production', 'development', 'serverless'),
    defaultText: 'production; development when NODE_ENV is development or test',
    shortDefault: 'by NODE_ENV',
    variable: 'DB_PROFILE',
    example: 'production',
    essential: true,
    text: 'Set of defaults: `production`, `development` or `serverless`. Explicit settings take precedence.',
  },
  'pool.size': {
    type: wholeNumber(1, 100),
    default: 5,
    profiles: { development: 2, serverless: 2 },
    variable: 'DB_POOL_SIZE',
    example: '5',
    essential: true,
    text: 'Connections that the pool keeps open.',
  },
  'pool.maxOverflow': {
    type: wholeNumber(0, 100),
    default: 10,
    profiles: { development: 5, serverless: 0 },
    variable: 'DB_MAX_OVERFLOW',
    example: '10',
    essential: true,
    text: 'Additional connections under load, closed after a short idle time.',
  },
  'pool.acquireTimeoutMs': {
    type: duration({ min: SECOND, max: 300 * SECOND }),
    default: 30 * SECOND,
    profiles: { development: 10 * SECOND, serverless: 10 * SECOND },
    variable: 'DB_POOL_TIMEOUT',
    example: '30s',
    essential: true,
    text: 'Longest wait for a connection, including the connect and the validation.',
  },
  'pool.maxLifetimeMs': {
    type: duration({ min: 300 * SECOND, max: NO_LIMIT }),
    default: 1_800 * SECOND,
    profiles: { development: 300 * SECOND, serverless: 300 * SECOND },
    variable: 'DB_POOL_RECYCLE',
    example: '30m',
    text: 'Age at which a connection is replaced.',
  },
  'pool.prePing': {
    type: flag,
    default: true,
    variable: 'DB_POOL_PRE_PING',
    example: 'true',
    text: 'Whether the pool validates an idle connection before it leases it.',
  },
  'pool.leakThresholdMs': {
    type: duration({ min: 2 * SECOND, max: NO_LIMIT, off: true }),
    default: 0,
    profiles: { development: 30 * SECOND },
    variable: 'DB_LEAK_THRESHOLD',
    example: '30s',
    text: 'Lease duration after which a possible leak is logged, with the stack of the acquire.',
  },
  'pool.reclaimAfterMs': {
    type: duration({ min: 2 * SECOND, max: NO_LIMIT, off: true }),
    default: 0,
    text: 'Lease duration after which the pool forcibly ends the lease: it cancels the statement and destroys the connection.',
  },
  'pool.minIdle': {
    type: wholeNumber(0, 100),
    default: 0,
    text: 'Idle connections that the pool opens ahead of demand, at most `pool.size`.',
  },
  'pool.maxWaiting': {
    type: wholeNumber(0, 1_000_000),
    default: Infinity,
    defaultText: 'no limit',
    text: 'Number of callers that may wait for a connection; further callers are refused immediately.',
  },
  'pool.overflowIdleMs': {
    type: duration({ min: SECOND, max: NO_LIMIT }),
    default: 10 * SECOND,
    text: 'Idle time after which a connection above `pool.size` is closed.',
  },
  'pool.idleTimeoutMs': {
    type: duration({ min: SECOND, max: NO_LIMIT, off: true }),
    default: 0,
    profiles: { serverless: 5 * SECOND },
    text: 'Idle time after which any connection above `pool.minIdle` is closed.',
  },
  'pool.keepaliveMs': {
    type: duration({ min: SECOND, max: NO_LIMIT, off: true }),
    default: 0,
    text: 'Interval at which an idle connection is validated. This keeps a database that suspends when idle (Neon) awake.',
  },
  'pool.reset': {
    type: oneOf('smart', 'rollback', 'discard', 'none'),
    default: 'smart',
    text: 'Reset of a released connection. `smart`: roll back an open transaction and clear a changed session; `rollback`: only roll back; `discard`: `DISCARD ALL` each time; `none`: nothing.',
  },
  'timeouts.connectMs': {
    type: duration({ min: SECOND, max: 120 * SECOND }),
    default: 10 * SECOND,
    variable: 'DB_CONNECT_TIMEOUT',
    example: '10s',
    text: 'Time limit for opening one connection: TCP, TLS and login.',
  },
  'timeouts.statementMs': {
    type: duration({ min: 1, max: DAY, off: true }),
    default: 30 * SECOND,
    variable: 'DB_STATEMENT_TIMEOUT',
    example: '30s',
    essential: true,
    postgres: 'statement_timeout',
    text: 'Time limit for one statement.',
  },
  'timeouts.idleInTransactionMs': {
    type: duration({ min: 1, max: DAY, off: true }),
    default: 60 * SECOND,
    variable: 'DB_IDLE_IN_TRANSACTION_TIMEOUT',
    example: '60s',
    postgres: 'idle_in_transaction_session_timeout',
    text: 'Longest idle time within a transaction.',
  },
  'timeouts.lockMs': {
    type: duration({ min: 1, max: DAY, off: true }),
    default: 0,
    variable: 'DB_LOCK_TIMEOUT',
    example: '5s',
    postgres: 'lock_timeout',
    text: 'Longest wait of a statement for a lock.',
  },
  'timeouts.shutdownMs': {
    type: duration({ min: 0, max: 300 * SECOND }),
    default: 10 * SECOND,
    variable: 'DB_SHUTDOWN_TIMEOUT',
    example: '10s',
    text: 'Longest wait of a shutdown for leased connections.',
  },
  startup: {
    type: oneOf('verify', 'lazy', 'off'),
    default: 'verify',
    variable: 'DB_STARTUP',
    example: 'verify',
    essential: true,
    text: 'When the app connects. `verify`: at start, which fails without the database; `lazy`: at the first query; `off`: when the app calls `initialize()`.',
  },
  'connectRetry.retries': {
    type: wholeNumber(0, 100),
    default: 10,
    defaultText: '10, at least 30 s in all',
    variable: 'DB_CONNECT_RETRIES',
    example: '10',
    text: 'How many times a start tries again after a transient failure.',
  },
  'connectRetry.initialDelayMs': {
    type: duration({ min: 0, max: 300 * SECOND }),
    default: 200,
    text: 'Pause before the first retry. Each further pause is twice as long.',
  },
  'connectRetry.maxDelayMs': {
    type: duration({ min: 0, max: 300 * SECOND }),
    default: 5 * SECOND,
    text: 'Longest pause between two retries.',
  },
  'ssl.mode': {
    type: oneOf(...SSL_MODES),
    defaultText:
      "the URL's sslmode; else verify-full for a public host or with a CA, certificate or key, disable for a local host",
    shortDefault: 'verify-full; local host: disable',
    variable: 'DB_SSL_MODE',
    example: 'verify-full',
    essential: true,
    text: 'TLS mode. `require` and `verify-full` verify the certificate chain and the host name; `verify-ca` verifies only the chain, against `ssl.ca`.',
  },
  'ssl.negotiation': {
    type: oneOf('postgres', 'direct'),
    default: 'postgres',
    text: 'How TLS starts. `postgres`: after an SSLRequest in plain text; `direct`: with the first byte, for PostgreSQL 17 and later.',
  },
  'ssl.ca': {
    type: certificate,
    defaultText: 'none: the authorities that Node.js trusts',
    shortDefault: 'those of Node.js',
    variable: 'DB_SSL_CA',
    example: '/etc/ssl/certs/database-ca.pem',
    essential: true,
    text: 'Certificates of the trusted authorities (CA).',
  },
  'ssl.cert': {
    type: certificate,
    defaultText: 'none',
    variable: 'DB_SSL_CERT',
    example: '/etc/ssl/certs/client.pem',
    text: 'Client certificate.',
  },
  'ssl.key': {
    type: privateKey,
    secret: true,
    defaultText: 'none',
    variable: 'DB_SSL_KEY',
    example: '/etc/ssl/private/client.key',
    text: 'Private key of the client certificate.',
  },
  'ssl.rejectUnauthorized': {
    type: flag,
    default: true,
    text: '`false`: encrypt without verifying the server, with a warning at start.',
  },
  'ssl.servername': {
    type: name("the name in the server's certificate"),
    defaultText: 'the host',
    text: 'Name that TLS sends (SNI) and that the certificate must have.',
  },
  'ssl.passphrase': {
    type: name('the passphrase of the key'),
    secret: true,
    defaultText: 'none',
    text: 'Passphrase of `ssl.key`.',
  },
  session: {
    type: group,
    defaultText: 'none',
    text: "Further PostgreSQL settings, set before the first query of a connection: `{ search_path: 'app' }`.",
  },
  pooler: {
    type: oneOf('none', 'session', 'transaction', 'statement'),
    defaultText: 'detected',
    variable: 'DB_POOLER',
    example: 'transaction',
    text: 'Mode of the pooler (PgBouncer) between the app and the server.',
  },
  instances: {
    type: wholeNumber(1, 10_000),
    default: 1,
    variable: 'DB_INSTANCES',
    example: '1',
    essential: true,
    text: 'Number of app processes that run at the same time. The start warns when the server has too few connections for all of them.',
  },
  applicationName: {
    type: applicationName,
    defaultText: "the name in the app's package.json",
    variable: 'DB_APPLICATION_NAME',
    example: 'users-api',
    text: 'Name of the app in pg_stat_activity.',
  },
  echo: {
    type: flag,
    default: false,
    variable: 'DB_ECHO',
    example: 'false',
    text: 'Log each statement with its duration.',
  },
  'echo.parameters': {
    type: flag,
    default: false,
    text: 'Also log the values of parameters.',
  },
  'echo.maxLength': {
    type: wholeNumber(10, 1_000_000),
    default: 2_000,
    text: 'Longest SQL text in the log, in characters.',
  },
  autoLoadEntities: {
    type: flag,
    defaultText: 'true when `entities` is not given, else false',
    text: 'Also use the entities of `DatabaseModule.forFeature` and `TypeOrmModule.forFeature`.',
  },
  cancelOnDisconnect: {
    type: flag,
    default: false,
    text: 'When the client of a request disconnects, cancel the statement that the request runs.',
  },
  retryTerminated: {
    type: flag,
    default: true,
    text: 'Send a query or DML statement once more when the server terminates its session before the statement completes: [terminated statements](troubleshooting.md#terminated-statements).',
  },
  preparedStatements: {
    type: flag,
    default: true,
    defaultText: 'true; behind a pooler that shares sessions, only when set',
    shortDefault: 'true',
    variable: 'DB_PREPARED_STATEMENTS',
    example: 'true',
    text: 'Prepare parameterised statements that are used often on each connection, and send them without parsing them again.',
  },
  'preparedStatements.threshold': {
    type: wholeNumber(1, 1_000_000),
    default: 5,
    text: 'The use at which a statement is prepared, counted for all connections of a pool.',
  },
  'preparedStatements.max': {
    type: wholeNumber(1, 100_000),
    default: 256,
    text: 'Prepared statements per connection; the least recently used one is closed when there are more.',
  },
  'multiplex.connections': {
    type: wholeNumber(0, 100),
    default: 0,
    defaultText: '0: off',
    variable: 'DB_MULTIPLEX',
    example: '2',
    text: 'Connections of the pool that fast, small, prepared SELECTs outside transactions share, with several in flight on each.',
  },
  'multiplex.maxInFlight': {
    type: wholeNumber(1, 1_000),
    default: 16,
    text: 'Statements in flight on one shared connection.',
  },
  'multiplex.maxMeanMs': {
    type: duration({ min: 1, max: SECOND }),
    default: 5,
    text: 'Longest mean time on the server of a statement that is shared.',
  },
  httpErrors: {
    type: flag,
    default: true,
    text: 'Answer HTTP requests with 503 when no connection is available, and with 504 after a statement timeout: [answers](request.md#answers-to-clients).',
  },
  retryAttempts: {
    type: wholeNumber(0, 101),
    defaultText: 'none',
    text: 'Option of `@nestjs/typeorm`: attempts of a start, including the first. Prefer `connectRetry.retries`.',
  },
  retryDelay: {
    type: duration({ min: 0, max: 300 * SECOND }),
    defaultText: 'none',
    text: 'Option of `@nestjs/typeorm`: pause between two attempts. Prefer `connectRetry`.',
  },
  toRetry: {
    type: callback,
    defaultText: 'transient failures are retried',
    text: 'Decides whether a failed start is retried.',
  },
} as const satisfies Record<SettingPath, Setting>;

/** The rows, in the order of the table, each with its path. */
export const SETTING_ROWS: readonly (Setting & { readonly path: SettingPath })[] = Object.entries(
  SETTINGS,
).map(([path, setting]) => ({ path: path as SettingPath, ...setting }));

/** Splits a path: `pool.size` is the group `pool` and its key `size`; `startup` has no key. */
export function partsOf(path: string): readonly [name: string, key: string | undefined] {
  const [name, key] = path.split('.') as [string, string?];
  return [name, key];
}

/** The value at the path of a setting, in an object with the shape of the options. */
export function valueAt(settings: object, path: string): unknown {
  const [name, key] = partsOf(path);
  const value = (settings as Record<string, unknown>)[name];
  return key === undefined ? value : (value as Record<string, unknown> | undefined)?.[key];
}

/** Sets the value at the path of a setting. A group is copied: the options may share it. */
export function setValueAt(settings: object, path: string, value: unknown): void {
  const [name, key] = partsOf(path);
  const values = settings as Record<string, unknown>;
  values[name] = key === undefined ? value : { ...(values[name] as object | undefined), [key]: value };
}

/** A value of a setting as the text of its variable: `30s`, `off`, `5`. */
export function valueText({ type }: Setting, value: unknown): string {
  if (!isDuration(type)) return String(value);
  return value === 0 && type.bounds.off ? 'off' : durationText(value as number);
}

const isDuration = (type: SettingType): type is NumberType => 'unit' in type && type.unit === 'milliseconds';

function rowsOf(name: GroupName): Readonly<Record<string, Setting>> {
  const rows = SETTING_ROWS.filter(({ path }) => path.startsWith(`${name}.`));
  return Object.fromEntries(rows.map((row) => [row.path.slice(name.length + 1), row]));
}

/**
 * The groups of settings, each with its rows by key. `echo` and `preparedStatements` are groups and, in their short form, also
 * settings.
 */
export const GROUPS: Readonly<Record<GroupName, Readonly<Record<string, Setting>>>> = {
  pool: rowsOf('pool'),
  timeouts: rowsOf('timeouts'),
  connectRetry: rowsOf('connectRetry'),
  echo: rowsOf('echo'),
  preparedStatements: rowsOf('preparedStatements'),
  multiplex: rowsOf('multiplex'),
  replication: rowsOf('replication'),
  ssl: rowsOf('ssl'),
};

/** The names of this module's settings on the top level of the options. */
export const OPTION_NAMES: readonly (keyof DatabaseSettings)[] = [
  ...new Set(SETTING_ROWS.map(({ path }) => partsOf(path)[0] as keyof DatabaseSettings)),
];

/** The time limits that PostgreSQL enforces: the name of each there, with its key in `timeouts`. */
export const POSTGRES_LIMITS: ReadonlyMap<string, keyof TimeoutSettings> = new Map(
  Object.entries(GROUPS.timeouts).flatMap(([key, { postgres }]) =>
    postgres === undefined ? [] : [[postgres, key as keyof TimeoutSettings]],
  ),
);
