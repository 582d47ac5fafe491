import { GROUPS, OPTION_NAMES, POSTGRES_LIMITS } from '../settings/settings.js';

/** Options of TypeORM 0.3 and 1 for PostgreSQL. TypeORM has no list of them at run time. */
const TYPEORM_OPTIONS = [
  'entities',
  'subscribers',
  'migrations',
  'migrationsTableName',
  'migrationsTransactionMode',
  'migrationsRun',
  'metadataTableName',
  'namingStrategy',
  'logging',
  'logger',
  'logNotifications',
  'maxQueryExecutionTime',
  'synchronize',
  'dropSchema',
  'entityPrefix',
  'entitySkipConstructor',
  'extra',
  'relationLoadStrategy',
  'cache',
  'isolateWhereStatements',
  'isolationLevel',
  'invalidWhereValuesBehavior',
  'typename',
  'schema',
  'useUTC',
  'uuidExtension',
  'poolErrorHandler',
  'installExtensions',
  'extensions',
  'parseInt8',
  // TypeORM's own ConnectionOptionsReader sets it; its driver for PostgreSQL does not read it.
  'baseDirectory',
] as const;

/** The names that are allowed on the top level of the options. */
export const KNOWN_OPTIONS: readonly string[] = [...OPTION_NAMES, 'type', 'name', ...TYPEORM_OPTIONS];

/** Options of TypeORM and `@nestjs/typeorm` that this module does not take, each with its replacement. */
export const REPLACED: Readonly<Record<string, string>> = {
  poolSize: 'use pool.size and pool.maxOverflow',
  connectTimeoutMS: 'use timeouts.connectMs',
  driver: 'the driver is pg, with the pool of this module',
  nativeDriver: 'the driver is pg, with the pool of this module',
  manualInitialization: "use startup: 'off'",
  user: 'use username',
  connectionString: 'use url',
  dataSourceFactory: 'this module creates the data source; set the options that the factory would change',
  keepConnectionAlive: 'each app opens and closes its own connections',
};

/** Keys of `extra` that would contradict a setting of this module, each with that setting. TypeORM passes `extra` to `pg`. */
export const EXTRA_REPLACED: Readonly<Record<string, string>> = {
  max: 'use pool.size and pool.maxOverflow',
  min: 'use pool.minIdle',
  poolSize: 'use pool.size and pool.maxOverflow',
  connectionTimeoutMillis: 'use pool.acquireTimeoutMs for the wait and timeouts.connectMs for connecting',
  idleTimeoutMillis: 'use pool.idleTimeoutMs',
  maxLifetimeSeconds: 'use pool.maxLifetimeMs',
  maxUses: 'use pool.maxLifetimeMs',
  query_timeout: 'use timeouts.statementMs',
  ...Object.fromEntries([...POSTGRES_LIMITS].map(([name, key]) => [name, `use timeouts.${key}`])),
  application_name: 'use applicationName',
  fallback_application_name: 'use applicationName',
  options: "use session: { search_path: '…' }",
  connectionString: 'use url',
  host: 'use url or host',
  port: 'use url or port',
  user: 'use url or username',
  password: 'use url or password',
  passwords: 'use password',
  database: 'use url or database',
  ssl: 'use ssl',
  sslnegotiation: 'use ssl.negotiation',
  enableChannelBinding: 'use channel_binding in the URL',
  requireChannelBinding: 'use channel_binding in the URL',
  requireAuth: 'use require_auth in the URL',
  serverKind: 'use target_session_attrs in the URL',
  ...Object.fromEntries(Object.keys(GROUPS.pool).map((key) => [key, `use pool.${key}`])),
  connectTimeoutMs: 'use timeouts.connectMs',
  session: 'use session',
};

/** Options of `tls.connect` that are useful for a connection to a database. */
export const TLS_OPTIONS = [
  'ALPNProtocols',
  'checkServerIdentity',
  'ciphers',
  'clientCertEngine',
  'crl',
  'dhparam',
  'ecdhCurve',
  'enableTrace',
  'honorCipherOrder',
  'maxVersion',
  'minDHSize',
  'minVersion',
  'passphrase',
  'pfx',
  'privateKeyEngine',
  'privateKeyIdentifier',
  'rejectUnauthorized',
  'requestOCSP',
  'secureContext',
  'secureOptions',
  'secureProtocol',
  'servername',
  'session',
  'sessionIdContext',
  'sessionTimeout',
  'sigalgs',
  'ticketKeys',
] as const;

/** Options of `tls.connect` that name the server; here, `url`, or `host` and `port`, do that. */
export const TLS_REFUSED: readonly string[] = ['host', 'port', 'path', 'socket'];
