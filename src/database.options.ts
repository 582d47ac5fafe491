import type { ConnectionOptions as TlsOptions, KeyObject as TlsKey } from 'node:tls';

/** Sets of defaults. Explicit settings take precedence. */
export type DatabaseProfile = 'production' | 'development' | 'serverless';

/** How the app connects at start; see `startup`. */
export type StartupMode = 'verify' | 'lazy' | 'off';

/**
 * The pooler between the app and the server: none, or one such as PgBouncer, which assigns a connection to the server for a
 * client's session, for a transaction, or for a statement.
 * @see https://www.pgbouncer.org/features.html
 */
export type PoolerMode = 'none' | 'session' | 'transaction' | 'statement';

/**
 * Whether a connection is encrypted, and what is verified. `require` and `verify-full` verify chain and host name, as `pg` 8
 * does (libpq's `require` verifies neither); `verify-ca` verifies the chain against `ca`, but not the host name.
 */
export type SslMode = 'disable' | 'require' | 'verify-ca' | 'verify-full';

/** How TLS starts: after an SSLRequest in plain text, or directly, which PostgreSQL supports from version 17. */
export type SslNegotiation = 'postgres' | 'direct';

/** Authentication methods that the server may request. `none` allows a server that requests none. */
export type LoginMethod = 'none' | 'password' | 'md5' | 'scram-sha-256';

/**
 * The kinds of servers, as in `target_session_attrs` of libpq.
 * @see https://www.postgresql.org/docs/current/libpq-connect.html
 */
export type ServerKind = 'read-write' | 'read-only' | 'primary' | 'standby';

/** A string that logs, `inspect` and JSON do not show. */
export interface SecretText {
  /** Returns the string. */
  reveal(): string;
}

/** A password that expires, as a {@link PasswordFunction} may return it. */
export interface IssuedPassword {
  /** The password; not empty. */
  password: string;
  /**
   * When the password expires: a `Date`, or milliseconds since 1970. It is reused until then.
   * @defaultValue the password is used once
   */
  expiresAt?: Date | number;
}

/**
 * Returns the password for a new connection, for example an IAM token or a rotated secret. It is called when the server
 * requests a password. Connections that are opened at the same time share one call. The password is reused until
 * `expiresAt`, or until the server refuses it. `timeouts.connectMs` bounds the call.
 * @throws any error; the connect then fails with `PASSWORD_UNAVAILABLE`, or with `PASSWORD_INVALID` for another result
 * @example
 * ```ts
 * DatabaseModule.forRoot({
 *   password: async () => ({ password: await fetchToken(), expiresAt: Date.now() + 10 * 60_000 }),
 * });
 * ```
 */
export type PasswordFunction = () => string | IssuedPassword | Promise<string | IssuedPassword>;

/** Provides a password that changes. */
export interface PasswordSource {
  /**
   * Returns the password that is valid now.
   * @throws PasswordError `PASSWORD_UNAVAILABLE` or `PASSWORD_INVALID`
   */
  ask(): Promise<string>;
  /** Reports that the server refused this password. */
  refused(password: string): void;
}

/**
 * Size of the pool, its waiting times and the lifetime of its connections.
 * @example
 * ```ts
 * DatabaseModule.forRoot({ pool: { size: 10, maxOverflow: 5, leakThresholdMs: 60_000 } });
 * ```
 */
