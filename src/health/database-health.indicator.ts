import { Injectable } from '@nestjs/common';
import { ModuleRef } from '@nestjs/core';
import { type HealthIndicatorResult, HealthIndicatorService } from '@nestjs/terminus';
import type { DataSource } from 'typeorm';
import { poolStats } from '../data-source/pool-stats.js';
import { probe } from '../data-source/probe.js';
import { getDataSourceToken } from '../database.tokens.js';

/** How to ask. */
export interface DatabasePingOptions {
  /** A data source by its name, or itself. @defaultValue 'default' */
  dataSource?: string | DataSource;
  /** Milliseconds for all of it, the wait for a connection included. @defaultValue 1 000 */
  timeoutMs?: number;
}

/** Terminus indicator: whether the database answers, how fast, and the pool's figures. No host, user or SQL in it. */
@Injectable()
export class DatabaseHealthIndicator {
  constructor(
    private readonly moduleRef: ModuleRef,
    private readonly indicators: HealthIndicatorService,
  ) {}

  /**
   * `{ [key]: { status: 'up', latency_ms, database, pool } }`, or `down` with `code` and `message`. Holds one connection
   * at most, for `timeoutMs` at most.
   */
  async pingCheck<Key extends string>(
    key: Key,
    { dataSource = 'default', timeoutMs = 1000 }: DatabasePingOptions = {},
  ): Promise<HealthIndicatorResult<Key>> {
    const target =
      typeof dataSource === 'string'
        ? this.moduleRef.get<DataSource>(getDataSourceToken(dataSource), { strict: false })
        : dataSource;
    const result = await probe(target, timeoutMs);
    const pool = poolStats(target);
    const figures = pool && { pool: { ...pool } };
    const indicator = this.indicators.check(key);
    if (result.up) {
      const latency = result.latencyMs !== undefined && { latency_ms: result.latencyMs };
      return indicator.up({ ...latency, database: result.database, ...figures });
    }
    const { code, meaning } = result.diagnosis;
    return indicator.down({ code, message: meaning, ...figures });
  }
}
