import type { Readable } from 'node:stream';
import { QueryFailedError, QueryRunnerAlreadyReleasedError } from 'typeorm';
import type { DataSource, ObjectLiteral, ReplicationMode } from 'typeorm';
import type { IsolationLevel } from 'typeorm/driver/types/IsolationLevel.js';
import type { PostgresDriver } from 'typeorm/driver/postgres/PostgresDriver.js';
import { PostgresQueryRunner } from 'typeorm/driver/postgres/PostgresQueryRunner.js';
import type { ReadStream } from 'typeorm/platform/PlatformTools.js';
import { QueryResult } from 'typeorm/query-runner/QueryResult.js';
import type { Submittable } from 'pg';
import type { Connection } from '../../connection/connection.js';
import { isInterrupt } from '../../connection/wire/disconnect.js';
import { isSingleRepeatableStatement } from '../../connection/statements/repeatable-statement.js';
import { PoolClosedError, PoolLeaseReclaimedError } from '../../errors/pool.errors.js';
import { noteHttpErrors } from '../../errors/http-errors.js';
import { DatabaseError } from '../../errors/database.error.js';
import type { EchoSettings } from '../../database.options.js';
import { diagnose } from '../../diagnosis/diagnose.js';
import type { LeasedClient } from '../../pool/connections/pooled-connection.js';
import { captureCallSite } from '../../pool/leases/lease.js';
import type { Caller } from '../../pool/leases/lease.js';
import { callSiteFrames } from '../../text/call-site.js';
import type { CallSite } from '../../text/call-site.js';
import { statementText } from '../logging/database.logger.js';
import type { DatabaseLoggers } from '../logging/database.logger.js';
import type { DataSourcePool } from '../pools/data-source.pool.js';
import { failedQuery } from './failed-query.js';
import { RunnerLease } from './runner-lease.js';
import { currentUnit, isWithin, nameOfUnit, unitOfFlow } from '../unit-of-work.context.js';
import type { WorkUnit } from '../unit-of-work.context.js';

/** A request that keeps a runner. */
export interface Borrower {
  /** `GET /users/:id` */
  readonly name: string;
  /** Whether the calling code belongs to a run of the request's handler that has not settled. */
  readonly isCurrent: () => boolean;
  /** Told once, when the runner has been released. */
  readonly released: (runner: ManagedQueryRunner) => void;
}

/** What a runner is told by its data source. */
export interface RunnerContext {
  readonly dataSource: DataSource;
  /** The pool, once it may be used; a promise only where that takes time. */
  readonly pool: () => DataSourcePool | Promise<DataSourcePool>;
  readonly echo: Readonly<Required<EchoSettings>> | false;
  readonly loggers: DatabaseLoggers;
  /** Whether to remember the places of the code that releases. */
  readonly tracing: boolean;
  /** Longest wait of a release for the statement that still runs; milliseconds. */
  readonly resetTimeoutMs: number;
  /** Longest wait for a connection; milliseconds, 0 is for ever. */
  readonly acquireTimeoutMs: number;
  /** Whether a statement that the server has terminated is sent once more. */
  readonly retryTerminated: boolean;
  /** Whether HTTP requests are answered by the errors of the data source. */
  readonly httpErrors: boolean;
  /** The method of the data source that has made the runner for one call: `dataSource.query`. */
  readonly caller: string | undefined;
  /** The request whose runner this is; such a runner holds a connection only while it must. */
  readonly borrower: Borrower | undefined;
}

/** TypeORM declares the promise as always there, and treats undefined as none. */
const NONE = undefined as unknown as Promise<unknown>;

const ignore = () => undefined;

/** An open transaction of a runner, or one nested in it. */
interface OpenTransaction {
  /** The unit of work in which it was begun. */
  readonly unit: WorkUnit | undefined;
  /** Whether that unit is this transaction, and so ends with it. */
  readonly isUnit: boolean;
  /** Whether it was given back while its start or end was under way, which has succeeded since. */
  outlived?: boolean;
}

/**
 * The one kind of query runner, TypeORM's own uses (`query`, repositories, `transaction`) included. The runner of a request
 * holds a connection only while it must: while a statement runs, a transaction is open, a stream reads, the session has been
 * changed, or after `connect()`. Every other runner keeps its connection until `release()`, as TypeORM's does.
 */