export interface PoolSettings {
  /**
   * Connections that the pool keeps open. 1 to 100. Variable `DB_POOL_SIZE`.
   * @defaultValue 5; development and serverless: 2
   */
  size?: number;
  /**
   * Additional connections under load, closed after a short idle time. `size + maxOverflow` is the maximum. 0 to 100.
   * Variable `DB_MAX_OVERFLOW`.
   * @defaultValue 10; development: 5; serverless: 0
   */
  maxOverflow?: number;
  /**
   * Longest wait for a connection, connecting and validation included; then the acquire fails with `POOL_ACQUIRE_TIMEOUT`.
   * Milliseconds, 1 000 to 300 000. Variable `DB_POOL_TIMEOUT`.
   * @defaultValue 30 000; development and serverless: 10 000
   */
  acquireTimeoutMs?: number;
  /**
   * Age at which a connection is replaced, or up to 10 % earlier, so that not all are replaced at the same time. A leased
   * connection is kept until its release. Milliseconds, at least 300 000. Variable `DB_POOL_RECYCLE`.
   * @defaultValue 1 800 000; development and serverless: 300 000
   */
  maxLifetimeMs?: number;
  /**
   * Whether an idle connection is validated before it is leased. Variable `DB_POOL_PRE_PING`.
   * @defaultValue true
   */
  prePing?: boolean;
  /**
   * Lease time after which a possible leak is logged, with the borrower's stack. Milliseconds, at least 2 000, or 0 for off.
   * Variable `DB_LEAK_THRESHOLD`.
   * @defaultValue 0; development: 30 000
   */
  leakThresholdMs?: number;
  /**
   * Lease time after which the pool forcibly ends a lease: it cancels the statement, rolls back and destroys the connection.
   * Later statements of the borrower fail with `POOL_LEASE_RECLAIMED`. Milliseconds, at least 2 000, or 0 for off.
   * @defaultValue 0
   */
  reclaimAfterMs?: number;
  /**
   * Idle connections that the pool opens ahead of demand, at most `size`. 0 to 100.
   * @defaultValue 0
   */
  minIdle?: number;
  /**
   * Callers that may wait for a connection, in addition to those for which one is being opened. The next one fails
   * immediately with `POOL_QUEUE_FULL`. 0 to 1 000 000.
   * @defaultValue no limit
   */
  maxWaiting?: number;
  /**
   * Idle time after which a connection above `size` is closed. Milliseconds, at least 1 000.
   * @defaultValue 10 000
   */
  overflowIdleMs?: number;
  /**
   * Idle time after which any connection above `minIdle` is closed. Milliseconds, at least 1 000, or 0 for off.
   * @defaultValue 0; serverless: 5 000
   */
  idleTimeoutMs?: number;
  /**
   * Interval at which an idle connection is validated. A database that suspends when idle (Neon) then stays awake. TCP
   * keepalive is on in any case. Milliseconds, at least 1 000, or 0 for off.
   * @defaultValue 0
   */
  keepaliveMs?: number;
  /**
   * Reset of a released connection. `smart`: roll back an open transaction and clear a changed session;
   * `rollback`: only roll back; `discard`: `DISCARD ALL` each time; `none`: nothing.
   * @defaultValue smart
   */
  reset?: ResetMode;
}

/** How the pool resets a released connection. */
export type ResetMode = 'smart' | 'rollback' | 'discard' | 'none';

/**
 * Time limits.
 * @example
 * ```ts
 * DatabaseModule.forRoot({ timeouts: { statementMs: 10_000, lockMs: 5_000 } });
 * ```
 */
export interface TimeoutSettings {
  /**
   * Longest time to open one connection: TCP, TLS and login. Milliseconds, 1 000 to 120 000. Variable `DB_CONNECT_TIMEOUT`,
   * or `connect_timeout` of the URL.
   * @defaultValue 10 000
   */
  connectMs?: number;
  /**
   * Longest duration of one statement: `statement_timeout` of PostgreSQL. Milliseconds, 1 to 86 400 000, or 0 for off. Variable
   * `DB_STATEMENT_TIMEOUT`.
   * @defaultValue 30 000
   */
  statementMs?: number;
  /**
   * Longest pause between two statements of a transaction: `idle_in_transaction_session_timeout` of PostgreSQL.
   * Milliseconds, 1 to 86 400 000, or 0 for off. Variable `DB_IDLE_IN_TRANSACTION_TIMEOUT`.
   * @defaultValue 60 000
   */
  idleInTransactionMs?: number;
  /**
   * Longest wait of a statement for a lock: `lock_timeout` of PostgreSQL. Milliseconds, 1 to 86 400 000, or 0 for off.
   * Variable `DB_LOCK_TIMEOUT`.
   * @defaultValue 0
   */
  lockMs?: number;
  /**
   * Longest time that a shutdown waits for leased connections. Milliseconds, 0 to 300 000. Variable `DB_SHUTDOWN_TIMEOUT`.
   * @defaultValue 10 000
   */
  shutdownMs?: number;
}

/**
 * Settings of TLS. Other options of Node's `tls.connect` (`servername`, `minVersion`, …) are passed on to it.
 * @see https://nodejs.org/api/tls.html#tlsconnectoptions-callback
 * @example
 * ```ts
 * DatabaseModule.forRoot({ ssl: { mode: 'verify-full', ca: '/etc/ssl/certs/database-ca.pem' } });
 * ```
 */
