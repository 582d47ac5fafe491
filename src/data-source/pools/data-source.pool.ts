import type { Connection, ConnectionOptions } from '../../connection/connection.js';
import type { ResolvedDatabaseOptions } from '../../database.options.js';
import { maskedCopy, printedAs } from '../../text/masking.js';
import { ConnectionPool } from '../../pool/connection-pool.js';
import type { PoolOptions } from '../../pool/pool.options.js';
import type { DatabaseLogger } from '../logging/database.logger.js';
import { connectFailure } from '../logging/connect-failure.js';
import { PoolLog } from '../logging/pool-log.js';
import type { ConnectFailureReports } from '../logging/pool-log.js';
import { PoolerDetector } from '../pooler/pooler-detector.js';

/** A pool of a data source: made from its settings, heard by its logger. */
export class DataSourcePool extends ConnectionPool<Connection> {
  /** Since when there are more than `size` connections without a break; milliseconds of `Date.now()`. */
  overflowSince: number | undefined;
  /** What is known of a pooler in between. */
  readonly pooler: PoolerDetector;

  /** @internal What it says to an operator. */
  readonly log: PoolLog;

  constructor(
    settings: ResolvedDatabaseOptions,
    logger: DatabaseLogger,
    reportedConnects: ConnectFailureReports = settings.startup === 'lazy' ? 'always' : 'after-the-first',
  ) {
    const log = new PoolLog(logger, reportedConnects);
    const plan = new PoolerDetector(settings);
    const options = connectionOptions(settings);
    const { onConnect } = options;
    super({
      ...options,
      ...settings.pool,
      idleTimeoutMillis: settings.pool.idleTimeoutMs,
      connectOptions: () => plan.connectOptions(),
      explain: (cause) => {
        const { target, summary, hint } = connectFailure(cause, settings);
        return { message: `${target}: ${summary}`, hint };
      },
      retryConnect: (error) => {
        const { mode } = plan;
        const again = plan.observeRefusal(error);
        if (!again) this.onConnectFailed(error);
        // Once for an operator: several dials may hear the same at the same time.
        if (again)
          logger[plan.mode === mode ? 'debug' : 'log'](
            `A pooler is in between; connections are opened without the settings that it refuses: ${error.message}`,
          );
        return again;
      },
      onConnect: async (connection) => {
        await plan.applySessionSettings(connection);
        await onConnect?.(connection);
      },
      onWarning: (warning) => log.report(warning),
    });
    this.log = log;
    // `inspect(dataSource)` prints whole graphs.
    Object.defineProperty(this, 'log', { enumerable: false });
    log.watch(this);
    this.pooler = plan;
    // `extra` is in them, with passwords of proxies and the like.
    printedAs(this.options, () => maskedCopy({ ...this.options }));
    const watch = () => {
      if (this.totalCount <= settings.pool.size) this.overflowSince = undefined;
      else this.overflowSince ??= Date.now();
    };
    this.on('connect', watch).on('remove', watch);
    this.on('connect', () => log.connected());
  }

  /** A connection could not be opened. */
  protected onConnectFailed(_error: Error): void {
    // Its waiters hear of it.
  }
}

/** What every connection is made from; the plan adds what a pooler in between allows. */
export function connectionOptions(
  settings: ResolvedDatabaseOptions,
): ConnectionOptions & Pick<PoolOptions, 'onConnect'> {
  const { server, password, timeouts, ssl, channelBinding } = settings;
  return {
    // Said, since `pg` takes PGOPTIONS from the environment otherwise: none of our settings, and a pooler refuses it.
    options: '',
    // What `pg` and the pool take and this module doesn't know; the settings refuse what would contradict ours.
    ...(settings.typeorm.extra as (ConnectionOptions & Pick<PoolOptions, 'onConnect'>) | undefined),
    host: server.host,
    port: server.port,
    database: server.database,
    user: server.username,
    // A function, since without a value `pg` takes PGPASSWORD from the environment, which is none of our settings.
    ...(password && 'ask' in password
      ? { passwords: password }
      : { password: () => password?.reveal() ?? '' }),
    // A copy, since `pg` changes what it is given.
    ssl: ssl.tls && { ...ssl.tls },
    enableChannelBinding: channelBinding === 'prefer' || channelBinding === 'require',
    requireChannelBinding: channelBinding === 'require',
    requireAuth: settings.requireAuth,
    serverKind: settings.serverKind,
    // Always said, since `pg` takes PGSSLNEGOTIATION from the environment otherwise.
    sslnegotiation: ssl.negotiation,
    application_name: settings.applicationName,
    connectTimeoutMs: timeouts.connectMs,
  };
}
