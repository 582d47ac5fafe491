import type { ConnectionOptions as TlsOptions, KeyObject as TlsKey } from 'node:tls';

/** Sets of defaults; anything set explicitly wins over them. */
export type DatabaseProfile = 'production' | 'development' | 'serverless';

/** What the module does about the database while the app starts. */
export type StartupMode = 'verify' | 'lazy' | 'off';

/**
 * What stands between the app and the server: nothing, or a pooler such as PgBouncer, which lends out its own connections
 * to the server for a client's whole life, for a transaction, or for a statement.
 */
export type PoolerMode = 'none' | 'session' | 'transaction' | 'statement';

/**
 * How a connection is encrypted and whom it trusts. `require` verifies chain and host name, as `pg` 8 does (libpq's
 * `require` does not); `verify-ca` verifies the chain against `ca` and not the host name.
 */
export type SslMode = 'disable' | 'require' | 'verify-ca' | 'verify-full';

/** How TLS begins: by a question in plain text, or at once, which PostgreSQL knows from version 17 on. */
export type SslNegotiation = 'postgres' | 'direct';

/** How a server may ask who one is; `none` is not at all. */
export type LoginMethod = 'none' | 'password' | 'md5' | 'scram-sha-256';

/** What a server has to be, as `target_session_attrs` of libpq names it. */
export type ServerKind = 'read-write' | 'read-only' | 'primary' | 'standby';

/** A text that no log, `inspect` or JSON output shows. */
export interface SecretText {
  /** The text itself. */
  reveal(): string;
}

/** What a {@link PasswordFunction} may give: a password, and until when it may be used again. */
export interface IssuedPassword {
  password: string;
  /** A date or milliseconds since 1970. @defaultValue it is used once */
  expiresAt?: Date | number;
}

/**
 * Gives the password when a server asks for it: a token of IAM, a secret that is rotated. Called at each dial, once for
 * all dials at a time, and not again before `expiresAt`, unless the server refuses it. `timeouts.connectMs` bounds it.
 */
export type PasswordFunction = () => string | IssuedPassword | Promise<string | IssuedPassword>;

/** Where connections have a password from that changes. */
export interface PasswordSource {
  /** The password that holds now. */
  ask(): Promise<string>;
  /** The server did not take this one. */
  refused(password: string): void;
}

/** How many connections there are, how long one waits for them and how long they live. */
export interface PoolSettings {
  /**
   * Connections kept open. Variable `DB_POOL_SIZE`, 1 to 100.
   * @defaultValue 5; development and serverless: 2
   */
  size?: number;
  /**
   * Extra connections under load, closed soon after. `size + maxOverflow` is the most there ever are.
   * Variable `DB_MAX_OVERFLOW`, 0 to 100.
   * @defaultValue 10; development: 5; serverless: 0
   */
  maxOverflow?: number;
  /**
   * Longest wait for a connection, dial and validation included. Milliseconds. Variable `DB_POOL_TIMEOUT`, 1 s to 300 s.
   * @defaultValue 30 000; development and serverless: 10 000
   */
  acquireTimeoutMs?: number;
  /**
   * A connection older than this is replaced (up to 10 % earlier, so that they don't all go at once); one in use is
   * never cut. Milliseconds. Variable `DB_POOL_RECYCLE`, at least 300 s.
   * @defaultValue 1 800 000; development and serverless: 300 000
   */
  maxLifetimeMs?: number;
  /**
   * Whether a connection that lay idle is asked whether it is alive before it is lent. Variable `DB_POOL_PRE_PING`.
   * @defaultValue true
   */
  prePing?: boolean;
  /**
   * Warn, with the borrower's stack, when a connection is out for longer than this. Milliseconds, 0 is off, else at
   * least 2 s. Variable `DB_LEAK_THRESHOLD`.
   * @defaultValue 0; development: 30 000
   */
  leakThresholdMs?: number;
  /**
   * Take a connection back by force when it is out for longer than this: cancel, roll back, destroy; its late owner gets
   * an error that says so. Milliseconds, 0 is off, else at least 2 s.
   * @defaultValue 0
   */
  reclaimAfterMs?: number;
  /**
   * Idle connections opened ahead and kept ready; at most `size`.
   * @defaultValue 0
   */
  minIdle?: number;
  /**
   * How many may wait for a connection beyond those for whom one is being opened; the next one is refused at once.
   * @defaultValue no limit
   */
  maxWaiting?: number;
  /**
   * How long a connection above `size` stays idle before it is closed. Milliseconds, at least 1 s.
   * @defaultValue 10 000
   */
  overflowIdleMs?: number;
  /**
   * How long any connection beyond `minIdle` stays idle before it is closed. Milliseconds, 0 is off, else at least 1 s.
   * @defaultValue 0; serverless: 5 000
   */
  idleTimeoutMs?: number;
  /**
   * Ask an idle connection this often whether it is alive. It keeps a database awake that would else sleep and cost nothing
   * (Neon). Milliseconds, 0 is off, else at least 1 s; TCP keepalive is on in any case.
   * @defaultValue 0
   */
  keepaliveMs?: number;
  /**
   * What is done to a connection that comes back. `smart`: roll back what is open, clear the session if it was seen to
   * change. `rollback`: the first alone. `discard`: DISCARD ALL each time. `none`: nothing.
   * @defaultValue smart
   */
  reset?: ResetMode;
}