export interface SslSettings extends Omit<
  TlsOptions,
  'ca' | 'cert' | 'key' | 'host' | 'port' | 'path' | 'socket' | 'pskCallback'
> {
  /**
   * Encryption and verification. A host is local when it is a socket, a loopback or private address, a single label, or a
   * name under `.local`, `.internal`, `.svc` or `.localhost`. Variable `DB_SSL_MODE`, or `sslmode` of the URL.
   * @defaultValue the URL's sslmode; else `verify-full` for a public host or with a CA, certificate or key, `disable` for a
   * local host
   */
  mode?: SslMode;
  /**
   * How TLS starts. `direct` saves a round trip; it is for PostgreSQL 17 and later, or a proxy that requires it.
   * `sslnegotiation` of the URL sets it, too.
   * @defaultValue postgres
   */
  negotiation?: SslNegotiation;
  /**
   * Certificates of the authorities to trust: PEM (a string or what `readFileSync` returns), the path of a file, or a list of
   * these. Variable `DB_SSL_CA`.
   * @defaultValue none: the authorities that Node.js trusts
   */
  ca?: string | Uint8Array | (string | Uint8Array)[];
  /**
   * Client certificate: PEM, the path of a file, or a list of one. Variable `DB_SSL_CERT`.
   * @defaultValue none
   */
  cert?: string | Uint8Array | (string | Uint8Array)[];
  /**
   * Private key of `cert`: PEM, the path of a file, or a list of one. Variable `DB_SSL_KEY`.
   * @defaultValue none
   */
  key?: string | Uint8Array | SecretText | (string | Uint8Array | TlsKey)[];
}

/** Retries at start after a transient failure: connection refused, server starting, too many connections, a timeout. */
export interface ConnectRetrySettings {
  /**
   * Retries after the first attempt. 0 to 100. Variable `DB_CONNECT_RETRIES`.
   * @defaultValue 10, at least 30 s in all
   */
  retries?: number;
  /**
   * Pause before the first retry; each further pause is twice as long, with jitter. Milliseconds, 0 to 300 000.
   * @defaultValue 200
   */
  initialDelayMs?: number;
  /**
   * Longest pause between two retries. Milliseconds, 0 to 300 000.
   * @defaultValue 5 000
   */
  maxDelayMs?: number;
}

/** One server of {@link ReplicationSettings}, with TypeORM's names. */
export interface ReplicationServer {
  /** URL of the server: postgres://user:password@host:port/database. */
  url?: string | SecretText;
  /** Host of the server, when no `url` is given. */
  host?: string;
  /** Port of the server. 1 to 65 535. @defaultValue 5432 */
  port?: number;
  /** User. @defaultValue the user of the primary */
  username?: string;
  /** Password of the user. @defaultValue the password of the primary, for the same user */
  password?: string | SecretText | PasswordFunction;
  /** Database. @defaultValue the database of the primary */
  database?: string;
  /** TLS to this server. @defaultValue `ssl` of the top level */
  ssl?: boolean | SslSettings;
  /** `application_name`, 1 to 63 bytes. @defaultValue `applicationName` of the top level */
  applicationName?: string;
}

/**
 * Read replicas, in the form of TypeORM's `replication`. Each server has a pool of its own, with the same settings. `find` and
 * query builders read from a replica; writes, `query()`, transactions and migrations use the primary.
 * @example
 * ```ts
 * DatabaseModule.forRoot({ replication: { slaves: [{ url: process.env.REPLICA_URL }] } });
 * ```
 */
export interface ReplicationSettings {
  /**
   * The primary.
   * @defaultValue `url`, or `host` and its options
   */
  master?: ReplicationServer;
  /** The replicas. Each read uses a random one. While one is unreachable, the others and the primary serve its reads. */
  slaves: ReplicationServer[];
  /**
   * Server for reads that do not choose one.
   * @defaultValue slave
   */
  defaultMode?: ReplicationModeName;
}

/** TypeORM's names of the primary and of a replica. */
export type ReplicationModeName = 'master' | 'slave';

