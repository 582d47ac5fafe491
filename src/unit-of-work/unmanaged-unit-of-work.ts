import type { DataSource, QueryRunner } from 'typeorm';
import type { RequestUnitOfWork } from './request-lifecycle.js';

/**
 * The query runners of one request on a data source that is no `ManagedDataSource`: a test has put it in place of one. It creates its
 * runners itself, and they are released with the request. Such a data source and its runners may be incomplete stand-ins.
 */
export class UnmanagedUnitOfWork implements RequestUnitOfWork {
  readonly #dataSource: DataSource;
  readonly #runners: Partial<QueryRunner>[] = [];
  #ownRunner: QueryRunner | undefined;

  constructor(dataSource: DataSource) {
    this.#dataSource = dataSource;
  }

  get runner(): QueryRunner {
    return (this.#ownRunner ??= this.createQueryRunner());
  }

  createQueryRunner(): QueryRunner {
    const runner = this.#dataSource.createQueryRunner();
    this.#runners.push(runner ?? {});
    return runner;
  }

  onHandlerStarted(): void {}

  onHandlerSettled(): void {}

  onClientGone(): void {}

  onEndedBeforeHandler(): void {}

  end(): void {
    for (const runner of this.#runners.splice(0))
      void Promise.resolve(runner.release?.()).catch(() => undefined);
  }
}