export class ManagedQueryRunner extends PostgresQueryRunner {
  private lease: RunnerLease | undefined;
  private readonly streams = new Set<Readable>();
  /** What is held no longer than the streams read. */
  private endsWithStreams: { lease: RunnerLease; transaction: OpenTransaction | undefined } | undefined;
  private releasedAt: CallSite | undefined;
  /** Whether the caller has asked for the connection itself, by `connect()`. */
  private pinned = false;
  /** Whether the runner of a request may keep a connection between statements. */
  private mayHold = true;
  /** The unit of work that has called `connect()`. */
  private pinnedBy: WorkUnit | undefined;
  /** The open transaction and those nested in it, the outermost first; the last one may still be at its start. */
  private readonly transactions: OpenTransaction[] = [];
  /** Units whose transaction on this runner has ended: what is left of their code must not go on in autocommit. */
  private endedUnits: WeakSet<WorkUnit> | undefined;
  /** Whether a transaction was rolled back at the end of its handler, while its code may still be at work. */
  private interrupted = false;
  /** The transaction whose start is under way. */
  private starting: OpenTransaction | undefined;
  /** Whether the ROLLBACK of the open transaction is under way. */
  private rollingBack = false;
  /** A nested transaction has failed to start or to end: no statement is sent until that at this depth is rolled back. */
  private doomed: { readonly depth: number; readonly cause: unknown } | undefined;
  /** Units whose answer to a failed nested `startTransaction()` or `commitTransaction()`, a rollback, is still to come. */
  private readonly unanswered: (WorkUnit | undefined)[] = [];
  /** Whether a commit has rolled the transaction back, so that the caller's rollback has nothing left to do. */
  private commitRefused = false;

  constructor(
    driver: PostgresDriver,
    mode: ReplicationMode,
    private readonly context: RunnerContext,
  ) {
    super(driver, mode);
  }

  /**
   * A connection of the pool, the same one until the runner is released, or until its request ends.
   * @throws PoolError when the pool has none
   */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- TypeORM's own signature
  override connect(): Promise<any> {
    if (this.isReleased) return Promise.reject(this.released());
    if (!this.mayHold) return Promise.reject(clientHasGone(this.borrowerName));
    this.pinned = true;
    this.pinnedBy ??= currentUnit();
    return this.currentLease(callers.connect).connected;
  }

  /** @internal Rolls back what is open and releases the connection. The runner stays usable: its next statement acquires again. */
  async giveBack(): Promise<void> {
    const { lease } = this;
    if (!lease) return;
    if (this.isTransactionActive) {
      this.interrupted = true;
      for (const transaction of this.transactions) this.noteEnd(transaction);
    }
    this.forget(lease);
    await lease.release(this.context.resetTimeoutMs);
  }

  /**
   * @internal As `giveBack()`, where a transaction, `connect()` or a changed session keeps the connection, once no stream reads
   * from it any more. Statements under way end by themselves.
   */
  async stopHolding(): Promise<void> {
    const { lease } = this;
    if (!lease) return;
    if (this.streams.size > 0) {
      this.endsWithStreams = { lease, transaction: this.transactions[0] };
      return;
    }
    const { connection } = lease;
    if (this.isTransactionActive || this.pinned || (connection && this.holds(connection)))
      await this.giveBack();
  }

  /** @internal Whether the runner may keep a connection from one statement to the next; without, it begins no transaction. */
  allowHolding(allowed: boolean): void {
    this.mayHold = allowed;
    if (!allowed) void this.stopHolding();
  }

  /** @internal Pending waits for a connection reject; a connection that is leased stays. */
  stopWaiting(reason: string): void {
    this.lease?.stopWaiting(reason);
  }

  /** @internal Asks the server to stop what this runner runs. */
  async cancelRunning(): Promise<void> {
    await this.lease?.connection?.cancelRunning();
  }

  /** Ends the runner; what it left uncommitted is rolled back, where TypeORM would leave it open for the next borrower. */
  override async release(): Promise<void> {
    if (this.isReleased) return;
    // At once, and not only when the rollback is through: from here on the runner refuses its caller.
    this.isReleased = true;
    // Costs more than the release itself: only where connections are watched for leaks.
    if (this.context.tracing) this.releasedAt = captureCallSite(callers.release, false);
    // Its cursor would keep the connection busy with nobody to read.
    for (const stream of this.streams) stream.destroy();
    this.context.borrower?.released(this);
    await this.giveBack();
  }

  /**
   * The end of `await using`. TypeORM commits here what is open, also when an exception leaves the block, which it cannot
   * see. Ours rolls back, and says so, since the caller may rely on that commit.
   */
  override async [Symbol.asyncDispose](): Promise<void> {
    if (this.isTransactionActive) {
      this.context.loggers.module.error(
        'A transaction was still open when its query runner was disposed of; it is rolled back. Commit it explicitly.',
        new Error('disposed of').stack,
      );
      await this.query('ROLLBACK').catch(ignore);
      this.endTransaction();
    }
    await this.release();
  }

  // ---- transactions --------------------------------------------------------------------------------------------------