/** The settings of this module, in addition to those of TypeORM. */
export interface DatabaseSettings {
  /**
   * URL of the database: postgres://user:password@host:port/database. Variable `DB_URL`, else `DATABASE_URL`, or
   * `DB_URL_FILE` for a file that holds it.
   */
  url?: string | SecretText;
  /**
   * URL of the same database without the pooler, for migrations. Variable `DB_DIRECT_URL`.
   * @defaultValue none; for a pooled host of Neon, the same host without `-pooler`
   */
  directUrl?: string | SecretText;
  /** Host of the server, or directory of its socket, when no `url` is given. Variable `DB_HOST`. */
  host?: string;
  /**
   * Port of the server. 1 to 65 535. Variable `DB_PORT`.
   * @defaultValue 5432
   */
  port?: number;
  /**
   * User. Variable `DB_USERNAME`.
   * @defaultValue the user of the operating system
   */
  username?: string;
  /**
   * Password, or a function that returns one that changes. Variable `DB_PASSWORD`, or `DB_PASSWORD_FILE` for a file
   * that holds it.
   */
  password?: string | SecretText | PasswordFunction;
  /**
   * Database. Variable `DB_NAME`.
   * @defaultValue the name of the user
   */
  database?: string;
  /** Read replicas. `replication.master` replaces `url`. */
  replication?: ReplicationSettings;
  /**
   * Set of defaults. Variable `DB_PROFILE`.
   * @defaultValue production; development when NODE_ENV is development or test
   */
  profile?: DatabaseProfile;
  /** The pool of connections. */
  pool?: PoolSettings;
  /** Time limits. */
  timeouts?: TimeoutSettings;
  /** TLS; `true` is mode `require`, `false` is mode `disable`. */
  ssl?: boolean | SslSettings;
  /**
   * Further settings of PostgreSQL, in force on every connection before its first query.
   * @example
   * ```ts
   * DatabaseModule.forRoot({ session: { search_path: 'app', 'app.tenant': 7 } });
   * ```
   */
  session?: Record<string, string | number | boolean>;
  /**
   * How the app connects at start. `verify`: it starts after the database has answered; `lazy`: it starts without the
   * database, and the first query connects; `off`: the app calls `initialize()` of the data source. Variable `DB_STARTUP`.
   * @defaultValue verify
   */
  startup?: StartupMode;
  /** Retries at start. A number is short for `{ retries }`. */
  connectRetry?: number | ConnectRetrySettings;
  /**
   * Mode of the pooler (PgBouncer, Neon's `-pooler` host) between the app and the server. A detected pooler is assumed to
   * be in transaction mode, which is safe for all three modes. Variable `DB_POOLER`.
   * @defaultValue detected
   */
  pooler?: PoolerMode;
  /**
   * Processes of the app that run at the same time. Each opens up to `pool.size + pool.maxOverflow` connections. The start
   * warns when the server has too few connections for all of them. 1 to 10 000. Variable `DB_INSTANCES`.
   * @defaultValue 1
   */
  instances?: number;
  /**
   * Name of the app in `pg_stat_activity`: `application_name` of PostgreSQL. 1 to 63 bytes. Variable `DB_APPLICATION_NAME`.
   * @defaultValue the name in the app's package.json
   */
  applicationName?: string;
  /**
   * Whether each statement is logged with its duration; `{ parameters: true }` also logs its parameters. Variable `DB_ECHO`.
   * @defaultValue false
   */
  echo?: boolean | EchoSettings;
  /**
   * Whether the entities passed to `forFeature` of this module or of `@nestjs/typeorm` are used, too.
   * @defaultValue true when `entities` is not given, else false
   */
  autoLoadEntities?: boolean;
  /**
   * Whether the running statement of a request is cancelled when its client disconnects. A request that waits for a
   * connection stops waiting in any case.
   * @defaultValue false
   */
  cancelOnDisconnect?: boolean;
  /**
   * Whether a query or DML statement outside a transaction is sent once more, on another connection, when the server ended
   * its session (SQLSTATE 57P01, 57P05) before the statement completed. Such a statement has had no effect.
   * @defaultValue true
   */
  retryTerminated?: boolean;
  /**
   * Whether parameterised statements that are used often are prepared on each connection, and then sent without being parsed
   * and described again. Setting it says that a pooler in between supports prepared statements; that of Neon does in any case.
   * Variable `DB_PREPARED_STATEMENTS`.
   * @defaultValue true; behind a pooler that shares sessions, only when set
   */
  preparedStatements?: boolean | PreparedStatementSettings;
  /**
   * Whether prepared SELECTs that are fast, return little and only read share a few connections, on which several of them are
   * in flight. Every other statement, and every transaction, has a connection of its own. Not behind a pooler.
   * Variable `DB_MULTIPLEX`: the number of shared connections, 0 is off.
   * @defaultValue false
   */
  multiplex?: false | MultiplexSettings;
  /**
   * Whether an HTTP request is answered with 503 and `Retry-After` when no connection or no database is available, and with
   * 504 after a statement timeout. Exception filters of the app take precedence.
   * @defaultValue true
   */
  httpErrors?: boolean;
  /**
   * Attempts at start, including the first, as in `@nestjs/typeorm`. Prefer `connectRetry.retries`. 0 to 101.
   * @defaultValue none
   */
  retryAttempts?: number;
  /**
   * Pause between attempts, as in `@nestjs/typeorm`. Prefer `connectRetry`. Milliseconds, 0 to 300 000.
   * @defaultValue none
   */
  retryDelay?: number;
  /**
   * Decides from the error of the socket or the server whether a failed start is retried, as in `@nestjs/typeorm`.
   * @defaultValue transient failures are retried
   * @example
   * ```ts
   * DatabaseModule.forRoot({ toRetry: (error) => diagnose(error).transient });
   * ```
   */
  toRetry?: (error: unknown) => boolean;
}

