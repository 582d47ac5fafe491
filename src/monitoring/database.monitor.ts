import { Injectable } from '@nestjs/common';
import { ModuleRef } from '@nestjs/core';
import type { DataSource } from 'typeorm';
import { requireManagedDataSource } from '../data-source/managed-data-source.js';
import { leakWarnings, poolStats } from '../data-source/pools/pool-stats.js';
import type { LeakWarning, PoolStats } from '../data-source/pools/pool-stats.js';
import { probe } from '../data-source/pools/probe.js';
import type { DatabaseOptionsView } from '../database.options.js';
import { maskedCopy, maskedStartupOptions } from '../text/masking.js';
import { getDataSourceToken } from '../database.tokens.js';

/** The result of `checkConnection()`. */
export interface ConnectionCheck {
  status: 'up' | 'down';
  /**
   * Duration of the query in milliseconds, without the time to acquire or open a connection. Only when up, and not when
   * the server had no connection left for the check.
   */
  latencyMs?: number;
  /** Name of the database as the server reports it. Only when up. */
  database?: string;
  /** Code of the diagnosis, for instance `CONNECTION_REFUSED`. Only when down. */
  code?: string;
  /** What happened. Only when down. */
  meaning?: string;
  /** Which setting or person can change it. Only when down. */
  hint?: string;
}

/**
 * Shows the state of a data source from inside the app: whether the database answers, the connections of the pool, and the
 * settings in force. `DatabaseModule` provides it globally, once for all data sources. Every method takes the name of a
 * data source and fails with Nest's `UnknownElementException` for an unknown one.
 *
 * @example
 * ```ts
 * constructor(private readonly monitor: DatabaseMonitor) {}
 *
 * async status() {
 *   const { status, code } = await this.monitor.checkConnection({ timeoutMs: 2_000 });
 *   return { status, code, pool: this.monitor.poolStats() };
 * }
 * ```
 */
@Injectable()
export class DatabaseMonitor {
  readonly #moduleRef: ModuleRef;

  constructor(moduleRef: ModuleRef) {
    this.#moduleRef = moduleRef;
  }

  /**
   * Runs `SELECT current_database()` on a connection of the pool, or on one of its own when all are leased. A database that
   * is down is a result, not an error.
   *
   * @param options.name name of the data source; `'default'` when left out
   * @param options.timeoutMs milliseconds for the whole check, from 1 on; 5 000 when left out
   */
  async checkConnection({
    name,
    timeoutMs = 5_000,
  }: { name?: string; timeoutMs?: number } = {}): Promise<ConnectionCheck> {
    const result = await probe(this.#dataSource(name), timeoutMs);
    if (result.up) {
      const latency = result.latencyMs !== undefined && { latencyMs: result.latencyMs };
      return { status: 'up', ...latency, database: result.database };
    }
    const { code, meaning, hint } = result.diagnosis;
    return { status: 'down', code, meaning, hint };
  }

  /**
   * Counts the connections of the primary's pool at this moment.
   *
   * @param name name of the data source; `'default'` when left out
   * @throws DatabaseError `DATA_SOURCE_FOREIGN` for a data source that `DatabaseModule` did not make
   */
  poolStats(name?: string): PoolStats {
    return poolStats(requireManagedDataSource(this.#dataSource(name))) as PoolStats;
  }

  /**
   * Signs of leaked connections at this moment: more than 80 % of `pool.size` in use (`POOL_USAGE_HIGH`), or overflow for a
   * minute or longer (`POOL_OVERFLOW_LASTING`). Empty when there is none.
   *
   * @param name name of the data source; `'default'` when left out
   * @throws DatabaseError `DATA_SOURCE_FOREIGN` for a data source that `DatabaseModule` did not make
   */
  connectionLeaks(name?: string): LeakWarning[] {
    return leakWarnings(requireManagedDataSource(this.#dataSource(name)));
  }

  /** The settings in force of the default data source. See `optionsOf()`. */
  get options(): DatabaseOptionsView {
    return this.optionsOf();
  }

  /**
   * The settings in force after environment, profile and defaults, frozen. `origins` says where each one comes from. Secrets
   * are left out or masked.
   *
   * @param name name of the data source; `'default'` when left out
   * @throws DatabaseError `DATA_SOURCE_FOREIGN` for a data source that `DatabaseModule` did not make
   */
  optionsOf(name?: string): DatabaseOptionsView {
    const {
      password: _password,
      ssl,
      direct,
      replication,
      session,
      typeorm,
      startupOptions,
      ...shown
    } = requireManagedDataSource(this.#dataSource(name)).settings;
    const { ca, cert } = ssl.tls || {};
    return Object.freeze({
      ...shown,
      session: Object.freeze(maskedCopy(session)),
      typeorm: Object.freeze(maskedCopy(typeorm)),
      startupOptions: startupOptions && maskedStartupOptions(startupOptions),
      direct: direct?.server,
      replication: replication && {
        replicas: replication.replicas.map(({ server }) => server),
        defaultMode: replication.defaultMode,
      },
      ssl: Object.freeze({ mode: ssl.mode, ca: ca !== undefined, cert: cert !== undefined }),
    });
  }

  #dataSource(name?: string): DataSource {
    // Not strict: each data source lives in a module of its own.
    return this.#moduleRef.get<DataSource>(getDataSourceToken(name), { strict: false });
  }
}
