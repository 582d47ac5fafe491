import type { Readable } from 'node:stream';
import {
  type ObjectLiteral,
  QueryFailedError,
  QueryRunnerAlreadyReleasedError,
  type ReplicationMode,
} from 'typeorm';
import type { IsolationLevel } from 'typeorm/driver/types/IsolationLevel.js';
import type { PostgresDriver } from 'typeorm/driver/postgres/PostgresDriver.js';
import { PostgresQueryRunner } from 'typeorm/driver/postgres/PostgresQueryRunner.js';
import type { Connection } from '../connection/connection.js';
import { DatabaseError } from '../database.errors.js';
import type { EchoSettings } from '../database.options.js';
import { diagnose } from '../diagnosis.js';
import type { Leased } from '../pool/link.js';
import { type Caller, captureSite, framesOf } from '../pool/lease.js';
import { type DatabaseLoggers, statementText } from './database.logger.js';
import type { DataSourcePool } from './data-source.pool.js';
import { RunnerLease } from './runner-lease.js';
import { currentUnit } from './unit-of-work.context.js';

/** Somebody who keeps a runner: a request. */
export interface Borrower {
  /** `GET /users/:id` */
  readonly name: string;
  /** The unit of work, by identity. */
  readonly unit: object;
}

/** What a runner is told by its data source. */
export interface RunnerContext {
  /** The pool, once it may be used; a promise only where that takes time. */
  readonly pool: () => DataSourcePool | Promise<DataSourcePool>;
  readonly echo: Readonly<Required<EchoSettings>> | false;
  readonly loggers: DatabaseLoggers;
  /** Whether to remember the places of the code that releases. */
  readonly tracing: boolean;
  /** Who borrows, for logs, and as part of what. */
  readonly borrower: Borrower | undefined;
}

/** TypeORM declares the promise as always there, and treats undefined as none. */
const NONE = undefined as unknown as Promise<unknown>;

const ignore = () => undefined;

/** Where something happened; its text is made only when it is read. */
type Site = { stack?: string };

/** The one kind of query runner, TypeORM's own uses (`query`, repositories, `transaction`) included. */
export class ManagedQueryRunner extends PostgresQueryRunner {
  private lease: RunnerLease | undefined;
  private readonly streams = new Set<Readable>();
  private releasedAt: Site | undefined;
  /** A transaction was rolled back while its code may still be at work. */
  private interrupted = false;

  constructor(
    driver: PostgresDriver,
    mode: ReplicationMode,
    private readonly context: RunnerContext,
  ) {
    super(driver, mode);
  }

  /**
   * A connection of the pool, the same one until it is given back.
   * @throws PoolError when none is to be had
   */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- TypeORM's own signature
  override connect(): Promise<any> {
    if (this.isReleased) return Promise.reject(this.released());
    return this.hold().connected;
  }

  /**
   * Gives the connection back and rolls back what is open; who still waits for one stops waiting. The runner stays
   * usable: its next query takes a new one.
   */
  async giveBack(): Promise<void> {
    const { lease } = this;
    if (!lease) return;
    if (this.isTransactionActive) this.interrupted = true;
    this.forget(lease);
    await lease.giveBack();
  }

  /** @internal `giveBack()`, as soon as no stream reads from the connection any more. */
  async giveBackAfterStreams(): Promise<void> {
    for (const stream of this.streams) stream.once('close', () => void this.giveBackAfterStreams());
    if (this.streams.size === 0) await this.giveBack();
  }

  /** @internal Who waits for a connection fails; one that is there stays. */
  stopWaiting(reason = 'the query runner was given back'): void {
    this.lease?.stopWaiting(reason);
  }

  /** @internal Asks the server to stop what this runner runs. */
  async cancelRunning(): Promise<void> {
    await this.lease?.connection?.cancelRunning();
  }

  /** Ends the runner; what it left uncommitted is rolled back, where TypeORM would leave it open for the next borrower. */
  override async release(): Promise<void> {
    if (this.isReleased) return;
    // At once, and not only when the rollback is through: from here on the runner is refused to its user.
    this.isReleased = true;
    // Costs more than the release itself: only where connections are watched for leaks.
    if (this.context.tracing) this.releasedAt = captureSite(callers.release, false);
    // Its cursor would keep the connection busy: nobody reads any more.
    for (const stream of this.streams) stream.destroy();
    await this.giveBack();
  }

  /**
   * The end of `await using`. TypeORM commits here what is open, also when an exception is on its way out, which it can't
   * see; ours rolls back, and says so, since somebody may rely on that commit.
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

  /** @throws whatever the start failed with; no transaction is open then, where TypeORM believes in one */
  override async startTransaction(isolationLevel?: IsolationLevel): Promise<void> {
    const outermost = this.transactionDepth === 0;
    if (outermost) this.interrupted = false;
    try {
      await super.startTransaction(isolationLevel);
    } catch (error) {
      if (outermost && this.lease?.connection) {
        // Outside of a transaction it is but a notice; and what has failed may have left one open.
        await this.query('ROLLBACK').catch(ignore);
        this.endTransaction();
      }
      throw error;
    }
  }

  /**
   * @throws DatabaseError `TRANSACTION_ABORTED` when a statement had failed before: the server answers a COMMIT of such a
   * transaction with a ROLLBACK and no error, and the work would be lost in silence
   */
  override async commitTransaction(): Promise<void> {
    const connection = this.lease?.connection;
    const outermost = this.isTransactionActive && this.transactionDepth <= 1;
    // An error is told before the server's word on the state of the transaction has come.
    if (outermost && connection?.usable) await connection.whenQuiet().catch(ignore);
    if (outermost && connection?.transaction === 'E') {
      await this.rollbackTransaction();
      throw new DatabaseError(
        'The transaction was rolled back: a statement in it had failed before the commit.',
        {
          code: 'TRANSACTION_ABORTED',
          hint: 'Let the error of the failed statement through, or put the statement into a nested transaction (a savepoint).',
        },
      );
    }
    await super.commitTransaction();
  }