/** When statements are prepared. */
export interface PreparedStatementSettings {
  /**
   * The use at which a statement is prepared, counted for all connections of a pool. 1 to 1 000 000.
   * @defaultValue 5
   */
  threshold?: number;
  /**
   * Prepared statements per connection. The least recently used one is closed when there are more. 1 to 100 000.
   * @defaultValue 256
   */
  max?: number;
}

/** How connections are shared. */
export interface MultiplexSettings {
  /**
   * Connections that may be shared. They are part of `pool.size` and `pool.maxOverflow`, and at least one connection of the pool
   * is never shared. 0 to 100. Variable `DB_MULTIPLEX`.
   * @defaultValue 0: off
   */
  connections?: number;
  /**
   * Statements in flight on one shared connection. 1 to 1 000.
   * @defaultValue 16
   */
  maxInFlight?: number;
  /**
   * Longest mean time on the server of a statement that is shared. Milliseconds, 1 to 1 000.
   * @defaultValue 5
   */
  maxMeanMs?: number;
}

/** What `echo` logs. */
export interface EchoSettings {
  /**
   * Whether the values of parameters are logged, too. They may be personal data.
   * @defaultValue false
   */
  parameters?: boolean;
  /**
   * Longest SQL text in the log, in characters. A longer one is truncated. 10 to 1 000 000.
   * @defaultValue 2 000
   */
  maxLength?: number;
}

/**
 * The PostgreSQL options of TypeORM that are not settings of this module. `database.typeorm-options` declares the members,
 * because the types of `nestjs-database/pool` include this file and must not need TypeORM.
 */
// eslint-disable-next-line @typescript-eslint/no-empty-object-type -- another file declares its members
export interface TypeOrmOptions {}

/** The options of `forRoot` and `forRootAsync`: the settings of this module and those of TypeORM. */
export interface DatabaseModuleOptions extends DatabaseSettings, TypeOrmOptions {
  /** Accepted because options for `@nestjs/typeorm` contain it. */
  type?: 'postgres';
}

/**
 * A class that creates the options, for `useClass` and `useExisting` of `forRootAsync`.
 * @example
 * ```ts
 * @Injectable()
 * class DatabaseConfigService implements DatabaseOptionsFactory {
 *   createDatabaseOptions(): DatabaseModuleOptions {
 *     return { url: process.env.DB_URL, pool: { size: 10 } };
 *   }
 * }
 * ```
 */
export interface DatabaseOptionsFactory {
  /** Called once, before the data source is created. */
  createDatabaseOptions(): DatabaseModuleOptions | Promise<DatabaseModuleOptions>;
}

/** The origin of a value: a variable, the options in code, the URL, the profile, or the default. */
export type SettingOrigin = `environment ${string}` | 'options' | 'url' | 'profile' | 'default';

/** Host, port, database and user, without a password. */
export interface ServerAddress {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly username: string;
}

