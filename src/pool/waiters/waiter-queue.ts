import type { SharedStatement } from '../../connection/shared/shared-statement.js';
import { LinkedList } from '../support/linked-list.js';
import type { Caller, CallSite } from '../../text/call-site.js';
import type { Linked } from '../support/linked-list.js';

/** What the pool needs of an `AbortSignal`. Callers may pass a lighter object: an `AbortController` costs more than an acquire. */
export interface CancelSignal {
  readonly aborted: boolean;
  readonly reason: unknown;
  addEventListener(event: 'abort', listener: () => void): void;
  removeEventListener(event: 'abort', listener: () => void): void;
}

/** A unit of work, such as a request or a transaction; compared by identity. */
export interface WorkUnit {
  /** The unit that it is part of, such as the request of a transaction. */
  readonly parent?: WorkUnit | undefined;
}

/** Options of one acquire. */
export interface AcquireOptions {
  /** Cancels the wait when it aborts. After the acquire it has no effect. */
  signal?: CancelSignal;
  /**
   * Longest wait for queue, connect, session setup and validation together. Milliseconds from now; 0 or less expires
   * immediately, `Infinity` is no limit.
   * @defaultValue the pool's `acquireTimeoutMs`
   */
  deadlineMs?: number;
  /**
   * Name of the borrower in warnings and errors, such as `GET /users/:id`.
   * @defaultValue shown as `(unnamed borrower)`
   */
  borrower?: string;
  /** @internal Describes a borrower without a name when a message needs it; gets the last statement of the lease. */
  describe?: (lastSql: string | undefined) => string | undefined;
  /**
   * Whether the first failed connect rejects the acquire even when the server is starting up or waking up. Otherwise such an
   * acquire waits until its deadline.
   * @defaultValue false
   */
  failFast?: boolean;
  /** The innermost unit of work of the borrower. It shows the pool whether the waiter belongs to a transaction. */
  unit?: WorkUnit;
  /**
   * Makes the borrower an explicit holder. The pool calls this function when it checks for a deadlock. It returns the unit of work
   * that keeps the connection on purpose at that time, because of an open transaction or a pinned connection; undefined while the
   * connection is leased for one statement only.
   * @defaultValue the borrower is no explicit holder
   */
  heldFor?: () => WorkUnit | undefined;
  /** @internal With leak detection, the stack of the lease begins at the caller of this function. It must be on the stack. */
  calledIn?: Caller | undefined;
  /** @internal Called when the acquire has to wait. A borrower that cancels by it needs no `signal`, which costs a listener. */
  onWait?: (wait: Wait) => void;
  /** Called when the pool forcibly ends the lease: after `reclaimAfterMs`, or at the end of a drain. */
  onReclaimed?: (error: Error) => void;
}

/** Options of an acquire for one statement that can be shared: it may end with a place on a shared connection. */
export interface ShareableAcquire extends AcquireOptions {
  /**
   * Whether it may still end with a place, and not only with a connection.
   * @defaultValue always
   */
  canShare?: () => boolean;
  /**
   * Called with the place, before the acquire resolves with it: a statement that the borrower sends in between must not wait for this
   * acquire.
   */
  onPlace?: (statement: SharedStatement) => void;
}

/** An acquire that its borrower can cancel. */
export interface Wait {
  /** Rejects the acquire with a PoolAcquireCancelledError; does nothing once it has settled. */
  cancel(reason: unknown): void;
}

/** Cancels a waiter. */
type OnCancel<C> = (waiter: Waiter<C>, reason: unknown) => void;

/** Maps an error to that of another API. */
export type ErrorMapper = (error: Error) => Error;

/** An acquire that waits for a connection. */
export class Waiter<C> implements Linked<Waiter<C>>, Wait {
  readonly #rejectAcquire: (error: Error) => void;
  readonly #mapError: ErrorMapper | undefined;
  previous: Waiter<C> | undefined;
  next: Waiter<C> | undefined;
  /** Set while it is in the queue. */
  onCancel: OnCancel<C> | undefined;
  /** Whether it takes a place on a shared connection as well. Undefined if it never does. */
  canShare: (() => boolean) | undefined;

  /** @param callSite where `acquire` was called, with leak detection */
  constructor(
    readonly request: AcquireOptions,
    readonly callSite: CallSite | undefined,
    readonly since: number,
    readonly deadline: number,
    readonly resolve: (client: C) => void,
    rejectAcquire: (error: Error) => void,
    mapError?: ErrorMapper,
  ) {
    this.#rejectAcquire = rejectAcquire;
    this.#mapError = mapError;
  }

  reject(error: Error): void {
    this.#rejectAcquire(this.#mapError ? this.#mapError(error) : error);
  }

  cancel(reason: unknown): void {
    this.onCancel?.(this, reason);
  }
}

/** The waiters of one signal, which share one listener. */
interface SignalListener<C> {
  readonly waiters: Set<Waiter<C>>;
  stop(): void;
}

/** The waiters, first come, first served. Removing one takes constant time, so that ten thousand can be cancelled together. */
export class WaiterQueue<C> {
  readonly #onCancel: OnCancel<C>;
  readonly #list = new LinkedList<Waiter<C>>();
  readonly #listeners = new Map<CancelSignal, SignalListener<C>>();
  /** Whether the deadlines are in the order of the queue, so that the overdue waiters are at its front. */
  #isOrdered = true;
  /** The number of waiters with a unit of work. */
  unitCount = 0;

  constructor(onCancel: OnCancel<C>) {
    this.#onCancel = onCancel;
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

  /** @throws TypeError for an invalid signal; the waiter is not added then */
  add(waiter: Waiter<C>): void {
    const { signal, unit } = waiter.request;
    if (signal) (this.#listeners.get(signal) ?? this.#listenTo(signal)).waiters.add(waiter);
    if (!this.#list.tail) this.#isOrdered = true;
    else if (waiter.deadline < this.#list.tail.deadline) this.#isOrdered = false;
    this.#list.append(waiter);
    waiter.onCancel = this.#onCancel;
    if (unit) this.unitCount += 1;
  }

  remove(waiter: Waiter<C>): void {
    this.#list.remove(waiter);
    waiter.onCancel = undefined;
    const { signal, unit } = waiter.request;
    if (unit) this.unitCount -= 1;
    const listener = signal && this.#listeners.get(signal);
    if (!listener) return;
    listener.waiters.delete(waiter);
    if (listener.waiters.size > 0) return;
    listener.stop();
    this.#listeners.delete(signal);
  }

  /** The waiters past their deadline, and the earliest deadline of the others. */
  overdue(now: number): { overdue: Waiter<C>[]; nextDeadline: number } {
    const overdue: Waiter<C>[] = [];
    let nextDeadline = Infinity;
    for (const waiter of this.#list) {
      if (waiter.deadline <= now) overdue.push(waiter);
      else {
        nextDeadline = Math.min(nextDeadline, waiter.deadline);
        if (this.#isOrdered) break;
      }
    }
    return { overdue, nextDeadline };
  }

  [Symbol.iterator](): Iterator<Waiter<C>> {
    return this.#list[Symbol.iterator]();
  }

  #listenTo(signal: CancelSignal): SignalListener<C> {
    const waiters = new Set<Waiter<C>>();
    const onAbort = () => {
      for (const waiter of [...waiters]) this.#onCancel(waiter, signal.reason);
    };
    signal.addEventListener('abort', onAbort);
    const listener = { waiters, stop: () => signal.removeEventListener('abort', onAbort) };
    this.#listeners.set(signal, listener);
    return listener;
  }
}
