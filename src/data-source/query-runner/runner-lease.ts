import type { Connection } from '../../connection/connection.js';
import { PoolAcquireCancelledError } from '../../errors/pool.errors.js';
import type { Caller } from '../../pool/leases/lease.js';
import type { LeasedClient } from '../../pool/connections/pooled-connection.js';
import type { AcquireOptions, CancelSignal } from '../../pool/waiters/waiter-queue.js';
import type { DataSourcePool } from '../pools/data-source.pool.js';
import type { WorkUnit } from '../unit-of-work.context.js';

const ignore = () => undefined;

/** Ends one wait. Where a connection is there at once, which is the rule, nothing listens to it. */
class WaitSignal implements CancelSignal {
  readonly #unit: WorkUnit | undefined;
  aborted = false;
  reason: unknown;
  #listener: (() => void) | undefined;
  #leaveUnit: (() => void) | undefined;

  constructor(unit: WorkUnit | undefined) {
    this.#unit = unit;
  }

  abort(reason: Error): void {
    this.aborted = true;
    this.reason = reason;
    this.#listener?.();
  }

  /** The pool listens only when the acquire has to wait. */
  addEventListener(_event: 'abort', listener: () => void): void {
    this.#listener = listener;
    this.#leaveUnit ??= this.#unit?.addWait(this);
  }

  removeEventListener(): void {
    this.#listener = undefined;
    this.#leaveUnit?.();
    this.#leaveUnit = undefined;
  }

  /** For a wait that the pool knows nothing of yet. */
  rejection(): Promise<never> {
    return new Promise((_, reject) => {
      this.#listener = () =>
        reject(
          new PoolAcquireCancelledError('The wait for a connection was given up', { cause: this.reason }),
        );
    });
  }
}

/** The query runner that a lease belongs to. */
export interface LeaseHolder {
  /** Name for warnings and errors. */
  readonly borrowerName: string | undefined;
  /** What is known of a holder without a name. */
  describe(lastSql: string | undefined): string | undefined;
  /** The unit of work that keeps the connection on purpose: by an open transaction, or by `connect()`. */
  readonly heldFor: WorkUnit | undefined;
  /** The last statement that was under way has settled. */
  settled(lease: RunnerLease): void;
  /** The pool has taken the connection back by force. */
  reclaimed(lease: RunnerLease, error: Error): void;
}

/** A query runner's lease of one connection, from the acquire to the release. It is the request that the pool gets. */
export class RunnerLease implements AcquireOptions {
  readonly #holder: LeaseHolder;
  /** Resolves with the connection; rejects when the pool has none, or when the lease ended first. */
  readonly connected: Promise<LeasedClient<Connection>>;
  /** The connection, while it is leased. */
  connection: LeasedClient<Connection> | undefined;
  readonly signal: WaitSignal;
  readonly borrower: string | undefined;
  /** Whether a statement has failed with the loss of the connection, so that the caller knows of it. */
  lossReported = false;
  #pool: DataSourcePool | undefined;
  #running = 0;
  #onSettled: (() => void) | undefined;
  #over = false;

  /**
   * @param deadlineMs longest wait for the connection; the pool's own limit when it is not given
   * @param calledIn the runner's method whose caller asks for the connection
   */
  constructor(
    pool: () => DataSourcePool | Promise<DataSourcePool>,
    holder: LeaseHolder,
    readonly unit: WorkUnit | undefined,
    readonly deadlineMs?: number,
    public calledIn?: Caller,
  ) {
    this.#holder = holder;
    this.borrower = holder.borrowerName;
    this.signal = new WaitSignal(unit);
    this.connected = this.#acquire(pool);
    // A caller that uses the promise hears of its failure.
    this.connected.catch(ignore);
  }

  /** For the messages of the pool. */
  describe(lastSql: string | undefined): string | undefined {
    return this.#holder.describe(lastSql);
  }

  /** For the pool's search for deadlocks. */
  heldFor(): WorkUnit | undefined {
    return this.#holder.heldFor;
  }

  onReclaimed(error: Error): void {
    this.#holder.reclaimed(this, error);
  }

  /** Statements under way, those included that wait for the connection. */
  get running(): number {
    return this.#running;
  }

  /** A statement has failed for the loss of its connection. */
  noteLoss(): void {
    if (this.#pool) this.#pool.log.statementsLost += 1;
  }

  /** Pending waits for the connection reject with a PoolAcquireCancelledError; a connection that is leased stays. */
  stopWaiting(reason: string): void {
    if (!this.connection) this.signal.abort(new Error(reason));
  }

  /** Runs `work` on the connection; the lease does not end before that has settled. */
  async run<T>(work: (connection: LeasedClient<Connection>) => Promise<T>): Promise<T> {
    this.#running += 1;
    try {
      return await work(await this.connected);
    } finally {
      this.#running -= 1;
      if (this.#running === 0) {
        this.#onSettled?.();
        this.#holder.settled(this);
      }
    }
  }

  /**
   * Releases the connection to the pool, which rolls back what is open. Once. Waits for statements under way, at most
   * `graceMs`: one that was not sent yet would go out on a connection that another borrower has by then. What still runs
   * after that is the pool's to stop.
   */
  async release(graceMs: number): Promise<void> {
    if (this.#over) return;
    this.#over = true;
    this.stopWaiting('the query runner was released');
    if (this.#running > 0) await this.#settledWithin(graceMs);
    const { connection } = this;
    if (!connection) return;
    this.connection = undefined;
    connection.off('error', ignore);
    connection.release();
  }

  #settledWithin(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#onSettled = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** No await before the pool is asked: it takes the stack of the borrower, which an await would cut off. */
  async #acquire(
    poolOnceReady: () => DataSourcePool | Promise<DataSourcePool>,
  ): Promise<LeasedClient<Connection>> {
    const pool = poolOnceReady();
    if (!(pool instanceof Promise)) this.#pool = pool;
    // It is not on the stack any more when a pool that is not there yet is asked.
    if (pool instanceof Promise) this.calledIn = undefined;
    const connection = await (pool instanceof Promise
      ? Promise.race([pool, this.signal.rejection()]).then((ready) => {
          this.#pool = ready;
          return ready.acquire(this);
        })
      : pool.acquire(this));
    if (this.#over) {
      // The lease ended in the moment in which the connection came.
      connection.release();
      throw this.signal.reason;
    }
    // A leased connection that breaks emits 'error', which ends the process when nothing listens. The borrower learns of it
    // from its statement.
    connection.on('error', ignore);
    this.connection = connection;
    return connection;
  }
}