  /**
   * Begins a transaction, or inside of one a nested one (a savepoint).
   * @throws whatever the start failed with. No transaction is open then, where TypeORM believes in one. After a nested start
   * that failed, the outer transaction sends nothing more until it is rolled back.
   * @throws DatabaseError `TRANSACTION_IN_PROGRESS` beside another transaction of this runner that it is no part of
   */
  override async startTransaction(isolationLevel?: IsolationLevel): Promise<void> {
    await this.start(isolationLevel, false);
  }

  /**
   * @internal As `startTransaction()`, for a caller that answers a failure with no rollback, and whose unit of work is the
   * transaction.
   * @returns its depth, for `rollBack()`
   */
  async begin(isolationLevel?: IsolationLevel): Promise<number> {
    await this.start(isolationLevel, true);
    return this.transactionDepth;
  }

  private async start(isolationLevel: IsolationLevel | undefined, isUnit: boolean): Promise<void> {
    if (this.isReleased) throw this.released();
    this.refuseEndedUnit();
    const transaction: OpenTransaction = { unit: currentUnit(), isUnit };
    try {
      this.refuseParallelTransaction(transaction.unit);
      if (!this.mayHold) throw clientHasGone(this.borrowerName);
      await this.startAs(transaction, isolationLevel);
    } catch (error) {
      // There is an outer transaction, which a rollback in answer to this error must not end.
      if (!isUnit && this.isTransactionActive) this.expectAnswer(transaction.unit);
      throw error;
    }
  }

  private async startAs(transaction: OpenTransaction, isolationLevel?: IsolationLevel): Promise<void> {
    // TypeORM goes on to count in a transaction that was given back.
    if (this.transactions.length === 0) this.transactionDepth = 0;
    const { transactionDepth: depth } = this;
    if (depth === 0) {
      this.interrupted = false;
      this.commitRefused = false;
      // From here on a lost connection counts as that of the transaction.
      if (this.lease && this.isSpent(this.lease)) this.drop(this.lease);
    }
    this.starting = transaction;
    this.transactions.push(transaction);
    try {
      await super.startTransaction(isolationLevel);
    } catch (error) {
      // Given back meanwhile, with all that there was.
      if (!this.transactions.includes(transaction)) throw error;
      this.remove(transaction);
      if (depth === 0) await this.abandonStart();
      else this.doom(depth, error);
      throw error;
    } finally {
      if (this.starting === transaction) this.starting = undefined;
    }
  }

  /**
   * @throws DatabaseError `TRANSACTION_ABORTED` when a statement, or a nested start, had failed before: the server answers the
   * COMMIT of such a transaction with a ROLLBACK and no error, and the work would be lost in silence
   */
  override async commitTransaction(): Promise<void> {
    const { transactionDepth: depth } = this;
    try {
      await this.commit();
    } catch (error) {
      // The savepoint was released before a subscriber failed: a rollback in answer to this error must not end the outer one.
      if (depth > 1 && this.transactionDepth === depth - 1) this.expectAnswer(currentUnit());
      throw error;
    }
  }

  /** @internal As `commitTransaction()`, for a caller that answers a failure by `rollBack()` with its depth. */
  async commit(): Promise<void> {
    this.refuseEndedUnit();
    const { transactionDepth: depth, doomed } = this;
    const transaction = this.transactions.at(-1);
    const connection = this.lease?.connection;
    const outermost = this.isTransactionActive && depth <= 1;
    // An error is told before the server's word on the state of the transaction has come.
    if (outermost && connection?.isUsable) await connection.whenReadyForQuery().catch(ignore);
    if (doomed?.depth === depth || (outermost && connection?.transactionStatus === 'E')) {
      if (outermost) {
        await this.rollBack();
        this.commitRefused = true;
      }
      throw new DatabaseError(
        'The transaction was rolled back: a statement in it had failed before the commit.',
        {
          code: 'TRANSACTION_ABORTED',
          hint: 'Let the error of the failed statement through, or put the statement into a nested transaction (a savepoint).',
          cause: doomed?.cause,
        },
      );
    }
    try {
      await super.commitTransaction();
    } catch (error) {
      if (transaction?.outlived) return;
      // After the statement a subscriber has failed: what it was told of is over.
      if (this.hasLeft(transaction, depth)) {
        this.leaveTransaction(transaction);
        // Its work is part of the outer transaction by now, which must not be committed with what was reported as failed.
        if (depth > 1) this.doom(depth - 1, error);
      }
      throw error;
    }
    this.leaveTransaction(transaction);
  }

