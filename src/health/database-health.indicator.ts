import { Injectable } from '@nestjs/common';
import { ModuleRef } from '@nestjs/core';
import { HealthIndicatorService } from '@nestjs/terminus';
import type { HealthIndicatorResult } from '@nestjs/terminus';
import type { DataSource } from 'typeorm';
import { LONGEST_TIMER_MS } from '../config/settings/setting-types.js';
import { shapeOf, spaced } from '../config/problems/value-shape.js';
import { poolStats } from '../data-source/pools/pool-stats.js';
import { probe } from '../data-source/pools/probe.js';
import { DatabaseConfigError } from '../database.errors.js';
import { getDataSourceToken } from '../database.tokens.js';

/** How to ask. */
export interface DatabasePingOptions {
  /** A data source by its name, or itself. @defaultValue 'default' */
  dataSource?: string | DataSource;
  /** Milliseconds for all of it, the wait for a connection included. @defaultValue 1 000 */
  timeoutMs?: number;
}

/** @throws DatabaseConfigError for a time limit that no timer knows */
export function checkPing({ timeoutMs }: Pick<DatabasePingOptions, 'timeoutMs'>): void {
  if (timeoutMs === undefined) return;
  if (typeof timeoutMs === 'number' && timeoutMs >= 1 && timeoutMs <= LONGEST_TIMER_MS) return;
  throw new DatabaseConfigError([
    {
      setting: 'timeoutMs',
      message: `${shapeOf(timeoutMs)} is not a number of milliseconds from 1 to ${spaced(LONGEST_TIMER_MS)}`,
    },
  ]);
}

/** Terminus indicator: whether the database answers, how fast, and the pool's figures. No host, user or SQL in it. */
@Injectable()
export class DatabaseHealthIndicator {
  readonly #moduleRef: ModuleRef;
  readonly #indicators: HealthIndicatorService;

  constructor(moduleRef: ModuleRef, indicators: HealthIndicatorService) {
    this.#moduleRef = moduleRef;
    this.#indicators = indicators;
  }

  /**
   * `{ [key]: { status: 'up', latency_ms, database, pool } }`, or `down` with `code` and `message`. Holds one connection
   * at most, for `timeoutMs` at most.
   * @throws DatabaseConfigError for a `timeoutMs` that is none, and a name that no data source has
   */
  async pingCheck<Key extends string>(
    key: Key,
    { dataSource = 'default', timeoutMs = 1000 }: DatabasePingOptions = {},
  ): Promise<HealthIndicatorResult<Key>> {
    checkPing({ timeoutMs });
    const target = typeof dataSource === 'string' ? this.named(dataSource) : dataSource;
    const result = await probe(target, timeoutMs);
    const pool = poolStats(target);
    const figures = pool && { pool: { ...pool } };
    const indicator = this.#indicators.check(key);
    if (result.up) {
      const latency = result.latencyMs !== undefined && { latency_ms: result.latencyMs };
      return indicator.up({ ...latency, database: result.database, ...figures });
    }
    const { code, meaning } = result.diagnosis;
    // What the figures alone call well, or busy with connects, is of no use while the database is down.
    if (figures && figures.pool.status !== 'exhausted' && figures.pool.status !== 'closed')
      figures.pool.status = 'unavailable';
    return indicator.down({ code, message: meaning, ...figures });
  }

  /** @throws DatabaseConfigError when there is no data source of this name */
  named(name: string): DataSource {
    try {
      return this.#moduleRef.get<DataSource>(getDataSourceToken(name), { strict: false });
    } catch {
      throw new DatabaseConfigError([
        {
          setting: 'dataSource',
          message: `there is no data source "${name}"; correct the name, or import its DatabaseModule.forRoot({ name: '${name}' })`,
        },
      ]);
    }
  }
}
