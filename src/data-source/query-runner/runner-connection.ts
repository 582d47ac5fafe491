import { AsyncResource } from 'node:async_hooks';
import type { Readable } from 'node:stream';
import type { DataSource } from 'typeorm';
import type { Connection } from '../../connection/connection.js';
import type { SharedStatement } from '../../connection/shared/shared-statement.js';
import type { StatementFacts } from '../../connection/statements/statement-texts.js';
import { noteHttpErrors } from '../../errors/http-errors.js';
import { PoolClosedError, PoolLeaseReclaimedError } from '../../errors/pool.errors.js';
import type { LeasedClient } from '../../pool/connections/pooled-connection.js';
import { RESET_TIMEOUT_MS } from '../../pool/pool.options.js';
import type { Caller } from '../../text/call-site.js';
import type { DataSourcePool } from '../pools/data-source.pool.js';
import { currentScope, requestOf } from '../execution-scope.js';
import type { ExecutionScope } from '../execution-scope.js';
import { describeBorrower, requestClosedError } from './borrower.js';
import type { RequestBorrower } from './borrower.js';
import { RunnerLease } from './runner-lease.js';
import type { LeaseOwner, PoolSource } from './runner-lease.js';
import { RunnerStreams } from './streams.js';
import type { OpenTransaction, RunnerTransactions } from './transactions.js';

const RELEASED = Promise.resolve();
const ignore = () => undefined;

/** The query runner whose connection this is. */
interface ConnectionUser {
  readonly isReleased: boolean;
  readonly isTransactionActive: boolean;
  readonly transactions: RunnerTransactions;
  /** The connection and its promise have changed. Both are undefined after the release. */
  onConnectionChange(
    connection: LeasedClient<Connection> | undefined,
    promise: Promise<LeasedClient<Connection>> | undefined,
  ): void;
  /** The connection was released, and with it no transaction is open. */
  onConnectionReleased(): void;
  /** The pool was closed. The runner is released, as TypeORM's driver releases its runners. */
  onPoolClosed(): void;
}

/** What this part of a query runner needs of its data source. One object for all runners of a data source. */
export interface RunnerConnectionSettings {
  readonly dataSource: DataSource;
  /** Longest wait for a connection; milliseconds, 0 waits without limit. */
  readonly acquireTimeoutMs: number;
  /** Whether HTTP requests are answered by the errors of the data source. */
  readonly httpErrors: boolean;
}

/**
 * The connection of one query runner: when it is acquired, how long it is pinned, when it is released.
 *
 * A runner acquires a connection with its first statement.
 *
 * | the runner                                  | keeps its connection                                                         |
 * | ------------------------------------------- | ---------------------------------------------------------------------------- |
 * | of a request (`@InjectQueryRunner()`)       | while a statement is pending, and while it is pinned                         |
 * | of a caller (`dataSource.createQueryRunner`) | until `release()`, as with TypeORM                                           |
 *
 * | the connection is pinned by | until                                                                                         |
 * | --------------------------- | --------------------------------------------------------------------------------------------- |
 * | an open transaction         | COMMIT or ROLLBACK                                                                            |
 * | `connect()`                 | the end of the request                                                                        |
 * | a changed session           | the end of the request; the next connection would lack the setting, lock or temporary table   |
 * | a stream                    | the stream closes                                                                             |
 *
 * | the lost connection                   | the next statement                                                                    |
 * | ------------------------------------- | ------------------------------------------------------------------------------------- |
 * | had an open transaction               | fails until the transaction is rolled back                                            |
 * | had a pinned session, in a request    | fails once, so that the caller knows of the loss; then another connection is acquired |
 * | had a pinned session, without request | fails until `release()`                                                               |
 * | was reclaimed by the pool             | fails once with the reason; then another connection is acquired                       |
 * | had none of these                     | acquires another connection                                                           |
 */
