import { AsyncLocalStorage } from 'node:async_hooks';

/** What asks for connections in this flow of calls, so that the pool sees when it waits for itself. */
const units = new AsyncLocalStorage<object>();

/** Runs `work` as part of `unit`: a request, a job. */
export function runInUnit<T>(unit: object, work: () => T): T {
  return units.run(unit, work);
}

/** The unit that the calling code belongs to. */
export function currentUnit(): object | undefined {
  return units.getStore();
}