/** What is done to a connection that comes back to the pool. */
export type ResetMode = 'smart' | 'rollback' | 'discard' | 'none';

/** Time limits. */
export interface TimeoutSettings {
  /**
   * Longest dial of one connection: TCP, TLS and login. Milliseconds. Variable `DB_CONNECT_TIMEOUT`, 1 s to 120 s.
   * @defaultValue 10 000
   */
  connectMs?: number;
  /**
   * PostgreSQL's `statement_timeout` on every connection. Milliseconds, 0 is off, to 86 400 s.
   * Variable `DB_STATEMENT_TIMEOUT`.
   * @defaultValue 30 000
   */
  statementMs?: number;
  /**
   * PostgreSQL's `idle_in_transaction_session_timeout` on every connection. Milliseconds, 0 is off, to 86 400 s.
   * Variable `DB_IDLE_IN_TRANSACTION_TIMEOUT`.
   * @defaultValue 60 000
   */
  idleInTransactionMs?: number;
  /**
   * PostgreSQL's `lock_timeout` on every connection. Milliseconds, 0 is off, to 86 400 s. Variable `DB_LOCK_TIMEOUT`.
   * @defaultValue 0
   */
  lockMs?: number;
  /**
   * How long a shutdown waits for connections that are out. Milliseconds, 0 s to 300 s. Variable `DB_SHUTDOWN_TIMEOUT`.
   * @defaultValue 10 000
   */
  shutdownMs?: number;
}

/** TLS. Options of Node's `tls.connect` beside these (`servername`, `minVersion`, …) are passed on. */
export interface SslSettings extends Omit<
  TlsOptions,
  'ca' | 'cert' | 'key' | 'host' | 'port' | 'path' | 'socket' | 'pskCallback'
> {
  /**
   * Variable `DB_SSL_MODE`.
   * @defaultValue the URL's `sslmode`; else `verify-full` for a public host or when `ca`, `cert` or `key` is given, and
   * `disable` for a local host (a socket, a loopback or private address, a single label, `.local`, `.internal`, `.svc`)
   */
  mode?: SslMode;
  /**
   * `direct` begins TLS with the first byte, and saves a round trip: for PostgreSQL 17 and later, or a proxy that wants it.
   * @defaultValue the URL's `sslnegotiation`; else `postgres`
   */
  negotiation?: SslNegotiation;
  /**
   * Certificates to trust: PEM (a text or what `readFileSync` gives), the path of a file, or a list of these.
   * Variable `DB_SSL_CA`.
   */
  ca?: string | Uint8Array | (string | Uint8Array)[];
  /** The client's own certificate: PEM or the path of a file; in a list, one. Variable `DB_SSL_CERT`. */
  cert?: string | Uint8Array | (string | Uint8Array)[];
  /** The key of `cert`: PEM or the path of a file; in a list, one. Variable `DB_SSL_KEY`. */
  key?: string | Uint8Array | SecretText | (string | Uint8Array | TlsKey)[];
}

