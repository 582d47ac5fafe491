import { DataSource, TypeORMError } from 'typeorm';
import type { DataSourceOptions, EntityManager, Migration, QueryRunner, ReplicationMode } from 'typeorm';
import { DatabaseConfigError } from '../errors/config.errors.js';
import { DatabaseError } from '../errors/database.error.js';
import type { ResolvedDatabaseOptions } from '../database.options.js';
import { DataSourceLifecycle } from './data-source-lifecycle.js';
import { TypeOrmLogger } from './logging/database.logger.js';
import type { DatabaseLoggers } from './logging/database.logger.js';
import { ManagedDriver } from './managed-driver.js';
import { ManagedEntityManager } from './managed-entity-manager.js';
import { loadedMigrations } from './migrations/loaded-migration.js';
import { Migrator } from './migrations/migrator.js';
import { typeOrmMigration } from './migrations/transaction-rule.js';
import { directPool, withDirectConnection } from './pooler/direct-connection.js';
import type { DataSourcePool } from './pools/data-source.pool.js';
import { PoolGroup } from './pools/pool-group.js';
import { refuseSharedSession } from './pooler/shared-session.js';
import type { ManagedQueryRunner } from './query-runner/managed-query-runner.js';
import { RunnerFactory } from './runner-factory.js';
import { underSchemaLock } from './startup/schema-lock.js';
import type { SchemaLockWait } from './startup/schema-lock.js';
import {
  assumeServer,
  hideQueryResultCache,
  notConnectedError,
  setLogger,
  supportedIsolationLevels,
} from './typeorm-internals.js';
import {
  changeableOptions,
  createTypeOrmLogger,
  ineffectiveOptions,
  typeOrmOptions,
} from './typeorm-options.js';
import type { EntityTarget } from './typeorm-options.js';

/**
 * TypeORM's `DataSource` on the pool of this package. It verifies the server when it starts and waits for leased connections when it
 * closes. All its query runners are `ManagedQueryRunner`s. `DatabaseModule` creates it; inject it as `DataSource`.
 *
 * The class has no `#private` fields: TypeORM's constructor calls overridden methods before fields of a subclass exist, and a Proxy
 * around a data source cannot read them. Its state is in `pools`, `lifecycle` and `runners`.
 *
 * @example
 * ```ts
 * constructor(private readonly dataSource: DataSource) {}
 *
 * leased(): number | undefined {
 *   return this.dataSource instanceof ManagedDataSource ? this.dataSource.pool?.snapshot().leased : undefined;
 * }
 * ```
 */
export class ManagedDataSource extends DataSource {
  /** @internal */
  readonly pools: PoolGroup;
  /** @internal */
  readonly lifecycle: DataSourceLifecycle;
  /** @internal */
  readonly runners: RunnerFactory;
  /** @internal Runs, reverts and shows the migrations. */
  readonly migrator: Migrator;

  constructor(
    settings: ResolvedDatabaseOptions,
    entities: readonly EntityTarget[],
    loggers: DatabaseLoggers,
  ) {
    const pools = new PoolGroup(settings, loggers);
    super(typeOrmOptions(settings, entities, loggers, pools));
    const driver = new ManagedDriver(this);
    this.driver = driver;
    this.pools = pools;
    this.lifecycle = new DataSourceLifecycle(this, driver, pools, {
      checkOptions: () => this.checkIsolationLevel(),
      buildMetadatas: () => this.buildMetadatas(),
      destroy: () => super.destroy(),
      initialize: () => {
        const { dropSchema, migrationsRun, synchronize } = this.options;
        // One lock for all three: another instance must not change the schema between them.
        if (dropSchema || migrationsRun || synchronize)
          return this.changeSchema(() => super.initialize(), { needsSession: migrationsRun });
        return super.initialize();
      },
    });
    this.runners = new RunnerFactory(this, driver, pools, this.lifecycle);
    this.migrator = new Migrator({
      dataSource: this,
      logger: loggers.module,
      database: () => this.databaseName(),
      createQueryRunner: (callerName) => this.createQueryRunner('master', callerName),
      refusePooler: () => this.refusePooler(),
      underLock: (work, wait) => this.changeSchema(work, wait),
      onDirectConnection: (work) => this.onDirectConnection(work),
      check: () => this.refuseClosing(),
    });
    hideQueryResultCache(this);
  }

  /** The settings that the data source was created from. `inspect` prints no secret of them. */
  get settings(): ResolvedDatabaseOptions {
    return this.pools.settings;
  }

  /** The pool; with `replication`, the pool of the primary. Undefined before `initialize()` and after `destroy()`. */
  get pool(): DataSourcePool | undefined {
    return this.pools.primary;
  }

  /** The pools of the read replicas, in the order of `replication.slaves`; empty without `replication`. */
  get replicaPools(): readonly DataSourcePool[] {
    return this.pools.replicas;
  }

  /** Whether the app is shutting down: true from `onModuleDestroy` on, before the data source closes. */
  get isStopping(): boolean {
    return this.lifecycle.isStopping;
  }

