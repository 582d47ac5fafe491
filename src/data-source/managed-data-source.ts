import { CannotExecuteNotConnectedError, DataSource, TypeORMError } from 'typeorm';
import type { DataSourceOptions, EntityManager, Migration, QueryRunner, ReplicationMode } from 'typeorm';
import { DatabaseConfigError } from '../errors/config.errors.js';
import { DatabaseError } from '../errors/database.error.js';
import type { ResolvedDatabaseOptions } from '../database.options.js';
import { RESET_TIMEOUT_MS } from '../pool/pool.options.js';
import { TypeOrmLogger } from './logging/database.logger.js';
import type { DatabaseLoggers } from './logging/database.logger.js';
import { describeHolders, duration } from '../pool/reporting/describe.js';
import { DataSourcePool } from './pools/data-source.pool.js';
import { describeStart } from './startup/describe-start.js';
import { ManagedDriver } from './managed-driver.js';
import { ManagedEntityManager } from './managed-entity-manager.js';
import { ManagedQueryRunner } from './query-runner/managed-query-runner.js';
import type { Borrower } from './query-runner/managed-query-runner.js';
import { directPool, withDirectConnection } from './pooler/direct-connection.js';
import { availableReplica, ReplicaPool } from './pools/replica.pool.js';
import { settingsForDatabase, settingsForServer } from './startup/server-settings.js';
import { underSchemaLock } from './startup/schema-lock.js';
import { connectWithRetry } from './startup/start.js';
import { changeable, typeOrmLogger, typeOrmOptions, withoutEffect } from './typeorm-options.js';
import type { EntityTarget } from './typeorm-options.js';

/** What exists before the fields of a data source: TypeORM's constructor runs first. */
interface Holder {
  settings: ResolvedDatabaseOptions;
  pool: DataSourcePool | undefined;
  replicas: readonly ReplicaPool[];
}

/** TypeORM's `DataSource` on our pool: it verifies its start, waits at its end, and all its query runners are ours. */
export class ManagedDataSource extends DataSource {
  private readonly loggers: DatabaseLoggers;
  private readonly holder: Holder;
  /** Those of migrations that run past the pooler. */
  private readonly direct = new Set<DataSourcePool>();
  private verified: Promise<void> | undefined;
  private initializing: Promise<this> | undefined;
  private closing: Promise<void> | undefined;
  private closedBefore = false;
  private starting = false;
  /** Ends a start that is under way. */
  private stopStart = new AbortController();
  private shutdown: { deadline: number; timer: NodeJS.Timeout } | undefined;
  /** The method that makes a runner for its own call, while it does. */
  #caller: string | undefined;
  /** Whether a lazy data source has connected. */
  private known = false;

  constructor(
    settings: ResolvedDatabaseOptions,
    entities: readonly EntityTarget[],
    loggers: DatabaseLoggers,
  ) {
    const holder: Holder = { settings, pool: undefined, replicas: [] };
    const derivedFrom = () => ({
      settings: holder.settings,
      plan: holder.pool?.plan,
      logger: loggers.pool,
    });
    super(typeOrmOptions(settings, entities, loggers, derivedFrom));
    this.driver = new ManagedDriver(this);
    this.loggers = loggers;
    this.holder = holder;
    // `inspect(dataSource)` prints whole graphs; these add nothing to it.
    Object.defineProperty(this, 'holder', { enumerable: false });
    Object.defineProperty(this, 'loggers', { enumerable: false });
    Object.defineProperty(this, 'direct', { enumerable: false });
    // The client of a cache holds its own password.
    Object.defineProperty(this, 'queryResultCache', {
      value: this.queryResultCache,
      enumerable: false,
      writable: true,
      configurable: true,
    });
  }

  /** The settings it was made from; no secret shows in it. */
  get settings(): ResolvedDatabaseOptions {
    return this.holder.settings;
  }

  /** The connections, with `replication` those to the primary; undefined before `initialize()` and after `destroy()`. */
  get pool(): DataSourcePool | undefined {
    return this.holder.pool;
  }

  /** The connections to the read replicas, in the order of `replication.slaves`; none without `replication`. */
  get replicaPools(): readonly DataSourcePool[] {
    return this.holder.replicas;
  }