/** Tries at start, when the failure is one that passes (refused, starting up, too many connections, timeouts). */
export interface ConnectRetrySettings {
  /**
   * Tries after the first. Variable `DB_CONNECT_RETRIES`, 0 to 100.
   * @defaultValue 10, at least 30 s in all
   */
  retries?: number;
  /** Pause before the first of them; each further one is twice as long, with jitter. Milliseconds. @defaultValue 200 */
  initialDelayMs?: number;
  /** Longest pause. Milliseconds. @defaultValue 5 000 */
  maxDelayMs?: number;
}

/** One server of {@link ReplicationSettings}, as TypeORM names its parts. */
export interface ReplicationServer {
  /** postgres://user:password@host:port/database */
  url?: string | SecretText;
  /** In place of `url`. */
  host?: string;
  /** @defaultValue 5432 */
  port?: number;
  /** @defaultValue that of the primary */
  username?: string;
  /** @defaultValue that of the primary, for the same user */
  password?: string | SecretText | PasswordFunction;
  /** @defaultValue that of the primary */
  database?: string;
  /** @defaultValue the top-level `ssl` */
  ssl?: boolean | SslSettings;
  /** @defaultValue the top-level `applicationName` */
  applicationName?: string;
}

/**
 * Read replicas, as TypeORM's `replication` names them. Each server has a pool of its own with the same settings. What
 * `find` and query builders read comes from a replica; writes, `query()`, transactions and migrations go to the primary.
 */
export interface ReplicationSettings {
  /** The primary. @defaultValue `url`, or `host` and what belongs to it */
  master?: ReplicationServer;
  /** The replicas; each read goes to a random one. While one cannot be reached, the others and the primary serve. */
  slaves: ReplicationServer[];
  /** Where reads go that name no mode. @defaultValue slave */
  defaultMode?: ReplicationModeName;
}

/** TypeORM's names of the primary and of a replica. */
export type ReplicationModeName = 'master' | 'slave';

