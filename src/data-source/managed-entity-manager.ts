import { EntityManager, QueryRunnerProviderAlreadyReleasedError, TypeORMError } from 'typeorm';
import type { DataSource, QueryRunner } from 'typeorm';
import type { IsolationLevel } from 'typeorm/driver/types/IsolationLevel.js';
import type { ManagedQueryRunner } from './query-runner/managed-query-runner.js';
import { runTransaction } from './unit-of-work.context.js';

type Work<T> = (manager: EntityManager) => Promise<T>;

const ignore = () => undefined;

/**
 * TypeORM's `EntityManager`, whose transactions are units of work: the pool sees a job that waits for a second connection
 * while its own transaction holds one.
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
    return runTransaction(() => this.#transact(isolationLevel, work));
  }

  async #transact<T>(isolationLevel: IsolationLevel | undefined, work: Work<T>): Promise<T> {
    const runner = (this.queryRunner ?? this.#dataSource.createQueryRunner()) as ManagedQueryRunner;
    try {
      // Outside of the inner `try`: TypeORM answers a start that failed with a rollback, which ends the outer transaction.
      const depth = await runner.begin(isolationLevel);
      try {
        const result = await work(runner.manager);
        await runner.commit();
        return result;
      } catch (error) {
        // The first error is the reason; that of the rollback would hide it.
        await runner.rollBack(depth).catch(ignore);
        throw error;
      }
    } finally {
      if (!this.queryRunner) await runner.release();
    }
  }
}