  /**
   * Changes options of TypeORM. `database` and what else counts at the start has to be set before `initialize()`, `logging`
   * may be at any time.
   * @throws DatabaseConfigError for what could have no effect
   */
  override setOptions(options: Partial<DataSourceOptions>): this {
    const { settings } = this;
    const started = this.isInitialized || this.initializing !== undefined;
    const problems = withoutEffect(options, this.options, settings.server.database, started);
    if (problems.length > 0)
      throw new DatabaseConfigError(problems, {
        hint: 'Change the settings named above; nothing has changed.',
        dataSource: settings.name,
      });
    const { database } = options as { database?: string };
    const { logging, logger } = options;
    super.setOptions(changeable(options));
    if (database !== undefined) this.holder.settings = settingsForDatabase(settings, database);
    if (logging !== undefined && !logger && this.options.logger instanceof TypeOrmLogger) {
      this.logger = typeOrmLogger(settings, this.loggers, logging);
      Object.assign(this.options, { logger: this.logger });
    }
    return this;
  }

  /**
   * Connects and verifies, or with `startup: 'lazy'` only prepares.
   * @throws DatabaseConnectionError when the database can't be reached or refuses, with its diagnosis
   */
  override async initialize(): Promise<this> {
    if (this.isInitialized) return super.initialize();
    return (this.initializing ??= this.start().finally(() => (this.initializing = undefined)));
  }

  private async start(): Promise<this> {
    this.checkIsolationLevel();
    this.openPools();
    this.starting = true;
    this.stopStart = new AbortController();
    try {
      if (this.settings.startup === 'lazy') return await this.prepare();
      await (this.verified = this.verify());
      const { dropSchema, migrationsRun, synchronize } = this.options;
      // From the first to the last of them: another instance must not come in between.
      if (dropSchema || migrationsRun || synchronize)
        return await this.changingSchema(() => super.initialize());
      return await super.initialize();
    } catch (error) {
      // TypeORM leaves the pool of a failed start open.
      await this.abandon();
      throw error;
    } finally {
      this.starting = false;
    }
  }

  /** TypeORM 1 checks it before it connects, TypeORM 0.3 has no such option. */
  private checkIsolationLevel(): void {
    const { isolationLevel } = this.options as { isolationLevel?: string };
    const { supportedIsolationLevels } = this.managedDriver as {
      supportedIsolationLevels?: readonly string[];
    };
    if (isolationLevel && supportedIsolationLevels && !supportedIsolationLevels.includes(isolationLevel))
      throw new TypeORMError(`${isolationLevel} isolation level is not supported`);
  }

  private openPools(): void {
    const { holder, settings } = this;
    const { pool: logger } = this.loggers;
    holder.pool = new DataSourcePool(settings, logger);
    holder.replicas = (settings.replication?.replicas ?? []).map(
      (server) => new ReplicaPool(settingsForServer(settings, server), logger, () => this.primary()),
    );
    // Until the app has started: where it fails to, nothing tells this data source to close.
    for (const pool of this.openedPools()) pool.setAllowExitOnIdle(true);
    this.managedDriver.usePools(holder.pool, holder.replicas);
  }

  /**
   * @internal The app is about to stop: health checks say so from now on, and `timeouts.shutdownMs` from now the data source closes,
   * whether or not `destroy()` has been called. An HTTP server that waits for a request with a hanging statement would
   * else never get there.
   */
  beginShutdown(): void {
    if (this.shutdown || !this.isInitialized) return;
    const { shutdownMs } = this.settings.timeouts;
    const timer = setTimeout(
      () => void this.destroy().catch((error: unknown) => this.failed(error)),
      shutdownMs,
    );
    this.shutdown = { deadline: Date.now() + shutdownMs, timer };
  }

  /** Whether the app is about to stop. */
  get stopping(): boolean {
    return this.shutdown !== undefined;
  }

  /** @internal The app has started: idle connections keep its process alive. */
  holdProcess(): void {
    for (const pool of this.openedPools()) pool.setAllowExitOnIdle(false);
  }

  /**
   * Waits for the connections that are out, `timeouts.shutdownMs` at most, then closes. Once, however often called. A start
   * that is under way ends.
   */
  override async destroy(): Promise<void> {
    if (this.initializing && !this.isInitialized) return this.abortStart(this.initializing);
    if (!this.isInitialized && !this.closing) return this.closedBefore ? undefined : super.destroy();
    return (this.closing ??= this.shutDown().finally(() => (this.closing = undefined)));
  }

  /** As TypeORM's, which makes the runner before it awaits anything: messages name that by this method. */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- TypeORM's own signature
  override query<T = any>(query: string, parameters?: any, queryRunner?: QueryRunner): Promise<T> {
    this.#caller = 'dataSource.query';
    const rows = super.query<T>(query, parameters as unknown[], queryRunner);
    this.#caller = undefined;
    return rows;
  }

  override createEntityManager(queryRunner?: QueryRunner): EntityManager {
    return new ManagedEntityManager(this, queryRunner);
  }