/** All settings, resolved and frozen. `inspect` and JSON do not show the password and the key of TLS. */
export interface ResolvedDatabaseOptions {
  /** The name of the data source. */
  readonly name: string;
  readonly profile: DatabaseProfile;
  readonly server: ServerAddress;
  readonly password: SecretText | PasswordSource | undefined;
  readonly pool: Readonly<Required<PoolSettings>>;
  readonly timeouts: Readonly<Required<TimeoutSettings>>;
  readonly ssl: ResolvedSsl;
  /** The server for migrations, which bypasses the pooler; undefined when migrations use `server`. */
  readonly direct: DirectServer | undefined;
  /** The read replicas; undefined when `replication` is not given. */
  readonly replication: ResolvedReplication | undefined;
  /** `channel_binding` of the URL: whether the login is bound to the TLS connection. */
  readonly channelBinding: 'disable' | 'prefer' | 'require' | undefined;
  /** `require_auth` of the URL: the only authentication methods that the server may request. */
  readonly requireAuth: readonly LoginMethod[] | undefined;
  /** `target_session_attrs` of the URL: a server of another kind is refused. */
  readonly serverKind: ServerKind | undefined;
  /** `options` of the URL, sent unchanged in the startup packet: `-c geqo=off`, `endpoint=…`. */
  readonly startupOptions: string | undefined;
  /** `session`, with its values as texts of SQL. */
  readonly session: Readonly<Record<string, string>>;
  readonly startup: StartupMode;
  readonly connectRetry: Readonly<Required<ConnectRetrySettings>>;
  /** The configured mode; undefined when the pooler is detected. */
  readonly pooler: PoolerMode | undefined;
  readonly instances: number;
  readonly toRetry: ((error: unknown) => boolean) | undefined;
  /** The missing setting for which `initialize()` fails. Only `startup: 'off'` allows that. */
  readonly missingServer: { readonly setting: string; readonly message: string } | undefined;
  readonly applicationName: string;
  readonly echo: Readonly<Required<EchoSettings>> | false;
  readonly autoLoadEntities: boolean;
  readonly cancelOnDisconnect: boolean;
  readonly retryTerminated: boolean;
  readonly preparedStatements: Readonly<Required<PreparedStatementSettings>> | false;
  readonly multiplex: Readonly<Required<MultiplexSettings>> | false;
  readonly httpErrors: boolean;
  /** The options of TypeORM, unchanged. */
  readonly typeorm: Readonly<TypeOrmOptions>;
  /** The origin of each setting, by its path: `pool.size` → `environment DB_POOL_SIZE`. */
  readonly origins: Readonly<Record<string, SettingOrigin>>;
  /** Suspicious settings, logged at start: a timeout of 30 ms, a misspelled variable. */
  readonly warnings: readonly string[];
}

/** The settings in force, without secrets. */
export interface DatabaseOptionsView extends Omit<
  ResolvedDatabaseOptions,
  'password' | 'ssl' | 'direct' | 'replication'
> {
  /** The server for migrations, which bypasses the pooler. */
  readonly direct: ServerAddress | undefined;
  /** The read replicas. */
  readonly replication:
    { readonly replicas: readonly ServerAddress[]; readonly defaultMode: ReplicationModeName } | undefined;
  readonly ssl: {
    readonly mode: SslMode;
    /** Whether a certificate authority is given. */
    readonly ca: boolean;
    /** Whether a client certificate is given. */
    readonly cert: boolean;
  };
}

/** The settings of another server of the same database, where they differ from those of the primary. */
export type DirectServer = Pick<
  ResolvedDatabaseOptions,
  'server' | 'password' | 'ssl' | 'channelBinding' | 'requireAuth' | 'serverKind' | 'startupOptions'
> & {
  /** The time limits in its URL. */
  readonly timeouts: Readonly<TimeoutSettings>;
  /** The application name in its URL. */
  readonly applicationName: string | undefined;
};

/** `replication`, resolved. */
export interface ResolvedReplication {
  /** The replicas, each with the settings that differ from those of the primary. */
  readonly replicas: readonly DirectServer[];
  readonly defaultMode: ReplicationModeName;
}

/** TLS, resolved. */
export interface ResolvedSsl {
  readonly mode: SslMode;
  readonly negotiation: SslNegotiation;
  /**
   * The options of `tls.connect`; `false` is plain text. `inspect` and JSON do not show the key. Frozen: `pg` modifies the
   * object that it receives, so pass it a copy (`{ ...tls }`).
   */
  readonly tls: TlsOptions | false;
}