  /**
   * Changes options of TypeORM. `logging` may change at any time; `database`, and other options that are read at the start, only before
   * `initialize()`.
   *
   * @throws DatabaseConfigError `DATABASE_CONFIG_INVALID` for an option that would have no effect; then no option is changed
   */
  override setOptions(options: Partial<DataSourceOptions>): this {
    const { pools } = this;
    const { server, name } = pools.settings;
    const problems = ineffectiveOptions(options, this.options, server.database, this.lifecycle.hasStarted);
    if (problems.length > 0)
      throw new DatabaseConfigError(problems, {
        hint: 'Change the settings named above; nothing has changed.',
        dataSource: name,
      });
    const { database } = options as { database?: string };
    const { logging, logger } = options;
    super.setOptions(changeableOptions(options));
    if (database !== undefined) pools.useDatabase(database);
    if (logging !== undefined && !logger && this.options.logger instanceof TypeOrmLogger)
      setLogger(this, createTypeOrmLogger(pools.settings, pools.loggers, logging));
    return this;
  }

  // ---- start and end -------------------------------------------------------------------------------------------------

  /**
   * Connects and verifies the server. With `startup: 'lazy'` it opens no connection; the first statement connects. `connectRetry` decides
   * how transient failures are retried.
   *
   * @throws DatabaseConnectionError with the diagnosis as `code` and `hint`, if the server cannot be reached or refuses the connection
   * @throws DatabaseConfigError `DATABASE_CONFIG_INVALID` if no server is configured
   */
  override async initialize(): Promise<this> {
    // TypeORM throws its own error then.
    if (this.isInitialized) return super.initialize();
    await this.lifecycle.start();
    return this;
  }

  /**
   * Waits for leased connections, at most `timeouts.shutdownMs` milliseconds, and closes all pools. Aborts a start that is under way.
   * Further calls do nothing.
   *
   * @throws CannotExecuteNotConnectedError before the first `initialize()`
   */
  override async destroy(): Promise<void> {
    return this.lifecycle.close();
  }

  /** TypeORM 1 checks the option before it connects; TypeORM 0.3 has no such option. */
  protected checkIsolationLevel(): void {
    const { isolationLevel } = this.options as { isolationLevel?: string };
    const supported = supportedIsolationLevels(this.driver as ManagedDriver);
    if (isolationLevel && supported && !supported.includes(isolationLevel))
      throw new TypeORMError(`${isolationLevel} isolation level is not supported`);
  }

  /**
   * @internal Builds the metadata of entities and migrations without a connection, to write the SQL of migrations. The driver gets what it
   * would otherwise read from the server: the database of the settings, and the first schema of `search_path` or else `public`.
   */
  async prepareOffline(): Promise<void> {
    if (this.isInitialized) return;
    const { server, session } = this.settings;
    assumeServer(this.driver as ManagedDriver, {
      database: server.database,
      schema: firstSchemaOf(session['search_path']),
    });
    await this.buildMetadatas();
  }

  // ---- query runners -------------------------------------------------------------------------------------------------

  /**
   * Sends one statement on a query runner of its own, or on the given one.
   *
   * @throws QueryFailedError if the statement fails
   * @throws PoolError if the pool has no connection in time
   */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- TypeORM's own signature
  override query<T = any>(query: string, parameters?: any, queryRunner?: QueryRunner): Promise<T> {
    return queryRunner
      ? super.query<T>(query, parameters as unknown[], queryRunner)
      : this.queryOnOwnRunner<T>(query, parameters as unknown[]);
  }

  protected async queryOnOwnRunner<T>(query: string, parameters: unknown[] | undefined): Promise<T> {
    const runner = this.createQueryRunner('master', 'dataSource.query');
    try {
      return (await runner.query(query, parameters)) as T;
    } finally {
      await runner.release();
    }
  }

  /** TypeORM's constructor calls it before this class has any field. */
  override createEntityManager(queryRunner?: QueryRunner): EntityManager {
    return new ManagedEntityManager(this, queryRunner);
  }

  /**
   * Creates a query runner, which the caller must release. The runner acquires a connection with its first statement and keeps it until
   * `release()`.
   *
   * @param mode `slave` acquires from a read replica if `replication` is configured
   * @param callerName the name of the borrower in warnings and errors
   */
  override createQueryRunner(mode: ReplicationMode = 'master', callerName?: string): ManagedQueryRunner {
    return this.runners.create(mode, undefined, callerName);
  }

  // ---- schema --------------------------------------------------------------------------------------------------------

  /**
   * As TypeORM's, under the schema lock: one instance of the app at a time.
   *
   * @throws DatabaseConnectionError if the connection of the schema lock cannot be opened
   */
  override synchronize(...options: Parameters<DataSource['synchronize']>): Promise<void> {
    return this.changeSchema(() => super.synchronize(...options));
  }

