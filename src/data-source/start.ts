import { setTimeout as pause } from 'node:timers/promises';
import type { TLSSocket } from 'node:tls';
import { DatabaseConnectionError, PoolError } from '../database.errors.js';
import type { ResolvedDatabaseOptions } from '../database.options.js';
import { diagnose } from '../diagnosis.js';
import { isLocalHost } from '../config/local-host.js';
import type { Connection } from '../connection/connection.js';
import { internalsOf } from '../connection/pg-internals.js';
import { BUDGET, type ConnectionBudget } from './budget.js';
import type { DatabaseLogger } from './database.logger.js';
import type { DataSourcePool } from './data-source.pool.js';
import { type FoundSettings, wantedSettings } from './self-check.js';

/** What the server says of itself. */
export interface ServerFacts {
  /** `18.4` */
  version: string;
  database: string;
  schema: string;
  /** `TLSv1.3`, or undefined for plain text. */
  tls: string | undefined;
  /** `pg_backend_pid()` */
  pid: number;
  /** The process id that came with the key for cancels: another one when something stands in between. */
  announcedPid: number | null | undefined;
  /** Of those that are configured; undefined when they could not be asked for, null when there are none. */
  settings: FoundSettings | null | undefined;
  budget: ConnectionBudget | undefined;
}

type Row = Omit<ServerFacts, 'tls' | 'announcedPid'>;

const FACTS = `current_setting('server_version') AS version, current_database() AS database, current_schema() AS schema, pg_backend_pid() AS pid`;

/** All names that are asked for are answered for, known or not. */
const SETTINGS = `(
  SELECT json_object_agg(asked.name, json_build_object('value', current_setting(asked.name, true), 'raw', s.setting, 'source', s.source))
  FROM unnest($1::text[]) AS asked(name) LEFT JOIN pg_catalog.pg_settings s ON lower(s.name) = lower(asked.name))`;

/**
 * Connects and asks, and does so again while the failure is one that passes.
 * @throws DatabaseConnectionError with the diagnosis and the last failure as its cause
 */
export async function connectWithRetry(
  pool: DataSourcePool,
  options: ResolvedDatabaseOptions,
  logger: DatabaseLogger,
  retries: number,
): Promise<ServerFacts> {
  const { initialDelayMs, maxDelayMs } = options.connectRetry;
  for (let attempt = 0; ; attempt++) {
    try {
      return await ask(pool, options, logger);
    } catch (error) {
      const failure = explain(error, options);
      const again = options.toRetry ? options.toRetry(error) : failure.transient;
      if (!again || attempt >= retries) throw failure.error;
      const delay = jitter(Math.min(initialDelayMs * 2 ** attempt, maxDelayMs));
      logger.warn(
        `${failure.error.message} Trying again in ${Math.round(delay)} ms (${attempt + 1} of ${retries}).`,
      );
      await pause(delay);
    }
  }
}

async function ask(
  pool: DataSourcePool,
  options: ResolvedDatabaseOptions,
  logger: DatabaseLogger,
): Promise<ServerFacts> {
  const connection = await pool.acquire({ borrower: 'start', failFast: true });
  try {
    const row = await factsOf(connection, options, logger);
    const { processID, connection: wire } = internalsOf(connection);
    const facts = {
      ...row,
      version: /^[\d.]+/.exec(row.version)?.[0] ?? row.version,
      tls: (wire?.stream as Partial<TLSSocket> | undefined)?.getProtocol?.() ?? undefined,
      announcedPid: processID,
    };
    connection.release();
    return facts;
  } catch (error) {
    connection.release(error as Error);
    throw error;
  }
}

/**
 * All in one round trip. What only the self-check and the budget need may be kept from a role, or be missing where
 * something else speaks PostgreSQL's protocol: then the start does without.
 */
async function factsOf(
  connection: Connection,
  options: ResolvedDatabaseOptions,
  logger: DatabaseLogger,
): Promise<Row> {
  const asked = [Object.keys(wantedSettings(options))];
  try {
    const { rows } = await connection.query<Row>(
      `SELECT ${FACTS}, ${SETTINGS} AS settings, ${BUDGET} AS budget`,
      asked,
    );
    return rows[0]!;
  } catch (error) {
    if (!connection.usable) throw error;
    logger.debug(`The settings in force and the connection budget can't be asked for: ${String(error)}`);
    const { rows } = await connection.query<Row>(`SELECT ${FACTS}`);
    return { ...rows[0]!, settings: undefined, budget: undefined };
  }
}

function explain(error: unknown, options: ResolvedDatabaseOptions) {
  const { server, name } = options;
  const { code, meaning, cure, transient } = diagnose(error, { localHost: isLocalHost(server.host) });
  // The pool's error tells of the pool, which is empty at a start; what is below it is what the server or the socket said.
  const cause = error instanceof PoolError ? (error.cause ?? error) : error;
  const { message } = cause as { message?: unknown };
  const detail = typeof message === 'string' && message ? ` (${message})` : '';
  return {
    transient,
    error: new DatabaseConnectionError(
      `Cannot connect to database "${server.database}" at ${server.host}:${server.port} as "${server.username}": ${meaning}${detail}. ${cure}`,
      { code, hint: cure, cause, dataSource: name },
    ),
  };
}

/** Up to 20 % shorter or longer, so that the instances of one app don't knock all at once. */
function jitter(delayMs: number): number {
  return delayMs * (0.8 + Math.random() * 0.4);
}
