import {
  CannotExecuteNotConnectedError,
  DataSource,
  type EntityManager,
  type Migration,
  type QueryRunner,
  type ReplicationMode,
} from 'typeorm';
import type { PostgresDriver } from 'typeorm/driver/postgres/PostgresDriver.js';
import { DatabaseError } from '../database.errors.js';
import type { ResolvedDatabaseOptions } from '../database.options.js';
import type { DatabaseLoggers } from './database.logger.js';
import { RESET_TIMEOUT_MS } from '../pool/pool.options.js';
import { DataSourcePool } from './data-source.pool.js';
import { describeStart } from './describe-start.js';
import { ManagedEntityManager } from './managed-entity-manager.js';
import { type Borrower, ManagedQueryRunner } from './managed-query-runner.js';
import { directPool, pastPooler } from './past-pooler.js';
import type { ServerFacts } from './server-facts.js';
import { connectWithRetry } from './start.js';
import { type EntityTarget, typeOrmOptions } from './typeorm-options.js';

/** TypeORM's `DataSource` on our pool: it verifies its start, waits at its end, and all its query runners are ours. */
export class ManagedDataSource extends DataSource {
  /** The settings it was made from; no secret shows in it. */
  readonly settings: ResolvedDatabaseOptions;
  private readonly loggers: DatabaseLoggers;
  private readonly holder: { pool: DataSourcePool | undefined };
  /** Those of migrations that run past the pooler. */
  private readonly direct = new Set<DataSourcePool>();
  private verified: Promise<void> | undefined;
  private initializing: Promise<this> | undefined;
  private closing: Promise<void> | undefined;
  private closedBefore = false;
  private starting = false;
  private shutdown: { deadline: number; timer: NodeJS.Timeout } | undefined;
  /** Whether a lazy data source has connected. */
  private known = false;

  constructor(
    settings: ResolvedDatabaseOptions,
    entities: readonly EntityTarget[],
    loggers: DatabaseLoggers,
  ) {
    // TypeORM's constructor runs before our fields exist, so that the pool is reached through a holder.
    const holder: { pool: DataSourcePool | undefined } = { pool: undefined };
    super(
      typeOrmOptions(
        settings,
        entities,
        loggers,
        () => (holder.pool ??= new DataSourcePool(settings, loggers.pool)),
      ),
    );
    this.settings = settings;
    this.loggers = loggers;
    this.holder = holder;
    // `inspect(dataSource)` prints whole graphs; these add nothing to it.
    Object.defineProperty(this, 'holder', { enumerable: false });
    Object.defineProperty(this, 'loggers', { enumerable: false });
    Object.defineProperty(this, 'direct', { enumerable: false });
  }