  /** Rolls back the innermost transaction. One whose connection is lost has been rolled back by the server. */
  override async rollbackTransaction(): Promise<void> {
    const failure = this.unanswered.indexOf(currentUnit());
    if (failure >= 0) {
      this.unanswered.splice(failure, 1);
      // The answer to a nested start that failed. What is open belongs to the outer transaction, which has yet to end; its
      // locks need not last until then.
      if (this.doomed) await this.query('ROLLBACK').catch(ignore);
      return;
    }
    if (!this.isTransactionActive) {
      // Rolled back at the end of its handler, for an exception filter that does so too.
      if (this.interrupted) return;
      if (this.commitRefused) {
        this.commitRefused = false;
        return;
      }
    }
    await this.rollBack();
  }

  /**
   * @internal Rolls back the innermost transaction that was begun.
   * @param depth that of the caller's transaction; where that one has ended already, nothing is left to do
   */
  async rollBack(depth = this.transactionDepth): Promise<void> {
    if (this.isLeftover() || this.transactionDepth < depth) return;
    const transaction = this.transactions.at(-1);
    const outermost = this.isTransactionActive && depth <= 1;
    if (outermost && this.lease?.connection?.isUsable !== true) {
      // The server has rolled back what it has lost.
      for (const open of this.transactions) this.noteEnd(open);
      this.endTransaction();
      if (this.lease) this.settled(this.lease);
      return;
    }
    try {
      await super.rollbackTransaction();
      this.leaveTransaction(transaction);
    } catch (error) {
      if (transaction?.outlived) return;
      if (this.hasLeft(transaction, depth)) this.leaveTransaction(transaction);
      else if (transaction && this.transactions.at(-1) === transaction) {
        // Whether it is still open is not known: the pool rolls back or destroys.
        if (outermost) await this.giveBack();
        else {
          this.transactionDepth = depth - 1;
          this.leaveTransaction(transaction);
          // On a connection that is lost each statement says so by itself.
          if (this.lease?.connection?.isUsable) this.doom(depth - 1, error);
        }
      }
      throw error;
    }
  }

  /** Whether the server has ended the innermost transaction and TypeORM has taken note, before a subscriber failed. */
  private hasLeft(transaction: OpenTransaction | undefined, depth: number): boolean {
    return this.transactions.at(-1) === transaction && this.transactionDepth < depth;
  }

  /** What a start that failed may have left: outside of a transaction, ROLLBACK is but a notice. */
  private async abandonStart(): Promise<void> {
    if (this.lease?.connection) await this.query('ROLLBACK').catch(ignore);
    this.endTransaction();
    if (this.lease) this.settled(this.lease);
  }

  /**
   * A caller by hand answers a start or commit that failed by a rollback, which must not end the outer transaction. One that
   * goes on beside a start that was refused ends by a rollback of its own, which comes later.
   */
  private expectAnswer(unit: WorkUnit | undefined): void {
    this.unanswered.push(unit);
    if (this.doomed) return;
    setImmediate(() => {
      const at = this.doomed ? -1 : this.unanswered.indexOf(unit);
      if (at >= 0) this.unanswered.splice(at, 1);
    });
  }

  /** TypeORM 0.3 counts a start that fails, and every version forgets the transaction when a subscriber fails at it. */
  private doom(depth: number, cause: unknown): void {
    this.isTransactionActive = true;
    this.transactionDepth = depth;
    this.doomed ??= { depth, cause };
  }

  /** The innermost transaction has ended; unless it was given back meanwhile. */
  private leaveTransaction(transaction: OpenTransaction | undefined): void {
    if (!transaction || !this.transactions.includes(transaction)) return;
    this.remove(transaction);
    this.noteEnd(transaction);
    if (this.doomed && this.doomed.depth > this.transactionDepth) {
      this.doomed = undefined;
      this.unanswered.length = 0;
    }
    // COMMIT and ROLLBACK have settled before TypeORM took note.
    if (this.lease) this.settled(this.lease);
  }

  private remove(transaction: OpenTransaction): void {
    this.transactions.splice(this.transactions.indexOf(transaction), 1);
  }

  private endTransaction(): void {
    this.isTransactionActive = false;
    this.transactionDepth = 0;
    this.transactions.length = 0;
    this.starting = undefined;
    this.doomed = undefined;
    this.unanswered.length = 0;
  }

  /** A unit that is one transaction ends with it; that of a handler goes on after a commit, and not after an interruption. */
  private noteEnd({ unit, isUnit }: OpenTransaction): void {
    if (unit && (isUnit || this.interrupted)) (this.endedUnits ??= new WeakSet()).add(unit);
  }

