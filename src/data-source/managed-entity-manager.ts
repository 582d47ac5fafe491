import { EntityManager } from 'typeorm';
import { runTransaction } from './unit-of-work.context.js';

/**
 * TypeORM's `EntityManager`, whose transactions are units of work: a job that asks for a second connection in its
 * transaction is seen to wait for itself, as a request is.
 */
export class ManagedEntityManager extends EntityManager {
  override transaction<T>(...request: [...unknown[], (manager: EntityManager) => Promise<T>]): Promise<T> {
    return runTransaction(() =>
      super.transaction(...(request as unknown as [(manager: EntityManager) => Promise<T>])),
    );
  }
}
