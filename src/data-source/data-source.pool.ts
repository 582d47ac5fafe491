import type { Connection, ConnectionOptions } from '../connection/connection.js';
import type { ResolvedDatabaseOptions } from '../database.options.js';
import { ConnectionPool } from '../pool/connection-pool.js';
import type { PoolWarning } from '../pool/warnings.js';
import type { DatabaseLogger } from './database.logger.js';

/** The pool of one data source: made from its settings, heard by its logger. The only file that makes one. */
export class DataSourcePool extends ConnectionPool<Connection> {
  /** Since when there are more than `size` connections without a break; milliseconds of `Date.now()`. */
  overflowSince: number | undefined;

  constructor(settings: ResolvedDatabaseOptions, logger: DatabaseLogger) {
    super({
      ...connectionOptions(settings),
      ...settings.pool,
      onWarning: (warning) => report(warning, logger),
    });
    const watch = () => {
      if (this.totalCount <= settings.pool.size) this.overflowSince = undefined;
      else this.overflowSince ??= Date.now();
    };
    this.on('connect', watch).on('remove', watch);
  }
}

/** One outage is one line for an operator; what it does to each connection is for who looks closer. */
function report({ code, level, message, lease }: PoolWarning, logger: DatabaseLogger): void {
  const text = lease?.stack ? `${message}\n${lease.stack}` : message;
  if (level === 'warn' || code === 'OUTAGE') logger.warn(text);
  else if (code === 'CONNECTION_LEAK_ENDED') logger.log(text);
  else logger.debug(text);
}

/**
 * What one connection is made from. Timeouts and session settings go into the startup packet: they are in force before
 * the first query, cost no round trip and survive RESET ALL and DISCARD ALL.
 */
export function connectionOptions(settings: ResolvedDatabaseOptions): ConnectionOptions {
  const { server, password, timeouts, session, ssl, startupOptions, channelBinding } = settings;
  return {
    // What `pg` takes and this module doesn't know; the settings refuse what would contradict ours.
    ...(settings.typeorm.extra as ConnectionOptions | undefined),
    host: server.host,
    port: server.port,
    database: server.database,
    user: server.username,
    // A function, since without a value `pg` takes PGPASSWORD from the environment, which is none of our settings.
    password: () => password?.reveal() ?? '',
    // A copy, since `pg` changes what it is given.
    ssl: ssl.tls && { ...ssl.tls },
    enableChannelBinding: channelBinding === 'prefer' || channelBinding === 'require',
    requireChannelBinding: channelBinding === 'require',
    application_name: settings.applicationName,
    connectTimeoutMs: timeouts.connectMs,
    // A limit of 0 is not sent: a pooler that refuses them can then be passed, and what the role has stays in force.
    statement_timeout: timeouts.statementMs,
    lock_timeout: timeouts.lockMs,
    idle_in_transaction_session_timeout: timeouts.idleInTransactionMs,
    session,
    ...(startupOptions && { options: startupOptions }),
  };
}
