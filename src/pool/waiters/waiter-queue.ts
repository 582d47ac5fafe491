import { LinkedList } from '../support/linked-list.js';
import type { Caller } from '../../text/call-site.js';
import type { Linked } from '../support/linked-list.js';

/** What the pool needs of an `AbortSignal`; making one of those costs more than a whole acquire. */
export interface CancelSignal {
  readonly aborted: boolean;
  readonly reason: unknown;
  addEventListener(event: 'abort', listener: () => void): void;
  removeEventListener(event: 'abort', listener: () => void): void;
}

/** A unit of work, compared by identity: a request, a transaction. */
export interface WorkUnit {
  /** The unit that it is part of: the request of a transaction. */
  readonly parent?: WorkUnit | undefined;
}

/** What an acquire may say about itself. */
export interface AcquireOptions {
  /** Gives the wait up; the connection that it would have got goes to the next one. */
  signal?: CancelSignal;
  /**
   * Longest wait: queue, dial, session setup and validation together. Milliseconds from now.
   * @defaultValue the pool's `acquireTimeoutMs`
   */
  deadlineMs?: number;
  /** Who asks, for warnings and errors: `GET /users/:id`. */
  borrower?: string;
  /** @internal What is known of a borrower without a name, when it is to be shown; by its last statement, too. */
  describe?: (lastSql: string | undefined) => string | undefined;
  /**
   * Whether the first dial that fails is the end, also when the server says that it is only waking up or starting; else
   * that is waited for, up to the deadline.
   * @defaultValue false
   */
  failFast?: boolean;
  /** The innermost unit of work that asks; a waiter inside of a transaction is known by it. */
  unit?: WorkUnit;
  /**
   * Names an explicit holder. The pool asks when it looks for a deadlock: the unit of work that keeps this connection on
   * purpose at this moment (an open transaction, a pinned connection), or undefined while the connection is out for a
   * statement only.
   * @defaultValue not an explicit holder
   */
  heldFor?: () => WorkUnit | undefined;
  /** @internal The function whose caller asks: stacks begin there. It must be on the stack when `acquire` is called. */
  calledIn?: Caller | undefined;
  /** Told when the pool takes the connection back by force: after `reclaimAfterMs`, or at the end of a drain. */
  onReclaimed?: (error: Error) => void;
}

/** One acquire that could not be served at once. */
export interface Waiter<C> extends Linked<Waiter<C>> {
  readonly request: AcquireOptions;
  readonly since: number;
  readonly deadline: number;
  /** Where it was asked; its text is made only when it is read. */
  readonly site: { stack?: string };
  resolve(client: C): void;
  reject(error: Error): void;
}

/**
 * Who waits, first come first served. Leaving costs the same for one and for ten thousand, and so do signals: waiters
 * that share one share its listener.
 */
export class WaiterQueue<C> {
  readonly #aborted: (waiter: Waiter<C>, reason: unknown) => void;
  /** Waiters that name their unit of work. */
  unitCount = 0;
  readonly #list = new LinkedList<Waiter<C>>();
  readonly #bySignal = new Map<CancelSignal, { waiters: Set<Waiter<C>>; stop: () => void }>();
  /** Whether nobody waits behind somebody with a later deadline; then the overdue ones are all at the front. */
  #ordered = true;

  constructor(aborted: (waiter: Waiter<C>, reason: unknown) => void) {
    this.#aborted = aborted;
  }

  get length(): number {
    return this.#list.length;
  }

  get first(): Waiter<C> | undefined {
    return this.#list.head;
  }

  get last(): Waiter<C> | undefined {
    return this.#list.tail;
  }

  add(waiter: Waiter<C>): void {
    const { signal, unit } = waiter.request;
    // First: what is no signal throws, and a waiter that its caller has given up must not be served.
    if (signal) (this.#bySignal.get(signal) ?? this.#listenTo(signal)).waiters.add(waiter);
    if (!this.#list.tail) this.#ordered = true;
    else if (waiter.deadline < this.#list.tail.deadline) this.#ordered = false;
    this.#list.append(waiter);
    if (unit) this.unitCount += 1;
  }

  remove(waiter: Waiter<C>): void {
    this.#list.remove(waiter);
    const { signal, unit } = waiter.request;
    if (unit) this.unitCount -= 1;
    const shared = signal && this.#bySignal.get(signal);
    if (!shared) return;
    shared.waiters.delete(waiter);
    if (shared.waiters.size > 0) return;
    shared.stop();
    this.#bySignal.delete(signal);
  }

  /** Those whose deadline has passed, and when the next one's does. */
  overdue(now: number): { late: Waiter<C>[]; next: number } {
    const late: Waiter<C>[] = [];
    let next = Infinity;
    for (const waiter of this.#list) {
      if (waiter.deadline <= now) late.push(waiter);
      else {
        next = Math.min(next, waiter.deadline);
        if (this.#ordered) break;
      }
    }
    return { late, next };
  }

  [Symbol.iterator](): Iterator<Waiter<C>> {
    return this.#list[Symbol.iterator]();
  }

  #listenTo(signal: CancelSignal): { waiters: Set<Waiter<C>>; stop: () => void } {
    const waiters = new Set<Waiter<C>>();
    const abort = () => {
      for (const waiter of [...waiters]) this.#aborted(waiter, signal.reason);
    };
    signal.addEventListener('abort', abort);
    const shared = { waiters, stop: () => signal.removeEventListener('abort', abort) };
    this.#bySignal.set(signal, shared);
    return shared;
  }
}
