import type { Connection } from '../../connection/connection.js';
import { SharedStatement } from '../../connection/shared/shared-statement.js';
import type { StatementFacts } from '../../connection/statements/statement-texts.js';
import { PoolAcquireCancelledError, PoolError } from '../../errors/pool.errors.js';
import type { LeasedClient } from '../../pool/connections/pooled-connection.js';
import { rethrowWithStack } from '../../pool/reporting/error-stack.js';
import type { Caller } from '../../text/call-site.js';
import type { ShareableAcquire, Wait } from '../../pool/waiters/waiter-queue.js';
import { requestOf } from '../execution-scope.js';
import type { ExecutionScope, ScopeRequest } from '../execution-scope.js';
import type { DataSourcePool } from '../pools/data-source.pool.js';

/** The pool that a runner acquires from; a promise only while a lazy data source connects. */
export type PoolSource = () => DataSourcePool | Promise<DataSourcePool>;

const ignore = () => undefined;

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
  /** The only statement that waits for the connection has got a place on a shared one: the acquire is over. */
  onPlace(lease: RunnerLease, statement: SharedStatement): void;
  /** The pool has forcibly ended the lease. */
  onReclaimed(lease: RunnerLease, error: Error): void;
}

/**
 * A query runner's lease of one connection, from the acquire to the release. It is itself the options of its acquire, which saves an
 * allocation.
 */
export class RunnerLease implements ShareableAcquire {
  readonly #owner: LeaseOwner;
  #connected: Promise<LeasedClient<Connection>> | undefined;
  /** The acquire for one statement that can be shared, which may end with a place on a shared connection instead. */
  #connectedOrPlaced: Promise<LeasedClient<Connection> | SharedStatement> | undefined;
  /** The connection, while it is leased. */
  connection: LeasedClient<Connection> | undefined;
  /** Whether a statement has failed with the loss of the connection: the caller knows of it. */
  isLossReported = false;
  #pool: DataSourcePool | undefined;
  #pendingStatements = 0;
  /** How many of them wait for the connection. A statement that is sent meanwhile would overtake them. */
  #waitingStatements = 0;
  #resolveIdle: (() => void) | undefined;
  #isReleased = false;
  #needsConnection = false;
  #cancelledBy: Error | undefined;
  /** Cancels the acquire, while it waits for a connection or for the start of the data source. */
  #wait: Wait | undefined;
  #leaveRequest: (() => void) | undefined;

  /**
   * Acquires an idle connection immediately; otherwise `acquired` resolves when the pool has one. The owner handles its rejection.
   * @param unit the scope that acquires
   * @param deadlineMs longest wait for the connection, in milliseconds; the pool's own limit by default
   * @param calledIn the runner's method that was called: with leak detection, the stack of the lease begins at its caller
   * @param shareable the text of the only statement that waits for the connection, when it can be shared
   */
  constructor(
    source: PoolSource,
    owner: LeaseOwner,
    readonly unit: ExecutionScope | undefined,
    readonly deadlineMs?: number,
    public calledIn?: Caller,
    shareable?: StatementFacts,
  ) {
    this.#owner = owner;
    const pool = source();
    if (pool instanceof Promise) {
      // When the pool is called later, the runner's method is no longer on the stack.
      this.calledIn = undefined;
      this.#connected = this.#acquireWhenReady(pool);
    } else {
      this.#pool = pool;
      this.connection = pool.tryAcquire(this);
      if (this.connection) return;
      if (shareable) this.#connectedOrPlaced = this.#acquireOrShare(pool, shareable);
      else this.#connected = this.#acquire(pool);
    }
  }

  /** Resolves with the connection. Rejects when the acquire fails, or when the lease ends first. */
  get connected(): Promise<LeasedClient<Connection>> {
    this.#connected ??= this.#connectedOrPlaced?.then(connectionOf) ?? Promise.resolve(this.connection!);
    return this.#connected;
  }

  /** Resolves when the acquire has ended: with the connection, or with the place of the only statement that waits. */
  get acquired(): Promise<LeasedClient<Connection> | SharedStatement> {
    return this.#connectedOrPlaced ?? this.connected;
  }

  /** As `connected`, for one caller, which need not await it: the stack of a PoolError shows the code that does. */
  whenConnected(): Promise<LeasedClient<Connection>> {
    return this.connection ? this.connected : forCaller(this.connected);
  }

  /** The connection, if a statement may be sent on it now: no other one waits for it. */
  get connectionInTurn(): LeasedClient<Connection> | undefined {
    return this.#waitingStatements === 0 ? this.connection : undefined;
  }

  /**
   * As `whenConnected()`, for a statement: resolves in the order of the calls. The caller calls {@link endWaitInTurn} and sends the
   * statement then, without another await in between.
   */
  waitInTurn(): Promise<LeasedClient<Connection>> {
    this.#waitingStatements += 1;
    // Also when the connection is there by now: each wait takes the same number of microtasks.
    return forCaller(this.connected);
  }

