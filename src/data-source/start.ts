import { setTimeout as pause } from 'node:timers/promises';
import type { TLSSocket } from 'node:tls';
import { DatabaseConnectionError, PoolError } from '../database.errors.js';
import type { ResolvedDatabaseOptions } from '../database.options.js';
import { diagnose } from '../diagnosis.js';
import { isLocalHost } from '../config/local-host.js';
import type { DatabaseLogger } from './database.logger.js';
import type { DataSourcePool } from './data-source.pool.js';

/** What the server says of itself. */
export interface ServerFacts {
  /** `18.4` */
  version: string;
  database: string;
  schema: string;
  /** `TLSv1.3`, or undefined for plain text. */
  tls: string | undefined;
}

const FACTS = `SELECT current_setting('server_version') AS version, current_database() AS database, current_schema() AS schema`;

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
      return await ask(pool);
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

async function ask(pool: DataSourcePool): Promise<ServerFacts> {
  const connection = await pool.acquire({ borrower: 'start' });
  try {
    const { rows } = await connection.query<Omit<ServerFacts, 'tls'>>(FACTS);
    const [{ version, database, schema } = {} as Omit<ServerFacts, 'tls'>] = rows;
    const { stream } = (connection as unknown as { connection: { stream: Partial<TLSSocket> } }).connection;
    const facts = {
      version: /^[\d.]+/.exec(version)?.[0] ?? version,
      database,
      schema,
      tls: stream.getProtocol?.() ?? undefined,
    };
    connection.release();
    return facts;
  } catch (error) {
    connection.release(error as Error);
    throw error;
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

/** The one line of a start; no secret, no user. */
export function describeStart(
  { server, pool, profile, ssl }: ResolvedDatabaseOptions,
  facts: ServerFacts,
): string {
  const tls = facts.tls ? `${facts.tls} (${ssl.mode})` : 'no TLS';
  return (
    `Connected to database "${facts.database}" at ${server.host}:${server.port}, PostgreSQL ${facts.version}, ${tls}, ` +
    `pool ${pool.size} + ${pool.maxOverflow}, profile ${profile}`
  );
}
