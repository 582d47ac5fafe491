import { AsyncLocalStorage } from 'node:async_hooks';

/** A wait for a connection. */
export interface Wait {
  abort(reason: Error): void;
}

/**
 * A unit of work: the run of a request's handler, or a transaction inside of it. Sockets, timers and workers that it
 * starts keep it in their AsyncLocalStorage for as long as they live, so it holds nothing
 * but the waits for a connection that are pending.
 */
export class WorkUnit {
  /** Waits for a connection of this unit and of those inside of it, while there are any; kept by the outermost unit. */
  #waits: Set<Wait> | undefined;
  /** Set once the unit has ended. What its flow of calls asks for afterwards is not asked for by it. */
  over = false;

  /** @param isTransaction whether the unit is one transaction, which ends with it */
  constructor(
    readonly parent?: WorkUnit,
    readonly isTransaction = false,
  ) {}

  /** Tells the name of the request: asked only when a message is made. Forgotten with the end of the unit. */
  name: (() => string) | undefined;

  /** A wait for a connection begins; what comes back ends it. */
  addWait(wait: Wait): () => void {
    const outermost = this.#outermost;
    const waits = (outermost.#waits ??= new Set());
    waits.add(wait);
    return () => waits.delete(wait);
  }

  /** Nothing reads the result of the unit any more: what waits for a connection on its behalf rejects. */
  stopWaiting(reason: string): void {
    for (const wait of [...(this.#outermost.#waits ?? [])]) wait.abort(new Error(reason));
  }

  get #outermost(): WorkUnit {
    return this.parent ? this.parent.#outermost : this;
  }
}

/** The innermost unit of the current flow of calls. The pool reads it to see whether units wait for each other. */
const units = new AsyncLocalStorage<WorkUnit>();
let tracking = false;

/** Runs `work` as part of `unit`. */
export function runInUnit<T>(unit: WorkUnit, work: () => T): T {
  return units.run(unit, work);
}

/** The innermost unit that the calling code belongs to, ended ones included. */
export function unitOfFlow(): WorkUnit | undefined {
  return units.getStore();
}

/** The innermost unit that the calling code belongs to and that has not ended. */
export function currentUnit(): WorkUnit | undefined {
  let unit = units.getStore();
  while (unit?.over) unit = unit.parent;
  return unit;
}

/** The request that a unit belongs to, `GET /users/:id`, while that is at work. */
export function nameOfUnit(unit: WorkUnit): string | undefined {
  for (let at: WorkUnit | undefined = unit; at; at = at.parent) if (at.name) return at.name();
  return undefined;
}

/** Whether `unit` is `ancestor`, or inside of it. */
export function isWithin(unit: WorkUnit | undefined, ancestor: WorkUnit): boolean {
  for (let at = unit; at; at = at.parent) if (at === ancestor) return true;
  return false;
}

/**
 * From now on each transaction is a unit. The first AsyncLocalStorage run of a process makes all its promises slower, on
 * Node 20 a query by an eighth. Apps that serve requests pay that anyway; for the others it stays off.
 */
export function trackTransactions(): void {
  tracking = true;
}

/** Runs a transaction as a unit of its own, inside of the current one. */
export async function runTransaction<T>(work: () => Promise<T>): Promise<T> {
  if (!tracking) return work();
  const unit = new WorkUnit(currentUnit(), true);
  try {
    return await runInUnit(unit, work);
  } finally {
    unit.over = true;
  }
}
