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
  /** `up` when the database answered in time. */
  status: 'up' | 'down';
  /**
   * Duration of the query in milliseconds, without the time to acquire or open a connection. Only when up; absent
   * when the server had no free connection for the check.
   */
  latencyMs?: number;
  /** Name of the database as the server reports it. Only when up. */
  database?: string;
  /** Code of the diagnosis, for instance `CONNECTION_REFUSED`. Only when down. */
  code?: string;
  /** What happened. Only when down. */
  meaning?: string;
  /** What to do about the failure. Only when down. */
  hint?: string;
}

/**
 * Reports the state of a data source inside the app: whether the database answers, the connections of the pool, and the
 * settings in force. `DatabaseModule` provides it globally, once for all data sources. Every method takes the name of a
 * data source and throws Nest's `UnknownElementException` for an unknown name.
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
   * Runs `SELECT current_database()` on a connection of the pool, or on a separate connection when all are leased. When the
   * database is down, the promise resolves with status `down` and does not reject.
   *
   * @param options.name name of the data source; `'default'` by default
   * @param options.timeoutMs milliseconds for the whole check, at least 1; 5 000 by default
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
   * Counts the connections of the primary's pool.
   *
   * @param name name of the data source; `'default'` by default
   * @throws DatabaseError `DATA_SOURCE_FOREIGN` for a data source that `DatabaseModule` did not create
   */
  poolStats(name?: string): PoolStats {
    return poolStats(requireManagedDataSource(this.#dataSource(name))) as PoolStats;
  }

  /**
   * Signs of leaked connections: more than 80 % of `pool.size` in use (`POOL_USAGE_HIGH`), or overflow for a minute or longer
   * (`POOL_OVERFLOW_LASTING`). Empty without such a sign.
   *
   * @param name name of the data source; `'default'` by default
   * @throws DatabaseError `DATA_SOURCE_FOREIGN` for a data source that `DatabaseModule` did not create
   */
  connectionLeaks(name?: string): LeakWarning[] {
    return leakWarnings(requireManagedDataSource(this.#dataSource(name)));
  }

  /** The settings in force of the default data source, as `optionsOf()` returns them. */
  get options(): DatabaseOptionsView {
    return this.optionsOf();
  }

  /**
   * The resolved settings, frozen. `origins` says whether each one comes from the environment, the code, the URL, the profile
   * or a default. Secrets are omitted or masked.
   *
   * @param name name of the data source; `'default'` by default
   * @throws DatabaseError `DATA_SOURCE_FOREIGN` for a data source that `DatabaseModule` did not create
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
      ...settings
    } = requireManagedDataSource(this.#dataSource(name)).settings;
    const { ca, cert } = ssl.tls || {};
    return Object.freeze({
      ...settings,
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
    // Not strict, because each data source is a provider of another module.
    return this.#moduleRef.get<DataSource>(getDataSourceToken(name), { strict: false });
  }
}