  /** As `waitInTurn()`, for the first statement, which may get a place on a shared connection instead. */
  waitForPlaceInTurn(): Promise<LeasedClient<Connection> | SharedStatement> {
    this.#waitingStatements += 1;
    return forCaller(this.acquired);
  }

  endWaitInTurn(): void {
    this.#waitingStatements -= 1;
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

  /** A second statement waits for the connection: a place on a shared one would not serve both. */
  needConnection(): void {
    this.#needsConnection = true;
  }

  canShare(): boolean {
    return !this.#needsConnection;
  }

  onPlace(statement: SharedStatement): void {
    this.#owner.onPlace(this, statement);
  }

  /** Whether statements are pending, including statements that wait for the connection. */
  get hasPendingStatements(): boolean {
    return this.#pendingStatements > 0;
  }

  /** Counts a statement that has failed with the loss of the connection. */
  countLostStatement(): void {
    if (this.#pool) this.#pool.log.lostStatements += 1;
  }

  /** The pool calls it when no connection is idle. */
  onWait(wait: Wait): void {
    this.#wait = wait;
    const request = this.#owner.request ?? requestOf(this.unit);
    this.#leaveRequest ??= request?.addPendingAcquire(this);
  }

  /** Rejects the pending acquire with a PoolAcquireCancelledError. A leased connection stays leased. */
  cancelAcquire(reason: string): void {
    if (!this.connection) this.abort(new Error(reason));
  }

  abort(reason: Error): void {
    this.#cancelledBy = reason;
    this.#wait?.cancel(reason);
  }

  /** Counts a statement: the lease is not released before it has settled. */
  startStatement(): void {
    this.#pendingStatements += 1;
  }

  settleStatement(): void {
    this.#pendingStatements -= 1;
    if (this.#pendingStatements > 0) return;
    this.#resolveIdle?.();
    this.#owner.onSettled(this);
  }

  /**
   * Releases the connection to the pool, which rolls back an open transaction. Further calls do nothing. First waits for pending
   * statements, at most `graceMs` milliseconds: a statement that is not sent yet would be sent on the connection of the next borrower.
   * The pool cancels a statement that still runs after that.
   * @returns undefined when there was nothing to wait for
   */
  release(graceMs: number): Promise<void> | undefined {
    if (this.#isReleased) return undefined;
    this.#isReleased = true;
    this.cancelAcquire('the query runner was released');
    if (this.#pendingStatements > 0) return this.#idleWithin(graceMs).then(() => this.#returnConnection());
    this.#returnConnection();
    return undefined;
  }

  #returnConnection(): void {
    const { connection } = this;
    this.connection = undefined;
    connection?.release();
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

  async #acquireWhenReady(pending: Promise<DataSourcePool>): Promise<LeasedClient<Connection>> {
    // Rejects even when the data source has started in the same turn of the event loop.
    const cancelled = new Promise<never>((_, reject) => {
      const message = 'The wait for a connection was cancelled';
      this.onWait({ cancel: (cause) => reject(new PoolAcquireCancelledError(message, { cause })) });
    });
    try {
      this.#pool = await Promise.race([pending, cancelled]);
    } finally {
      this.#endWait();
    }
    return this.#cancelledBy ? cancelled : this.#acquire(this.#pool);
  }

  async #acquire(pool: DataSourcePool): Promise<LeasedClient<Connection>> {
    try {
      return this.#take(await pool.acquire(this));
    } finally {
      this.#endWait();
    }
  }

  async #acquireOrShare(
    pool: DataSourcePool,
    facts: StatementFacts,
  ): Promise<LeasedClient<Connection> | SharedStatement> {
    try {
      const acquired = await pool.acquireOrShare(this, facts);
      return acquired instanceof SharedStatement ? acquired : this.#take(acquired);
    } finally {
      this.#endWait();
    }
  }

  #take(connection: LeasedClient<Connection>): LeasedClient<Connection> {
    if (this.#isReleased) {
      // The lease was released in the turn of the event loop in which the pool served it.
      connection.release();
      throw this.#cancelledBy!;
    }
    this.connection = connection;
    return connection;
  }

  #endWait(): void {
    this.#wait = undefined;
    this.#leaveRequest?.();
    this.#leaveRequest = undefined;
  }
}

/** A second statement that waits for the connection has ended the wait for a place. */
function connectionOf(acquired: LeasedClient<Connection> | SharedStatement): LeasedClient<Connection> {
  if (acquired instanceof SharedStatement)
    throw new Error('The statement has a place on a shared connection');
  return acquired;
}

function forCaller<T>(acquired: Promise<T>): Promise<T> {
  const forOne = acquired.catch((error: unknown) => {
    // Not before: V8 finds the code that awaits a promise only while nothing else waits for it.
    queueMicrotask(() => void forOne.catch(ignore));
    if (error instanceof PoolError) rethrowWithStack(error);
    throw error;
  });
  return forOne;
}
