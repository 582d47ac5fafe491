import { BOUNDS } from './bounds.js';
import {
  applicationName,
  duration,
  flag,
  host,
  name,
  oneOf,
  password,
  passwordFile,
  pem,
  url,
  urlFile,
  wholeNumber,
} from './setting-types.js';
import type { Parser } from './setting-types.js';
import { POOLER_MODES, PROFILE_NAMES, STARTUP_MODES } from './schema.js';
import { SSL_MODES } from '../tls/ssl.js';

/** One environment variable: how it is called, what it sets and how its text is read. */
export interface Variable {
  readonly name: string;
  /** Read where the first name is not set. */
  readonly alias?: string;
  /** The option that it sets, by its path. */
  readonly path: string;
  readonly parser: Parser;
  /** Whether white space at its ends belongs to it. */
  readonly verbatim?: true;
  readonly description: string;
  /** In words, since some follow the profile. */
  readonly defaultText: string;
  /** What an example file shows. */
  readonly example: string;
}

const { pool, timeouts, connectRetry } = BOUNDS;

/** All variables that are read; `.env.example` is checked against this table. */
export const VARIABLES: readonly Variable[] = [
  {
    name: 'DB_URL',
    alias: 'DATABASE_URL',
    path: 'url',
    parser: url,
    description:
      'The database, as a URL; percent-encode @ / ? # % in the password. Else DATABASE_URL is read.',
    defaultText: 'none: it is required, or DB_URL_FILE, or DB_HOST',
    example: 'postgres://user:password@localhost:5432/app',
  },
  {
    name: 'DB_URL_FILE',
    path: 'url',
    parser: urlFile,
    description:
      'A file with the URL, in place of DB_URL. Its password is read at each connect, so that it can be rotated.',
    defaultText: 'none',
    example: '/run/secrets/database-url',
  },
  {
    name: 'DB_HOST',
    path: 'host',
    parser: host,
    description: 'The server, where there is no URL; with the next five.',
    defaultText: 'none',
    example: 'localhost',
  },
  {
    name: 'DB_PORT',
    path: 'port',
    parser: wholeNumber(BOUNDS.port),
    description: 'Its port.',
    defaultText: '5432',
    example: '5432',
  },
  {
    name: 'DB_USERNAME',
    path: 'username',
    parser: name('the name of a user'),
    description: 'The user.',
    defaultText: 'the user of the operating system',
    example: 'user',
  },
  {
    name: 'DB_PASSWORD',
    path: 'password',
    parser: password,
    verbatim: true,
    description: "The user's password; also that of a URL which has none.",
    defaultText: 'none',
    example: 'password',
  },
  {
    name: 'DB_PASSWORD_FILE',
    path: 'password',
    parser: passwordFile('DB_PASSWORD_FILE'),
    description: 'A file with the password, in place of DB_PASSWORD. It is read at each connect.',
    defaultText: 'none',
    example: '/run/secrets/database-password',
  },
  {
    name: 'DB_NAME',
    path: 'database',
    parser: name('the name of a database'),
    description: 'The database.',
    defaultText: 'the name of the user',
    example: 'app',
  },
  {
    name: 'DB_DIRECT_URL',
    path: 'directUrl',
    parser: url,
    description: 'The database past a pooler, for migrations; a URL as DB_URL.',
    defaultText: 'none; of a pooled host of Neon, the same without -pooler',
    example: 'postgres://user:password@localhost:5432/app',
  },
  {
    name: 'DB_PROFILE',
    path: 'profile',
    parser: oneOf(PROFILE_NAMES),
    description: 'A set of defaults; what is set explicitly wins over it.',
    defaultText: 'production; development when NODE_ENV is development or test',
    example: 'production',
  },
  {
    name: 'DB_POOL_SIZE',
    path: 'pool.size',
    parser: wholeNumber(pool.size),
    description: 'Connections kept open.',
    defaultText: '5; development and serverless: 2',
    example: '5',
  },
  {
    name: 'DB_MAX_OVERFLOW',
    path: 'pool.maxOverflow',
    parser: wholeNumber(pool.maxOverflow),
    description: 'Extra connections under load, closed soon after.',
    defaultText: '10; development: 5; serverless: 0',
    example: '10',
  },
  {
    name: 'DB_POOL_TIMEOUT',
    path: 'pool.acquireTimeoutMs',
    parser: duration(pool.acquireTimeoutMs),
    description: 'Longest wait for a connection.',
    defaultText: '30s; development and serverless: 10s',
    example: '30s',
  },
  {
    name: 'DB_POOL_RECYCLE',
    path: 'pool.maxLifetimeMs',
    parser: duration(pool.maxLifetimeMs),
    description: 'Age at which a connection is replaced.',
    defaultText: '30m; development and serverless: 5m',
    example: '30m',
  },
  {
    name: 'DB_POOL_PRE_PING',
    path: 'pool.prePing',
    parser: flag,
    description: 'Ask a connection that lay idle whether it is alive before it is lent.',
    defaultText: 'true',
    example: 'true',
  },
  {
    name: 'DB_LEAK_THRESHOLD',
    path: 'pool.leakThresholdMs',
    parser: duration(pool.leakThresholdMs),
    description: "Warn, with the borrower's stack, when a connection is out for longer.",
    defaultText: 'off; development: 30s',
    example: '30s',
  },
  {
    name: 'DB_CONNECT_TIMEOUT',
    path: 'timeouts.connectMs',
    parser: duration(timeouts.connectMs),
    description: 'Longest dial of one connection: TCP, TLS and login.',
    defaultText: '10s',
    example: '10s',
  },
  {
    name: 'DB_STATEMENT_TIMEOUT',
    path: 'timeouts.statementMs',
    parser: duration(timeouts.statementMs),
    description: 'Longest run of one statement.',
    defaultText: '30s',
    example: '30s',
  },
  {
    name: 'DB_IDLE_IN_TRANSACTION_TIMEOUT',
    path: 'timeouts.idleInTransactionMs',
    parser: duration(timeouts.idleInTransactionMs),
    description: 'Longest pause inside a transaction.',
    defaultText: '60s',
    example: '60s',
  },
  {
    name: 'DB_LOCK_TIMEOUT',
    path: 'timeouts.lockMs',
    parser: duration(timeouts.lockMs),
    description: 'Longest wait for a lock.',
    defaultText: 'off',
    example: '5s',
  },
  {
    name: 'DB_SHUTDOWN_TIMEOUT',
    path: 'timeouts.shutdownMs',
    parser: duration(timeouts.shutdownMs),
    description: 'How long a shutdown waits for connections that are out.',
    defaultText: '10s',
    example: '10s',
  },
  {
    name: 'DB_STARTUP',
    path: 'startup',
    parser: oneOf(STARTUP_MODES),
    description:
      'verify: start when the database has answered. lazy: the first query connects. off: nobody connects.',
    defaultText: 'verify',
    example: 'verify',
  },
  {
    name: 'DB_CONNECT_RETRIES',
    path: 'connectRetry.retries',
    parser: wholeNumber(connectRetry.retries),
    description: 'Tries after the first at start, where the failure is one that passes.',
    defaultText: '10, at least 30 s in all',
    example: '10',
  },
  {
    name: 'DB_SSL_MODE',
    path: 'ssl.mode',
    parser: oneOf(SSL_MODES),
    description: 'require and verify-full verify chain and host name, verify-ca the chain against DB_SSL_CA.',
    defaultText:
      "the URL's sslmode; else verify-full for a public host or with a CA, certificate or key, disable for a local host",
    example: 'verify-full',
  },
  {
    name: 'DB_SSL_CA',
    path: 'ssl.ca',
    parser: pem('certificate'),
    description: 'Certificates to trust.',
    defaultText: 'none: the authorities that Node.js trusts',
    example: '/etc/ssl/certs/database-ca.pem',
  },
  {
    name: 'DB_SSL_CERT',
    path: 'ssl.cert',
    parser: pem('certificate'),
    description: "The client's own certificate.",
    defaultText: 'none',
    example: '/etc/ssl/certs/client.pem',
  },
  {
    name: 'DB_SSL_KEY',
    path: 'ssl.key',
    parser: pem('key'),
    description: 'The key of DB_SSL_CERT.',
    defaultText: 'none',
    example: '/etc/ssl/private/client.key',
  },
  {
    name: 'DB_POOLER',
    path: 'pooler',
    parser: oneOf(POOLER_MODES),
    description: 'The mode of the pooler (PgBouncer) between the app and the server.',
    defaultText: 'detected',
    example: 'transaction',
  },
  {
    name: 'DB_INSTANCES',
    path: 'instances',
    parser: wholeNumber(BOUNDS.instances),
    description: 'Processes of the app at the same time, for the warning of too few connections.',
    defaultText: '1',
    example: '1',
  },
  {
    name: 'DB_APPLICATION_NAME',
    path: 'applicationName',
    parser: applicationName,
    description: 'Shown in pg_stat_activity.',
    defaultText: "the name in the app's package.json",
    example: 'users-api',
  },
  {
    name: 'DB_ECHO',
    path: 'echo',
    parser: flag,
    description: 'Log each statement with its duration.',
    defaultText: 'false',
    example: 'false',
  },
];

