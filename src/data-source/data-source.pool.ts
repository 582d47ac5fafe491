import pg from 'pg';
import type { ResolvedDatabaseOptions } from '../database.options.js';
import type { DatabaseLogger } from './database.logger.js';

/**
 * The seam between the data source and the engine below it: the only file that knows which pool serves. It is a
 * `pg.Pool` towards TypeORM and answers `figures()` towards monitoring.
 */
export interface DataSourcePool extends pg.Pool {
  figures(): PoolFigures;
}

/** Connections at one moment. */
export interface PoolFigures {
  /** Connections there are, dialling ones included. */
  total: number;
  idle: number;
  leased: number;
  waiting: number;
  /** When the pool first held more than `size` connections without a break; milliseconds of `Date.now()`. */
  overflowSince: number | undefined;
}

export function createPool(options: ResolvedDatabaseOptions, logger: DatabaseLogger): DataSourcePool {
  return new PgPool(options, logger);
}

/** `pg.Pool` under our option names. */
class PgPool extends pg.Pool implements DataSourcePool {
  private overflowSince: number | undefined;

  constructor(options: ResolvedDatabaseOptions, logger: DatabaseLogger) {
    const { pool } = options;
    super({
      ...clientConfig(options),
      max: pool.size + pool.maxOverflow,
      min: pool.size,
      connectionTimeoutMillis: pool.acquireTimeoutMs,
      maxLifetimeSeconds: pool.maxLifetimeMs / 1000,
    });
    const watch = () => {
      if (this.totalCount <= pool.size) this.overflowSince = undefined;
      else this.overflowSince ??= Date.now();
    };
    this.on('connect', watch).on('remove', watch);
    this.on('error', (error) => logger.warn(`An idle connection was lost: ${error.message}`));
  }

  figures(): PoolFigures {
    return {
      total: this.totalCount,
      idle: this.idleCount,
      leased: this.totalCount - this.idleCount,
      waiting: this.waitingCount,
      overflowSince: this.overflowSince,
    };
  }
}

/**
 * What one connection is made from. Timeouts and session settings go into the startup packet: they are in force before
 * the first query, cost no round trip and survive RESET ALL and DISCARD ALL.
 */
export function clientConfig(options: ResolvedDatabaseOptions): pg.ClientConfig {
  const { server, password, timeouts, session, ssl, startupOptions, channelBinding } = options;
  const settings = Object.entries(session).map(([name, value]) => `-c ${name}=${escapeOption(value)}`);
  if (startupOptions) settings.unshift(startupOptions);
  return {
    host: server.host,
    port: server.port,
    database: server.database,
    user: server.username,
    // A function, since without a value `pg` takes PGPASSWORD from the environment, which is none of our settings.
    password: () => password?.reveal() ?? '',
    // A copy, since `pg` changes what it is given.
    ssl: ssl.tls && { ...ssl.tls },
    enableChannelBinding: channelBinding === 'prefer' || channelBinding === 'require',
    application_name: options.applicationName,
    keepAlive: true,
    connectionTimeoutMillis: timeouts.connectMs,
    statement_timeout: timeouts.statementMs,
    lock_timeout: timeouts.lockMs,
    idle_in_transaction_session_timeout: timeouts.idleInTransactionMs,
    ...(settings.length > 0 && { options: settings.join(' ') }),
  };
}

/** The server splits `options` at white space unless it is escaped, and takes a backslash for the escape. */
function escapeOption(value: string): string {
  return value.replace(/[\\\s]/g, '\\$&');
}
