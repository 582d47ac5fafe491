import type { DataSource, QueryRunner } from 'typeorm';
import type { RequestUnitOfWork } from './request-lifecycle.js';

/**
 * The query runners of one request on a data source that is not a `ManagedDataSource`: a test has overridden the provider. The data source
 * creates its own runners, which are released at the end of the request. Both may be incomplete stubs.
 */
export class UnmanagedUnitOfWork implements RequestUnitOfWork {
  readonly dataSource: DataSource;
  readonly #runners: Partial<QueryRunner>[] = [];
  #ownRunner: QueryRunner | undefined;

  constructor(dataSource: DataSource) {
    this.dataSource = dataSource;
  }

  get runner(): QueryRunner {
    return (this.#ownRunner ??= this.createQueryRunner());
  }

  createQueryRunner(): QueryRunner {
    const runner = this.dataSource.createQueryRunner();
    this.#runners.push(runner ?? {});
    return runner;
  }

  unpin(): void {}

  rollBackWithin(): void {}

  onClientDisconnected(): void {}

  end(): void {
    for (const runner of this.#runners.splice(0))
      void Promise.resolve(runner.release?.()).catch(() => undefined);
  }
}
