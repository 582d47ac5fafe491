import type { ResolvedDatabaseOptions } from '../../database.options.js';
import type { DatabaseLoggers } from '../logging/database.logger.js';
import { ReplicaPool } from '../replicas/replica.pool.js';
import { notConnectedError } from '../typeorm-internals.js';
import { DataSourcePool } from './data-source.pool.js';
import { settingsForDatabase, settingsForServer } from './server-settings.js';

/** The pools of one data source: one for the primary, one for each read replica, and pools of direct connections. */
export class PoolGroup {
  readonly #loggers: DatabaseLoggers;
  readonly #direct = new Set<DataSourcePool>();
  #settings: ResolvedDatabaseOptions;
  #primary: DataSourcePool | undefined;
  #replicas: readonly ReplicaPool[] = [];

  constructor(settings: ResolvedDatabaseOptions, loggers: DatabaseLoggers) {
    this.#settings = settings;
    this.#loggers = loggers;
  }

  /** The settings with which pools are opened. */
  get settings(): ResolvedDatabaseOptions {
    return this.#settings;
  }

  /** The pool of the primary; undefined before `open()` and after `clear()`. */
  get primary(): DataSourcePool | undefined {
    return this.#primary;
  }

  get replicas(): readonly ReplicaPool[] {
    return this.#replicas;
  }

  /** The open pools of direct connections, on which migrations run. */
  get direct(): Set<DataSourcePool> {
    return this.#direct;
  }

  get loggers(): DatabaseLoggers {
    return this.#loggers;
  }

  /** The open pools of the primary and the replicas. */
  get opened(): readonly DataSourcePool[] {
    return this.#primary ? [this.#primary, ...this.#replicas] : [];
  }

  /** From the next `open()` on, the pools connect to another database of the same servers. */
  useDatabase(database: string): void {
    this.#settings = settingsForDatabase(this.#settings, database);
  }

  open(): void {
    const { pool: logger } = this.#loggers;
    const settings = this.#settings;
    this.#primary = new DataSourcePool(settings, logger);
    this.#replicas = (settings.replication?.replicas ?? []).map(
      (server) => new ReplicaPool(settingsForServer(settings, server), logger, () => this.requirePrimary()),
    );
  }

  /** Removes the closed pools. */
  clear(): void {
    this.#primary = undefined;
    this.#replicas = [];
  }

  /** @throws CannotExecuteNotConnectedError before `open()` and after `clear()` */
  requirePrimary(): DataSourcePool {
    if (!this.#primary) throw notConnectedError();
    return this.#primary;
  }

  /** Chooses the pool of a replica at random, as TypeORM does, or the pool of the primary while no replica can be reached. */
  chooseForReads(primary: DataSourcePool): DataSourcePool {
    const replicas = this.#replicas;
    const first = Math.floor(Math.random() * replicas.length);
    for (let offset = 0; offset < replicas.length; offset++) {
      const replica = replicas[(first + offset) % replicas.length]!;
      if (replica.isAvailable()) return replica;
    }
    return primary;
  }
}
