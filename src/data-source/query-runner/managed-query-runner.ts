import { QueryRunnerAlreadyReleasedError } from 'typeorm';
import type { ObjectLiteral, ReplicationMode } from 'typeorm';
import type { Connection } from '../../connection/connection.js';
import type { LeasedClient } from '../../pool/connections/pooled-connection.js';
import { callSite, callSiteFrames } from '../../text/call-site.js';
import type { Caller, CallSite } from '../../text/call-site.js';
import { currentScope } from '../execution-scope.js';
import type { DatabaseLogger } from '../logging/database.logger.js';
import {
  defineManager,
  isTransactionControl,
  PostgresQueryRunner,
  setConnection,
} from '../typeorm-internals.js';
import type { IsolationLevel, PostgresDriver, ReadStream } from '../typeorm-internals.js';
import type { RequestBorrower } from './borrower.js';
import { RunnerConnection } from './runner-connection.js';
import type { RunnerConnectionSettings } from './runner-connection.js';
import type { PoolSource } from './runner-lease.js';
import { executeShareable } from './shared-statements.js';
import { executeStatement } from './statements.js';
import type { StatementSettings } from './statements.js';
import { notifyCaller, openStream } from './streams.js';
import { newTransaction, RunnerTransactions } from './transactions.js';
import type { OpenTransaction } from './transactions.js';

/** What query runners need of their data source. One object for all runners of a data source. */
export interface RunnerSettings extends RunnerConnectionSettings, StatementSettings {
  readonly moduleLogger: DatabaseLogger;
  /** Whether to capture the call site of `release()`: leak detection is on. */
  readonly isTracing: boolean;
}

const ignore = () => undefined;

/**
 * The query runner of `ManagedDataSource`, which also serves `dataSource.query()`, repositories and `dataSource.transaction()`. It sends
 * the statements of TypeORM in the order of TypeORM, and differs in three points:
 *
 * - `RunnerConnection` decides when the connection is acquired, pinned and released;
 * - `RunnerTransactions` decides which statements are refused;
 * - `executeStatement` repeats a statement whose session the server has terminated, and adds hints to errors.
 *
 * The class has no `#private` fields, which a Proxy around a query runner could not read. Its state is in these parts.
 */
export class ManagedQueryRunner extends PostgresQueryRunner {
  /** @internal */
  readonly settings: RunnerSettings;
  /** @internal */
  readonly runnerConnection: RunnerConnection;
  /** @internal */
  readonly transactions: RunnerTransactions;
  protected readonly borrower: RequestBorrower | undefined;
  /** Where the runner was released, when leak detection is on. */
  protected releasedAt: CallSite | undefined;

  /**
   * @param pool the pool that it acquires from
   * @param borrower the request that it belongs to
   * @param callerName the method of the data source that creates it for one call: `dataSource.query`
   */
  constructor(
    driver: PostgresDriver,
    mode: ReplicationMode,
    settings: RunnerSettings,
    pool: PoolSource,
    borrower?: RequestBorrower,
    callerName?: string,
  ) {
    super(driver, mode);
    this.settings = settings;
    this.borrower = borrower;
    this.transactions = new RunnerTransactions(borrower);
    this.runnerConnection = new RunnerConnection(this, settings, pool, borrower, callerName);
  }

  // ---- connection ----------------------------------------------------------------------------------------------------

  /**
   * Acquires a connection and pins it until the runner is released, or until its request ends.
   * @throws PoolError if the pool has no connection in time
   * @throws DatabaseError `REQUEST_CLOSED` if the response ended before the handler began
   */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- TypeORM's own signature
  override connect(): Promise<any> {
    this.borrower?.beforeUse();
    if (this.isReleased) return Promise.reject(this.alreadyReleasedError());
    return this.runnerConnection.pin(callers.connect);
  }

  /** Releases the runner and rolls back an open transaction, which with TypeORM alone the next borrower would inherit. */
  override release(): Promise<void> {
    // A stack costs more than the release itself.
    if (this.settings.isTracing && !this.isReleased) this.releasedAt = callSite(callers.release, 0);
    return this.onRequestEnded();
  }