/** Names that other libraries and templates give to what a variable of ours sets. */
export const RELATIVES: ReadonlyMap<string, string> = new Map([
  ['DB_CONNECTION_STRING', 'DB_URL'],
  ['DB_CONNECTION_URL', 'DB_URL'],
  ['DB_DSN', 'DB_URL'],
  ['DB_URI', 'DB_URL'],
  ['DB_ADDRESS', 'DB_HOST'],
  ['DB_HOSTNAME', 'DB_HOST'],
  ['DB_SERVER', 'DB_HOST'],
  ['DB_LOGIN', 'DB_USERNAME'],
  ['DB_ROLE', 'DB_USERNAME'],
  ['DB_USER', 'DB_USERNAME'],
  ['DB_PASS', 'DB_PASSWORD'],
  ['DB_PASSWD', 'DB_PASSWORD'],
  ['DB_PWD', 'DB_PASSWORD'],
  ['DB_DATABASE', 'DB_NAME'],
  ['DB_DATABASE_NAME', 'DB_NAME'],
  ['DB_DBNAME', 'DB_NAME'],
  ['DB_SSL', 'DB_SSL_MODE'],
  ['DB_SSL_ENABLED', 'DB_SSL_MODE'],
  ['DB_SSL_REJECT_UNAUTHORIZED', 'DB_SSL_MODE'],
  ['DB_TLS', 'DB_SSL_MODE'],
  ['DB_CA', 'DB_SSL_CA'],
  ['DB_CA_CERT', 'DB_SSL_CA'],
  ['DB_SSL_CA_FILE', 'DB_SSL_CA'],
  ['DB_SSL_ROOT_CERT', 'DB_SSL_CA'],
  ['DB_CONNECTION_LIMIT', 'DB_POOL_SIZE'],
  ['DB_MAX_CONNECTIONS', 'DB_POOL_SIZE'],
  ['DB_POOL', 'DB_POOL_SIZE'],
  ['DB_POOL_MAX', 'DB_POOL_SIZE'],
  ['DB_POOL_MAX_OVERFLOW', 'DB_MAX_OVERFLOW'],
  ['DB_ACQUIRE_TIMEOUT', 'DB_POOL_TIMEOUT'],
  ['DB_POOL_ACQUIRE_TIMEOUT', 'DB_POOL_TIMEOUT'],
  ['DB_MAX_LIFETIME', 'DB_POOL_RECYCLE'],
  ['DB_CONNECTION_TIMEOUT', 'DB_CONNECT_TIMEOUT'],
  ['DB_QUERY_TIMEOUT', 'DB_STATEMENT_TIMEOUT'],
  ['DB_RETRIES', 'DB_CONNECT_RETRIES'],
  ['DB_RETRY_ATTEMPTS', 'DB_CONNECT_RETRIES'],
  ['DB_APP_NAME', 'DB_APPLICATION_NAME'],
  ['DB_LOG', 'DB_ECHO'],
  ['DB_LOGGING', 'DB_ECHO'],
]);