  /** The connections; undefined before `initialize()` and after `destroy()`. */
  get pool(): DataSourcePool | undefined {
    return this.holder.pool;
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
    this.holder.pool = new DataSourcePool(this.settings, this.loggers.pool);
    this.starting = true;
    try {
      if (this.settings.startup === 'lazy') return await this.prepare();
      await (this.verified = this.verify());
      return await super.initialize();
    } catch (error) {
      // TypeORM leaves the pool of a failed start open.
      await this.abandon();
      throw error;
    } finally {
      this.starting = false;
    }
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

  /** Waits for the connections that are out, `timeouts.shutdownMs` at most, then closes. Once, however often called. */
  override async destroy(): Promise<void> {
    if (!this.isInitialized && !this.closing) return this.closedBefore ? undefined : super.destroy();
    return (this.closing ??= this.shutDown().finally(() => (this.closing = undefined)));
  }

  override createEntityManager(queryRunner?: QueryRunner): EntityManager {
    return new ManagedEntityManager(this, queryRunner);
  }

  override createQueryRunner(mode: ReplicationMode = 'master'): ManagedQueryRunner {
    return this.createRunner(mode);
  }

  /** @internal A runner that names its borrower in logs and errors. */
  createRunnerFor(borrower: Borrower): ManagedQueryRunner {
    return this.createRunner('master', borrower);
  }

  override runMigrations(...options: Parameters<DataSource['runMigrations']>): Promise<Migration[]> {
    return this.pastPooler(() => super.runMigrations(...options));
  }

  override undoLastMigration(...options: Parameters<DataSource['undoLastMigration']>): Promise<void> {
    return this.pastPooler(() => super.undoLastMigration(...options));
  }

  override showMigrations(): Promise<boolean> {
    return this.pastPooler(() => super.showMigrations());
  }

  private async pastPooler<T>(work: () => Promise<T>): Promise<T> {
    // What the first query of a lazy one brings along (version, schema, extensions) would not come: it goes past that.
    if (this.settings.direct && this.isInitialized && !directPool(this.settings)) await this.readyPool();
    return pastPooler(this.settings, this.loggers.pool, this.direct, work);
  }

  private createRunner(mode: ReplicationMode, borrower?: Borrower): ManagedQueryRunner {
    const direct = directPool(this.settings);
    const runner = new ManagedQueryRunner(this.driver as PostgresDriver, mode, {
      dataSource: this,
      pool: () => direct ?? this.readyPool(),
      echo: this.settings.echo,
      loggers: this.loggers,
      tracing: this.settings.pool.leakThresholdMs > 0,
      resetTimeoutMs: RESET_TIMEOUT_MS,
      acquireTimeoutMs: this.settings.pool.acquireTimeoutMs,
      retryTerminated: this.settings.retryTerminated,
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
    const facts = await connectWithRetry(pool, this.settings, this.loggers.module, retries);
    this.know(facts);
    const { plan } = pool;
    plan.learn(facts);
    const { line, warnings, details } = describeStart(this.settings, facts, plan);
    this.loggers.module.log(line);
    for (const warning of warnings) this.loggers.module.warn(warning);
    for (const detail of details) this.loggers.module.debug(detail);
  }

  private know(facts: ServerFacts): void {
    const driver = this.driver as PostgresDriver;
    driver.version = facts.version;
    driver.database = facts.database;
    driver.searchSchema = facts.schema;
    driver.schema ??= facts.schema;
  }

  /** A start without the database: entities and repositories are there, the first query connects. */
  private async prepare(): Promise<this> {
    (this.driver as PostgresDriver).master = this.holder.pool;
    if (this.queryResultCache) await this.queryResultCache.connect();
    await this.buildMetadatas();
    Object.assign(this, { isInitialized: true });
    return this;
  }

  /** The pool, when the server is known: at once after a verified start, with the first query after a lazy one. */
  private readyPool(): DataSourcePool | Promise<DataSourcePool> {
    const { pool } = this.holder;
    if (!pool) throw notConnected();
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

  /** Not `close()`: TypeORM 0.3 still has that one, as another name of `destroy()`. */
  private async shutDown(): Promise<void> {
    const { shutdownMs } = this.settings.timeouts;
    clearTimeout(this.shutdown?.timer);
    const left = this.shutdown ? Math.max(0, this.shutdown.deadline - Date.now()) : shutdownMs;
    // TypeORM destroys after a failed migration without having released its runner: nobody to wait for.
    const timeoutMs = this.starting ? 0 : left;
    const pools = [...(this.holder.pool ? [this.holder.pool] : []), ...this.direct];
    const reports = await Promise.all(pools.map((pool) => pool.drain({ timeoutMs })));
    const cut = reports.reduce((sum, report) => sum + report.cut, 0);
    if (cut > 0 && !this.starting)
      this.loggers.module.warn(
        `${cut} connection(s) were still in use after ${shutdownMs} ms (DB_SHUTDOWN_TIMEOUT) and were closed`,
      );
    (this.driver as PostgresDriver).master = undefined;
    if (this.queryResultCache) await this.queryResultCache.disconnect();
    Object.assign(this, { isInitialized: false });
    this.closedBefore = true;
    this.forget();
  }

  private async abandon(): Promise<void> {
    const { pool } = this.holder;
    this.forget();
    await pool?.drain({ timeoutMs: 0 });
  }

  private failed(error: unknown): void {
    this.loggers.module.error(`The data source could not be closed: ${String(error)}`);
  }

  private forget(): void {
    this.shutdown = undefined;
    this.holder.pool = undefined;
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
