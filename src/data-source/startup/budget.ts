import type { ResolvedDatabaseOptions } from '../../database.options.js';

/**
 * The connection limits of the server, and the connections of other clients. A connection of the app's role counts as the app's own if
 * its `application_name` is that of the app, or a `traceparent`, which tracing tools set temporarily.
 */
export interface ConnectionBudget {
  readonly maxConnections: number;
  /** `superuser_reserved_connections` and, since PostgreSQL 16, `reserved_connections`. */
  readonly reserved: number;
  /** `ALTER ROLE … CONNECTION LIMIT`; -1 is no limit. */
  readonly roleLimit: number;
  /** `ALTER DATABASE … CONNECTION LIMIT`; -1 is no limit. */
  readonly databaseLimit: number;
  /** Whether the role is a superuser: only `max_connections` applies to it. */
  readonly superuser: boolean;
  /** Connections of other clients. */
  readonly others: number;
  /** Connections of other clients with the same role. */
  readonly othersOfRole: number;
  /** Connections of other clients to the same database. */
  readonly othersOnDatabase: number;
}

/** A scalar subquery for the budget as JSON. Every role may read it; `reserved_connections` exists since PostgreSQL 16. */
export const BUDGET_QUERY = `(
  SELECT json_build_object(
    'maxConnections', current_setting('max_connections')::int,
    'reserved', CASE WHEN r.rolsuper THEN 0 ELSE
      current_setting('superuser_reserved_connections')::int + coalesce(current_setting('reserved_connections', true)::int, 0) END,
    'roleLimit', r.rolconnlimit, 'databaseLimit', d.datconnlimit, 'superuser', r.rolsuper,
    'others', a.total, 'othersOfRole', a.of_role, 'othersOnDatabase', a.on_database)
  FROM pg_catalog.pg_roles r, pg_catalog.pg_database d, (
    SELECT count(*)::int AS total, count(*) FILTER (WHERE usename = session_user)::int AS of_role,
      count(*) FILTER (WHERE datname = current_database())::int AS on_database
    FROM pg_catalog.pg_stat_activity
    WHERE usesysid IS NOT NULL AND datid IS NOT NULL AND coalesce(backend_type, 'client backend') = 'client backend'
      AND NOT (usename = session_user AND (coalesce(application_name, '') = current_setting('application_name')
        OR application_name ~ '^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$'))) a
  WHERE r.rolname = session_user AND d.datname = current_database())`;

/** How many connections all instances of the app together may open. */
export function maxConnectionsOf({
  pool,
  instances,
}: Pick<ResolvedDatabaseOptions, 'pool' | 'instances'>): number {
  return (pool.size + pool.maxOverflow) * instances;
}

const remaining = (limit: number, others: number) => Math.max(0, limit - others);

/** How many connections the server has left after those of other clients. */
export function availableConnections({ maxConnections, reserved, others }: ConnectionBudget): number {
  return remaining(maxConnections - reserved, others);
}

/** A warning for each limit that all instances of the app together may exceed. */
export function checkBudget(
  settings: Pick<ResolvedDatabaseOptions, 'pool' | 'instances'>,
  budget: ConnectionBudget,
): string[] {
  const { instances, pool } = settings;
  const wanted = maxConnectionsOf(settings);
  const limits = [
    {
      limit: budget.maxConnections - budget.reserved,
      others: budget.others,
      words: `max_connections ${budget.maxConnections}${budget.reserved > 0 ? `, ${budget.reserved} of them reserved` : ''}`,
      hint: 'raise max_connections, or put a pooler in between',
    },
    {
      limit: budget.superuser ? -1 : budget.roleLimit,
      others: budget.othersOfRole,
      words: `CONNECTION LIMIT ${budget.roleLimit} of the role`,
      hint: 'raise it by ALTER ROLE',
    },
    {
      limit: budget.superuser ? -1 : budget.databaseLimit,
      others: budget.othersOnDatabase,
      words: `CONNECTION LIMIT ${budget.databaseLimit} of the database`,
      hint: 'raise it by ALTER DATABASE',
    },
  ];
  return limits
    .filter(({ limit, others }) => limit >= 0 && wanted > limit - others)
    .map(
      ({ limit, others, words, hint }) =>
        `This app may open ${wanted} connections: (pool.size ${pool.size} + pool.maxOverflow ${pool.maxOverflow}) × ${instances} ` +
        `instance(s); the server has ${remaining(limit, others)} for it (${words}; ${others} in use by others). ` +
        `Lower DB_POOL_SIZE, DB_MAX_OVERFLOW or DB_INSTANCES (if fewer run), or ${hint}.`,
    );
}
