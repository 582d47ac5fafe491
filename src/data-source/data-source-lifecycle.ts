import type { DataSource } from 'typeorm';
import { DatabaseError } from '../errors/database.error.js';
import { describeHolders } from '../pool/reporting/describe.js';
import { duration } from '../text/duration.js';
import type { DatabaseLogger } from './logging/database.logger.js';
import type { ManagedDriver } from './managed-driver.js';
import type { DataSourcePool } from './pools/data-source.pool.js';
import type { PoolGroup } from './pools/pool-group.js';
import { connectWithRetry } from './startup/connect-with-retry.js';
import { describeStart } from './startup/describe-start.js';
import { setInitialized, setServerInfo } from './typeorm-internals.js';

/** The steps of the data source that its lifecycle calls. */
interface LifecycleSteps {
  /** TypeORM's `initialize()`, under the schema lock where it changes the schema. */
  readonly initialize: () => Promise<unknown>;
  /** TypeORM's `destroy()`, which throws for a data source that was never initialized. */
  readonly destroy: () => Promise<void>;
  /** Builds the metadata of the entities. */
  readonly buildMetadatas: () => Promise<void>;
  /** Checks options before anything connects. */
  readonly checkOptions: () => void;
}

/**
 * The start and the end of a data source.
 *
 *     closed ──start()──► starting ──verified──► open ──beginShutdown()──► stopping ──close()──► closed
 *                            │ fails, or close()                                                   ▲
 *                            └─────────────────────────────────────────────────────────────────────┘
 *
 * With `startup: 'lazy'` the start opens no connection. The first statement verifies the server; if that fails, the next statement
 * tries again.
 */
export class DataSourceLifecycle {
  readonly #dataSource: DataSource;
  readonly #driver: ManagedDriver;
  readonly #pools: PoolGroup;
  readonly #logger: DatabaseLogger;
  readonly #steps: LifecycleSteps;
  #initializing: Promise<unknown> | undefined;
  #isStarting = false;
  #startAbort = new AbortController();
  /** The verification that is under way or has succeeded. */
  #verification: Promise<void> | undefined;
  #isVerified = false;
  #shutdown: { readonly deadline: number; readonly timer: NodeJS.Timeout } | undefined;
  #closing: Promise<void> | undefined;
  #wasClosed = false;

  constructor(dataSource: DataSource, driver: ManagedDriver, pools: PoolGroup, steps: LifecycleSteps) {
    this.#dataSource = dataSource;
    this.#driver = driver;
    this.#pools = pools;
    this.#logger = pools.loggers.module;
    this.#steps = steps;
  }

  /** Whether a start is under way. */
  get isStarting(): boolean {
    return this.#isStarting;
  }

  /** Whether options that are read at the start can no longer take effect. */
  get hasStarted(): boolean {
    return this.#dataSource.isInitialized || this.#initializing !== undefined;
  }

  /** Whether `beginShutdown()` was called. */
  get isStopping(): boolean {
    return this.#shutdown !== undefined;
  }

  get isClosing(): boolean {
    return this.#closing !== undefined;
  }

  // ---- start ---------------------------------------------------------------------------------------------------------

