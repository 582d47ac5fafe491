import type { DataSource } from 'typeorm';
import { type Diagnosis, diagnose } from '../diagnosis.js';
import type { DataSourcePool } from './data-source.pool.js';
import { ManagedDataSource } from './managed-data-source.js';

/** Whether a data source answers. */
export type ProbeResult =
  | { readonly up: true; readonly latencyMs: number; readonly database: string }
  | { readonly up: false; readonly diagnosis: Diagnosis; readonly error: unknown };

const PING = 'SELECT current_database() AS database';
const running = new WeakMap<object, Promise<ProbeResult>>();

/**
 * Asks the database for its name, within `timeoutMs`. Latency is that of the question alone, not of a dial before it.
 * Calls at the same time share one question: probes never hold more than one connection.
 */
export function probe(dataSource: DataSource, timeoutMs: number): Promise<ProbeResult> {
  const shared = running.get(dataSource);
  if (shared) return shared;
  const asked = ask(dataSource, timeoutMs)
    .catch((error: unknown): ProbeResult => ({ up: false, diagnosis: diagnose(error), error }))
    .finally(() => running.delete(dataSource));
  running.set(dataSource, asked);
  return asked;
}

async function ask(dataSource: DataSource, timeoutMs: number): Promise<ProbeResult> {
  const deadline = performance.now() + timeoutMs;
  if (!(dataSource instanceof ManagedDataSource)) {
    const started = performance.now();
    const rows = await within(deadline, dataSource.query<{ database: string }[]>(PING));
    return { up: true, latencyMs: since(started), database: rows[0]?.database ?? '' };
  }
  const { pool } = dataSource;
  if (!pool) throw new Error('The data source is not initialized, or closed.');
  return askPool(pool, deadline);
}

async function askPool(pool: DataSourcePool, deadline: number): Promise<ProbeResult> {
  const left = () => Math.max(1, deadline - performance.now());
  const connection = await pool.acquire({ deadlineMs: left(), borrower: 'health check' });
  try {
    const started = performance.now();
    const { rows } = await within(deadline, connection.query<{ database: string }>(PING));
    const result: ProbeResult = { up: true, latencyMs: since(started), database: rows[0]?.database ?? '' };
    connection.release();
    return result;
  } catch (error) {
    // A connection with an unanswered question must not be lent to anybody.
    connection.release(error as Error);
    throw error;
  }
}

function since(started: number): number {
  return Math.round((performance.now() - started) * 100) / 100;
}

async function within<T>(deadline: number, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(Object.assign(new Error('The database did not answer in time.'), { code: 'ETIMEDOUT' })),
      Math.max(0, deadline - performance.now()),
    );
  });
  // When the deadline wins, the promise's own failure comes later and belongs to nobody.
  promise.catch(() => undefined);
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
