import { AsyncLocalStorage } from 'node:async_hooks';
import { createHash } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { Connection } from '../../connection/connection.js';
import { NO_POOLER } from '../../connection/session/pooler-terms.js';
import { DatabaseConnectionError } from '../../errors/connection.errors.js';
import type { ResolvedDatabaseOptions } from '../../database.options.js';
import { connectionOptions } from '../pools/data-source.pool.js';
import type { DatabaseLogger } from '../logging/database.logger.js';
import { connectFailure } from '../logging/connect-failure.js';
import { directSettings } from '../pooler/direct-connection.js';
import { PoolerDetector } from '../pooler/pooler-detector.js';
import { refuseSharedSession } from '../pooler/shared-session.js';
import { isWithoutLocks, lockWaitText, pollForLock } from './lock-poll.js';
import type { LockHolder } from './lock-poll.js';
import { retryDelayMs } from './retry-delay.js';
import { queryServerInfo } from './server-info.js';

/** Disables the idle limits: the session of the lock is idle while the work runs. */
const NO_IDLE_LIMIT = `SELECT set_config(name, '0', $1) FROM pg_catalog.pg_settings
  WHERE name IN ('idle_session_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout')`;

/** The statements of a lock. */
interface LockStatements {
  readonly begin?: string;
  readonly tryLock: string;
  readonly rollback?: string;
  readonly release: string;
}

const SESSION_LOCK: LockStatements = {
  tryLock: 'SELECT pg_try_advisory_lock($1::bigint) AS locked',
  release: 'SELECT pg_advisory_unlock($1::bigint)',
};

/** Behind a pooler in transaction mode, the session belongs to the client only until its transaction ends. */
const TRANSACTION_LOCK: LockStatements = {
  begin: 'BEGIN',
  tryLock: 'SELECT pg_try_advisory_xact_lock($1::bigint) AS locked',
  rollback: 'ROLLBACK',
  release: 'COMMIT',
};

/** The lock as the work under it inherits it. */
interface SchemaLock {
  readonly owner: object;
  isReleased: boolean;
}

const locks = new AsyncLocalStorage<SchemaLock>();

/** How the caller of a schema change waits for the lock. */
export interface SchemaLockWait {
  /** Whether the work needs a session of its own, as migrations do: then a pooler in transaction mode is refused. */
  readonly needsSession?: boolean;
  /** Longest wait for the lock; milliseconds. @defaultValue no limit */
  readonly lockTimeoutMs?: number;
  /** Called once for each holder of the lock. @defaultValue logs it */
  readonly onWaiting?: (holder: LockHolder | undefined) => void;
}

interface SchemaLockOptions extends SchemaLockWait {
  readonly settings: ResolvedDatabaseOptions;
  /** Detects a pooler between client and server. */
  readonly pooler: PoolerDetector;
  readonly logger: DatabaseLogger;
  /** `current_database()`: behind a pooler the same database may have other names. */
  readonly database: string;
  /** Throws when the data source closes, which ends the wait. */
  readonly check: () => void;
}

/**
 * Runs `work`, which changes the schema, in one instance of the app at a time. It holds an advisory lock of the database on a connection
 * outside the pool: a direct connection if the settings have a direct server.
 *
 * @param owner the data source. It may call this function again inside `work`: a migration may call `synchronize()`
 */
export async function underSchemaLock<T>(
  owner: object,
  options: SchemaLockOptions,
  work: () => Promise<T>,
): Promise<T> {
  const outer = locks.getStore();
  if (outer && outer.owner === owner && !outer.isReleased) return work();
  const unlock = await lock(options);
  const held: SchemaLock = { owner, isReleased: false };
  try {
    return await locks.run(held, work);
  } finally {
    held.isReleased = true;
    await unlock();
  }
}

