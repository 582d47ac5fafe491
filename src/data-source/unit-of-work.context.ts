import { AsyncLocalStorage } from 'node:async_hooks';

/**
 * A unit of work as the flow of its calls knows it. Sockets, timers and workers that it has started keep it for as long as
 * they live: it holds nothing, and what they ask for once it is over is not asked by it.
 */
export class FlowUnit {
  over = false;
}

/** What asks for connections in this flow of calls, so that the pool sees when it waits for itself. */
const units = new AsyncLocalStorage<FlowUnit>();
let tracking = false;

/** Runs `work` as part of `unit`: a request, a job. */
export function runInUnit<T>(unit: FlowUnit, work: () => T): T {
  return units.run(unit, work);
}

/** The unit that the calling code belongs to, while it lasts. */
export function currentUnit(): FlowUnit | undefined {
  const unit = units.getStore();
  return unit?.over ? undefined : unit;
}

/**
 * From now on transactions are units too. The first unit of a process makes all its promises dearer, on Node 20 a query by
 * an eighth: where requests are served that is paid anyway, elsewhere nobody has asked for it.
 */
export function trackTransactions(): void {
  tracking = true;
}

/** Runs a transaction: as part of the unit that it belongs to, else as one of its own. */
export function runTransaction<T>(work: () => Promise<T>): Promise<T> {
  if (!tracking || currentUnit()) return work();
  const unit = new FlowUnit();
  return runInUnit(unit, work).finally(() => (unit.over = true));
}
