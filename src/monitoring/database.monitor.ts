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

/** The answer of `checkConnection()`. */
export interface ConnectionCheck {
  status: 'up' | 'down';
  /** Duration of the question, without a dial before it; milliseconds. Only when up. */
  latencyMs?: number;
  /** The name that the server gives. Only when up. */
  database?: string;
  /** `CONNECTION_REFUSED`, … Only when down. */
  code?: string;
  /** What happened. Only when down. */
  reason?: string;
  /** What can be done about it. Only when down. */
  hint?: string;
}

/** Looks at a data source from inside the app: each method takes the name of the data source, `'default'` when left out. */
@Injectable()
export class DatabaseMonitor {
  readonly #moduleRef: ModuleRef;

  constructor(moduleRef: ModuleRef) {
    this.#moduleRef = moduleRef;
  }

  /**
   * Asks the database for its name. Never throws for a database that is down.
   * @param timeoutMs milliseconds for all of it
   */
  async checkConnection({
    name,
    timeoutMs = 5000,
  }: { name?: string; timeoutMs?: number } = {}): Promise<ConnectionCheck> {
    const result = await probe(this.#dataSource(name), timeoutMs);
    if (result.up) {
      const latency = result.latencyMs !== undefined && { latencyMs: result.latencyMs };
      return { status: 'up', ...latency, database: result.database };
    }
    const { code, meaning, hint } = result.diagnosis;
    return { status: 'down', code, reason: meaning, hint: hint };
  }

  /**
   * Connections now.
   * @throws DatabaseError `DATA_SOURCE_FOREIGN` for a data source that this module did not make
   */
  poolStats(name?: string): PoolStats {
    return poolStats(requireManagedDataSource(this.#dataSource(name))) as PoolStats;
  }

  /** Warnings when more than 80 % of `pool.size` are in use, and when overflow has been for a minute. */
  connectionLeaks(name?: string): LeakWarning[] {
    return leakWarnings(requireManagedDataSource(this.#dataSource(name)));
  }

  /** The settings in force, with the origin of each. No secret in it. */
  get options(): DatabaseOptionsView {
    return this.optionsOf();
  }

  /** `options` of a named data source. */
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
    // Not strict: the monitor is one for all data sources, each of which lives in a module of its own.
    return this.#moduleRef.get<DataSource>(getDataSourceToken(name), { strict: false });
  }
}
