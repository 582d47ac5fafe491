import { AsyncLocalStorage } from 'node:async_hooks';
import type { DirectServer, ResolvedDatabaseOptions } from '../../database.options.js';
import type { DatabaseLogger } from '../logging/database.logger.js';
import { DataSourcePool } from '../pools/data-source.pool.js';
import { settingsForServer } from '../pools/server-settings.js';

/** Way past the pooler of one data source, for the code that runs on it. */
interface DirectConnectionScope {
  /** The settings of the data source: a migration may work with another one as well, which has its own server. */
  readonly of: ResolvedDatabaseOptions;
  readonly pool: DataSourcePool;
  /** Whether it is closed. What a migration has started (a timer, a listener) goes on in its context. */
  over: boolean;
}

const current = new AsyncLocalStorage<DirectConnectionScope>();

/** What a query runner made here for `settings` takes its connections from, where that is another pool than the data source's. */
export function directPool(settings: ResolvedDatabaseOptions): DataSourcePool | undefined {
  const passage = current.getStore();
  return passage && passage.of === settings && !passage.over ? passage.pool : undefined;
}

/**
 * Runs `work`, whose query runners connect past the pooler. For migrations: they lock sessions, set their settings, and
 * run for long, which no pooler in transaction mode can give them.
 * @param open the pools that are open; whoever closes the data source meanwhile closes them too
 */
export async function withDirectConnection<T>(
  settings: ResolvedDatabaseOptions,
  logger: DatabaseLogger,
  open: Set<DataSourcePool>,
  work: () => Promise<T>,
): Promise<T> {
  const { direct } = settings;
  if (!direct) return work();
  const pool = new DataSourcePool(directSettings(settings, direct), logger);
  const passage: DirectConnectionScope = { of: settings, pool, over: false };
  open.add(pool);
  try {
    return await current.run(passage, work);
  } finally {
    passage.over = true;
    await pool.drain({ timeoutMs: 0 });
    open.delete(pool);
  }
}

/** The settings for the direct connection. */
export function directSettings(
  settings: ResolvedDatabaseOptions,
  direct: DirectServer,
): ResolvedDatabaseOptions {
  const pool = { ...settings.pool, size: 1, maxOverflow: 1, minIdle: 0 };
  // What was told of the pooler does not hold past it.
  return { ...settingsForServer(settings, direct), pooler: undefined, pool };
}
