import { QueryRunnerAlreadyReleasedError } from 'typeorm';
import type { ObjectLiteral, ReplicationMode } from 'typeorm';
import type { Connection } from '../../connection/connection.js';
import type { LeasedClient } from '../../pool/connections/pooled-connection.js';
import { callSite, callSiteFrames } from '../../text/call-site.js';
import type { Caller, CallSite } from '../../text/call-site.js';
import { currentScope } from '../execution-scope.js';
import type { DatabaseLogger } from '../logging/database.logger.js';
import { isTransactionControl, PostgresQueryRunner, setConnection } from '../typeorm-internals.js';
import type { IsolationLevel, PostgresDriver, ReadStream } from '../typeorm-internals.js';
import type { RequestBorrower } from './borrower.js';
import { RunnerConnection } from './runner-connection.js';
import type { RunnerConnectionSettings } from './runner-connection.js';
import type { PoolSource } from './runner-lease.js';
import { executeStatement, resultOf } from './statements.js';
import type { StatementSettings } from './statements.js';
import { notifyCaller, openStream } from './streams.js';
import { newTransaction, RunnerTransactions } from './transactions.js';
import type { OpenTransaction } from './transactions.js';

/** What query runners need of their data source. One object for all runners of a data source. */
export interface RunnerSettings extends RunnerConnectionSettings, StatementSettings {
  readonly moduleLogger: DatabaseLogger;
  /** Whether to capture where a runner is released; leak detection is on. */
  readonly isTracing: boolean;
}

/** The request that a runner belongs to, and what ends with the runner. */
export interface RunnerBorrower extends RequestBorrower {
  /** Called once, when the runner has been released. */
  readonly onReleased: (runner: ManagedQueryRunner) => void;
}

const ignore = () => undefined;

/**
 * The query runner of `ManagedDataSource`, TypeORM's own uses (`query`, repositories, `transaction`) included. It sends TypeORM's
 * statements in TypeORM's order, and differs in three points:
 *
 * - the connection: `RunnerConnection` says when it is acquired, pinned and released;
 * - transactions: `RunnerTransactions` says which statements are refused;
 * - statements: `executeStatement` repeats one that the server has terminated, and completes errors.
 *
 * The class itself has no private state: a Proxy around a query runner has no access to `#private` fields, but to these parts.
 */
export class ManagedQueryRunner extends PostgresQueryRunner {
  /** @internal */
  readonly settings: RunnerSettings;
  /** @internal */
  readonly runnerConnection: RunnerConnection;
  /** @internal */
  readonly transactions: RunnerTransactions;
  protected readonly borrower: RunnerBorrower | undefined;
  /** Where the runner was released, when leak detection is on. */
  protected releasedAt: CallSite | undefined;

  /**
   * @param pool the pool that it acquires from
   * @param borrower the request that it belongs to
   * @param callerName the method of the data source that makes it for one call: `dataSource.query`
   */
  constructor(
    driver: PostgresDriver,
    mode: ReplicationMode,
    settings: RunnerSettings,
    pool: PoolSource,
    borrower?: RunnerBorrower,
    callerName?: string,
  ) {
    super(driver, mode);
    this.settings = settings;
    this.borrower = borrower;
    this.transactions = new RunnerTransactions(borrower);
    this.runnerConnection = new RunnerConnection(this, settings, pool, borrower?.name, callerName);
  }

  // ---- connection ----------------------------------------------------------------------------------------------------

  /**
   * Acquires a connection and pins it until the runner is released, or until its request ends.
   * @throws PoolError when the pool has none
   * @throws DatabaseError `REQUEST_CLOSED` if the client had gone before the handler began
   */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- TypeORM's own signature
  override connect(): Promise<any> {
    if (this.isReleased) return Promise.reject(this.alreadyReleasedError());
    return this.runnerConnection.pin(callers.connect);
  }

  /** Ends the runner and rolls back an open transaction, which TypeORM would leave to the next borrower. */
  override async release(): Promise<void> {
    if (this.isReleased) return;
    // Before the rollback has completed: from here on the runner refuses further statements.
    this.isReleased = true;
    // A stack costs more than the release itself.
    if (this.settings.isTracing) this.releasedAt = callSite(callers.release, 0);
    this.runnerConnection.destroyStreams();
    this.borrower?.onReleased(this);
    await this.runnerConnection.release();
  }

  /**
   * The end of `await using`. TypeORM commits an open transaction here, also when an exception leaves the block, which it cannot see.
   * This one rolls back and logs it as an error, since the caller may rely on that commit.
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

  /** @internal */
  onPoolClosed(): void {
    this.isReleased = true;
    this.borrower?.onReleased(this);
  }

