import pg from 'pg';
import type { DataSource, ReplicationMode } from 'typeorm';
import type { DataSourcePool } from './pools/data-source.pool.js';
import type { ManagedQueryRunner } from './query-runner/managed-query-runner.js';
import { PostgresDriver, setPools } from './typeorm-internals.js';

/** What `logNotifications` logs: notices of the server, and notifications of channels that the session listens to. */
interface NoticeSource {
  on(event: 'notice', listener: (notice: { message: string | undefined }) => void): unknown;
  on(event: 'notification', listener: (notification: { channel: string; payload?: string }) => void): unknown;
}

/** TypeORM's driver on the pools of the data source. It creates no pool of its own. */
export class ManagedDriver extends PostgresDriver {
  /** TypeORM keeps the data source too, in a field whose name differs between its versions. */
  readonly #dataSource: DataSource;

  constructor(dataSource: DataSource) {
    super(dataSource);
    this.#dataSource = dataSource;
  }

  /** Does nothing: the data source has opened the pools. */
  override connect(): Promise<void> {
    return Promise.resolve();
  }

  /** Does what TypeORM does when it creates its pools. Call it before the first connect, so that the notices of that are logged too. */
  usePools(primary: DataSourcePool, replicas: readonly DataSourcePool[]): void {
    const { parseInt8, logNotifications } = this.options;
    if (parseInt8 !== undefined) pg.defaults.parseInt8 = parseInt8;
    if (logNotifications)
      for (const pool of [primary, ...replicas])
        pool.on('connect', (connection) => this.#logNotices(connection as NoticeSource));
    setPools(this, primary, replicas);
  }

  /** Removes the closed pools from the driver. */
  clearPools(): void {
    setPools(this, undefined, []);
  }

  override createQueryRunner(mode: ReplicationMode): ManagedQueryRunner {
    return this.#dataSource.createQueryRunner(mode) as ManagedQueryRunner;
  }

  #logNotices(connection: NoticeSource): void {
    const dataSource = this.#dataSource;
    connection.on('notice', ({ message }) => {
      dataSource.logger.log('info', message);
    });
    connection.on('notification', ({ channel, payload }) => {
      dataSource.logger.log('info', `Received NOTIFY on channel ${channel}: ${payload}.`);
    });
  }
}
