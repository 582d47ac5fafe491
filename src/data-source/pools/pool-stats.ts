import type { DataSource } from 'typeorm';
import { ManagedDataSource } from '../managed-data-source.js';

/** The pool at one moment: counts of connections, under the names of SQLAlchemy's `QueuePool`. */
export interface PoolStats {
  /** Connections that the pool keeps open (`pool.size`). */
  size: number;
  /** Idle connections. */
  checkedIn: number;
  /** Leased connections. */
  checkedOut: number;
  /** Connections that are shared by several callers; absent unless `multiplex` is on. */
  shared?: number;
  /** Open connections beyond `size`. */
  overflow: number;
  /** Acquires that wait for a connection. */
  waiting: number;
  /** Upper bound of open connections: `size + maxOverflow`. */
  max: number;
  status: PoolStatus;
}

/**
 * - `connecting`: acquires wait for connections that are being opened
 * - `overflow`: more than `size` connections are open
 * - `exhausted`: all connections are leased, or acquires wait and no further connection can be opened
 * - `unavailable`: the health check found the database down
 * - `closed`: the data source is not initialized, or destroyed
 */
export type PoolStatus = 'ok' | 'connecting' | 'overflow' | 'exhausted' | 'unavailable' | 'closed';

/** A sign that connections may not be released. */
export interface LeakWarning {
  /** `POOL_USAGE_HIGH`: more than 80 % of `size` is leased. `POOL_OVERFLOW_LASTING`: the overflow lasts for a minute or more. */
  code: 'POOL_USAGE_HIGH' | 'POOL_OVERFLOW_LASTING';
  /** One sentence with the figures, the likely causes and the setting to change. */
  message: string;
}

/** Share of `size`; a higher usage indicates a leak or a pool that is too small. */
const HIGH_USAGE = 0.8;
/** Overflow serves bursts. One that lasts longer than this is no burst; milliseconds. */
const LASTING_OVERFLOW_MS = 60_000;

/** @returns undefined for a data source that DatabaseModule did not create */
export function poolStats(dataSource: DataSource): PoolStats | undefined {
  if (!(dataSource instanceof ManagedDataSource)) return undefined;
  const { size, maxOverflow } = dataSource.settings.pool;
  const snapshot = dataSource.pool?.snapshot();
  const max = size + maxOverflow;
  if (!snapshot) return { size, checkedIn: 0, checkedOut: 0, overflow: 0, waiting: 0, max, status: 'closed' };
  const { overflow, connecting, waiting, leased, multiplex } = snapshot;
  const isFull =
    leased + (multiplex?.connections ?? 0) >= max ||
    (waiting > 0 && connecting === 0 && snapshot.total >= max);
  return {
    size,
    checkedIn: snapshot.idle,
    checkedOut: leased,
    ...(multiplex && { shared: multiplex.connections }),
    overflow,
    waiting,
    max,
    status: isFull ? 'exhausted' : waiting > 0 ? 'connecting' : overflow > 0 ? 'overflow' : 'ok',
  };
}

/** @returns an empty list when nothing is suspicious, or when DatabaseModule did not create the data source */
export function leakWarnings(dataSource: DataSource, now = Date.now()): LeakWarning[] {
  const stats = poolStats(dataSource);
  if (!stats || !(dataSource instanceof ManagedDataSource)) return [];
  const warnings: LeakWarning[] = [];
  const { size, checkedOut, overflow, max } = stats;
  if (checkedOut > size * HIGH_USAGE)
    warnings.push({
      code: 'POOL_USAGE_HIGH',
      message: `${checkedOut} connections are in use, more than ${HIGH_USAGE * 100} % of pool.size ${size} (at most ${max}): a leak, or a pool too small (DB_POOL_SIZE).`,
    });
  const since = dataSource.pool?.overflowSince;
  if (since !== undefined && now - since >= LASTING_OVERFLOW_MS)
    warnings.push({
      code: 'POOL_OVERFLOW_LASTING',
      message: `${overflow} overflow connection(s) in use for ${Math.round((now - since) / 1000)} s: a leak, or the normal load needs more than pool.size ${size} (DB_POOL_SIZE).`,
    });
  return warnings;
}