  /** @internal */
  alreadyReleasedError(): QueryRunnerAlreadyReleasedError {
    const error = new QueryRunnerAlreadyReleasedError();
    const by = this.borrower ? ` (of ${this.borrower.name})` : '';
    const where = this.releasedAt
      ? `It was released\n${callSiteFrames(this.releasedAt) ?? ''}`
      : 'With leak detection on (DB_LEAK_THRESHOLD) this error says where.';
    error.message = `Query runner already released${by}. Cannot run queries anymore. ${where}`;
    return error;
  }

  // ---- statements ----------------------------------------------------------------------------------------------------

  override async query(
    query: string,
    parameters?: unknown[] | ObjectLiteral,
    useStructuredResult = false,
    // eslint-disable-next-line @typescript-eslint/no-explicit-any -- TypeORM's own signature
  ): Promise<any> {
    // Named values: TypeORM refuses them, with a message that differs by version.
    if (parameters && !Array.isArray(parameters)) return super.query(query, parameters as never);
    if (this.isReleased) throw this.alreadyReleasedError();
    this.transactions.refuseStatement(query, this.isTransactionActive);
    if (!this.transactions.isEmpty || query === 'ROLLBACK')
      return this.queryInTransaction(query, parameters, useStructuredResult);
    return resultOf(await executeStatement(this, query, parameters, callers.query), useStructuredResult);
  }

  protected async queryInTransaction(
    query: string,
    parameters: unknown[] | undefined,
    useStructuredResult: boolean,
  ): Promise<unknown> {
    const { transactions } = this;
    const transaction = transactions.innermost;
    if (query === 'ROLLBACK' && this.isTransactionActive) transactions.startRollback();
    try {
      const raw = await executeStatement(this, query, parameters, callers.query);
      if (transaction && !transactions.includes(transaction) && isTransactionControl(query)) {
        // TypeORM would go on and count this statement for a transaction that has begun since.
        transaction.isSuperseded = true;
        throw transactions.endedError();
      }
      return resultOf(raw, useStructuredResult);
    } finally {
      if (query === 'ROLLBACK') transactions.settleRollback();
    }
  }

  /** @throws QueryFailedError, or PoolError when the pool has no connection */
  override async stream(
    query: string,
    parameters?: unknown[],
    onEnd?: () => void,
    onError?: (error: Error) => void,
  ): Promise<ReadStream> {
    if (this.isReleased) throw this.alreadyReleasedError();
    this.transactions.refuseStatement(query, this.isTransactionActive);
    const lease = this.runnerConnection.acquire(callers.stream);
    return lease.run(async (connection) => {
      this.settings.dataSource.logger.logQuery(query, parameters, this);
      const queryStream: unknown = this.driver.loadStreamDependency();
      const stream = openStream(connection, queryStream, query, parameters);
      this.runnerConnection.addStream(stream, lease);
      return notifyCaller(stream, onEnd, onError);
    });
  }

  // ---- transactions --------------------------------------------------------------------------------------------------

  /**
   * Begins a transaction, or inside of one a nested one (a savepoint).
   * @throws the failure of the start. No transaction is open then, while TypeORM would count one. After the failure of a nested
   * start, the outer transaction sends nothing but its rollback.
   * @throws DatabaseError `TRANSACTION_IN_PROGRESS` beside another transaction of this runner that it is no part of
   */
  override async startTransaction(isolationLevel?: IsolationLevel): Promise<void> {
    await this.beginTransaction(isolationLevel, false);
  }

  /**
   * @internal As `startTransaction()`, for a caller whose scope is the transaction and that does not answer a failure by a rollback.
   * @returns the depth of the transaction, for `rollBackAt()`
   */
  async begin(isolationLevel?: IsolationLevel): Promise<number> {
    await this.beginTransaction(isolationLevel, true);
    return this.transactionDepth;
  }

  protected async beginTransaction(
    isolationLevel: IsolationLevel | undefined,
    ownsScope: boolean,
  ): Promise<void> {
    const { transactions } = this;
    if (this.isReleased) throw this.alreadyReleasedError();
    transactions.refuseEndedScope();
    const transaction = newTransaction(ownsScope);
    try {
      transactions.refuseParallelStart(transaction.scope);
      this.runnerConnection.refuseWithoutPinning();
      await this.sendStart(transaction, isolationLevel);
    } catch (error) {
      // An outer transaction is open, which a rollback in answer to this error must not end.
      if (!ownsScope && this.isTransactionActive) transactions.expectRollback(transaction.scope);
      throw error;
    }
  }

