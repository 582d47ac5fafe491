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
import { migrationName } from '../migrations/loaded-migration.js';
import { migrationsTableName } from '../migrations/migrations-table.js';

/** Whether all migrations of the source code are executed. */
export type MigrationState = 'pending' | 'up-to-date';

/** The result of a ping of a data source. */
type ProbeResult =
  | {
      readonly up: true;
      /** Milliseconds; undefined when the server is up but has no connection left for the probe. */
      readonly latencyMs: number | undefined;
      readonly database: string;
      /** Whether all migrations of the source code are executed; undefined if that is not asked, or not known. */
      readonly migrations?: MigrationState;
    }
  | { readonly up: false; readonly diagnosis: Diagnosis; readonly error: unknown };

interface PingRow {
  database: string;
}

const PING = 'SELECT current_database() AS database';

/** Pings that are under way, by data source, and by timeout and content. */
const pending = new WeakMap<object, Map<string, Promise<ProbeResult>>>();

/** Data sources whose migrations are all executed. The migrations of a process do not change. */
const upToDate = new WeakSet<object>();

/** What a ping sends its statements by: a connection, or the data source of another package. */
type Send = <Row>(text: string, values: unknown[]) => Promise<Row[]>;
type Check = (send: Send) => Promise<ProbeResult>;

/**
 * Pings a data source by a statement. The latency is that of the statement, without the acquire. Concurrent calls with the same timeout
 * share one ping, so that they lease at most one connection.
 *
 * @param timeoutMs longest wait for the result, acquire and connect included; milliseconds
 * @param checksMigrations whether to read which migrations are executed, until all of them are
 */
export function probe(
  dataSource: DataSource,
  timeoutMs: number,
  checksMigrations = false,
): Promise<ProbeResult> {
  let pings = pending.get(dataSource);
  if (!pings) pending.set(dataSource, (pings = new Map<string, Promise<ProbeResult>>()));
  const key = `${timeoutMs} ${checksMigrations}`;
  const shared = pings.get(key);
  if (shared) return shared;
  const result = ping(dataSource, timeoutMs, checksMigrations).finally(() => pings.delete(key));
  pings.set(key, result);
  return result;
}

async function ping(
  dataSource: DataSource,
  timeoutMs: number,
  checksMigrations: boolean,
): Promise<ProbeResult> {
  const deadline = performance.now() + timeoutMs;
  const check: Check = async (send) => {
    const result = await timed(send<PingRow>(PING, []), deadline);
    if (!checksMigrations) return result;
    const migrations = await withTimeout(
      migrationState(dataSource, send),
      remainingMs(deadline),
      noAnswerError,
    );
    return { ...result, migrations };
  };
  try {
    return dataSource instanceof ManagedDataSource
      ? await pingManaged(dataSource, deadline, check)
      : await check((text, values) => dataSource.query(text, values));
  } catch (error) {
    const diagnosis = diagnose(error, { connecting: true });
    if (diagnosis.code === 'TOO_MANY_CONNECTIONS' && hasConnections(dataSource))
      // The server is up, and the open connections work: taking the app out of service would not help.
      return { up: true, latencyMs: undefined, database: dataSource.driver.database ?? '' };
    return { up: false, diagnosis, error };
  }
}

async function pingManaged(
  dataSource: ManagedDataSource,
  deadline: number,
  check: Check,
): Promise<ProbeResult> {
  const { pool } = dataSource;
  if (!pool || dataSource.isStopping)
    throw new DatabaseError('The data source is not started yet, or closed.', { code: 'DATA_SOURCE_CLOSED' });
  const { leased, validating, resetting, waiting, max, multiplex } = pool.snapshot();
  const shared = multiplex?.connections ?? 0;
  // Behind other waiters, the ping would measure the queue.
  const hasFreeConnection = waiting === 0 && leased + shared + validating + resetting < max;
  return hasFreeConnection
    ? pingOnPool(pool, deadline, check)
    : pingOutsidePool(dataSource.settings, pool, deadline, check);
}

async function pingOnPool(pool: DataSourcePool, deadline: number, check: Check): Promise<ProbeResult> {
  const connection = await pool
    .acquire({ deadlineMs: remainingMs(deadline), borrower: 'health check' })
    .catch((error: unknown) => {
      throw causeOfTimeout(error);
    });
  try {
    const result = await check(sendOn(connection));
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
  check: Check,
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
    return await check(sendOn(connection));
  } finally {
    void connection.close().catch(() => connection.destroy());
  }
}

function sendOn(connection: Connection): Send {
  return async (text, values) => (await connection.query(text, values)).rows as never[];
}

/** Without the table of executed migrations, none is executed. */
async function migrationState(dataSource: DataSource, send: Send): Promise<MigrationState> {
  const names = dataSource.migrations.map((migration) => migrationName(migration));
  if (names.length === 0 || upToDate.has(dataSource)) return 'up-to-date';
  const table = migrationsTableName(dataSource);
  const [found] = await send<{ exists: boolean }>('SELECT to_regclass($1) IS NOT NULL AS exists', [table]);
  if (!found?.exists) return 'pending';
  const executed = await send(`SELECT DISTINCT name FROM ${table} WHERE name = ANY($1)`, [names]);
  if (executed.length < new Set(names).size) return 'pending';
  upToDate.add(dataSource);
  return 'up-to-date';
}

async function timed(
  rowsPromise: Promise<PingRow[]>,
  deadline: number,
): Promise<Extract<ProbeResult, { up: true }>> {
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