  /** @internal As `release()`. No code has called it whose call site an error could show. */
  onRequestEnded(): Promise<void> {
    if (this.isReleased) return Promise.resolve();
    // Set before the rollback, so that the runner refuses further statements from here on.
    this.isReleased = true;
    this.runnerConnection.destroyStreams();
    return this.runnerConnection.release();
  }

  /**
   * Called at the end of an `await using` block. TypeORM commits an open transaction here, even if an exception leaves the block. This
   * runner rolls it back. It logs an error, since the caller may rely on TypeORM's commit.
   */
  override async [Symbol.asyncDispose](): Promise<void> {
    if (this.isTransactionActive) {
      this.settings.moduleLogger.error(
        'A transaction was still open when its query runner was disposed of; it is rolled back. Commit it explicitly.',
        new Error('disposed of').stack,
      );
      await this.query('ROLLBACK').catch(ignore);
      this.onConnectionReleased();
    }
    await this.release();
  }

  /** @internal */
  onConnectionChange(
    connection: LeasedClient<Connection> | undefined,
    promise: Promise<LeasedClient<Connection>> | undefined,
  ): void {
    setConnection(this, connection, promise);
  }

  /** @internal */
  onConnectionReleased(): void {
    this.isTransactionActive = false;
    this.transactionDepth = 0;
    this.transactions.clear();
  }

  /** @internal The depth of the innermost transaction: 1 for the outermost, 0 without one. */
  get openDepth(): number {
    return this.transactionDepth;
  }

  /** @internal */
  onPoolClosed(): void {
    this.isReleased = true;
  }

  /** @throws QueryRunnerAlreadyReleasedError after `release()`, and after the end of the request */
  protected refuseReleased(): void {
    this.borrower?.beforeUse();
    if (this.isReleased) throw this.alreadyReleasedError();
  }

  /** @internal */
  alreadyReleasedError(): QueryRunnerAlreadyReleasedError {
    const error = new QueryRunnerAlreadyReleasedError();
    const by = this.borrower ? ` (of ${this.borrower.name})` : '';
    const where = this.releasedAt
      ? `It was released\n${callSiteFrames(this.releasedAt) ?? ''}`
      : this.borrower?.isOver
        ? 'Its request has ended.'
        : 'With leak detection (DB_LEAK_THRESHOLD) this error contains the call site of the release.';
    error.message = `Query runner already released${by}. Cannot run queries anymore. ${where}`;
    return error;
  }

  // ---- statements ----------------------------------------------------------------------------------------------------

  override query(
    query: string,
    parameters?: unknown[] | ObjectLiteral,
    useStructuredResult = false,
    // eslint-disable-next-line @typescript-eslint/no-explicit-any -- TypeORM's own signature
  ): Promise<any> {
    // Named parameters: TypeORM refuses them, with a message that differs by version.
    if (parameters && !Array.isArray(parameters)) return super.query(query, parameters as never);
    if (isTransactionControl(query)) return this.controlTransaction(query, parameters, useStructuredResult);
    const execute = this.settings.sharesConnections ? executeShareable : executeStatement;
    return execute(this, query, parameters, useStructuredResult, callers.query);
  }

  /** Sends a statement that begins or ends a transaction or a savepoint. */
  protected async controlTransaction(
    query: string,
    parameters: unknown[] | undefined,
    useStructuredResult: boolean,
  ): Promise<unknown> {
    this.refuseStatement(query);
    const { transactions } = this;
    const transaction = transactions.innermost;
    if (query === 'ROLLBACK' && this.isTransactionActive) transactions.startRollback();
    try {
      const result = await this.runnerConnection.inTurn(() =>
        executeStatement(this, query, parameters, useStructuredResult, callers.query),
      );
      if (transaction && !transactions.includes(transaction)) {
        // TypeORM would otherwise count this statement towards the transaction that has begun since.
        transaction.isSuperseded = true;
        throw transactions.endedError();
      }
      return result;
    } finally {
      if (query === 'ROLLBACK') transactions.settleRollback();
    }
  }

  /** @internal */
  refuseStatement(query: string): void {
    this.refuseReleased();
    this.transactions.refuseStatement(query, this.isTransactionActive);
  }

  /** @throws QueryFailedError, or PoolError when the pool has no connection */
  override async stream(
    query: string,
    parameters?: unknown[],
    onEnd?: () => void,
    onError?: (error: Error) => void,
  ): Promise<ReadStream> {
    this.refuseStatement(query);
    const stream = await this.runnerConnection.inTurn(() => this.startStream(query, parameters));
    return notifyCaller(stream, onEnd, onError);
  }

