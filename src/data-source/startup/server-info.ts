import type { TLSSocket } from 'node:tls';
import type { Connection } from '../../connection/connection.js';
import { PgInternals } from '../../connection/wire/pg-internals.js';
import type { ResolvedDatabaseOptions } from '../../database.options.js';
import { BUDGET_QUERY } from './budget.js';
import type { ConnectionBudget } from './budget.js';
import { wantedSettings } from './self-check.js';
import type { ServerSettings } from './self-check.js';

/** What the server reports at the start. */
export interface ServerInfo {
  /** `18.4` */
  version: string;
  database: string;
  schema: string;
  /** Whether it is a standby, which accepts no writes. */
  standby: boolean;
  /** `TLSv1.3`, or undefined for plain text. */
  tls: string | undefined;
  /** `pg_backend_pid()` */
  pid: number;
  /** The process id that came with the cancel key. It differs from `pid` behind a pooler or proxy. */
  announcedPid: number | null | undefined;
  /** The configured settings as the server has them; undefined when the query failed, null when none is configured. */
  settings: ServerSettings | null | undefined;
  budget: ConnectionBudget | undefined;
}

type Row = Omit<ServerInfo, 'tls' | 'announcedPid'>;

const FACTS = `current_setting('server_version') AS version, current_database() AS database, current_schema() AS schema,
  pg_is_in_recovery() AS standby, pg_backend_pid() AS pid`;

/** One entry for each name in `$1`, whether or not the server knows it. */
const SETTINGS = `(
  SELECT json_object_agg(asked.name, json_build_object('value', current_setting(asked.name, true), 'raw', s.setting, 'source', s.source))
  FROM unnest($1::text[]) AS asked(name) LEFT JOIN pg_catalog.pg_settings s ON lower(s.name) = lower(asked.name))`;

/**
 * Queries all of it in one round trip. A role may not be allowed to read what the self-check and the budget need, and other servers with
 * PostgreSQL's protocol may lack it: it is left out then.
 *
 * @param onMissing called with the reason when something is left out
 */
export async function queryServerInfo(
  connection: Connection,
  options: ResolvedDatabaseOptions,
  onMissing: (reason: string) => void,
): Promise<ServerInfo> {
  const row = await rowOf(connection, options, onMissing);
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
  onMissing: (reason: string) => void,
): Promise<Row> {
  const asked = [Object.keys(wantedSettings(options))];
  try {
    // Past tracing tools: they may set `application_name`, which the budget compares.
    const { rows } = await connection.ownQuery<Row>({
      text: `SELECT ${FACTS}, ${SETTINGS} AS settings, ${BUDGET_QUERY} AS budget`,
      values: asked,
    });
    return rows[0]!;
  } catch (error) {
    if (!connection.isUsable) throw error;
    onMissing(`The settings in force and the connection budget can't be asked for: ${String(error)}`);
    const { rows } = await connection.ownQuery<Row>({ text: `SELECT ${FACTS}` });
    return { ...rows[0]!, settings: undefined, budget: undefined };
  }
}
