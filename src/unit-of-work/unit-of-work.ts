import type { QueryRunner } from 'typeorm';
import { isWithin } from '../data-source/execution-scope.js';
import type { ExecutionScope } from '../data-source/execution-scope.js';
import type { ManagedDataSource } from '../data-source/managed-data-source.js';
import type { RequestBorrower } from '../data-source/query-runner/borrower.js';
import type { ManagedQueryRunner } from '../data-source/query-runner/managed-query-runner.js';

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
  /** @internal */
  readonly dataSource: ManagedDataSource;
  readonly #borrower: RequestBorrower;
  #ownRunner: ManagedQueryRunner | undefined;
  #furtherRunners: readonly ManagedQueryRunner[] | undefined;
  #isEnded = false;

  /** @param borrower the request */
  constructor(dataSource: ManagedDataSource, borrower: RequestBorrower) {
    this.dataSource = dataSource;
    this.#borrower = borrower;
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
    const runner = this.#create();
    const others = this.#furtherRunners?.filter(({ isReleased }) => !isReleased) ?? [];
    this.#furtherRunners = [...others, runner];
    return runner;
  }

  #create(): ManagedQueryRunner {
    const runner = this.dataSource.runners.create('master', this.#borrower);
    if (this.#isEnded) void runner.onRequestEnded();
    return runner;
  }

  #forEachRunner(visit: (runner: ManagedQueryRunner) => void): void {
    if (this.#ownRunner) visit(this.#ownRunner);
    this.#furtherRunners?.forEach(visit);
  }

  /** @internal */
  unpin(): void {
    this.#forEachRunner(unpin);
  }

  /** @internal */
  rollBackWithin(scope: ExecutionScope): void {
    this.#forEachRunner((runner) => {
      const begun = runner.transactions.outermost?.scope;
      if (isWithin(begun, scope)) unpin(runner);
    });
  }

  /** @internal */
  onClientDisconnected(): void {
    if (!this.dataSource.settings.cancelOnDisconnect) return;
    this.#forEachRunner((runner) => void runner.runnerConnection.cancelRunning());
  }

  /** @internal */
  end(): void {
    this.#isEnded = true;
    this.#forEachRunner((runner) => void runner.onRequestEnded());
  }
}

function unpin({ runnerConnection }: ManagedQueryRunner): void {
  if (runnerConnection.lease) void runnerConnection.unpin();
}