  override createQueryRunner(mode: ReplicationMode = 'master'): ManagedQueryRunner {
    return this.createRunner(mode, undefined, this.#caller);
  }

  /** @internal A runner that names its borrower in logs and errors. */
  createRunnerFor(borrower: Borrower): ManagedQueryRunner {
    return this.createRunner('master', borrower);
  }

  /** One instance at a time. */
  override synchronize(...options: Parameters<DataSource['synchronize']>): Promise<void> {
    return this.changingSchema(() => super.synchronize(...options));
  }

  /** One instance at a time. */
  override dropDatabase(): Promise<void> {
    return this.changingSchema(() => super.dropDatabase());
  }

  /** One instance at a time, past the pooler where there is a way. */
  override runMigrations(...options: Parameters<DataSource['runMigrations']>): Promise<Migration[]> {
    return this.changingSchema(() => this.withDirectConnection(() => super.runMigrations(...options)));
  }

  /** One instance at a time, past the pooler where there is a way. */
  override undoLastMigration(...options: Parameters<DataSource['undoLastMigration']>): Promise<void> {
    return this.changingSchema(() => this.withDirectConnection(() => super.undoLastMigration(...options)));
  }

  override showMigrations(): Promise<boolean> {
    return this.withDirectConnection(() => super.showMigrations());
  }

  private async changingSchema<T>(work: () => Promise<T>): Promise<T> {
    // TypeORM says so.
    if (!this.isInitialized && !this.starting) return work();
    const { plan } = await this.readyPool();
    const check = () => {
      if (this.closing || !this.holder.pool) throw notConnected();
    };
    const { settings } = this;
    const database = this.managedDriver.database ?? settings.server.database;
    return underSchemaLock(this, { settings, plan, logger: this.loggers.module, database, check }, work);
  }

  private async withDirectConnection<T>(work: () => Promise<T>): Promise<T> {
    // What the first query of a lazy one brings along (version, schema, extensions) would not come: it goes past that.
    if (this.settings.direct && this.isInitialized && !directPool(this.settings)) await this.readyPool();
    return withDirectConnection(this.settings, this.loggers.pool, this.direct, work);
  }

  private createRunner(mode: ReplicationMode, borrower?: Borrower, caller?: string): ManagedQueryRunner {
    const direct = directPool(this.settings);
    const reads = mode === 'slave' && this.settings.replication !== undefined;
    const runner = new ManagedQueryRunner(this.managedDriver, mode, {
      dataSource: this,
      pool: reads ? () => direct ?? this.poolForReads() : () => direct ?? this.readyPool(),
      echo: this.settings.echo,
      loggers: this.loggers,
      tracing: this.settings.pool.leakThresholdMs > 0,
      resetTimeoutMs: RESET_TIMEOUT_MS,
      acquireTimeoutMs: this.settings.pool.acquireTimeoutMs,
      retryTerminated: this.settings.retryTerminated,
      httpErrors: this.settings.httpErrors,
      caller,
      borrower,
    });
    Object.assign(runner, { manager: this.createEntityManager(runner) });
    return runner;
  }

  /** Asks the server before TypeORM does, which would take a runner past `createQueryRunner`. */
  private async verify(): Promise<void> {
    // A query of a lazy data source has its own deadline; the next one tries again.
    const retries = this.settings.startup === 'lazy' ? 0 : this.settings.connectRetry.retries;
    const pool = this.holder.pool as DataSourcePool;
    const { signal } = this.stopStart;
    const facts = await connectWithRetry(pool, this.settings, this.loggers.module, retries, signal);
    this.managedDriver.know(facts);
    const { plan } = pool;
    plan.onStarted(facts);
    const { line, warnings, details } = describeStart(this.settings, facts, plan);
    this.loggers.module.log(line);
    for (const warning of warnings) this.loggers.module.warn(warning);
    for (const detail of details) this.loggers.module.debug(detail);
  }

  /** A start without the database: entities and repositories are there, the first query connects. */
  private async prepare(): Promise<this> {
    if (this.queryResultCache) await this.queryResultCache.connect();
    await this.buildMetadatas();
    Object.assign(this, { isInitialized: true });
    return this;
  }

  /** The pool, when the server is known: at once after a verified start, with the first query after a lazy one. */
  private readyPool(): DataSourcePool | Promise<DataSourcePool> {
    const pool = this.primary();
    if (this.settings.startup !== 'lazy' || this.known) return pool;
    this.verified ??= this.verify()
      .then(() => this.driver.afterConnect())
      .then(() => {
        this.known = true;
      })
      .catch((error: unknown) => {
        // The next query tries again: one bad moment must not end a lazy data source for ever.
        this.verified = undefined;
        throw error;
      });
    return this.verified.then(() => pool);
  }

  /** The pool of a replica, or of the primary while no replica can be reached. */
  private poolForReads(): DataSourcePool | Promise<DataSourcePool> {
    const choose = (primary: DataSourcePool) => availableReplica(this.holder.replicas) ?? primary;
    const ready = this.readyPool();
    return ready instanceof Promise ? ready.then(choose) : choose(ready);
  }

  private primary(): DataSourcePool {
    const { pool } = this.holder;
    if (!pool) throw notConnected();
    return pool;
  }

  /** Ours since the constructor; `driver` keeps TypeORM's type, which both its generations have. */
  private get managedDriver(): ManagedDriver {
    return this.driver as ManagedDriver;
  }

  /** Not `close()`: TypeORM 0.3 still has that one, as another name of `destroy()`. */
  private async shutDown(): Promise<void> {
    const { shutdownMs } = this.settings.timeouts;
    clearTimeout(this.shutdown?.timer);
    const left = this.shutdown ? Math.max(0, this.shutdown.deadline - Date.now()) : shutdownMs;
    // TypeORM destroys after a failed migration without having released its runner: nobody to wait for.
    const timeoutMs = this.starting ? 0 : left;
    const pools = [...this.openedPools(), ...this.direct];
    if (timeoutMs > 0) this.tellWait(pools, timeoutMs);
    const reports = await Promise.all(pools.map((pool) => pool.drain({ timeoutMs })));
    const cut = reports.reduce((sum, report) => sum + report.cut, 0);
    if (cut > 0 && !this.starting)
      this.loggers.module.warn(
        `${cut} connection(s) were still in use after ${shutdownMs} ms (DB_SHUTDOWN_TIMEOUT) and were closed: ${pools.flatMap(({ log }) => log.cut).join('; ')}`,
      );
    if (this.queryResultCache) await this.queryResultCache.disconnect();
    Object.assign(this, { isInitialized: false });
    this.closedBefore = true;
    this.forget();
  }

  /** Says what the end of the data source waits for, if there is anything. */
  private tellWait(pools: readonly DataSourcePool[], timeoutMs: number): void {
    const holders = pools.flatMap((pool) => pool.leases()).map((lease) => lease.info());
    const waiting = pools.reduce((sum, pool) => sum + pool.snapshot().waiting, 0);
    if (holders.length + waiting === 0) return;
    const waiters = waiting > 0 ? ` and ${waiting} that wait for one` : '';
    const named = holders.length > 0 ? `: ${describeHolders(holders)}` : '';
    this.loggers.module.log(
      `Waiting at most ${duration(timeoutMs)} for ${holders.length} connection(s) in use${waiters}${named}`,
    );
  }

  private async abortStart(initializing: Promise<this>): Promise<void> {
    this.stopStart.abort(
      new DatabaseError('The data source was closed while it started.', {
        code: 'DATA_SOURCE_CLOSED',
        hint: 'Await initialize() before destroy().',
        dataSource: this.settings.name,
      }),
    );
    await Promise.all(this.openedPools().map((pool) => pool.drain({ timeoutMs: 0 })));
    await initializing.catch(() => undefined);
  }

  private async abandon(): Promise<void> {
    const pools = this.openedPools();
    this.forget();
    await Promise.all(pools.map((pool) => pool.drain({ timeoutMs: 0 })));
  }

  private failed(error: unknown): void {
    this.loggers.module.error(`The data source could not be closed: ${String(error)}`);
  }

  private openedPools(): DataSourcePool[] {
    const { pool, replicas } = this.holder;
    return pool ? [pool, ...replicas] : [];
  }

  private forget(): void {
    this.shutdown = undefined;
    this.holder.pool = undefined;
    this.holder.replicas = [];
    this.managedDriver.forgetPools();
    this.verified = undefined;
    this.known = false;
  }
}

/** TypeORM 0.3 puts the argument of its constructor into the message, TypeORM 1 takes none. */
function notConnected(): CannotExecuteNotConnectedError {
  const error = new CannotExecuteNotConnectedError();
  error.message = 'Cannot execute operation because connection is not yet established.';
  return error;
}

/** The data source as ours, for whom it needs the pool. */
export function managed(dataSource: DataSource): ManagedDataSource {
  if (dataSource instanceof ManagedDataSource) return dataSource;
  throw new DatabaseError('This data source was not made by DatabaseModule.', {
    code: 'DATA_SOURCE_FOREIGN',
    hint: 'Pool figures are known of data sources of DatabaseModule.forRoot and forRootAsync only.',
  });
}
