import type { TLSSocket } from 'node:tls';
import type { Connection } from '../../connection/connection.js';
import { PgInternals } from '../../connection/wire/pg-internals.js';
import type { ResolvedDatabaseOptions } from '../../database.options.js';
import { BUDGET_QUERY } from './budget.js';
import type { ConnectionBudget } from './budget.js';
import { wantedSettings } from './self-check.js';
import type { ServerSettings } from './self-check.js';

/** What the server says of itself. */
export interface ServerInfo {
  /** `18.4` */
  version: string;
  database: string;
  schema: string;
  /** Whether it follows a primary, and takes no writes. */
  standby: boolean;
  /** `TLSv1.3`, or undefined for plain text. */
  tls: string | undefined;
  /** `pg_backend_pid()` */
  pid: number;
  /** The process id that came with the key for cancels: another one when something stands in between. */
  announcedPid: number | null | undefined;
  /** Of those that are configured; undefined when they could not be asked for, null when there are none. */
  settings: ServerSettings | null | undefined;
  budget: ConnectionBudget | undefined;
}

type Row = Omit<ServerInfo, 'tls' | 'announcedPid'>;

const FACTS = `current_setting('server_version') AS version, current_database() AS database, current_schema() AS schema,
  pg_is_in_recovery() AS standby, pg_backend_pid() AS pid`;

/** All names that are asked for are answered for, known or not. */
const SETTINGS = `(
  SELECT json_object_agg(asked.name, json_build_object('value', current_setting(asked.name, true), 'raw', s.setting, 'source', s.source))
  FROM unnest($1::text[]) AS asked(name) LEFT JOIN pg_catalog.pg_settings s ON lower(s.name) = lower(asked.name))`;

/**
 * Asks for all of it in one round trip. What only the self-check and the budget need may be kept from a role, or be missing
 * where something else speaks PostgreSQL's protocol: then it is left out, and `missing` hears why.
 */
export async function queryServerInfo(
  connection: Connection,
  options: ResolvedDatabaseOptions,
  missing: (reason: string) => void,
): Promise<ServerInfo> {
  const row = await rowOf(connection, options, missing);
  const pg = new PgInternals(connection);
  return {
    ...row,
    version: /^[\d.]+/.exec(row.version)?.[0] ?? row.version,
    tls: (pg.stream as Partial<TLSSocket> | undefined)?.getProtocol?.() ?? undefined,
    announcedPid: pg.processId,
  };
}

async function rowOf(
  connection: Connection,
  options: ResolvedDatabaseOptions,
  missing: (reason: string) => void,
): Promise<Row> {
  const asked = [Object.keys(wantedSettings(options))];
  try {
    // Not by way of a tracing tool: it may set `application_name`, which the budget asks for.
    const { rows } = await connection.ownQuery<Row>({
      text: `SELECT ${FACTS}, ${SETTINGS} AS settings, ${BUDGET_QUERY} AS budget`,
      values: asked,
    });
    return rows[0]!;
  } catch (error) {
    if (!connection.isUsable) throw error;
    missing(`The settings in force and the connection budget can't be asked for: ${String(error)}`);
    const { rows } = await connection.ownQuery<Row>({ text: `SELECT ${FACTS}` });
    return { ...rows[0]!, settings: undefined, budget: undefined };
  }
}