  protected async startStream(query: string, parameters: unknown[] | undefined): Promise<ReadStream> {
    const lease = this.runnerConnection.acquire(callers.stream);
    lease.startStatement();
    try {
      let connection = lease.connectionInTurn;
      if (!connection) {
        connection = await lease.waitInTurn();
        lease.endWaitInTurn();
      }
      this.settings.dataSource.logger.logQuery(query, parameters, this);
      const queryStream: unknown = this.driver.loadStreamDependency();
      const stream = openStream(connection, queryStream, query, parameters);
      this.runnerConnection.addStream(stream);
      return stream;
    } finally {
      lease.settleStatement();
    }
  }

  // ---- transactions --------------------------------------------------------------------------------------------------

  /**
   * Begins a transaction, or a nested one (a savepoint) if one is open.
   * @throws QueryFailedError if the start fails. TypeORM would count a transaction then, this runner does not. After a failed nested
   * start, the outer transaction refuses every statement but its rollback.
   * @throws DatabaseError `TRANSACTION_IN_PROGRESS` if the caller is not part of the transaction that is open on this runner
   */
  override async startTransaction(isolationLevel?: IsolationLevel): Promise<void> {
    await this.beginTransaction(isolationLevel, false);
  }

  /**
   * @internal As `startTransaction()`, for a caller that runs the transaction in a scope of its own and does not roll back after a failed
   * start.
   * @returns the depth of the transaction, for `rollBackAt()`
   */
  begin(isolationLevel?: IsolationLevel): Promise<number> {
    return this.beginTransaction(isolationLevel, true);
  }

  protected async beginTransaction(
    isolationLevel: IsolationLevel | undefined,
    ownsScope: boolean,
  ): Promise<number> {
    const { transactions } = this;
    this.refuseReleased();
    transactions.refuseEndedScope();
    const transaction = newTransaction(ownsScope);
    try {
      transactions.refuseParallelStart(transaction.scope);
      this.runnerConnection.refuseWithoutPinning();
      // After a release inside a transaction, TypeORM's counter may still be above 0.
      if (transactions.isEmpty) this.transactionDepth = 0;
      const { transactionDepth: depth } = this;
      if (depth === 0) this.runnerConnection.releaseIfReplaceable();
      transactions.start(transaction, depth === 0);
      try {
        await super.startTransaction(isolationLevel);
      } catch (error) {
        // Otherwise the connection was released meanwhile, which has ended all transactions.
        if (transactions.remove(transaction)) {
          if (depth === 0) await this.rollBackFailedStart();
          else this.abortTransaction(depth, error);
        }
        throw error;
      } finally {
        transactions.settleStart(transaction);
      }
    } catch (error) {
      // The caller rolls back after this error, and that rollback must not end the outer transaction.
      if (!ownsScope && this.isTransactionActive) transactions.expectRollback(transaction.scope);
      throw error;
    }
    return this.transactionDepth;
  }

  /** Ends what a failed start may have left open. Without a transaction, the server answers ROLLBACK by a warning and no error. */
  protected async rollBackFailedStart(): Promise<void> {
    if (this.runnerConnection.lease?.connection) await this.query('ROLLBACK').catch(ignore);
    this.onConnectionReleased();
    this.runnerConnection.settle();
  }

  /**
   * Commits the innermost transaction.
   * @throws DatabaseError `TRANSACTION_ABORTED` if a statement or a nested start has failed before. The server answers such a COMMIT by a
   * ROLLBACK without an error, and the loss of the work would go unnoticed
   */
  override async commitTransaction(): Promise<void> {
    const { transactionDepth: depth } = this;
    try {
      await this.commit();
    } catch (error) {
      // The savepoint was released, then a subscriber failed. The caller's rollback must not end the outer transaction.
      if (depth > 1 && this.transactionDepth === depth - 1) this.transactions.expectRollback(currentScope());
      throw error;
    }
  }

