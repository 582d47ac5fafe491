import { AsyncLocalStorage } from 'node:async_hooks';
import type { DirectServer, ResolvedDatabaseOptions } from '../database.options.js';
import type { DatabaseLogger } from './database.logger.js';
import { DataSourcePool } from './data-source.pool.js';

/** The pool past the pooler, for the code that runs with it. */
const current = new AsyncLocalStorage<DataSourcePool>();

/** What a query runner made here takes its connections from, where that is another pool than the data source's. */
export function directPool(): DataSourcePool | undefined {
  return current.getStore();
}

/**
 * Runs `work`, whose query runners connect past the pooler. For migrations: they lock sessions, set their settings, and
 * run for long, which no pooler in transaction mode can give them.
 */
export async function pastPooler<T>(
  settings: ResolvedDatabaseOptions,
  logger: DatabaseLogger,
  work: () => Promise<T>,
): Promise<T> {
  const { direct } = settings;
  if (!direct) return work();
  const pool = new DataSourcePool(directSettings(settings, direct), logger);
  try {
    return await current.run(pool, work);
  } finally {
    await pool.drain({ timeoutMs: 0 });
  }
}

function directSettings(settings: ResolvedDatabaseOptions, direct: DirectServer): ResolvedDatabaseOptions {
  const pool = { ...settings.pool, size: 1, maxOverflow: 1, minIdle: 0 };
  // What was told of the pooler does not hold past it.
  return { ...settings, ...direct, pooler: undefined, pool };
}
