import type { DataSource } from 'typeorm';
import { withTimeout } from '../../connection/deadline.js';
import { Connection } from '../../connection/connection.js';
import { DatabaseError } from '../../errors/database.error.js';
import { PoolAcquireTimeoutError } from '../../errors/pool.errors.js';
import type { ResolvedDatabaseOptions } from '../../database.options.js';
import { diagnose } from '../../diagnosis/diagnose.js';
import type { Diagnosis } from '../../diagnosis/diagnose.js';
import { connectionOptions } from './data-source.pool.js';
import type { DataSourcePool } from './data-source.pool.js';
import { ManagedDataSource } from '../managed-data-source.js';

/** The result of a ping of a data source. */
type ProbeResult =
  | {
      readonly up: true;
      /** Milliseconds; undefined when the server is up but has no connection left for the probe. */
      readonly latencyMs: number | undefined;
      readonly database: string;
    }
  | { readonly up: false; readonly diagnosis: Diagnosis; readonly error: unknown };

interface PingRow {
  database: string;
}

const PING = 'SELECT current_database() AS database';

/** Pings that are under way, by data source and timeout. */
const pending = new WeakMap<object, Map<number, Promise<ProbeResult>>>();

/**
 * Pings a data source by a statement. The latency is that of the statement, without the acquire. Concurrent calls with the same timeout
 * share one ping, so that they lease at most one connection.
 *
 * @param timeoutMs longest wait for the result, acquire and connect included; milliseconds
 */
export function probe(dataSource: DataSource, timeoutMs: number): Promise<ProbeResult> {
  let pings = pending.get(dataSource);
  if (!pings) pending.set(dataSource, (pings = new Map<number, Promise<ProbeResult>>()));
  const shared = pings.get(timeoutMs);
  if (shared) return shared;
  const result = ping(dataSource, timeoutMs).finally(() => pings.delete(timeoutMs));
  pings.set(timeoutMs, result);
  return result;
}

async function ping(dataSource: DataSource, timeoutMs: number): Promise<ProbeResult> {
  const deadline = performance.now() + timeoutMs;
  try {
    return dataSource instanceof ManagedDataSource
      ? await pingManaged(dataSource, deadline)
      : await timed(dataSource.query<PingRow[]>(PING), deadline);
  } catch (error) {
    const diagnosis = diagnose(error, { connecting: true });
    if (diagnosis.code === 'TOO_MANY_CONNECTIONS' && hasConnections(dataSource))
      // The server is up, and the open connections work: taking the app out of service would not help.
      return { up: true, latencyMs: undefined, database: dataSource.driver.database ?? '' };
    return { up: false, diagnosis, error };
  }
}

async function pingManaged(dataSource: ManagedDataSource, deadline: number): Promise<ProbeResult> {
  const { pool } = dataSource;
  if (!pool || dataSource.isStopping)
    throw new DatabaseError('The data source is not started yet, or closed.', { code: 'DATA_SOURCE_CLOSED' });
  const { leased, validating, resetting, waiting, max, multiplex } = pool.snapshot();
  const shared = multiplex?.connections ?? 0;
  // Behind other waiters, the ping would measure the queue.
  const hasFreeConnection = waiting === 0 && leased + shared + validating + resetting < max;
  return hasFreeConnection
    ? pingOnPool(pool, deadline)
    : pingOutsidePool(dataSource.settings, pool, deadline);
}

async function pingOnPool(pool: DataSourcePool, deadline: number): Promise<ProbeResult> {
  const connection = await pool
    .acquire({ deadlineMs: remainingMs(deadline), borrower: 'health check' })
    .catch((error: unknown) => {
      throw causeOfTimeout(error);
    });
  try {
    const result = await pingConnection(connection, deadline);
    connection.release();
    return result;
  } catch (error) {
    // A connection with a pending statement must not be leased again.
    connection.release(error as Error);
    throw error;
  }
}

/** The pool had a free connection, so a connect or a validation took too long. */
function causeOfTimeout(error: unknown): unknown {
  if (!(error instanceof PoolAcquireTimeoutError)) return error;
  return error.cause ?? noAnswerError(error);
}

async function pingOutsidePool(
  settings: ResolvedDatabaseOptions,
  { pooler }: DataSourcePool,
  deadline: number,
): Promise<ProbeResult> {
  const connection = new Connection({
    ...connectionOptions(settings),
    ...pooler.connectOptions(),
    connectTimeoutMs: remainingMs(deadline),
  });
  // The connect or the statement rejects with the same error.
  connection.on('error', () => undefined);
  try {
    await connection.connect();
    return await pingConnection(connection, deadline);
  } finally {
    void connection.close().catch(() => connection.destroy());
  }
}

async function pingConnection(connection: Connection, deadline: number): Promise<ProbeResult> {
  return timed(
    connection.query<PingRow>(PING).then(({ rows }) => rows),
    deadline,
  );
}

async function timed(rowsPromise: Promise<PingRow[]>, deadline: number): Promise<ProbeResult> {
  const started = performance.now();
  const rows = await withTimeout(rowsPromise, remainingMs(deadline), noAnswerError);
  const latencyMs = Math.round((performance.now() - started) * 100) / 100;
  return { up: true, latencyMs, database: rows[0]?.database ?? '' };
}

function hasConnections(dataSource: DataSource): boolean {
  const snapshot = dataSource instanceof ManagedDataSource ? dataSource.pool?.snapshot() : undefined;
  return snapshot !== undefined && snapshot.total > snapshot.connecting;
}

function remainingMs(deadline: number): number {
  return Math.max(1, deadline - performance.now());
}

function noAnswerError(cause?: unknown): Error {
  return Object.assign(new Error('The database did not answer in time.', { cause }), { code: 'ETIMEDOUT' });
}