  /** @internal As `commitTransaction()`, for a caller that calls `rollBackAt()` after a failure. */
  async commit(): Promise<void> {
    const { transactions, transactionDepth: depth } = this;
    transactions.refuseEndedScope();
    const transaction = transactions.innermost;
    const connection = this.runnerConnection.lease?.connection;
    const isOutermost = this.isTransactionActive && depth <= 1;
    // `pg` reports an error before ReadyForQuery, which carries the transaction status.
    if (isOutermost && connection?.isUsable && !connection.isReadyForQuery)
      await connection.whenReadyForQuery().catch(ignore);
    if (transactions.isAbortedAt(depth) || (isOutermost && connection?.transactionStatus === 'E')) {
      const error = transactions.commitRefusedError();
      if (isOutermost) {
        await this.rollBackAt(this.transactionDepth);
        transactions.refuseCommit();
      }
      throw error;
    }
    try {
      await super.commitTransaction();
    } catch (error) {
      if (transaction?.isSuperseded) return;
      if (this.hasEndedOnServer(transaction, depth)) {
        this.endTransaction(transaction);
        // Its work is now part of the outer transaction. A commit of that would keep work that was reported as failed.
        if (depth > 1) this.abortTransaction(depth - 1, error);
      }
      throw error;
    }
    this.endTransaction(transaction);
  }

  /** Rolls back the innermost transaction. Sends nothing on a lost connection, whose transaction the server has rolled back. */
  override async rollbackTransaction(): Promise<void> {
    const { transactions } = this;
    if (transactions.takeExpectedRollback(currentScope())) {
      // The caller's reaction to a failed nested transaction. The outer one is still to end, but the server can release its locks now.
      if (transactions.isAborted) await this.query('ROLLBACK').catch(ignore);
      return;
    }
    if (!this.isTransactionActive && transactions.takeRedundantRollback()) return;
    await this.rollBackAt(this.transactionDepth);
  }

  /**
   * @internal Rolls back the innermost transaction.
   * @param depth the depth of the caller's transaction; nothing is done if it has already ended
   */
  async rollBackAt(depth: number): Promise<void> {
    const { transactions } = this;
    if (transactions.isScopeEnded() || this.transactionDepth < depth) return;
    const transaction = transactions.innermost;
    const isOutermost = this.isTransactionActive && depth <= 1;
    if (isOutermost && this.runnerConnection.lease?.connection?.isUsable !== true) {
      transactions.endAllScopes();
      this.onConnectionReleased();
      this.runnerConnection.settle();
      return;
    }
    try {
      await super.rollbackTransaction();
      this.endTransaction(transaction);
    } catch (error) {
      if (transaction?.isSuperseded) return;
      if (this.hasEndedOnServer(transaction, depth)) this.endTransaction(transaction);
      else if (transaction && transactions.innermost === transaction) {
        // It is unknown whether it is still open: the pool rolls it back or destroys the connection.
        if (isOutermost) await this.runnerConnection.release();
        else {
          this.transactionDepth = depth - 1;
          this.endTransaction(transaction);
          // On a lost connection every statement fails anyway.
          if (this.runnerConnection.lease?.connection?.isUsable) this.abortTransaction(depth - 1, error);
        }
      }
      throw error;
    }
  }

  /** Whether the innermost transaction has ended on the server and in TypeORM's counter, and only a subscriber failed after that. */
  protected hasEndedOnServer(transaction: OpenTransaction | undefined, depth: number): boolean {
    return this.transactions.innermost === transaction && this.transactionDepth < depth;
  }

  protected endTransaction(transaction: OpenTransaction | undefined): void {
    // TypeORM updates its counter after COMMIT or ROLLBACK has settled. Until then the transaction still pinned the connection.
    if (this.transactions.end(transaction, this.transactionDepth)) this.runnerConnection.settle();
  }

  /** Corrects TypeORM's counters: 0.3 counts a failed start, and every version drops the transaction when a subscriber fails at its start. */
  protected abortTransaction(depth: number, cause: unknown): void {
    this.isTransactionActive = true;
    this.transactionDepth = depth;
    this.transactions.abort(depth, cause);
  }
}

defineManager(ManagedQueryRunner, (runner) => runner.settings.dataSource.createEntityManager(runner));

/** Captured stacks begin at the callers of these methods, the borrowers. */
const callers = ManagedQueryRunner.prototype as unknown as Record<
  'connect' | 'query' | 'release' | 'stream',
  Caller
>;
