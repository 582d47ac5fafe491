import { Injectable } from '@nestjs/common';
import { ModuleRef } from '@nestjs/core';
import type { HealthIndicatorResult } from '@nestjs/terminus';
import type { DataSource } from 'typeorm';
import { LONGEST_TIMER_MS } from '../config/settings/setting-types.js';
import { shapeOf, spaced } from '../config/problems/value-shape.js';
import { poolStats } from '../data-source/pools/pool-stats.js';
import { probe } from '../data-source/pools/probe.js';
import { DatabaseConfigError } from '../errors/config.errors.js';
import { getDataSourceToken } from '../database.tokens.js';

/** What to check, and its time limit. */
export interface DatabasePingOptions {
  /** Name of a data source, or the data source itself. @defaultValue 'default' */
  dataSource?: string | DataSource;
  /** Milliseconds for the whole check, the wait for a connection included; 1 to 2 147 483 000. @defaultValue 1 000 */
  timeoutMs?: number;
  /**
   * Whether the database is `down` until all migrations of the source code are executed, so that a rolling deployment sends no requests to
   * code that is ahead of its schema. The check reads the table of executed migrations until all are executed. @defaultValue false
   */
  migrations?: boolean;
}

const PENDING = {
  code: 'MIGRATION_PENDING',
  message: 'the database lacks migrations of this version of the app',
};

/**
 * Validates `timeoutMs` of a health check.
 * @throws DatabaseConfigError `DATABASE_CONFIG_INVALID` when `timeoutMs` is outside its bounds
 */
export function validateTimeout({ timeoutMs }: Pick<DatabasePingOptions, 'timeoutMs'>): void {
  if (timeoutMs === undefined) return;
  if (typeof timeoutMs === 'number' && timeoutMs >= 1 && timeoutMs <= LONGEST_TIMER_MS) return;
  throw new DatabaseConfigError([
    {
      setting: 'timeoutMs',
      message: `${shapeOf(timeoutMs)} is not a number of milliseconds from 1 to ${spaced(LONGEST_TIMER_MS)}`,
    },
  ]);
}

/**
 * Terminus indicator for a database: whether it answers, how fast, and the counts of the pool. The result contains no host,
 * user or SQL.
 *
 * @example
 * ```ts
 * @Get()
 * @HealthCheck()
 * check() {
 *   return this.health.check([() => this.database.pingCheck('db', { timeoutMs: 500 })]);
 * }
 * ```
 */
@Injectable()
export class DatabaseHealthIndicator {
  readonly #moduleRef: ModuleRef;

  constructor(moduleRef: ModuleRef) {
    this.#moduleRef = moduleRef;
  }

  /**
   * Runs `SELECT current_database()`. The result is `{ [key]: { status: 'up', latency_ms, database, pool } }`, or `down` with
   * `code`, `message` and `pool`. Concurrent checks with the same timeout share one query: probes use at most one connection,
   * for at most `timeoutMs`. With `migrations`, the result has `migrations: 'pending'` or `'up-to-date'`. When the pool is exhausted, the query runs on a separate connection, and the status is `up`.
   *
   * @param key key in the result of Terminus
   * @throws DatabaseConfigError `DATABASE_CONFIG_INVALID` when `timeoutMs` is outside its bounds, or no data source has this
   * name
   */
  async pingCheck<Key extends string>(
    key: Key,
    { dataSource = 'default', timeoutMs = 1_000, migrations = false }: DatabasePingOptions = {},
  ): Promise<HealthIndicatorResult<Key>> {
    validateTimeout({ timeoutMs });
    const target = typeof dataSource === 'string' ? this.dataSourceNamed(dataSource) : dataSource;
    const result = await probe(target, timeoutMs, migrations);
    const pool = poolStats(target);
    const poolFigures = pool && { pool: { ...pool } };
    if (result.up) {
      const latency = result.latencyMs !== undefined && { latency_ms: result.latencyMs };
      const state = result.migrations && { migrations: result.migrations };
      const details = { ...latency, database: result.database, ...state, ...poolFigures };
      if (result.migrations !== 'pending') return resultOf(key, 'up', details);
      return resultOf(key, 'down', { ...PENDING, ...details });
    }
    const { code, meaning } = result.diagnosis;
    // Computed from the counts alone, the status would be `ok` or `connecting` although the database is down.
    if (poolFigures && poolFigures.pool.status !== 'exhausted' && poolFigures.pool.status !== 'closed')
      poolFigures.pool.status = 'unavailable';
    return resultOf(key, 'down', { code, message: meaning, ...poolFigures });
  }

  /**
   * The data source of this name.
   * @throws DatabaseConfigError `DATABASE_CONFIG_INVALID` when no data source has this name
   */
  dataSourceNamed(name: string): DataSource {
    try {
      return this.#moduleRef.get<DataSource>(getDataSourceToken(name), { strict: false });
    } catch {
      throw new DatabaseConfigError([
        {
          setting: 'dataSource',
          message: `there is no data source "${name}"; correct the name, or import DatabaseModule.forRoot({ name: '${name}' })`,
        },
      ]);
    }
  }
}

/** As `HealthIndicatorService` of Terminus writes it, which would load Terminus with this file. */
function resultOf<Key extends string>(
  key: Key,
  status: 'up' | 'down',
  details: object,
): HealthIndicatorResult<Key> {
  return { [key]: { ...details, status } } as HealthIndicatorResult<Key>;
}
