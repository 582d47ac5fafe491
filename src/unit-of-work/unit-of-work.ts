import type { QueryRunner } from 'typeorm';
import type { ManagedDataSource } from '../data-source/managed-data-source.js';
import type { Borrower, ManagedQueryRunner } from '../data-source/query-runner/managed-query-runner.js';

/**
 * The query runners of one request on one data source. They hold a connection only while they must, so that the end of the
 * handler and of the response has little to do: what is still open is rolled back, and the runners are released.
 */
export class UnitOfWork {
  readonly #dataSource: ManagedDataSource;
  #mayHold: boolean;
  readonly #runners = new Set<ManagedQueryRunner>();
  readonly #borrower: Borrower;
  #first: ManagedQueryRunner | undefined;
  #over = false;

  /** @param isCurrent whether the calling code belongs to a run of the request's handler that has not settled */
  constructor(dataSource: ManagedDataSource, name: string, isCurrent: () => boolean, mayHold: boolean) {
    this.#dataSource = dataSource;
    this.#mayHold = mayHold;
    this.#borrower = { name, isCurrent, released: (runner) => this.#runners.delete(runner) };
  }

  /** The request's own query runner: always the same one. It acquires a connection with its first statement. */
  get runner(): QueryRunner {
    return (this.#first ??= this.#create());
  }

  /** A further query runner of the request, for work in parallel. It ends with the request, or at its own `release()`. */
  createQueryRunner(): QueryRunner {
    return this.#create();
  }

  #create(): ManagedQueryRunner {
    const runner = this.#dataSource.createRunnerFor(this.#borrower);
    this.#runners.add(runner);
    if (this.#over) void runner.release();
    else if (!this.#mayHold) runner.allowHolding(false);
    return runner;
  }

  /** @internal Guards have passed: from here on the handler may use its runners, whatever the client does. */
  handlerStarted(): void {
    this.#mayHold = true;
    for (const runner of this.#runners) runner.allowHolding(true);
  }

  /** @internal The handler has settled, and the response is still open: an exception filter may use the runners. */
  handlerSettled(): void {
    for (const runner of this.#runners) void runner.stopHolding();
  }

  /** @internal The client has gone while the handler runs: its statements must not lose their connection halfway. */
  clientGone(): void {
    for (const runner of this.#runners) {
      runner.stopWaiting('the client has closed the connection');
      if (this.#dataSource.settings.cancelOnDisconnect) void runner.cancelRunning();
    }
  }

  /** @internal The response has ended before the handler began. It may begin yet, when a slow guard lets it pass. */
  endedBeforeHandler(answered: boolean): void {
    this.#mayHold = false;
    for (const runner of this.#runners) {
      if (!answered) runner.stopWaiting('the client has closed the connection');
      runner.allowHolding(false);
    }
  }

  /** @internal The handler has settled, and the response has ended. */
  end(): void {
    this.#over = true;
    for (const runner of this.#runners) void runner.release();
  }
}
