import type { QueryRunner } from 'typeorm';
import type { ManagedDataSource } from '../data-source/managed-data-source.js';
import type { ManagedQueryRunner, RunnerBorrower } from '../data-source/query-runner/managed-query-runner.js';
import { CLIENT_DISCONNECTED } from './request-lifecycle.js';

/**
 * The query runners of one request on one data source; inject it by `@InjectUnitOfWork()`. A runner keeps a connection only while a
 * statement is pending, or while an open transaction, `connect()`, a changed session or a stream pins it. The end of the request rolls
 * back open transactions and releases the runners.
 *
 * @example
 * ```ts
 * constructor(@InjectUnitOfWork() private readonly unit: UnitOfWork) {}
 *
 * async totals() {
 *   const runners = [this.unit.runner, this.unit.createQueryRunner()];
 *   return Promise.all(runners.map((runner, part) => runner.query('SELECT total($1)', [part])));
 * }
 * ```
 */
export class UnitOfWork {
  readonly #dataSource: ManagedDataSource;
  readonly #borrower: RunnerBorrower;
  readonly #runners = new Set<ManagedQueryRunner>();
  #ownRunner: ManagedQueryRunner | undefined;
  #isPinningAllowed: boolean;
  #isEnded = false;

  /** @param isHandlerRunning whether the running code belongs to a run of the request's handler that has not settled */
  constructor(
    dataSource: ManagedDataSource,
    name: string,
    isHandlerRunning: () => boolean,
    isPinningAllowed: boolean,
  ) {
    this.#dataSource = dataSource;
    this.#isPinningAllowed = isPinningAllowed;
    this.#borrower = { name, isHandlerRunning, onReleased: (runner) => this.#runners.delete(runner) };
  }

  /** The query runner of the request, always the same one. It acquires a connection with its first statement. */
  get runner(): QueryRunner {
    return (this.#ownRunner ??= this.#create());
  }

  /**
   * Creates a further query runner of the request, for parallel statements. It is released at the end of the request, or by its own
   * `release()`.
   */
  createQueryRunner(): QueryRunner {
    return this.#create();
  }

  #create(): ManagedQueryRunner {
    const runner = this.#dataSource.runners.create('master', this.#borrower);
    this.#runners.add(runner);
    if (this.#isEnded) void runner.release();
    else if (!this.#isPinningAllowed) runner.runnerConnection.allowPinning(false);
    return runner;
  }

  /** @internal */
  onHandlerStarted(): void {
    this.#isPinningAllowed = true;
    for (const runner of this.#runners) runner.runnerConnection.allowPinning(true);
  }

  /** @internal */
  onHandlerSettled(): void {
    for (const runner of this.#runners) void runner.runnerConnection.unpin();
  }

  /** @internal */
  onClientDisconnected(): void {
    for (const { runnerConnection } of this.#runners) {
      runnerConnection.cancelAcquire(CLIENT_DISCONNECTED);
      if (this.#dataSource.settings.cancelOnDisconnect) void runnerConnection.cancelRunning();
    }
  }

  /** @internal */
  onEndedBeforeHandler(isAnswered: boolean): void {
    this.#isPinningAllowed = false;
    for (const { runnerConnection } of this.#runners) {
      if (!isAnswered) runnerConnection.cancelAcquire(CLIENT_DISCONNECTED);
      runnerConnection.allowPinning(false);
    }
  }

  /** @internal */
  end(): void {
    this.#isEnded = true;
    for (const runner of this.#runners) void runner.release();
  }
}
