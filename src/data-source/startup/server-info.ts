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
  /** `TLSv1.3`; undefined without TLS. */
  tls: string | undefined;
  /** `pg_backend_pid()` */
  pid: number;
  /** The process id that came with the cancel key. It differs from `pid` behind a pooler or proxy. */
  announcedPid: number | null | undefined;
  /** The configured settings as the server reports them; undefined if the query failed, null if none is configured. */
  settings: ServerSettings | null | undefined;
  budget: ConnectionBudget | undefined;
}

type Row = Omit<ServerInfo, 'tls' | 'announcedPid'>;

const FACTS = `current_setting('server_version') AS version, current_database() AS database, current_schema() AS schema,
  pg_is_in_recovery() AS standby, pg_backend_pid() AS pid`;

/** A scalar subquery: one JSON entry for each name in `$1`, whether or not the server has that setting. */
const SETTINGS = `(
  SELECT json_object_agg(wanted.name, json_build_object('value', current_setting(wanted.name, true), 'raw', s.setting, 'source', s.source))
  FROM unnest($1::text[]) AS wanted(name) LEFT JOIN pg_catalog.pg_settings s ON lower(s.name) = lower(wanted.name))`;

/**
 * Queries the server in one round trip. Settings and budget are left out if the role may not read them, or if the server is another
 * product with PostgreSQL's protocol and does not have them.
 *
 * @param onMissing called with the reason if settings and budget are left out
 */
export async function queryServerInfo(
  connection: Connection,
  options: ResolvedDatabaseOptions,
  onMissing: (reason: string) => void,
): Promise<ServerInfo> {
  const row = await queryRow(connection, options, onMissing);
  const pg = new PgInternals(connection);
  return {
    ...row,
    version: /^[\d.]+/.exec(row.version)?.[0] ?? row.version,
    tls: (pg.stream as Partial<TLSSocket> | undefined)?.getProtocol?.() ?? undefined,
    announcedPid: pg.processId,
  };
}

async function queryRow(
  connection: Connection,
  options: ResolvedDatabaseOptions,
  onMissing: (reason: string) => void,
): Promise<Row> {
  const names = Object.keys(wantedSettings(options));
  try {
    // `ownQuery` bypasses tracing tools: they may set `application_name`, which the budget compares.
    const { rows } = await connection.ownQuery<Row>({
      text: `SELECT ${FACTS}, ${SETTINGS} AS settings, ${BUDGET_QUERY} AS budget`,
      values: [names],
    });
    return rows[0]!;
  } catch (error) {
    if (!connection.isUsable) throw error;
    onMissing(`The settings in force and the connection budget cannot be read: ${String(error)}`);
    const { rows } = await connection.ownQuery<Row>({ text: `SELECT ${FACTS}` });
    return { ...rows[0]!, settings: undefined, budget: undefined };
  }
}
