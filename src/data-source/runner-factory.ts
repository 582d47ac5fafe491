import type { DataSource, ReplicationMode } from 'typeorm';
import type { DataSourceLifecycle } from './data-source-lifecycle.js';
import type { ManagedDriver } from './managed-driver.js';
import { directPool } from './pooler/direct-connection.js';
import type { PoolGroup } from './pools/pool-group.js';
import { ManagedQueryRunner } from './query-runner/managed-query-runner.js';
import type { RequestBorrower } from './query-runner/borrower.js';
import type { RunnerSettings } from './query-runner/managed-query-runner.js';
import type { PoolSource } from './query-runner/runner-lease.js';

/** Creates the query runners of one data source. They share one settings object and the same pool sources. */
export class RunnerFactory {
  readonly #driver: ManagedDriver;
  readonly #pools: PoolGroup;
  readonly #settings: RunnerSettings;
  readonly #poolForWrites: PoolSource;
  readonly #poolForReads: PoolSource;

  constructor(
    dataSource: DataSource,
    driver: ManagedDriver,
    pools: PoolGroup,
    lifecycle: DataSourceLifecycle,
  ) {
    const { echo, httpErrors, multiplex, pool, retryTerminated } = pools.settings;
    this.#driver = driver;
    this.#pools = pools;
    this.#settings = {
      dataSource,
      echo,
      httpErrors,
      retryTerminated,
      sharesConnections: multiplex !== false,
      isTracing: pool.leakThresholdMs > 0,
      acquireTimeoutMs: pool.acquireTimeoutMs,
      moduleLogger: pools.loggers.module,
      queryLogger: pools.loggers.query,
    };
    this.#poolForWrites = () => lifecycle.readyPool();
    this.#poolForReads = () => {
      const ready = lifecycle.readyPool();
      return ready instanceof Promise
        ? ready.then((primary) => pools.chooseForReads(primary))
        : pools.chooseForReads(ready);
    };
  }

  /**
   * @param borrower the request that the runner belongs to
   * @param callerName the name in warnings and errors of a borrower without a request
   */
  create(mode: ReplicationMode, borrower?: RequestBorrower, callerName?: string): ManagedQueryRunner {
    const { settings } = this.#pools;
    const direct = settings.direct && directPool(settings);
    const isRead = mode === 'slave' && settings.replication !== undefined;
    const pool = direct ? () => direct : isRead ? this.#poolForReads : this.#poolForWrites;
    return new ManagedQueryRunner(this.#driver, mode, this.#settings, pool, borrower, callerName);
  }
}