  /**
   * Two transactions at once on one connection would nest by chance and commit each other's statements. Code inside of the
   * innermost one is known by its unit of work; where units are not known, only a start during another start is seen.
   */
  private refuseParallelTransaction(unit: WorkUnit | undefined): void {
    const innermost = this.transactions.at(-1)?.unit;
    if (!this.starting && (!innermost || !unit || isWithin(unit, innermost))) return;
    throw new DatabaseError('Another transaction is in progress on this query runner.', {
      code: 'TRANSACTION_IN_PROGRESS',
      hint: 'Run the transactions one after the other, or each on a query runner of its own.',
    });
  }

  // ---- statements ----------------------------------------------------------------------------------------------------

  override async query(
    query: string,
    parameters?: unknown[] | ObjectLiteral,
    useStructuredResult = false,
    // eslint-disable-next-line @typescript-eslint/no-explicit-any -- TypeORM's own signature
  ): Promise<any> {
    // Named values: TypeORM refuses them in its own words, which differ by version.
    if (parameters && !Array.isArray(parameters)) return super.query(query, parameters as never);
    if (this.isReleased) throw this.released();
    this.refuseLeftovers(query);
    if (this.transactions.length > 0 || query === 'ROLLBACK')
      return this.queryInTransaction(query, parameters, useStructuredResult);
    return resultOf(await this.execute(query, parameters), useStructuredResult);
  }

  private async queryInTransaction(
    query: string,
    parameters: unknown[] | undefined,
    useStructuredResult: boolean,
  ): Promise<unknown> {
    const transaction = this.transactions.at(-1);
    this.rollingBack ||= query === 'ROLLBACK' && this.isTransactionActive;
    try {
      const result = resultOf(await this.execute(query, parameters), useStructuredResult);
      if (transaction && !this.transactions.includes(transaction) && isTransactionControl(query)) {
        // TypeORM would go on to count, in a transaction that has begun since.
        transaction.outlived = true;
        throw this.rolledBack();
      }
      return result;
    } finally {
      if (query === 'ROLLBACK') this.rollingBack = false;
    }
  }

  /** Sends a statement with TypeORM's events and log lines; once more when the server has terminated its session. */
  private async execute(query: string, parameters: unknown[] | undefined): Promise<RawResult> {
    const { dataSource, echo, loggers } = this.context;
    const { logger } = dataSource;
    const observed = dataSource.subscribers.length > 0;
    const begun = performance.now();
    // The wait for a connection is the pool's figure and not the statement's.
    let sent = begun;
    let first = true;
    let terminated = false;
    let repeated = false;
    const send = (lease: RunnerLease) =>
      lease.run(async (connection) => {
        if (first) {
          logger.logQuery(query, parameters, this);
          if (observed) await this.broadcaster.broadcast('BeforeQuery', query, parameters);
          first = false;
          sent = performance.now();
        }
        // The release did not wait any longer: another borrower may have the connection by now.
        if (lease.connection !== connection) throw this.released();
        try {
          return await connection.query(query, parameters);
        } catch (error) {
          const driverError = lossBehind(error, connection);
          terminated = this.mayRepeat(driverError, lease, connection, query);
          if (!connection.isUsable && !terminated) lease.lossReported = true;
          if (!connection.isUsable && !(terminated && !repeated)) lease.noteLoss();
          const failed = failedQuery(query, parameters, driverError, echo !== false && echo.parameters);
          noteHttpErrors(failed, this.context.httpErrors);
          throw failed;
        }
      });
    const elapsedMs = () => performance.now() - sent;
    try {
      const lease = this.currentLease(callers.query);
      let raw: RawResult;
      try {
        raw = await send(lease);
      } catch (error) {
        if (!terminated) throw error;
        terminated = false;
        repeated = true;
        raw = await send(this.nextLease(lease, sent - begun));
      }
      const ms = elapsedMs();
      if (echo) loggers.query.log(`${ms.toFixed(1)} ms: ${statementText(query, parameters, echo)}`);
      const { maxQueryExecutionTime } = dataSource.options;
      if (maxQueryExecutionTime && ms > maxQueryExecutionTime)
        logger.logQuerySlow(Math.round(ms), query, parameters, this);
      if (observed)
        await this.broadcaster.broadcast(
          'AfterQuery',
          query,
          parameters,
          true,
          Math.round(ms),
          raw,
          undefined,
        );
      return raw;
    } catch (error) {
      if (!(error instanceof QueryFailedError)) throw error;
      const driverError = error.driverError as Error;
      logger.logQueryError(driverError, query, parameters, this);
      if (echo)
        loggers.query.error(
          `failed after ${elapsedMs().toFixed(1)} ms: ${statementText(query, parameters, echo)}`,
        );
      if (observed)
        await this.broadcaster.broadcast(
          'AfterQuery',
          query,
          parameters,
          false,
          undefined,
          undefined,
          driverError,
        );
      throw advised(error);
    }
  }

