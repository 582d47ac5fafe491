import type { Connection } from '../../connection/connection.js';
import { PoolAcquireCancelledError } from '../../errors/pool.errors.js';
import type { LeasedClient } from '../../pool/connections/pooled-connection.js';
import type { Caller } from '../../text/call-site.js';
import type { AcquireOptions, CancelSignal } from '../../pool/waiters/waiter-queue.js';
import { requestOf } from '../execution-scope.js';
import type { ExecutionScope, ScopeRequest } from '../execution-scope.js';
import type { DataSourcePool } from '../pools/data-source.pool.js';

/** The pool that a runner acquires from; a promise only while a lazy data source connects. */
export type PoolSource = () => DataSourcePool | Promise<DataSourcePool>;

const ignore = () => undefined;

/** Cancels one acquire. Usually a connection is idle, and nothing listens to this signal. */
class AcquireSignal implements CancelSignal {
  readonly #owner: LeaseOwner;
  readonly #scope: ExecutionScope | undefined;
  aborted = false;
  reason: unknown;
  #listener: (() => void) | undefined;
  #leaveRequest: (() => void) | undefined;

  constructor(owner: LeaseOwner, scope: ExecutionScope | undefined) {
    this.#owner = owner;
    this.#scope = scope;
  }

  abort(reason: Error): void {
    this.aborted = true;
    this.reason = reason;
    this.#listener?.();
  }

  /** The pool listens only if the acquire has to wait. */
  addEventListener(_event: 'abort', listener: () => void): void {
    this.#listener = listener;
    const request = this.#owner.request ?? requestOf(this.#scope);
    this.#leaveRequest ??= request?.addPendingAcquire(this);
  }

  removeEventListener(): void {
    this.#listener = undefined;
    this.#leaveRequest?.();
    this.#leaveRequest = undefined;
  }

  /** Rejects on abort, for an acquire that waits for the pool to be ready. */
  rejection(): Promise<never> {
    return new Promise((_, reject) => {
      this.addEventListener('abort', () =>
        reject(
          new PoolAcquireCancelledError('The wait for a connection was cancelled', { cause: this.reason }),
        ),
      );
    });
  }
}

/** The owner of a lease: it names the borrower and observes the lease. */
export interface LeaseOwner {
  /** The request that the owner belongs to. It names the borrower in warnings and errors. */
  readonly request: ScopeRequest | undefined;
  /** The name of a borrower without a request. */
  describe(lastSql: string | undefined): string | undefined;
  /** The scope that intentionally keeps the connection, by an open transaction or by `connect()`. */
  readonly heldFor: ExecutionScope | undefined;
  /** The last pending statement of the lease has settled. */
  onSettled(lease: RunnerLease): void;
  /** The pool has forcibly ended the lease. */
  onReclaimed(lease: RunnerLease, error: Error): void;
}

/**
 * A query runner's lease of one connection, from the acquire to the release. It is itself the options of its acquire, which saves an
 * allocation.
 */
export class RunnerLease implements AcquireOptions {
  readonly #owner: LeaseOwner;
  /** Resolves with the connection. Rejects when the acquire fails, or when the lease ends first. */
  readonly connected: Promise<LeasedClient<Connection>>;
  /** The connection, while it is leased. */
  connection: LeasedClient<Connection> | undefined;
  readonly signal: AcquireSignal;
  /** Whether a statement has failed with the loss of the connection: the caller knows of it. */
  isLossReported = false;
  #pool: DataSourcePool | undefined;
  #pendingStatements = 0;
  #resolveIdle: (() => void) | undefined;
  #isReleased = false;

  /**
   * @param unit the scope that acquires
   * @param deadlineMs longest wait for the connection, in milliseconds; the pool's own limit by default
   * @param calledIn the runner's method that was called: captured stacks begin at its caller
   */
  constructor(
    pool: PoolSource,
    owner: LeaseOwner,
    readonly unit: ExecutionScope | undefined,
    readonly deadlineMs?: number,
    public calledIn?: Caller,
  ) {
    this.#owner = owner;
    this.signal = new AcquireSignal(owner, unit);
    this.connected = this.#acquire(pool);
    // Without a pending statement, a failed acquire would be an unhandled rejection.
    this.connected.catch(ignore);
  }

  /** The pool reads it only for a message. */
  get borrower(): string | undefined {
    return this.#owner.request?.name;
  }

  describe(lastSql: string | undefined): string | undefined {
    return this.#owner.describe(lastSql);
  }

  heldFor(): ExecutionScope | undefined {
    return this.#owner.heldFor;
  }

  onReclaimed(error: Error): void {
    this.#owner.onReclaimed(this, error);
  }

  /** Whether statements are pending, including statements that wait for the connection. */
  get hasPendingStatements(): boolean {
    return this.#pendingStatements > 0;
  }

  /** Counts a statement that has failed with the loss of the connection. */
  countLostStatement(): void {
    if (this.#pool) this.#pool.log.lostStatements += 1;
  }

  /** Rejects the pending acquire with a PoolAcquireCancelledError. A leased connection stays leased. */
  cancelAcquire(reason: string): void {
    if (!this.connection) this.signal.abort(new Error(reason));
  }

  /** Runs `work` on the connection. The lease is not released before `work` has settled. */
  async run<T>(work: (connection: LeasedClient<Connection>) => Promise<T>): Promise<T> {
    this.#pendingStatements += 1;
    try {
      return await work(await this.connected);
    } finally {
      this.#pendingStatements -= 1;
      if (this.#pendingStatements === 0) {
        this.#resolveIdle?.();
        this.#owner.onSettled(this);
      }
    }
  }

  /**
   * Releases the connection to the pool, which rolls back an open transaction. Further calls do nothing. First waits for pending
   * statements, at most `graceMs` milliseconds: a statement that is not sent yet would be sent on the connection of the next borrower.
   * The pool cancels a statement that still runs after that.
   */
  async release(graceMs: number): Promise<void> {
    if (this.#isReleased) return;
    this.#isReleased = true;
    this.cancelAcquire('the query runner was released');
    if (this.#pendingStatements > 0) await this.#idleWithin(graceMs);
    const { connection } = this;
    if (!connection) return;
    this.connection = undefined;
    connection.off('error', ignore);
    connection.release();
  }

  #idleWithin(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#resolveIdle = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** Must not await before it calls the pool: the pool captures the borrower's stack, which ends at an await. */
  async #acquire(source: PoolSource): Promise<LeasedClient<Connection>> {
    const pool = source();
    if (!(pool instanceof Promise)) this.#pool = pool;
    // When the pool is called later, the runner's method is no longer on the stack.
    if (pool instanceof Promise) this.calledIn = undefined;
    const connection = await (pool instanceof Promise
      ? Promise.race([pool, this.signal.rejection()]).then((ready) => {
          this.signal.removeEventListener();
          this.#pool = ready;
          return ready.acquire(this);
        })
      : pool.acquire(this));
    if (this.#isReleased) {
      // The lease was released in the turn of the event loop in which the pool served it.
      connection.release();
      throw this.signal.reason;
    }
    // A leased connection that is lost emits 'error', which without a listener would end the process. The borrower learns of the loss
    // by its statement.
    connection.on('error', ignore);
    this.connection = connection;
    return connection;
  }
}