  /** Starts the data source. Concurrent calls share one start. */
  async start(): Promise<void> {
    await (this.#initializing ??= this.#start().finally(() => (this.#initializing = undefined)));
  }

  async #start(): Promise<void> {
    this.#steps.checkOptions();
    this.#openPools();
    this.#isStarting = true;
    this.#startAbort = new AbortController();
    try {
      if (this.#pools.settings.startup === 'lazy') return await this.#prepare();
      await (this.#verification = this.#verify());
      await this.#steps.initialize();
    } catch (error) {
      // TypeORM leaves the pools of a failed start open.
      await this.#closeFailedStart();
      throw error;
    } finally {
      this.#isStarting = false;
    }
  }

  #openPools(): void {
    this.#pools.open();
    // Until the app has started: if another part of it fails to start, nothing closes this data source, and its idle connections
    // would keep the process alive.
    this.setAllowExitOnIdle(true);
    this.#driver.usePools(this.#pools.requirePrimary(), this.#pools.replicas);
  }

  /** Sets whether the process may exit while connections are idle. */
  setAllowExitOnIdle(isAllowed: boolean): void {
    for (const pool of this.#pools.opened) pool.setAllowExitOnIdle(isAllowed);
  }

  /** The start of a lazy data source: builds the metadata, so that repositories exist, and leaves the connect to the first statement. */
  async #prepare(): Promise<void> {
    await this.#dataSource.queryResultCache?.connect();
    await this.#steps.buildMetadatas();
    setInitialized(this.#dataSource, true);
  }

  /** Connects, queries the server and logs the result. Runs before TypeORM queries the server on a query runner of its own. */
  async #verify(): Promise<void> {
    const { settings } = this.#pools;
    // A statement of a lazy data source has its own deadline, and the next statement tries again.
    const retries = settings.startup === 'lazy' ? 0 : settings.connectRetry.retries;
    const pool = this.#pools.requirePrimary();
    const { signal } = this.#startAbort;
    const server = await connectWithRetry(pool, settings, this.#logger, retries, signal);
    setServerInfo(this.#driver, server);
    pool.pooler.observeServer(server);
    const { line, warnings, details } = describeStart(settings, server, pool.pooler);
    this.#logger.log(line);
    for (const warning of warnings) this.#logger.warn(warning);
    for (const detail of details) this.#logger.debug(detail);
  }

  /** The pool of the primary, once the server is verified. A promise only for the first statements of a lazy data source. */
  readyPool(): DataSourcePool | Promise<DataSourcePool> {
    const pool = this.#pools.requirePrimary();
    if (this.#pools.settings.startup !== 'lazy' || this.#isVerified) return pool;
    this.#verification ??= this.#verify()
      .then(() => this.#driver.afterConnect())
      .then(() => {
        this.#isVerified = true;
      })
      .catch((error: unknown) => {
        // A cached rejection would fail every later statement.
        this.#verification = undefined;
        throw error;
      });
    return this.#verification.then(() => pool);
  }

  // ---- end -----------------------------------------------------------------------------------------------------------

  /**
   * Begins the shutdown: health checks report it from now on. After `timeouts.shutdownMs` the data source closes even without a call of
   * `close()`: Nest calls that only when its HTTP server has closed, and the server waits for requests whose statements hang.
   */
  beginShutdown(): void {
    if (this.#shutdown || !this.#dataSource.isInitialized) return;
    const { shutdownMs } = this.#pools.settings.timeouts;
    const timer = setTimeout(
      () =>
        void this.#dataSource.destroy().catch((error: unknown) => {
          this.#logger.error(`The data source could not be closed: ${String(error)}`);
        }),
      shutdownMs,
    );
    this.#shutdown = { deadline: Date.now() + shutdownMs, timer };
  }

  /**
   * Waits for leased connections, at most `timeouts.shutdownMs`, and closes. Concurrent calls share one close. Aborts a start that is
   * under way.
   */
  async close(): Promise<void> {
    const { isInitialized } = this.#dataSource;
    if (this.#initializing && !isInitialized) return this.#abortStart(this.#initializing);
    if (!isInitialized && !this.#closing) return this.#wasClosed ? undefined : this.#steps.destroy();
    return (this.#closing ??= this.#close().finally(() => (this.#closing = undefined)));
  }

  async #close(): Promise<void> {
    const { shutdownMs } = this.#pools.settings.timeouts;
    clearTimeout(this.#shutdown?.timer);
    const remainingMs = this.#shutdown ? Math.max(0, this.#shutdown.deadline - Date.now()) : shutdownMs;
    // After a failed migration TypeORM destroys the data source without releasing its runner: a wait for it would take the whole timeout.
    const timeoutMs = this.#isStarting ? 0 : remainingMs;
    const pools = [...this.#pools.opened, ...this.#pools.direct];
    if (timeoutMs > 0) this.#logWait(pools, timeoutMs);
    const reports = await Promise.all(pools.map((pool) => pool.drain({ timeoutMs })));
    const closedCount = reports.reduce((sum, report) => sum + report.destroyed, 0);
    if (closedCount > 0 && !this.#isStarting)
      this.#logger.warn(
        `${closedCount} connection(s) were still in use after ${shutdownMs} ms (DB_SHUTDOWN_TIMEOUT) and were closed: ${pools.flatMap(({ log }) => log.closedLeases).join('; ')}`,
      );
    await this.#dataSource.queryResultCache?.disconnect();
    setInitialized(this.#dataSource, false);
    this.#wasClosed = true;
    this.#clear();
  }

  #logWait(pools: readonly DataSourcePool[], timeoutMs: number): void {
    const leases = pools.flatMap((pool) => pool.leases()).map((lease) => lease.info());
    const snapshots = pools.map((pool) => pool.snapshot());
    const waiting = snapshots.reduce((sum, snapshot) => sum + snapshot.waiting, 0);
    const shared = snapshots.reduce((sum, { multiplex }) => sum + (multiplex?.inFlight ?? 0), 0);
    if (leases.length + waiting + shared === 0) return;
    const statements = shared > 0 ? `, ${shared} statement(s) on shared connections` : '';
    const waiters = waiting > 0 ? ` and ${waiting} pending acquire(s)` : '';
    const borrowers = leases.length > 0 ? `: ${describeHolders(leases)}` : '';
    this.#logger.log(
      `Waiting at most ${duration(timeoutMs)} for ${leases.length} connection(s) in use${statements}${waiters}${borrowers}`,
    );
  }

  async #abortStart(initializing: Promise<unknown>): Promise<void> {
    this.#startAbort.abort(
      new DatabaseError('The data source was closed while it started.', {
        code: 'DATA_SOURCE_CLOSED',
        hint: 'Await initialize() before destroy().',
        dataSource: this.#pools.settings.name,
      }),
    );
    await Promise.all(this.#pools.opened.map((pool) => pool.drain({ timeoutMs: 0 })));
    await initializing.catch(() => undefined);
  }

  async #closeFailedStart(): Promise<void> {
    const pools = this.#pools.opened;
    this.#clear();
    await Promise.all(pools.map((pool) => pool.drain({ timeoutMs: 0 })));
  }

  #clear(): void {
    this.#shutdown = undefined;
    this.#pools.clear();
    this.#driver.clearPools();
    this.#verification = undefined;
    this.#isVerified = false;
  }
}