  /**
   * Whether a statement may be sent once more: the server has ended its session before it was completed, it was outside of a
   * transaction, so that it had no effect, and nothing of the lost session is missed. One that stood in line behind a statement
   * that has failed with the session (BEGIN, SET) would miss what that was to do.
   */
  private mayRepeat(
    error: unknown,
    lease: RunnerLease,
    connection: LeasedClient<Connection>,
    query: string,
  ): boolean {
    return (
      this.context.retryTerminated &&
      isInterrupt(error) &&
      !lease.lossReported &&
      !this.isReleased &&
      !this.isTransactionActive &&
      !this.keepsSession(connection) &&
      // As of the last ReadyForQuery, which came before this statement.
      connection.transactionStatus === 'I' &&
      !connection.commandCompleted &&
      isSingleRepeatableStatement(query)
    );
  }

  override async stream(
    query: string,
    parameters?: unknown[],
    onEnd?: () => void,
    onError?: (error: Error) => void,
  ): Promise<ReadStream> {
    if (this.isReleased) throw this.released();
    this.refuseLeftovers(query);
    const lease = this.currentLease(callers.stream);
    return lease.run(async (connection) => {
      this.context.dataSource.logger.logQuery(query, parameters, this);
      const QueryStream = this.driver.loadStreamDependency() as QueryStreamClass;
      const stream = connection.query(new QueryStream(query, parameters)) as unknown as ReadStream;
      this.watchStream(stream, lease);
      if (onError) stream.once('error', onError);
      if (onEnd) {
        // TypeORM releases at the end and at an error; a stream that is destroyed early has neither.
        stream.once('end', onEnd).once('close', () => {
          if (!stream.readableEnded && !stream.errored) onEnd();
        });
      }
      return stream;
    });
  }

  private watchStream(stream: Readable, lease: RunnerLease): void {
    this.streams.add(stream);
    stream.once('close', () => {
      this.streams.delete(stream);
      this.settled(lease);
      if (this.streams.size > 0 || !this.endsWithStreams) return;
      const held = this.endsWithStreams;
      this.endsWithStreams = undefined;
      // What has begun meanwhile belongs to an exception filter, or to the next run of the handler.
      if (this.lease === held.lease && this.transactions[0] === held.transaction) void this.stopHolding();
    });
  }

  /**
   * What is left of a transaction that has ended must not go on in autocommit. Its own flow of calls is known by its unit of
   * work. After an interruption, code that comes by another flow (a queue whose loop began at the start of the app) cannot be
   * told from an exception filter: it may read, and it may begin a transaction, and it may not write by the way.
   */
  private refuseLeftovers(query: string): void {
    if (this.doomed && !query.startsWith('ROLLBACK'))
      throw new DatabaseError(
        'The transaction sends nothing more: a nested transaction in it did not start, or did not end.',
        {
          code: 'TRANSACTION_ABORTED',
          hint: 'Let the error of the nested transaction through, so that the outer transaction is rolled back.',
          cause: this.doomed.cause,
        },
      );
    if (this.rollingBack && query !== 'ROLLBACK') throw this.rolledBack();
    this.refuseEndedUnit();
    if (!this.interrupted || this.isTransactionActive || this.context.borrower?.isCurrent()) return;
    if (!isRead(query)) throw this.rolledBack();
  }

  private refuseEndedUnit(): void {
    if (this.isLeftover()) throw this.rolledBack();
  }

  /** Whether the calling code belongs to a transaction that has ended, and the code of it too, or the handler around it. */
  private isLeftover(): boolean {
    if (!this.endedUnits) return false;
    let ended = false;
    for (let unit = unitOfFlow(); unit; unit = unit.parent) {
      ended ||= this.endedUnits.has(unit);
      if (ended && unit.over) return true;
    }
    return false;
  }

  private rolledBack(): DatabaseError {
    const of = this.borrowerName ? ` of ${this.borrowerName}` : '';
    return new DatabaseError(`The transaction${of} has ended, and a statement of it comes too late.`, {
      code: 'TRANSACTION_ROLLED_BACK',
      hint: 'Await everything that works in a transaction before its function or the handler returns or throws (Promise.allSettled). Code that begins something new after that begins a transaction of its own.',
    });
  }

  // ---- the connection ------------------------------------------------------------------------------------------------

  /** @internal */
  get borrowerName(): string | undefined {
    return this.context.borrower?.name;
  }