export class RunnerConnection implements LeaseOwner {
  readonly #user: ConnectionUser;
  readonly #settings: RunnerConnectionSettings;
  readonly #pool: PoolSource;
  /** The request that the runner belongs to. */
  readonly request: RequestBorrower | undefined;
  /** The method of the data source that has created the runner for one call: `dataSource.query`. */
  readonly #callerName: string | undefined;
  #lease: RunnerLease | undefined;
  #streams: RunnerStreams | undefined;
  /** What `unpin()` releases once the last stream has closed. */
  #releaseAfterStreams: { lease: RunnerLease; transaction: OpenTransaction | undefined } | undefined;
  /** Whether the caller has pinned the connection by `connect()`. */
  #isPinnedByCaller = false;
  #pinnedIn: ExecutionScope | undefined;
  #sharedStatement: SharedStatement | undefined;
  /** Statements that wait for it. */
  #afterShared: (() => void)[] = [];

  constructor(
    user: ConnectionUser,
    settings: RunnerConnectionSettings,
    pool: PoolSource,
    request: RequestBorrower | undefined,
    callerName: string | undefined,
  ) {
    this.#user = user;
    this.#settings = settings;
    this.#pool = pool;
    this.request = request;
    this.#callerName = callerName;
  }

  /** The current lease; its acquire may still be pending. */
  get lease(): RunnerLease | undefined {
    return this.#lease;
  }

  // ---- acquire -------------------------------------------------------------------------------------------------------

  /** The lease for the next statement: the current one, or a new one. */
  acquire(calledIn: Caller): RunnerLease {
    const lease = this.#lease;
    if (lease && !this.#isReplaceable(lease)) {
      if (!lease.connection) lease.needConnection();
      return lease;
    }
    if (lease) this.#release(lease);
    return this.#newLease(this.#pool, undefined, calledIn);
  }

  /** A new lease for a statement that can be shared: while its acquire waits, it may move to a shared connection of the pool. */
  acquireOrShare(calledIn: Caller, pool: DataSourcePool, shareable: StatementFacts): RunnerLease {
    return this.#newLease(() => pool, undefined, calledIn, shareable);
  }

