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

/** Whether a data source answers. */
export type ProbeResult =
  | {
      readonly up: true;
      /** Milliseconds; unknown when the server is up but had no connection left to ask on. */
      readonly latencyMs: number | undefined;
      readonly database: string;
    }
  | { readonly up: false; readonly diagnosis: Diagnosis; readonly error: unknown };

interface Answer {
  database: string;
}

const PING = 'SELECT current_database() AS database';

/** Questions under way, by data source and time limit. */
const running = new WeakMap<object, Map<number, Promise<ProbeResult>>>();

/**
 * Asks the database for its name, within `timeoutMs`. Latency is that of the question alone, not of a dial before it.
 * Calls at the same time share one question: probes never hold more than one connection.
 */
export function probe(dataSource: DataSource, timeoutMs: number): Promise<ProbeResult> {
  let questions = running.get(dataSource);
  if (!questions) running.set(dataSource, (questions = new Map<number, Promise<ProbeResult>>()));
  const shared = questions.get(timeoutMs);
  if (shared) return shared;
  const asked = ask(dataSource, timeoutMs).finally(() => questions.delete(timeoutMs));
  questions.set(timeoutMs, asked);
  return asked;
}

async function ask(dataSource: DataSource, timeoutMs: number): Promise<ProbeResult> {
  const deadline = performance.now() + timeoutMs;
  try {
    return dataSource instanceof ManagedDataSource
      ? await askManaged(dataSource, deadline)
      : await timed(dataSource.query<Answer[]>(PING), deadline);
  } catch (error) {
    const diagnosis = diagnose(error, { connecting: true });
    if (diagnosis.code === 'TOO_MANY_CONNECTIONS' && hasConnections(dataSource))
      // The server has answered, if only by a refusal, and our own connections work: taking the app out of service would
      // help nobody.
      return { up: true, latencyMs: undefined, database: dataSource.driver.database ?? '' };
    return { up: false, diagnosis, error };
  }
}

async function askManaged(dataSource: ManagedDataSource, deadline: number): Promise<ProbeResult> {
  const { pool } = dataSource;
  if (!pool || dataSource.isStopping)
    throw new DatabaseError('The data source is not started yet, or closed.', { code: 'DATA_SOURCE_CLOSED' });
  const { leased, validating, resetting, waiting, max } = pool.snapshot();
  // Behind everybody who waits for a connection, the answer would only tell of the queue.
  const free = waiting === 0 && leased + validating + resetting < max;
  return free ? askOnPool(pool, deadline) : askBesidePool(dataSource.settings, pool, deadline);
}

async function askOnPool(pool: DataSourcePool, deadline: number): Promise<ProbeResult> {
  const connection = await pool
    .acquire({ deadlineMs: left(deadline), borrower: 'health check' })
    .catch((error: unknown) => {
      throw behindTimeout(error);
    });
  try {
    const result = await question(connection, deadline);
    connection.release();
    return result;
  } catch (error) {
    // A connection with an unanswered question must not be lent to anybody.
    connection.release(error as Error);
    throw error;
  }
}

/** The pool had a place free: what took too long is the server, a connect of it or its answer to a validation. */
function behindTimeout(error: unknown): unknown {
  if (!(error instanceof PoolAcquireTimeoutError)) return error;
  return error.cause ?? late(error);
}

async function askBesidePool(
  settings: ResolvedDatabaseOptions,
  { pooler }: DataSourcePool,
  deadline: number,
): Promise<ProbeResult> {
  const connection = new Connection({
    ...connectionOptions(settings),
    ...pooler.connectOptions(),
    connectTimeoutMs: left(deadline),
  });
  // What breaks it is told by the dial or the question.
  connection.on('error', () => undefined);
  try {
    await connection.connect();
    return await question(connection, deadline);
  } finally {
    void connection.close().catch(() => connection.destroy());
  }
}

async function question(connection: Connection, deadline: number): Promise<ProbeResult> {
  return timed(
    connection.query<Answer>(PING).then(({ rows }) => rows),
    deadline,
  );
}

async function timed(asked: Promise<Answer[]>, deadline: number): Promise<ProbeResult> {
  const started = performance.now();
  const rows = await within(deadline, asked);
  const latencyMs = Math.round((performance.now() - started) * 100) / 100;
  return { up: true, latencyMs, database: rows[0]?.database ?? '' };
}

function hasConnections(dataSource: DataSource): boolean {
  const snapshot = dataSource instanceof ManagedDataSource ? dataSource.pool?.snapshot() : undefined;
  return snapshot !== undefined && snapshot.total > snapshot.connecting;
}

function left(deadline: number): number {
  return Math.max(1, deadline - performance.now());
}

/** When the deadline wins, the promise's own failure comes later and belongs to nobody. */
function within<T>(deadline: number, promise: Promise<T>): Promise<T> {
  return withTimeout(promise, left(deadline), late);
}

function late(cause?: unknown): Error {
  return Object.assign(new Error('The database did not answer in time.', { cause }), { code: 'ETIMEDOUT' });
}
