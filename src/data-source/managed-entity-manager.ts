import { EntityManager, QueryRunnerProviderAlreadyReleasedError, TypeORMError } from 'typeorm';
import type { DataSource, QueryRunner } from 'typeorm';
import type { ManagedQueryRunner } from './query-runner/managed-query-runner.js';
import { runInTransactionScope } from './execution-scope.js';
import type { IsolationLevel } from './typeorm-internals.js';

type Work<T> = (manager: EntityManager) => Promise<T>;

const ignore = () => undefined;

/**
 * TypeORM's `EntityManager`, whose transactions have a scope of their own. The pool compares scopes and refuses an acquire that could
 * only be served by a connection of the caller's own transaction.
 */
export class ManagedEntityManager extends EntityManager {
  readonly #dataSource: DataSource;

  constructor(dataSource: DataSource, queryRunner?: QueryRunner) {
    super(dataSource, queryRunner);
    this.#dataSource = dataSource;
  }

  override transaction<T>(work: Work<T>): Promise<T>;
  override transaction<T>(isolationLevel: IsolationLevel, work: Work<T>): Promise<T>;
  override async transaction<T>(first: IsolationLevel | Work<T>, second?: Work<T>): Promise<T> {
    const [isolationLevel, work] = typeof first === 'function' ? [undefined, first] : [first, second];
    if (!work)
      throw new TypeORMError(
        'Transaction method requires callback in second parameter if isolation level is supplied.',
      );
    if (this.queryRunner?.isReleased) throw new QueryRunnerProviderAlreadyReleasedError();
    return runInTransactionScope(() => this.#transact(isolationLevel, work));
  }

  async #transact<T>(isolationLevel: IsolationLevel | undefined, work: Work<T>): Promise<T> {
    const runner = (this.queryRunner ?? this.#dataSource.createQueryRunner()) as ManagedQueryRunner;
    try {
      // Outside the inner `try`: TypeORM rolls back after a failed start, and would end the outer transaction.
      const depth = await runner.begin(isolationLevel);
      try {
        const result = await work(runner.manager);
        await runner.commit();
        return result;
      } catch (error) {
        // An error of the rollback would hide its cause.
        await runner.rollBackAt(depth).catch(ignore);
        throw error;
      }
    } finally {
      if (!this.queryRunner) await runner.release();
    }
  }
}