  /**
   * @internal What is known of a runner without a request of its own, from what it does: TypeORM makes the runners of repositories
   * as it makes those of callers. Asked when a message is made, and not before.
   */
  describe(lastSql: string | undefined): string | undefined {
    const inTransaction = this.isTransactionActive && this.transactions[0]?.isUnit;
    const who =
      this.context.caller ??
      (inTransaction ? 'dataSource.transaction' : undefined) ??
      (lastSql && repositoryOf(lastSql, this.context.dataSource)) ??
      'a query runner';
    const request = this.lease?.unit && nameOfUnit(this.lease.unit);
    return request ? `${who} in ${request}` : who;
  }

  /** @internal The unit that keeps the connection on purpose, for the pool's search for deadlocks. */
  get heldFor(): WorkUnit | undefined {
    if (this.isTransactionActive) {
      const unit = this.transactions[0]?.unit;
      // Outside of a request only a transaction that is a unit of its own: TypeORM begins others by itself, as in `save()`,
      // beside which the rest of the unit goes on.
      if (this.context.borrower || unit?.isTransaction) return unit;
    }
    return this.pinned ? this.pinnedBy : undefined;
  }

  /** The lease there is, or a new one. */
  private currentLease(calledIn: Caller): RunnerLease {
    const { lease } = this;
    if (lease && !this.isSpent(lease)) return lease;
    if (lease) this.drop(lease);
    return this.newLease(undefined, calledIn);
  }

  /** A lease in place of one whose connection the server has terminated, for what is left of the caller's wait for one. */
  private nextLease(lost: RunnerLease, waitedMs: number): RunnerLease {
    if (this.lease && this.lease !== lost) return this.lease;
    if (this.lease) this.drop(lost);
    const { acquireTimeoutMs } = this.context;
    const left = Math.max(0, acquireTimeoutMs - waitedMs);
    return this.newLease(acquireTimeoutMs > 0 ? left : undefined);
  }

  private newLease(deadlineMs?: number, calledIn?: Caller): RunnerLease {
    const lease = new RunnerLease(this.context.pool, this, currentUnit(), deadlineMs, calledIn);
    this.lease = lease;
    // Where TypeORM looks for it.
    this.databaseConnectionPromise = lease.connected;
    lease.connected.then(
      (connection) => {
        if (this.lease === lease) this.databaseConnection = connection;
      },
      // A rejected promise that is kept would make the runner dead for ever.
      (error: unknown) => {
        noteHttpErrors(error, this.context.httpErrors);
        this.forget(lease);
      },
    );
    return lease;
  }

  /** @internal Nothing is under way on the lease any more. */
  settled(lease: RunnerLease): void {
    const { connection } = lease;
    if (lease !== this.lease || lease.running > 0 || !connection) return;
    if (!connection.isUsable) {
      if (this.isSpent(lease)) this.drop(lease);
      return;
    }
    // Without a request the runner keeps its connection until its release, as TypeORM's does.
    if (!this.context.borrower) return;
    if (!connection.isReadyForQuery) {
      // An error is told before the server's word on the state of the transaction has come.
      connection.whenReadyForQuery().then(() => this.settled(lease), ignore);
      return;
    }
    if (!this.holds(connection)) this.drop(lease);
  }

  /** @internal At the end of a drain nothing is left to come back to: the runner is released, as TypeORM's are by its driver. */
  reclaimed(lease: RunnerLease, error: Error): void {
    if (!(error instanceof PoolClosedError) || this.isReleased) return;
    this.isReleased = true;
    this.context.borrower?.released(this);
    this.forget(lease);
  }

  private holds(connection: LeasedClient<Connection>): boolean {
    if (this.streams.size > 0) return true;
    return (
      this.mayHold &&
      (this.isTransactionActive || connection.transactionStatus !== 'I' || this.keepsSession(connection))
    );
  }

  /** Whether the session has something that another connection lacks. */
  private keepsSession(connection: LeasedClient<Connection>): boolean {
    return this.pinned || connection.isSessionChanged || this.streams.size > 0;
  }

  /**
   * Whether the connection is lost and the next statement may run on another one. Not in a transaction; and where the session
   * had something that another one lacks, not before the caller has heard of the loss, and without a request never.
   */
  private isSpent({ connection, lossReported }: RunnerLease): boolean {
    if (!connection || connection.isUsable || this.isTransactionActive) return false;
    // The borrower has held it for too long, and is to know why it is gone.
    if (connection.closeReason instanceof PoolLeaseReclaimedError) return lossReported;
    if (!this.keepsSession(connection)) return true;
    return lossReported && this.context.borrower !== undefined;
  }

  private drop(lease: RunnerLease): void {
    this.forget(lease);
    void lease.release(this.context.resetTimeoutMs);
  }

