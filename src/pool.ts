export { Connection } from './connection/connection.js';
export type { ConnectionOptions } from './connection/connection.js';
export { isDisconnect } from './connection/disconnect.js';
export type { ResetMode } from './connection/restore.js';
export type { SessionSettings } from './connection/session-settings.js';
export {
  ConnectTimeoutError,
  ConnectionError,
  ConnectionResetError,
  DatabaseConfigError,
  DatabaseError,
  PasswordError,
  PoolAcquireCancelledError,
  PoolAcquireTimeoutError,
  PoolClosedError,
  PoolDialError,
  PoolError,
  PoolLeaseReclaimedError,
  PoolQueueFullError,
  PoolSelfDeadlockError,
  PoolValidationError,
  QueryTimeoutError,
} from './database.errors.js';
export type { DestroyReason, Histogram, LeaseInfo, PoolCounters, PoolSnapshot } from './database.snapshot.js';
export type { Clock } from './pool/clock.js';
export { ConnectionPool } from './pool/connection-pool.js';
export type { DrainReport } from './pool/drain.js';
export type { PoolLease } from './pool/lease.js';
export type { Leased, Link, PoolableClient } from './pool/link.js';
export type { PoolOptions } from './pool/pool.options.js';
export type { AcquireOptions, WorkUnit } from './pool/waiters.js';
export type { PoolWarning } from './pool/warnings.js';
