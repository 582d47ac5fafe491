export { Connection } from '../connection/connection.js';
export type { ConnectionOptions } from '../connection/connection.js';
export { isDisconnect } from '../connection/wire/disconnect.js';
export type { ResetMode } from '../database.options.js';
export type { SessionSettings } from '../connection/session/session-settings.js';
export { DatabaseConfigError } from '../errors/config.errors.js';
export {
  ConnectTimeoutError,
  ConnectionError,
  ConnectionResetError,
  PasswordError,
  QueryTimeoutError,
} from '../errors/connection.errors.js';
export { DatabaseError } from '../errors/database.error.js';
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
} from '../errors/pool.errors.js';
export type {
  DestroyReason,
  Histogram,
  LeaseInfo,
  MultiplexSnapshot,
  NotSharedReason,
  PoolCounters,
  PoolSnapshot,
} from '../database.snapshot.js';
export type { Clock } from './support/clock.js';
export { ConnectionPool } from './connection-pool.js';
export type { DrainReport } from './drain.js';
export type { PoolLease } from './leases/lease.js';
export type { LeasedClient, PooledConnection, PoolableClient } from './connections/pooled-connection.js';
export type { Explanation, MultiplexOptions, PoolOptions } from './pool.options.js';
export type { AcquireOptions, WorkUnit } from './waiters/waiter-queue.js';
export type { PoolWarning } from './reporting/pool-warning.js';
