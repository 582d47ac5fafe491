import pg from 'pg';
import type { DataSource, ReplicationMode } from 'typeorm';
import { PostgresDriver } from 'typeorm/driver/postgres/PostgresDriver.js';
import type { DataSourcePool } from './pools/data-source.pool.js';
import type { ManagedQueryRunner } from './query-runner/managed-query-runner.js';
import type { ServerFacts } from './startup/server-facts.js';

/** What `logNotifications` logs: a notice of the server, and what `LISTEN` hears. */
interface Notices {
  on(event: 'notice', listener: (notice: { message: string | undefined }) => void): unknown;
  on(event: 'notification', listener: (notification: { channel: string; payload?: string }) => void): unknown;
}

/** TypeORM's driver, which takes the pools that the data source has opened and makes none. */
export class ManagedDriver extends PostgresDriver {
  /** @param owner TypeORM keeps it too, by a name that its two generations don't share */
  constructor(private readonly owner: DataSource) {
    super(owner);
    Object.defineProperty(this, 'owner', { enumerable: false });
  }

  /** Its pools are there: the data source has opened them. */
  override connect(): Promise<void> {
    return Promise.resolve();
  }

  /** What TypeORM does when it creates its pools. Before the first connection, which is to be heard too. */
  usePools(primary: DataSourcePool, replicas: readonly DataSourcePool[]): void {
    const { parseInt8, logNotifications } = this.options;
    if (parseInt8 !== undefined) pg.defaults.parseInt8 = parseInt8;
    if (logNotifications)
      for (const pool of [primary, ...replicas])
        pool.on('connect', (connection) => this.logNotices(connection as Notices));
    this.master = primary;
    this.slaves = [...replicas];
  }

  override createQueryRunner(mode: ReplicationMode): ManagedQueryRunner {
    return this.owner.createQueryRunner(mode) as ManagedQueryRunner;
  }

  /** What TypeORM asks the server for with a runner of its own. */
  know(facts: ServerFacts): void {
    this.version = facts.version;
    this.database = facts.database;
    this.searchSchema = facts.schema;
    this.schema ??= facts.schema;
  }

  /** The pools are closed. */
  forgetPools(): void {
    this.master = undefined;
    this.slaves = [];
  }

  private logNotices(connection: Notices): void {
    const { owner } = this;
    connection.on('notice', ({ message }) => {
      owner.logger.log('info', message);
    });
    connection.on('notification', ({ channel, payload }) => {
      owner.logger.log('info', `Received NOTIFY on channel ${channel}: ${payload}.`);
    });
  }
}