/** The settings of this module, beside those of TypeORM. */
export interface DatabaseSettings {
  /** postgres://user:password@host:port/database. Variable `DB_URL`, else `DB_URL_FILE` or `DATABASE_URL`. */
  url?: string | SecretText;
  /**
   * The same database past the pooler, for migrations. Variable `DB_DIRECT_URL`.
   * @defaultValue none; of a pooled host of Neon, the same without `-pooler`
   */
  directUrl?: string | SecretText;
  /** In place of `url`. Variable `DB_HOST`. */
  host?: string;
  /** Variable `DB_PORT`. @defaultValue 5432 */
  port?: number;
  /** Variable `DB_USERNAME`. @defaultValue the user of the operating system */
  username?: string;
  /** Also a function that gives it, for one that changes. Variable `DB_PASSWORD`, or `DB_PASSWORD_FILE`. */
  password?: string | SecretText | PasswordFunction;
  /** Variable `DB_NAME`. @defaultValue the name of the user */
  database?: string;
  /** Read replicas. `replication.master` stands in place of `url`. */
  replication?: ReplicationSettings;
  /**
   * Variable `DB_PROFILE`.
   * @defaultValue `production`; `development` when NODE_ENV is `development` or `test`
   */
  profile?: DatabaseProfile;
  pool?: PoolSettings;
  timeouts?: TimeoutSettings;
  /** `true` is mode `require`, `false` is mode `disable`. */
  ssl?: boolean | SslSettings;
  /** Further settings of PostgreSQL, in force on every connection before its first query: `{ search_path: 'app' }`. */
  session?: Record<string, string | number | boolean>;
  /**
   * `verify`: the app starts when the database has answered. `lazy`: it starts without; the first query connects.
   * `off`: the data source is left alone; call its `initialize()`. Variable `DB_STARTUP`.
   * @defaultValue verify
   */
  startup?: StartupMode;
  /** A number stands for `{ retries }`. */
  connectRetry?: number | ConnectRetrySettings;
  /**
   * The mode of the pooler (PgBouncer, Neon's `-pooler` host) in between. Variable `DB_POOLER`.
   * @defaultValue detected; one that is found is taken to be in transaction mode, which is right for all three
   */
  pooler?: PoolerMode;
  /**
   * How many processes of the app run at the same time; each opens up to `pool.size + pool.maxOverflow` connections. The
   * start warns when the server has not that many left. Variable `DB_INSTANCES`, 1 to 10 000.
   * @defaultValue 1
   */
  instances?: number;
  /**
   * `application_name`, shown in `pg_stat_activity`. 1 to 63 bytes. Variable `DB_APPLICATION_NAME`.
   * @defaultValue the name in the app's package.json
   */
  applicationName?: string;
  /**
   * Log each statement with its duration; `{ parameters: true }` logs its parameters too. Variable `DB_ECHO`.
   * @defaultValue false
   */
  echo?: boolean | EchoSettings;
  /**
   * Also take the entities that `forFeature` registers, that of `@nestjs/typeorm` included.
   * @defaultValue true when `entities` is not given, else false
   */
  autoLoadEntities?: boolean;
  /**
   * Whether the running statement of a request is cancelled when its client goes away. Its waiting for a connection ends
   * then in any case.
   * @defaultValue false
   */
  cancelOnDisconnect?: boolean;
  /**
   * Whether a query or DML statement outside of a transaction is sent once more, on another connection, when the server has
   * ended its session (SQLSTATE 57P01, 57P05) before completing it: such a statement has had no effect.
   * @defaultValue true
   */
  retryTerminated?: boolean;
  /**
   * Whether an HTTP request that fails for want of a connection or of the database is answered with 503 and `Retry-After`, and
   * one whose statement ran into its time limit with 504, where no exception filter of the app takes the error.
   * @defaultValue true
   */
  httpErrors?: boolean;
  /** `@nestjs/typeorm`: tries in all; here `connectRetry`. */
  retryAttempts?: number;
  /** `@nestjs/typeorm`: pause between tries, milliseconds; here `connectRetry`. */
  retryDelay?: number;
  /**
   * `@nestjs/typeorm`: whether an error of the start, as the socket or the server gave it, is worth another try.
   * @defaultValue only errors that pass
   */
  toRetry?: (error: unknown) => boolean;
}

/** What `echo` logs. */
export interface EchoSettings {
  /** Also the values of parameters, which may be personal data. @defaultValue false */
  parameters?: boolean;
  /** Longest SQL text in the log, in characters; the rest is cut. @defaultValue 2 000 */
  maxLength?: number;
}

/**
 * Every PostgreSQL option of TypeORM that is none of ours. `database.typeorm-options` fills it in, so that the types of
 * `nestjs-database/pool`, which reach this file, do without TypeORM.
 */
// eslint-disable-next-line @typescript-eslint/no-empty-object-type -- another file declares its members
export interface TypeOrmOptions {}

/** What `forRoot` and the factories of `forRootAsync` take: our settings and every PostgreSQL option of TypeORM. */
export interface DatabaseModuleOptions extends DatabaseSettings, TypeOrmOptions {
  type?: 'postgres';
}

/** For `useClass` and `useExisting`. */
export interface DatabaseOptionsFactory {
  createDatabaseOptions(): DatabaseModuleOptions | Promise<DatabaseModuleOptions>;
}

/** Where a value came from: a variable's name, the code, the URL, the profile, or the default. */
export type SettingOrigin = `environment ${string}` | 'options' | 'url' | 'profile' | 'default';

/** Host and database without credentials. */
export interface ServerAddress {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly username: string;
}

