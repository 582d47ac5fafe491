import { AsyncLocalStorage } from 'node:async_hooks';
import type { DirectServer, ResolvedDatabaseOptions } from '../../database.options.js';
import type { DatabaseLogger } from '../logging/database.logger.js';
import { DataSourcePool } from '../pools/data-source.pool.js';
import { settingsForServer } from '../pools/server-settings.js';

/** A scope in which the query runners of one data source use direct connections. */
interface DirectScope {
  /** Identifies the data source: a migration may also use another one, which has its own server. */
  readonly settings: ResolvedDatabaseOptions;
  readonly pool: DataSourcePool;
  /** Whether the pool is closed. Timers and listeners of a migration stay in this scope. */
  isEnded: boolean;
}

const scopes = new AsyncLocalStorage<DirectScope>();

/** The pool of direct connections for query runners of the running code; undefined outside `withDirectConnection()`. */
export function directPool(settings: ResolvedDatabaseOptions): DataSourcePool | undefined {
  const scope = scopes.getStore();
  return scope && scope.settings === settings && !scope.isEnded ? scope.pool : undefined;
}

/**
 * Runs `work` on direct connections if the settings have a direct server. Migrations need them: they take session locks, change session
 * settings and run long, which a pooler in transaction mode does not support.
 *
 * @param openPools the open pools of direct connections, which the data source closes when it is destroyed
 */
export async function withDirectConnection<T>(
  settings: ResolvedDatabaseOptions,
  logger: DatabaseLogger,
  openPools: Set<DataSourcePool>,
  work: () => Promise<T>,
): Promise<T> {
  const { direct } = settings;
  if (!direct) return work();
  const pool = new DataSourcePool(directSettings(settings, direct), logger);
  const scope: DirectScope = { settings, pool, isEnded: false };
  openPools.add(pool);
  try {
    return await scopes.run(scope, work);
  } finally {
    scope.isEnded = true;
    await pool.drain({ timeoutMs: 0 });
    openPools.delete(pool);
  }
}

/** The settings of direct connections. */
export function directSettings(
  settings: ResolvedDatabaseOptions,
  direct: DirectServer,
): ResolvedDatabaseOptions {
  const pool = { ...settings.pool, size: 1, maxOverflow: 1, minIdle: 0 };
  // A direct connection bypasses the configured pooler, and is not shared.
  return { ...settingsForServer(settings, direct), pooler: undefined, multiplex: false, pool };
}