  /**
   * What decides whether a statement is shared; undefined when the statement belongs on the runner's own connection, or when the
   * pool shares none.
   */
  get sharingPool(): DataSourcePool | undefined {
    if (this.#lease || this.#isPinnedByCaller || this.#user.isTransactionActive) return undefined;
    const pool = openPoolOf(this.#pool);
    return pool?.multiplexer && pool;
  }

  /** Whether a statement of the runner is in flight on a shared connection. */
  get isSharing(): boolean {
    return this.#sharedStatement !== undefined;
  }

  /** Records the statement that has a place on a shared connection. Others of the runner wait for it from now on. */
  startShared(statement: SharedStatement): void {
    this.#sharedStatement = statement;
  }

  /** Not by the promise of the caller: V8 finds the code that awaits a promise only while nothing else does. */
  endShared(statement: SharedStatement): void {
    if (this.#sharedStatement !== statement) return;
    this.#sharedStatement = undefined;
    const waiting = this.#afterShared;
    this.#afterShared = [];
    for (const run of waiting) run();
  }

  /**
   * Runs what comes after the statement on a shared connection, and after what waits for it already, as the order would be on one
   * connection; without such a statement, immediately.
   */
  inTurn<T>(run: () => Promise<T>): Promise<T> {
    if (!this.#sharedStatement) return run();
    return new Promise((resolve) => {
      this.#afterShared.push(AsyncResource.bind(() => resolve(this.inTurn(run))));
    });
  }

  onPlace(lease: RunnerLease, statement: SharedStatement): void {
    if (this.#lease !== lease) return;
    this.#forgetAcquire();
    this.startShared(statement);
  }

  /**
   * Replaces a lease whose session the server has terminated.
   * @param waitedMs how long the caller has waited for the lost connection, which shortens the deadline of the new acquire
   */
  replaceLease(lost: RunnerLease, waitedMs: number): RunnerLease {
    if (this.#lease && this.#lease !== lost) return this.#lease;
    if (this.#lease) this.#release(lost);
    const { acquireTimeoutMs } = this.#settings;
    const remainingMs = Math.max(0, acquireTimeoutMs - waitedMs);
    return this.#newLease(this.#pool, acquireTimeoutMs > 0 ? remainingMs : undefined);
  }

  /** Releases a lost connection before a transaction starts: later, the loss would count as one inside the transaction. */
  releaseIfReplaceable(): void {
    if (this.#lease && this.#isReplaceable(this.#lease)) this.#release(this.#lease);
  }

  #newLease(
    pool: PoolSource,
    deadlineMs?: number,
    calledIn?: Caller,
    shareable?: StatementFacts,
  ): RunnerLease {
    const lease = new RunnerLease(pool, this, currentScope(), deadlineMs, calledIn, shareable);
    this.#lease = lease;
    if (lease.connection) {
      this.#user.onConnectionChange(lease.connection, undefined);
      return lease;
    }
    this.#user.onConnectionChange(undefined, shareable ? undefined : lease.connected);
    lease.acquired.then(
      () => {
        if (this.#lease === lease) this.#user.onConnectionChange(lease.connection, lease.connected);
      },
      // A cached rejection would fail every later statement of the runner.
      (error: unknown) => {
        noteHttpErrors(error, this.#settings.httpErrors);
        if (this.#lease === lease) this.#forgetAcquire();
      },
    );
    return lease;
  }

  /** Whether the connection is lost and the next statement may acquire another one, according to the table of the class. */
  #isReplaceable({ connection, isLossReported }: RunnerLease): boolean {
    if (!connection || connection.isUsable || this.#user.isTransactionActive) return false;
    if (connection.closeReason instanceof PoolLeaseReclaimedError) return isLossReported;
    if (!this.isSessionPinned(connection)) return true;
    return isLossReported && this.request !== undefined;
  }

  // ---- pin -----------------------------------------------------------------------------------------------------------

  /** Pins the connection. Rejects with `REQUEST_CLOSED` if pinning is not allowed. */
  pin(calledIn: Caller): Promise<LeasedClient<Connection>> {
    if (this.request?.isPinningAllowed === false) return Promise.reject(requestClosedError(this.request));
    this.#isPinnedByCaller = true;
    this.#pinnedIn ??= currentScope();
    this.request?.onPinned();
    return this.acquire(calledIn).whenConnected();
  }

  /** @throws DatabaseError `REQUEST_CLOSED` if the response ended before the handler began */
  refuseWithoutPinning(): void {
    if (this.request?.isPinningAllowed === false) throw requestClosedError(this.request);
  }

  /** Rolls back and releases a pinned connection once no stream reads from it. Pending statements may complete. */
  async unpin(): Promise<void> {
    const lease = this.#lease;
    if (!lease) return;
    if (this.#streams?.isEmpty === false) {
      this.#releaseAfterStreams = { lease, transaction: this.#user.transactions.outermost };
      this.request?.onPinned();
      return;
    }
    const { connection } = lease;
    if (
      this.#user.isTransactionActive ||
      this.#isPinnedByCaller ||
      (connection && this.#isPinned(connection))
    )
      await this.release();
  }

  addStream(stream: Readable): void {
    const streams = (this.#streams ??= new RunnerStreams());
    this.request?.onPinned();
    streams.add(stream, () => {
      // The stream may have pinned a later connection as well.
      this.settle();
      const pinned = this.#releaseAfterStreams;
      if (!streams.isEmpty || !pinned) return;
      this.#releaseAfterStreams = undefined;
      // What has begun meanwhile belongs to an exception filter, or to the next run of the handler.
      if (this.#lease === pinned.lease && this.#user.transactions.outermost === pinned.transaction)
        void this.unpin();
    });
  }

  destroyStreams(): void {
    this.#streams?.destroy();
  }

  /** Whether the session has state that another connection lacks, or the caller relies on this one. */
  isSessionPinned(connection: LeasedClient<Connection>): boolean {
    return this.#isPinnedByCaller || connection.isSessionChanged || this.#streams?.isEmpty === false;
  }

  #isPinned(connection: LeasedClient<Connection>): boolean {
    if (this.#streams?.isEmpty === false) return true;
    return (
      this.request?.isPinningAllowed !== false &&
      (this.#user.isTransactionActive ||
        connection.transactionStatus !== 'I' ||
        this.isSessionPinned(connection))
    );
  }

  // ---- release -------------------------------------------------------------------------------------------------------

  /** Rolls back an open transaction and releases the connection. The runner stays usable: its next statement acquires again. */
  release(): Promise<void> {
    const lease = this.#lease;
    if (!lease) return this.isSharing ? this.#releaseInTurn(RESET_TIMEOUT_MS) : RELEASED;
    if (this.#user.isTransactionActive) this.#user.transactions.endForcibly();
    this.#forgetLease(lease);
    return lease.release(RESET_TIMEOUT_MS) ?? RELEASED;
  }

  /**
   * Releases the connection of the statements that wait for the one on a shared connection, once they have it: the release would
   * cancel their acquire. Resolves after `graceMs` at the latest.
   */
  #releaseInTurn(graceMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, graceMs);
      const release = async () => {
        await this.#lease?.connected.catch(ignore);
        await this.release();
      };
      void this.inTurn(release).then(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  /**
   * Asks the server to cancel the running statement. On a shared connection the request would cancel the statement of any caller:
   * there, the caller is rejected, and the statement ends by itself.
   */
  async cancelRunning(): Promise<void> {
    this.#sharedStatement?.abort();
    await this.#lease?.connection?.cancelRunning();
  }

  /** Releases the connection of a request unless something pins it. */
  settle(): void {
    if (this.#lease) this.onSettled(this.#lease);
  }

  onSettled(lease: RunnerLease): void {
    const { connection } = lease;
    if (lease !== this.#lease || lease.hasPendingStatements || !connection) return;
    if (this.#user.isReleased) {
      // Acquired since the release, for a statement that was accepted before it. No further release follows.
      if (this.#streams?.isEmpty !== false) this.#release(lease);
      return;
    }
    if (!connection.isUsable) {
      if (this.#isReplaceable(lease)) this.#release(lease);
      else this.request?.onPinned();
      return;
    }
    if (!this.request) return;
    if (!connection.isReadyForQuery) {
      // `pg` reports an error before ReadyForQuery, which carries the transaction status.
      const settle = () => this.onSettled(lease);
      connection.whenReadyForQuery().then(settle, settle);
      return;
    }
    if (this.#isPinned(connection)) this.request.onPinned();
    else this.#release(lease);
  }

  onReclaimed(lease: RunnerLease, error: Error): void {
    if (!(error instanceof PoolClosedError) || this.#user.isReleased) return;
    this.#user.onPoolClosed();
    this.#forgetLease(lease);
  }

  #release(lease: RunnerLease): void {
    this.#forgetLease(lease);
    void lease.release(RESET_TIMEOUT_MS);
  }

  #forgetLease(lease: RunnerLease): void {
    if (this.#lease !== lease) return;
    this.#forgetAcquire();
    this.#user.onConnectionReleased();
  }

  /** The acquire has ended without a connection. A transaction that is starting goes on, and acquires one of its own. */
  #forgetAcquire(): void {
    this.#lease = undefined;
    this.#isPinnedByCaller = false;
    this.#pinnedIn = undefined;
    this.#user.onConnectionChange(undefined, undefined);
  }

  // ---- the borrower, for the pool ------------------------------------------------------------------------------------

  /** TypeORM creates the runners of repositories and of callers in the same way: only their statements differ. */
  describe(lastSql: string | undefined): string {
    const { isTransactionActive, transactions } = this.#user;
    const isInTransactionScope = isTransactionActive && transactions.outermost?.ownsScope === true;
    const name = describeBorrower(this.#settings.dataSource, this.#callerName, isInTransactionScope, lastSql);
    const request = requestOf(this.#lease?.unit);
    return request ? `${name} in ${request.name}` : name;
  }

  get heldFor(): ExecutionScope | undefined {
    if (this.#user.isTransactionActive) {
      const scope = this.#user.transactions.outermost?.scope;
      // Outside a request, only a transaction with a scope of its own counts. TypeORM begins others internally, as in `save()`, while
      // other code of the same scope continues.
      if (this.request || scope?.isTransaction) return scope;
    }
    return this.#isPinnedByCaller ? this.#pinnedIn : undefined;
  }
}

/** The pool, when the data source is open and has started. Otherwise the acquire waits for it, and reports what failed. */
function openPoolOf(source: PoolSource): DataSourcePool | undefined {
  try {
    const pool = source();
    if (!(pool instanceof Promise)) return pool;
    // Otherwise an unhandled rejection.
    pool.catch(ignore);
  } catch {
    // The data source is closed.
  }
  return undefined;
}