  private forget(lease: RunnerLease): void {
    if (this.lease !== lease) return;
    this.lease = undefined;
    this.pinned = false;
    this.pinnedBy = undefined;
    this.databaseConnection = undefined;
    this.databaseConnectionPromise = NONE;
    this.endTransaction();
  }

  private released(): QueryRunnerAlreadyReleasedError {
    const error = new QueryRunnerAlreadyReleasedError();
    const by = this.borrowerName ? ` (of ${this.borrowerName})` : '';
    const where = this.releasedAt
      ? `It was released\n${callSiteFrames(this.releasedAt) ?? ''}`
      : 'With leak detection on (DB_LEAK_THRESHOLD) this error says where.';
    error.message = `Query runner already released${by}. Cannot run queries anymore. ${where}`;
    return error;
  }
}

/** The repository that TypeORM has made a statement for, by the first table in it that is an entity's. */
function repositoryOf(sql: string, { entityMetadatas }: DataSource): string | undefined {
  const quoted = /^(?:SELECT .*?FROM|INSERT INTO|UPDATE|DELETE FROM) ("[^"]+"(?:\."[^"]+")?)/s.exec(sql)?.[1];
  if (quoted === undefined) return undefined;
  const table = quoted.replaceAll('"', '');
  const entity = entityMetadatas.find(({ tablePath }) => tablePath === table);
  return entity && `a repository of ${entity.name}`;
}

/** Left out of stacks: what is above them is the borrower. */
const callers = ManagedQueryRunner.prototype as unknown as Record<
  'connect' | 'query' | 'release' | 'stream',
  Caller
>;

type QueryStreamClass = new (query: string, parameters?: unknown[]) => Submittable;

/** What `pg` answers to one statement; an array for several in one text. */
type RawResult = { rows?: unknown[]; rowCount?: number | null; command?: string } | undefined;

/** What TypeORM makes of the driver's answer. */
function resultOf(raw: RawResult, structured: boolean): unknown {
  const result = new QueryResult();
  if (!raw) return result;
  if (Object.hasOwn(raw, 'rows')) result.records = raw.rows as unknown[];
  if (Object.hasOwn(raw, 'rowCount')) result.affected = raw.rowCount ?? undefined;
  result.raw =
    raw.command === 'DELETE' || raw.command === 'UPDATE' ? [raw.rows, raw.rowCount] : (raw.rows as unknown);
  return structured ? result : (result.raw as unknown);
}

/** Whether a text is one query that cannot write by itself. In doubt it can. */
function isRead(query: string): boolean {
  return /^\s*(?:select|values|table)\b/i.test(query) && isSingleRepeatableStatement(query);
}

/** What TypeORM sends to begin and to end a transaction. */
function isTransactionControl(query: string): boolean {
  return /^(?:START|SET) TRANSACTION|^COMMIT$|^ROLLBACK|^(?:RELEASE )?SAVEPOINT/.test(query);
}

function clientHasGone(borrower: string | undefined): DatabaseError {
  return new DatabaseError(
    `The client of ${borrower ?? 'the request'} has gone before its handler began; no transaction is begun for it.`,
    { code: 'REQUEST_CLOSED', hint: 'Nothing is to be done: the request has no reader any more.' },
  );
}

/**
 * A statement on a connection that was lost before fails in `pg` with words about its client, without SQLSTATE. The caller
 * can act on the reason of the loss.
 */
function lossBehind(error: unknown, { closeReason }: LeasedClient<Connection>): unknown {
  return closeReason && (error as { code?: unknown } | undefined)?.code === undefined ? closeReason : error;
}

/** What a single statement can fail with that a setting or a person can change. */
const OF_STATEMENTS: ReadonlySet<string> = new Set([
  'STATEMENT_TIMEOUT',
  'STATEMENT_CANCELLED',
  'LOCK_TIMEOUT',
  'LOCK_NOT_AVAILABLE',
  'PERMISSION_DENIED',
  'ROW_SECURITY_VIOLATION',
  'SERVER_READ_ONLY',
  'SERVER_OVERLOADED',
]);

/** Says in `hint`, where the server has said nothing there, which setting or person can change it. */
function advised(error: unknown): unknown {
  if (!(error instanceof QueryFailedError)) return error;
  const { driverError } = error as {
    driverError: { code?: unknown; hint?: unknown; severity?: unknown };
  };
  if (driverError.hint !== undefined) return error;
  const { code, hint } = diagnose(driverError);
  if (code === 'UNKNOWN') return error;
  // An answer on a connection that goes on: an unknown setting or a wrong count of values is no matter of DB_URL then.
  if (driverError.severity === 'ERROR' && !OF_STATEMENTS.has(code)) return error;
  Object.assign(driverError, { hint: hint });
  return Object.assign(error, { hint: hint });
}