  protected async sendStart(transaction: OpenTransaction, isolationLevel?: IsolationLevel): Promise<void> {
    const { transactions } = this;
    // The release of the connection in a transaction leaves TypeORM's counter behind.
    if (transactions.isEmpty) this.transactionDepth = 0;
    const { transactionDepth: depth } = this;
    if (depth === 0) this.runnerConnection.releaseIfReplaceable();
    transactions.start(transaction, depth === 0);
    try {
      await super.startTransaction(isolationLevel);
    } catch (error) {
      // If it was not open any more, the connection was released meanwhile, with all transactions.
      if (transactions.remove(transaction)) {
        if (depth === 0) await this.rollBackFailedStart();
        else this.abortTransaction(depth, error);
      }
      throw error;
    } finally {
      transactions.settleStart(transaction);
    }
  }

  /** What a failed start has left open. Outside a transaction ROLLBACK is only a notice. */
  protected async rollBackFailedStart(): Promise<void> {
    if (this.runnerConnection.lease?.connection) await this.query('ROLLBACK').catch(ignore);
    this.onConnectionReleased();
    this.runnerConnection.settle();
  }

  /**
   * Commits the innermost transaction.
   * @throws DatabaseError `TRANSACTION_ABORTED` if a statement, or a nested start, has failed before: the server answers the COMMIT of
   * such a transaction with a ROLLBACK and no error, and the work would be lost unnoticed
   */
  override async commitTransaction(): Promise<void> {
    const { transactionDepth: depth } = this;
    try {
      await this.commit();
    } catch (error) {
      // The savepoint is released and a subscriber has failed: a rollback in answer to this error must not end the outer transaction.
      if (depth > 1 && this.transactionDepth === depth - 1) this.transactions.expectRollback(currentScope());
      throw error;
    }
  }

  /** @internal As `commitTransaction()`, for a caller that answers a failure by `rollBackAt()`. */
  async commit(): Promise<void> {
    const { transactions, transactionDepth: depth } = this;
    transactions.refuseEndedScope();
    const transaction = transactions.innermost;
    const connection = this.runnerConnection.lease?.connection;
    const isOutermost = this.isTransactionActive && depth <= 1;
    // `pg` reports an error before ReadyForQuery, which carries the state of the transaction.
    if (isOutermost && connection?.isUsable) await connection.whenReadyForQuery().catch(ignore);
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
        // Its work is part of the outer transaction now, which must not be committed with what was reported as failed.
        if (depth > 1) this.abortTransaction(depth - 1, error);
      }
      throw error;
    }
    this.endTransaction(transaction);
  }

  /** Rolls back the innermost transaction. If its connection is lost, the server has rolled it back. */
  override async rollbackTransaction(): Promise<void> {
    const { transactions } = this;
    if (transactions.takeExpectedRollback(currentScope())) {
      // The answer to the failure of a nested transaction. The outer one is yet to end, but its locks need not last until then.
      if (transactions.isAborted) await this.query('ROLLBACK').catch(ignore);
      return;
    }
    if (!this.isTransactionActive && transactions.takeSupersededRollback()) return;
    await this.rollBackAt(this.transactionDepth);
  }

  /**
   * @internal Rolls back the innermost transaction.
   * @param depth that of the caller's transaction; if that one has ended, nothing is done
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
        // Whether it is still open is not known: the pool rolls back or destroys the connection.
        if (isOutermost) await this.runnerConnection.release();
        else {
          this.transactionDepth = depth - 1;
          this.endTransaction(transaction);
          // On a lost connection each statement fails by itself.
          if (this.runnerConnection.lease?.connection?.isUsable) this.abortTransaction(depth - 1, error);
        }
      }
      throw error;
    }
  }

  /** Whether the server has ended the innermost transaction and TypeORM has counted it, and a subscriber failed after that. */
  protected hasEndedOnServer(transaction: OpenTransaction | undefined, depth: number): boolean {
    return this.transactions.innermost === transaction && this.transactionDepth < depth;
  }

  protected endTransaction(transaction: OpenTransaction | undefined): void {
    // The connection was not released when COMMIT or ROLLBACK settled, since TypeORM counts them after that.
    if (this.transactions.end(transaction, this.transactionDepth)) this.runnerConnection.settle();
  }

  /** TypeORM 0.3 counts a start that fails, and every version forgets the transaction when a subscriber fails at its start. */
  protected abortTransaction(depth: number, cause: unknown): void {
    this.isTransactionActive = true;
    this.transactionDepth = depth;
    this.transactions.abort(depth, cause);
  }
}

/** Left out of stacks: what is above them is the borrower. */
const callers = ManagedQueryRunner.prototype as unknown as Record<
  'connect' | 'query' | 'release' | 'stream',
  Caller
>;
