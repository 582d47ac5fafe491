import { AsyncLocalStorage } from 'node:async_hooks';
import type { DirectServer, ResolvedDatabaseOptions } from '../../database.options.js';
import type { DatabaseLogger } from '../logging/database.logger.js';
import { DataSourcePool } from '../pools/data-source.pool.js';
import { settingsForServer } from '../pools/server-settings.js';

/** Code of one data source that runs on direct connections. */
interface DirectScope {
  /** The settings of the data source: a migration may use another data source too, which has its own server. */
  readonly settings: ResolvedDatabaseOptions;
  readonly pool: DataSourcePool;
  /** Whether the pool is closed. A timer or listener of a migration stays in this scope. */
  isEnded: boolean;
}

const scopes = new AsyncLocalStorage<DirectScope>();

/** The pool of direct connections that query runners acquire from in the running code; undefined if they use the data source's. */
export function directPool(settings: ResolvedDatabaseOptions): DataSourcePool | undefined {
  const scope = scopes.getStore();
  return scope && scope.settings === settings && !scope.isEnded ? scope.pool : undefined;
}

/**
 * Runs `work` with query runners that acquire direct connections, if the settings have a direct server. Migrations need them: they lock
 * and set the session and run for long, which a pooler in transaction mode does not support.
 *
 * @param openPools the open pools of direct connections; the end of the data source closes them too
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
  // The configured pooler is not in between there.
  return { ...settingsForServer(settings, direct), pooler: undefined, pool };
}