/** All settings after profile and defaults, made once; frozen; the only secret in it is a `SecretText`. */
export interface ResolvedDatabaseOptions {
  /** The data source's name. */
  readonly name: string;
  readonly profile: DatabaseProfile;
  readonly server: ServerAddress;
  readonly password: SecretText | PasswordSource | undefined;
  readonly pool: Readonly<Required<PoolSettings>>;
  readonly timeouts: Readonly<Required<TimeoutSettings>>;
  readonly ssl: ResolvedSsl;
  /** The way past the pooler, for migrations; undefined where there is none of its own. */
  readonly direct: DirectServer | undefined;
  /** The read replicas; undefined where `replication` is not given. */
  readonly replication: ResolvedReplication | undefined;
  /** `channel_binding` of the URL: whether the login is bound to the TLS connection; `require` is never given up. */
  readonly channelBinding: 'disable' | 'prefer' | 'require' | undefined;
  /** `require_auth` of the URL: the only methods by which the server may ask for a login. */
  readonly requireAuth: readonly LoginMethod[] | undefined;
  /** `target_session_attrs` of the URL: a connection to a server of another kind is refused. */
  readonly serverKind: ServerKind | undefined;
  /** `options` of the URL, for the startup packet as they are: `-c geqo=off`, `endpoint=…`. */
  readonly startupOptions: string | undefined;
  readonly session: Readonly<Record<string, string>>;
  readonly startup: StartupMode;
  readonly connectRetry: Readonly<Required<ConnectRetrySettings>>;
  /** Undefined: to be detected. */
  readonly pooler: PoolerMode | undefined;
  readonly instances: number;
  readonly toRetry: ((error: unknown) => boolean) | undefined;
  /** What is to be set before `initialize()` can connect: with `startup: 'off'` a server may be missing. */
  readonly missingServer: { readonly setting: string; readonly message: string } | undefined;
  readonly applicationName: string;
  readonly echo: Readonly<Required<EchoSettings>> | false;
  readonly autoLoadEntities: boolean;
  readonly cancelOnDisconnect: boolean;
  readonly retryTerminated: boolean;
  readonly httpErrors: boolean;
  /** TypeORM's options, as they were given. */
  readonly typeorm: Readonly<TypeOrmOptions>;
  /** `pool.size` → `environment DB_POOL_SIZE`, one for each setting. */
  readonly origins: Readonly<Record<string, SettingOrigin>>;
  /** What is allowed and suspicious, to be logged at start: a timeout of 30 ms, a misspelt key. */
  readonly warnings: readonly string[];
}

/** The settings in force, as an app may see and print them. */
export interface DatabaseOptionsView extends Omit<
  ResolvedDatabaseOptions,
  'password' | 'ssl' | 'direct' | 'replication'
> {
  /** Where migrations go, past the pooler. */
  readonly direct: ServerAddress | undefined;
  /** The read replicas. */
  readonly replication:
    { readonly replicas: readonly ServerAddress[]; readonly defaultMode: ReplicationModeName } | undefined;
  readonly ssl: {
    readonly mode: SslMode;
    /** Whether a certificate authority is given. */
    readonly ca: boolean;
    /** Whether the client has a certificate of its own. */
    readonly cert: boolean;
  };
}

/** What differs on the way past the pooler. */
export type DirectServer = Pick<
  ResolvedDatabaseOptions,
  'server' | 'password' | 'ssl' | 'channelBinding' | 'requireAuth' | 'serverKind' | 'startupOptions'
> & {
  /** Those that its URL sets. */
  readonly timeouts: Readonly<TimeoutSettings>;
  /** That of its URL. */
  readonly applicationName: string | undefined;
};

/** `replication` as resolved. */
export interface ResolvedReplication {
  /** What differs on each of them; the rest is as for the primary. */
  readonly replicas: readonly DirectServer[];
  readonly defaultMode: ReplicationModeName;
}

/** TLS as resolved: the mode, and what `tls.connect` is given; `false` is plain text. */
export interface ResolvedSsl {
  readonly mode: SslMode;
  readonly negotiation: SslNegotiation;
  /** It holds the key, which only a copy shows. Frozen: hand `pg` a copy (`{ ...tls }`), since it changes what it gets. */
  readonly tls: TlsOptions | false;
}