async function lock(options: SchemaLockOptions): Promise<() => Promise<void>> {
  const { logger, database } = options;
  const { direct } = options.settings;
  const settings = direct ? directSettings(options.settings, direct) : options.settings;
  const pooler = direct ? new PoolerDetector(settings) : options.pooler;
  const connection = await connect(settings, pooler, options);
  const close = () => connection.close().catch(() => connection.destroy());
  const statements = pooler.isSessionShared ? TRANSACTION_LOCK : SESSION_LOCK;
  const key = keyOf(database);
  try {
    if (direct) await observeDirectServer(connection, settings, pooler);
    if (options.needsSession) refuseSharedSession(pooler, direct);
    // In statement mode no lock lasts longer than one statement.
    if (pooler.mode !== 'statement') await waitForLock(connection, statements, key, options);
  } catch (error) {
    await close();
    if (!isWithoutLocks(error)) throw error;
    logger.debug(`The schema is changed without a lock: ${String(error)}`);
    return () => Promise.resolve();
  }
  const onLost = (error: Error) =>
    logger.warn(`The connection of the schema lock was lost; another instance may begin: ${error.message}`);
  connection.on('error', onLost);
  return async () => {
    connection.removeListener('error', onLost);
    // If this statement fails, the end of the session releases the lock.
    await connection
      .query(statements.release, statements === SESSION_LOCK ? [key] : [])
      .catch(() => undefined);
    await close();
  };
}

function waitForLock(
  connection: Connection,
  statements: LockStatements,
  key: string,
  { logger, database, check, lockTimeoutMs, onWaiting }: SchemaLockOptions,
): Promise<void> {
  const what = `database "${database}"`;
  return pollForLock(
    () => tryLock(connection, statements, key),
    async (text, parameters) => (await connection.query(text, parameters)).rows as never[],
    key,
    what,
    {
      timeoutMs: lockTimeoutMs,
      check,
      onWaiting: onWaiting ?? ((holder) => logger.log(lockWaitText(what, holder))),
    },
  );
}

/** Connects outside the pool, which may be exhausted. Retries transient failures, as the start does. */
async function connect(
  settings: ResolvedDatabaseOptions,
  pooler: PoolerDetector,
  { logger, check }: SchemaLockOptions,
): Promise<Connection> {
  const { connectRetry } = settings;
  for (let attempt = 0; ;) {
    const { allowsNamedStatements, isSessionShared } = pooler;
    const connection = new Connection({
      ...connectionOptions(settings),
      ...pooler.connectOptions(),
      poolerTerms: { ...NO_POOLER, allowsNamedStatements, isSessionShared },
    });
    connection.on('error', () => undefined);
    try {
      await connection.connect();
      return connection;
    } catch (error) {
      connection.destroy();
      if (pooler.observeRefusal(error)) continue;
      const { code, hint, transient, target, summary } = connectFailure(error, settings);
      const message = `Cannot connect to ${target} for the schema lock: ${summary}. ${hint}`;
      if (!transient || attempt >= connectRetry.retries)
        throw new DatabaseConnectionError(message, {
          code,
          hint,
          cause: error,
          dataSource: settings.name,
        });
      logger.warn(message);
      await pause(retryDelayMs(connectRetry, attempt));
      attempt += 1;
      check();
    }
  }
}

/** The server behind DB_DIRECT_URL may be a pooler as well. Without configured settings, a proxy looks like a pooler. */
async function observeDirectServer(
  connection: Connection,
  settings: ResolvedDatabaseOptions,
  pooler: PoolerDetector,
): Promise<void> {
  const server = await queryServerInfo(connection, settings, () => undefined);
  if (server.settings) pooler.observeServer(server);
}

async function tryLock(connection: Connection, statements: LockStatements, key: string): Promise<boolean> {
  if (statements.begin) await connection.query(statements.begin);
  await connection.query(NO_IDLE_LIMIT, [statements.begin !== undefined]);
  const { rows } = await connection.query<{ locked: boolean }>(statements.tryLock, [key]);
  const isLocked = rows[0]?.locked === true;
  if (!isLocked && statements.rollback) await connection.query(statements.rollback);
  return isLocked;
}

/**
 * The key of the lock: the same for all instances, and different from the keys of the app's own locks.
 * @param subject what the lock protects
 */
export function keyOf(database: string, subject = 'schema'): string {
  return createHash('sha256')
    .update(`nestjs-database ${subject} ${database}`)
    .digest()
    .readBigInt64BE()
    .toString();
}