  override async query(
    query: string,
    parameters?: unknown[] | ObjectLiteral,
    useStructuredResult = false,
    // eslint-disable-next-line @typescript-eslint/no-explicit-any -- TypeORM's own signature
  ): Promise<any> {
    if (this.isReleased) throw this.released();
    this.refuseLeftovers();
    const { echo, loggers } = this.context;
    return this.hold().run(async (connection) => {
      // From here on: the wait for a connection is the pool's figure and not the statement's.
      const started = echo ? performance.now() : 0;
      const duration = () => `${(performance.now() - started).toFixed(1)} ms`;
      try {
        const result: unknown = await super.query(query, parameters, useStructuredResult);
        if (echo) loggers.query.log(`${duration()}: ${statementText(query, parameters, echo)}`);
        return result;
      } catch (error) {
        if (echo)
          loggers.query.error(`failed after ${duration()}: ${statementText(query, parameters, echo)}`);
        throw advised(lossBehind(error, connection, query, parameters));
      }
    });
  }

  override async stream(
    ...request: Parameters<PostgresQueryRunner['stream']>
  ): ReturnType<PostgresQueryRunner['stream']> {
    if (this.isReleased) throw this.released();
    return this.hold().run(async () => {
      const stream = await super.stream(...request);
      this.streams.add(stream);
      stream.once('close', () => this.streams.delete(stream));
      return stream;
    });
  }

  /**
   * A handler that has settled may have left work behind (the rest of a `Promise.all` that failed). The next statement of
   * a transaction that was rolled back meanwhile would be committed by itself, on a connection of its own. Who comes from
   * elsewhere, such as an exception filter, means a new statement.
   */
  private refuseLeftovers(): void {
    const { borrower } = this.context;
    if (!this.interrupted || !borrower || currentUnit() !== borrower.unit) return;
    throw new DatabaseError(
      `The transaction of ${borrower.name} was rolled back when its handler had settled.`,
      {
        code: 'TRANSACTION_ROLLED_BACK',
        hint: 'Await everything that works in a transaction before the handler returns or throws (Promise.allSettled).',
      },
    );
  }

  /** The lease there is, or a new one. */
  private hold(): RunnerLease {
    if (this.lease) return this.lease;
    const { borrower } = this.context;
    const lease = new RunnerLease(this.context.pool, {
      borrower: borrower?.name,
      unit: borrower?.unit ?? currentUnit(),
    });
    this.lease = lease;
    // Where TypeORM looks for it.
    this.databaseConnectionPromise = lease.connected;
    lease.connected.then(
      (connection) => {
        if (this.lease === lease) this.databaseConnection = connection;
      },
      // A rejected promise that is kept would make the runner dead for ever.
      () => this.forget(lease),
    );
    return lease;
  }

  private forget(lease: RunnerLease): void {
    if (this.lease !== lease) return;
    this.lease = undefined;
    this.databaseConnection = undefined;
    this.databaseConnectionPromise = NONE;
    this.endTransaction();
  }

  private endTransaction(): void {
    this.isTransactionActive = false;
    this.transactionDepth = 0;
  }

  private released(): QueryRunnerAlreadyReleasedError {
    const error = new QueryRunnerAlreadyReleasedError();
    const by = this.context.borrower ? ` (of ${this.context.borrower.name})` : '';
    const where = this.releasedAt
      ? `It was released\n${framesOf(this.releasedAt) ?? ''}`
      : 'With leak detection on (DB_LEAK_THRESHOLD) this error says where.';
    error.message = `Query runner already released${by}. Cannot run queries anymore. ${where}`;
    return error;
  }
}

/** Left out of stacks: what is above them is the borrower. */
const callers = {
  // eslint-disable-next-line @typescript-eslint/unbound-method -- only compared with frames
  release: ManagedQueryRunner.prototype.release as Caller,
};

/**
 * A statement on a connection that was lost before fails in `pg` with words about its client, without SQLSTATE; what the
 * connection was lost by is what a caller can act on.
 */
function lossBehind(
  error: unknown,
  { lostBy }: Leased<Connection>,
  query: string,
  parameters: unknown[] | ObjectLiteral | undefined,
): unknown {
  if (!lostBy || !(error instanceof QueryFailedError)) return error;
  const { code } = error.driverError as { code?: unknown };
  if (code !== undefined || error.driverError === lostBy) return error;
  return new QueryFailedError(query, Array.isArray(parameters) ? parameters : undefined, lostBy);
}

/** What a single statement can fail with that a setting or a person can change. */
const OF_STATEMENTS: ReadonlySet<string> = new Set([
  'STATEMENT_TIMEOUT',
  'STATEMENT_CANCELLED',
  'LOCK_TIMEOUT',
  'PERMISSION_DENIED',
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
  const { code, cure } = diagnose(driverError);
  if (code === 'CONNECTION_FAILED') return error;
  // An answer on a connection that goes on: an unknown setting or a wrong count of values is no matter of DB_URL then.
  if (driverError.severity === 'ERROR' && !OF_STATEMENTS.has(code)) return error;
  Object.assign(driverError, { hint: cure });
  return Object.assign(error, { hint: cure });
}
