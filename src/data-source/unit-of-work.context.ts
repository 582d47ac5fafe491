import { AsyncLocalStorage } from 'node:async_hooks';

/** What asks for connections in this flow of calls, so that the pool sees when it waits for itself. */
const units = new AsyncLocalStorage<object>();
let tracking = false;

/** Runs `work` as part of `unit`: a request, a job. */
export function runInUnit<T>(unit: object, work: () => T): T {
  return units.run(unit, work);
}

/** The unit that the calling code belongs to. */
export function currentUnit(): object | undefined {
  return units.getStore();
}

/**
 * From now on transactions are units too. The first unit of a process makes all its promises dearer, on Node 20 a query by
 * an eighth: where requests are served that is paid anyway, elsewhere nobody has asked for it.
 */
export function trackTransactions(): void {
  tracking = true;
}

/** Runs a transaction: as part of the unit that it belongs to, else as one of its own. */
export function runTransaction<T>(work: () => T): T {
  return tracking && !currentUnit() ? runInUnit({}, work) : work();
}