  /**
   * As TypeORM's, under the schema lock: one instance of the app at a time.
   *
   * @throws DatabaseConnectionError if the connection of the schema lock cannot be opened
   */
  override dropDatabase(): Promise<void> {
    return this.changeSchema(() => super.dropDatabase());
  }

  /**
   * Runs the pending migrations under the schema lock, on a direct connection if a direct server is configured. Each migration runs in a
   * transaction of its own, unless the option `migrationsTransactionMode` or `options.transaction` says otherwise: TypeORM's default is one
   * transaction for all (`all`), in which no migration may set `transaction = false`.
   *
   * @throws MigrationError `MIGRATION_FAILED` with the error of the statement as `cause`; `MIGRATION_POOLER` behind a pooler in transaction
   * mode without a direct server; `MIGRATION_CONCURRENTLY`, `MIGRATION_NAME_INVALID`
   * @throws DatabaseConnectionError if the connection of the schema lock cannot be opened
   */
  override async runMigrations(...[options]: Parameters<DataSource['runMigrations']>): Promise<Migration[]> {
    this.refuseNotInitialized();
    const results = await this.migrator.run(options);
    // As TypeORM, which returns the migrations that it has run, and not those that it has only recorded.
    if (options?.fake) return [];
    return results.map(({ migration, transaction }) => typeOrmMigration(migration, transaction));
  }

  /**
   * Reverts the migration that was executed last, under the schema lock, and on a direct connection if a direct server is configured. It
   * runs in a transaction unless the migration sets `transaction = false`, which TypeORM ignores here, or `options.transaction` is `none`.
   *
   * @throws MigrationError `MIGRATION_UNKNOWN` if the source code does not have that migration; otherwise as `runMigrations()`
   * @throws DatabaseConnectionError if the connection of the schema lock cannot be opened
   */
  override async undoLastMigration(...[options]: Parameters<DataSource['undoLastMigration']>): Promise<void> {
    this.refuseNotInitialized();
    await this.migrator.revert(options);
  }

  /**
   * Logs all migrations of the source code, on a direct connection if a direct server is configured. Creates no table.
   * @returns whether one is pending
   */
  override async showMigrations(): Promise<boolean> {
    this.refuseNotInitialized();
    const { executed, pending } = await this.migrator.status();
    const ids = new Map(executed.map(({ id, name }) => [name, id]));
    for (const { name } of loadedMigrations(this)) {
      const id = ids.get(name);
      this.logger.logSchemaBuild(id === undefined ? `[ ] ${name}` : `[X] ${id} ${name}`);
    }
    return pending.length > 0;
  }

  protected async changeSchema<T>(work: () => Promise<T>, wait: SchemaLockWait = {}): Promise<T> {
    // TypeORM throws its own error then.
    if (!this.isInitialized && !this.lifecycle.isStarting) return work();
    const { pooler } = await this.lifecycle.readyPool();
    const { settings, loggers } = this.pools;
    const check = () => this.refuseClosing();
    const database = this.databaseName();
    return underSchemaLock(
      this,
      { ...wait, settings, pooler, logger: loggers.module, database, check },
      work,
    );
  }

  protected databaseName(): string {
    return this.driver.database ?? this.pools.settings.server.database;
  }

  /** @throws CannotExecuteNotConnectedError */
  protected refuseNotInitialized(): void {
    if (!this.isInitialized) throw notConnectedError();
  }

  /** @throws CannotExecuteNotConnectedError */
  protected refuseClosing(): void {
    if (this.lifecycle.isClosing || !this.pools.primary) throw notConnectedError();
  }

  /** @throws MigrationError `MIGRATION_POOLER` */
  protected async refusePooler(): Promise<void> {
    const { pooler } = await this.lifecycle.readyPool();
    if (!this.pools.settings.direct) refuseSharedSession(pooler, undefined);
  }

  protected async onDirectConnection<T>(work: () => Promise<T>): Promise<T> {
    const { settings, loggers, direct } = this.pools;
    // The first statement of a lazy data source queries version and schema and installs extensions. A statement on the direct connection
    // skips that.
    if (settings.direct && this.isInitialized && !directPool(settings)) await this.lifecycle.readyPool();
    return withDirectConnection(settings, loggers.pool, direct, work);
  }
}

/**
 * Asserts that the data source is a `ManagedDataSource`.
 * @throws DatabaseError `DATA_SOURCE_FOREIGN`
 */
export function requireManagedDataSource(dataSource: DataSource): ManagedDataSource {
  if (dataSource instanceof ManagedDataSource) return dataSource;
  throw new DatabaseError('This data source was not created by DatabaseModule.', {
    code: 'DATA_SOURCE_FOREIGN',
    hint: 'Only data sources of DatabaseModule.forRoot() and forRootAsync() have pool figures.',
  });
}

/** The schema in which a session with this `search_path` creates tables, if it exists and the role has no schema of its own. */
function firstSchemaOf(searchPath = ''): string {
  const names = searchPath.split(',').map((name) => name.trim().replace(/^"(.*)"$/, '$1'));
  return names.find((name) => name !== '' && name !== '$user') ?? 'public';
}
