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

/** A pool of a data source, created from the settings. It logs what an operator needs to know. */
export class DataSourcePool extends ConnectionPool<Connection> {
  /** Since when the pool has had more than `size` connections without a break; milliseconds of `Date.now()`. */
  overflowSince: number | undefined;
  /** Detects a pooler between client and server. */
  readonly pooler: PoolerDetector;
  readonly #log: PoolLog;

  constructor(
    settings: ResolvedDatabaseOptions,
    logger: DatabaseLogger,
    connectFailureReports: ConnectFailureReports = settings.startup === 'lazy' ? 'always' : 'after-the-first',
  ) {
    const log = new PoolLog(logger, connectFailureReports);
    const pooler = new PoolerDetector(settings);
    const options = connectionOptions(settings);
    const { onConnect } = options;
    super({
      ...options,
      ...settings.pool,
      multiplex: settings.preparedStatements !== false && settings.multiplex,
      idleTimeoutMillis: settings.pool.idleTimeoutMs,
      connectOptions: () => pooler.connectOptions(),
      explainConnectError: (cause) => {
        const { target, summary, hint } = connectFailure(cause, settings);
        return { meaning: `${target}: ${summary}`, hint };
      },
      shouldRetryConnect: (error) => {
        const { mode } = pooler;
        const isRefused = pooler.observeRefusal(error);
        if (!isRefused) this.onConnectFailed(error);
        // Logged once: several connects may be refused at the same time.
        if (isRefused)
          logger[pooler.mode === mode ? 'debug' : 'log'](
            `A pooler is in between; connections are opened without the settings that it refuses: ${error.message}`,
          );
        return isRefused;
      },
      onConnect: async (connection) => {
        await pooler.applySessionSettings(connection);
        await onConnect?.(connection);
      },
      onWarning: (warning) => log.report(warning),
    });
    this.#log = log;
    this.pooler = pooler;
    log.watch(this);
    // `extra` may contain secrets, such as the password of a proxy.
    printedAs(this.options, () => maskedCopy({ ...this.options }));
    const trackOverflow = () => {
      if (this.totalCount <= settings.pool.size) this.overflowSince = undefined;
      else this.overflowSince ??= Date.now();
    };
    this.on('connect', trackOverflow).on('remove', trackOverflow);
    this.on('connect', () => log.connected());
  }

  /** @internal */
  get log(): PoolLog {
    return this.#log;
  }

  /** Called when a connect has failed and will not be retried with fewer startup parameters. */
  protected onConnectFailed(_error: Error): void {}
}

/** The options of every connection to the server of `settings`. `PoolerDetector.connectOptions()` adds the options that a pooler allows. */
export function connectionOptions(
  settings: ResolvedDatabaseOptions,
): ConnectionOptions & Pick<PoolOptions, 'onConnect'> {
  const { server, password, timeouts, ssl, channelBinding } = settings;
  return {
    // Without a value `pg` takes PGOPTIONS from the environment, and a pooler refuses it.
    options: '',
    // Options of `pg` and of the pool that have no setting. The settings refuse contradictory ones.
    ...(settings.typeorm.extra as (ConnectionOptions & Pick<PoolOptions, 'onConnect'>) | undefined),
    host: server.host,
    port: server.port,
    database: server.database,
    user: server.username,
    // A function: without a value `pg` takes PGPASSWORD from the environment.
    ...(password && 'ask' in password
      ? { passwords: password }
      : { password: () => password?.reveal() ?? '' }),
    // A copy: `pg` changes the object.
    ssl: ssl.tls && { ...ssl.tls },
    enableChannelBinding: channelBinding === 'prefer' || channelBinding === 'require',
    requireChannelBinding: channelBinding === 'require',
    requireAuth: settings.requireAuth,
    serverKind: settings.serverKind,
    // Without a value `pg` takes PGSSLNEGOTIATION from the environment.
    sslnegotiation: ssl.negotiation,
    application_name: settings.applicationName,
    connectTimeoutMs: timeouts.connectMs,
    preparedStatements: settings.preparedStatements,
  };
}
