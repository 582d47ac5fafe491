/** Options of TypeORM 0.3 and 1 for PostgreSQL. TypeORM has no list of them at run time. */
const TYPEORM = [
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
] as const;

/** Ours, beside the names in the schema. */
const OWN = ['type', 'name'] as const;

/** Options of TypeORM and `@nestjs/typeorm` that have no effect here, and what is meant to be used. */
export const REPLACED: Readonly<Record<string, string>> = {
  poolSize: 'use pool.size and pool.maxOverflow',
  connectTimeoutMS: 'use timeouts.connectMs',
  replication: 'several servers are not supported by this version',
  driver: 'the driver is pg, with the pool of this module',
  nativeDriver: 'the driver is pg, with the pool of this module',
  manualInitialization: "use startup: 'off'",
  user: 'use username',
  connectionString: 'use url',
  keepConnectionAlive: 'every app opens and closes its own connections',
};

/** Keys of `extra`, which TypeORM hands to `pg`, that a setting of ours decides. */
export const EXTRA_REPLACED: Readonly<Record<string, string>> = {
  max: 'use pool.size and pool.maxOverflow',
  min: 'use pool.minIdle',
  poolSize: 'use pool.size and pool.maxOverflow',
  connectionTimeoutMillis: 'use pool.acquireTimeoutMs for the wait and timeouts.connectMs for the dial',
  idleTimeoutMillis: 'use pool.overflowIdleMs; pool.size connections are kept',
  maxLifetimeSeconds: 'use pool.maxLifetimeMs',
  maxUses: 'use pool.maxLifetimeMs',
  statement_timeout: 'use timeouts.statementMs',
  query_timeout: 'use timeouts.statementMs',
  lock_timeout: 'use timeouts.lockMs',
  idle_in_transaction_session_timeout: 'use timeouts.idleInTransactionMs',
  application_name: 'use applicationName',
  fallback_application_name: 'use applicationName',
  options: "use session: { search_path: '…' }",
  connectionString: 'use url',
  host: 'use url or host',
  port: 'use url or port',
  user: 'use url or username',
  password: 'use url or password',
  database: 'use url or database',
  ssl: 'use ssl',
  size: 'use pool.size',
  maxOverflow: 'use pool.maxOverflow',
  acquireTimeoutMs: 'use pool.acquireTimeoutMs',
  maxLifetimeMs: 'use pool.maxLifetimeMs',
  prePing: 'use pool.prePing',
  leakThresholdMs: 'use pool.leakThresholdMs',
  reclaimAfterMs: 'use pool.reclaimAfterMs',
  minIdle: 'use pool.minIdle',
  maxWaiting: 'use pool.maxWaiting',
  overflowIdleMs: 'use pool.overflowIdleMs',
  keepaliveMs: 'use pool.keepaliveMs',
  reset: 'use pool.reset',
  connectTimeoutMs: 'use timeouts.connectMs',
  session: 'use session',
};

/** Options of `tls.connect` that make sense for a connection to a database. */
export const TLS_KEYS = [
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

/** Where the connection goes is no matter of TLS. */
export const TLS_REFUSED: readonly string[] = ['host', 'port', 'path', 'socket'];

/** All names that may stand on the top level, given those in the schema. */
export const knownKeys = (settings: readonly string[]): readonly string[] => [
  ...settings,
  ...OWN,
  ...TYPEORM,
];
