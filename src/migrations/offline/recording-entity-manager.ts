import { EntityManager, QueryBuilder } from 'typeorm';
import type { DataSource, ObjectLiteral, QueryRunner, SelectQueryBuilder } from 'typeorm';
import { refuseAffected } from './unknown-result.js';

type Refuse = () => never;

/**
 * The entity manager of a migration whose statements are recorded. TypeORM copies the number of affected rows into the results of its query
 * builders. This manager replaces the copy, so that a migration cannot decide by it.
 */
export class RecordingEntityManager extends EntityManager {
  readonly #refuse: Refuse;

  constructor(dataSource: DataSource, queryRunner: QueryRunner, refuse: Refuse) {
    super(dataSource, queryRunner);
    this.#refuse = refuse;
  }

  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- TypeORM's own signature has two overloads
  override createQueryBuilder(...options: any[]): SelectQueryBuilder<any> {
    const create = super.createQueryBuilder.bind(this) as (
      ...given: unknown[]
    ) => SelectQueryBuilder<ObjectLiteral>;
    return guarded(create(...(options as unknown[])), this.#refuse);
  }
}

/** A query builder, and all that it leads to, whose results refuse the use of `affected`. */
function guarded<B extends object>(builder: B, refuse: Refuse): B {
  return new Proxy(builder, {
    get(target, key, proxy) {
      const value: unknown = Reflect.get(target, key, target);
      if (typeof value !== 'function' || key === 'constructor') return value;
      return (...args: unknown[]) => {
        const result: unknown = value.apply(target, args);
        if (result === target) return proxy as unknown;
        if (result instanceof QueryBuilder) return guarded(result, refuse);
        if (!(result instanceof Promise)) return result;
        return result.then((settled: unknown) => refuseAffected(settled, refuse));
      };
    },
  });
}
