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

const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 1_000;

/** SQLSTATE of a server that has no such function: it speaks PostgreSQL's protocol and is something else. */
const UNDEFINED_FUNCTION = '42883';

/** The session of the lock is idle for as long as the work takes. */
const NO_IDLE_LIMIT = `SELECT set_config(name, '0', $1) FROM pg_catalog.pg_settings
  WHERE name IN ('idle_session_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout')`;

/** How a lock is taken and given back. */
interface Kind {
  readonly begin?: string;
  readonly take: string;
  readonly abandon?: string;
  readonly release: string;
}

const OF_SESSION: Kind = {
  take: 'SELECT pg_try_advisory_lock($1::bigint) AS locked',
  release: 'SELECT pg_advisory_unlock($1::bigint)',
};

/** Behind a pooler a session is the client's own until the end of its transaction only. */
const OF_TRANSACTION: Kind = {
  begin: 'BEGIN',
  take: 'SELECT pg_try_advisory_xact_lock($1::bigint) AS locked',
  abandon: 'ROLLBACK',
  release: 'COMMIT',
};

/** What has the lock at the moment, for the work that runs under it. */
interface Holding {
  readonly of: object;
  over: boolean;
}

const current = new AsyncLocalStorage<Holding>();

export interface SchemaLockOptions {
  readonly settings: ResolvedDatabaseOptions;
  /** What the start has learned of a pooler in between. */
  readonly pooler: PoolerDetector;
  readonly logger: DatabaseLogger;
  /** `current_database()`: other names lead to the same one by way of a pooler. */
  readonly database: string;
  /** Throws when the data source closes, so that the wait ends. */
  readonly check: () => void;
}

/**
 * Runs `work`, which changes the schema, while no other instance does: under an advisory lock of the database, on a
 * connection of its own, the direct one where there is one. It polls and is idle in between: a session that waits inside
 * `pg_advisory_lock()` holds a snapshot, for which CREATE INDEX CONCURRENTLY of the other instance would wait in turn.
 *
 * @param owner who may come again from inside of `work`: a migration that synchronizes
 */
export async function underSchemaLock<T>(
  owner: object,
  options: SchemaLockOptions,
  work: () => Promise<T>,
): Promise<T> {
  const held = current.getStore();
  if (held && held.of === owner && !held.over) return work();
  const unlock = await lock(options);
  const holding: Holding = { of: owner, over: false };
  try {
    return await current.run(holding, work);
  } finally {
    holding.over = true;
    await unlock();
  }
}

async function lock(options: SchemaLockOptions): Promise<() => Promise<void>> {
  const nothing = () => Promise.resolve();
  const { logger, database, check } = options;
  const { direct } = options.settings;
  const settings = direct ? directSettings(options.settings, direct) : options.settings;
  const plan = direct ? new PoolerDetector(settings) : options.pooler;
  const connection = await connect(settings, plan, options);
  const close = () => connection.close().catch(() => connection.destroy());
  const kind = plan.isSessionShared ? OF_TRANSACTION : OF_SESSION;
  const key = keyOf(database);
  try {
    for (let pauseMs = FIRST_PAUSE_MS, told = false; ; pauseMs = Math.min(pauseMs * 1.5, LONGEST_PAUSE_MS)) {
      // No lock lasts for longer than a statement there.
      if (plan.mode === 'statement' || (await take(connection, kind, key))) break;
      if (!told)
        logger.log(`Another instance is changing the schema of database "${database}"; waiting for its end.`);
      told = true;
      await pause(withJitter(pauseMs));
      check();
    }
  } catch (error) {
    await close();
    if ((error as { code?: unknown }).code !== UNDEFINED_FUNCTION) throw error;
    logger.debug(`The schema is changed without a lock: ${String(error)}`);
    return nothing;
  }
  const lost = (error: Error) =>
    logger.warn(`The connection of the schema lock was lost; another instance may begin: ${error.message}`);
  connection.on('error', lost);
  return async () => {
    connection.removeListener('error', lost);
    // The end of the session releases it as well, a moment later.
    await connection.query(kind.release, kind === OF_SESSION ? [key] : []).catch(() => undefined);
    await close();
  };
}

/** Beside the pool, which may be small; again after a failure that passes, as at the start. */
async function connect(
  settings: ResolvedDatabaseOptions,
  plan: PoolerDetector,
  { logger, check }: SchemaLockOptions,
): Promise<Connection> {
  const { retries, initialDelayMs, maxDelayMs } = settings.connectRetry;
  for (let attempt = 0; ;) {
    const { allowsNamedStatements, isSessionShared } = plan;
    const connection = new Connection({
      ...connectionOptions(settings),
      ...plan.connectOptions(),
      poolerTerms: { ...NO_POOLER, allowsNamedStatements, isSessionShared },
    });
    connection.on('error', () => undefined);
    try {
      await connection.connect();
      return connection;
    } catch (error) {
      connection.destroy();
      if (plan.observeRefusal(error)) continue;
      const { code, hint, transient, target, summary } = connectFailure(error, settings);
      const message = `Cannot connect to ${target} for the lock under which the schema is changed: ${summary}. ${hint}`;
      if (!transient || attempt >= retries)
        throw new DatabaseConnectionError(message, {
          code,
          hint: hint,
          cause: error,
          dataSource: settings.name,
        });
      logger.warn(message);
      await pause(withJitter(Math.min(initialDelayMs * 2 ** attempt, maxDelayMs)));
      attempt += 1;
      check();
    }
  }
}

/** Up to 20 % longer: instances that start together do not ask together. */
function withJitter(ms: number): number {
  return ms * (1 + Math.random() * 0.2);
}

async function take(connection: Connection, kind: Kind, key: string): Promise<boolean> {
  if (kind.begin) await connection.query(kind.begin);
  await connection.query(NO_IDLE_LIMIT, [kind.begin !== undefined]);
  const { rows } = await connection.query<{ locked: boolean }>(kind.take, [key]);
  const locked = rows[0]?.locked === true;
  if (!locked && kind.abandon) await connection.query(kind.abandon);
  return locked;
}

/** The same for all instances of an app and for none of the app's own locks; those count per database anyway. */
function keyOf(database: string): string {
  return createHash('sha256')
    .update(`nestjs-database schema ${database}`)
    .digest()
    .readBigInt64BE()
    .toString();
}
