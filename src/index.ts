export { databaseConfig } from './config/environment/environment.js';
export type { DatabaseConfigFactory } from './config/environment/environment.js';
export { DatabaseConfigError } from './errors/config.errors.js';
export {
  ConnectionError,
  ConnectionResetError,
  ConnectTimeoutError,
  DatabaseConnectionError,
  PasswordError,
  QueryTimeoutError,
} from './errors/connection.errors.js';
export { DatabaseError } from './errors/database.error.js';
export { MigrationError } from './errors/migration.errors.js';
export {
  PoolAcquireCancelledError,
  PoolAcquireTimeoutError,
  PoolClosedError,
  PoolConnectError,
  PoolError,
  PoolLeaseReclaimedError,
  PoolQueueFullError,
  PoolSelfDeadlockError,
  PoolValidationError,
} from './errors/pool.errors.js';
export type { ConfigProblem } from './errors/config.errors.js';
export type { DatabaseErrorOptions } from './errors/database.error.js';
export { createDataSource, type DataSourceConfig, defineConfig } from './create-data-source.js';
export { DatabaseModule } from './database.module.js';
export type { DatabaseModuleExtras } from './database.module-definition.js';
// Adds the options of TypeORM to `DatabaseModuleOptions`.
export type {} from './database.typeorm-options.js';
export type {
  ConnectRetrySettings,
  DatabaseModuleOptions,
  DatabaseOptionsView,
  DatabaseOptionsFactory,
  DatabaseProfile,
  DatabaseSettings,
  EchoSettings,
  IssuedPassword,
  LoginMethod,
  MultiplexSettings,
  PasswordFunction,
  PasswordSource,
  PoolerMode,
  PoolSettings,
  ReplicationModeName,
  ReplicationServer,
  ReplicationSettings,
  ResetMode,
  ResolvedDatabaseOptions,
  ResolvedReplication,
  SecretText,
  ServerKind,
  SettingOrigin,
  SslMode,
  SslNegotiation,
  SslSettings,
  StartupMode,
  TimeoutSettings,
} from './database.options.js';
export {
  type EntityClassOrSchema,
  getDataSourceToken,
  getEntityManagerToken,
  getQueryRunnerToken,
  getRepositoryToken,
  getUnitOfWorkToken,
  InjectDataSource,
  InjectEntityManager,
  InjectQueryRunner,
  InjectRepository,
  InjectUnitOfWork,
} from './database.tokens.js';
export { type Diagnosis, type DiagnosisContext, diagnose } from './diagnosis/diagnose.js';
export type { FailureCategory } from './diagnosis/failure-rule.js';
export { toHttpException } from './unit-of-work/http/http-answer.js';
export type { UnitOfWork } from './unit-of-work/unit-of-work.js';
export { ManagedDataSource } from './data-source/managed-data-source.js';
export type { LeakWarning, PoolStats, PoolStatus } from './data-source/pools/pool-stats.js';
export { DatabaseHealthIndicator, type DatabasePingOptions } from './health/database-health.indicator.js';
export { DatabaseHealthModule, type DatabaseHealthOptions } from './health/database-health.module.js';
export { type ConnectionCheck, DatabaseMonitor } from './monitoring/database.monitor.js';
