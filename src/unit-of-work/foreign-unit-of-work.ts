import type { DataSource, QueryRunner } from 'typeorm';

/** What a request's state tells its units of work. */
export interface RequestUnit {
  readonly runner: QueryRunner;
  createQueryRunner(): QueryRunner;
  handlerStarted(): void;
  handlerSettled(): void;
  clientGone(): void;
  endedBeforeHandler(answered: boolean): void;
  end(): void;
}

/**
 * The query runners of one request on a data source that a test has put in place of ours: as that makes them, and released with
 * the request. Such a data source is a stand-in more often than not, and so are its runners.
 */
export class ForeignUnitOfWork implements RequestUnit {
  readonly #dataSource: DataSource;
  readonly #runners: Partial<QueryRunner>[] = [];
  #first: QueryRunner | undefined;

  constructor(dataSource: DataSource) {
    this.#dataSource = dataSource;
  }

  get runner(): QueryRunner {
    return (this.#first ??= this.createQueryRunner());
  }

  createQueryRunner(): QueryRunner {
    const runner = this.#dataSource.createQueryRunner();
    this.#runners.push(runner ?? {});
    return runner;
  }

  handlerStarted(): void {}

  handlerSettled(): void {}

  clientGone(): void {}

  endedBeforeHandler(): void {}

  end(): void {
    for (const runner of this.#runners.splice(0))
      void Promise.resolve(runner.release?.()).catch(() => undefined);
  }
}
