import type { PoolClient } from 'pg';
import { type ObjectLiteral, QueryRunnerAlreadyReleasedError, type ReplicationMode } from 'typeorm';
import type { PostgresDriver } from 'typeorm/driver/postgres/PostgresDriver.js';
import { PostgresQueryRunner } from 'typeorm/driver/postgres/PostgresQueryRunner.js';
import type { EchoSettings } from '../database.options.js';
import { type DatabaseLoggers, statementText } from './database.logger.js';

/** What a runner is told by its data source. */
export interface RunnerContext {
  /** Resolves when the server is known: at once after a verified start, with the first query after a lazy one. */
  ready(): Promise<void>;
  readonly echo: Readonly<Required<EchoSettings>> | false;
  readonly loggers: DatabaseLoggers;
  /** Who borrows, for logs: `GET /users/:id`. */
  readonly borrower: string | undefined;
}

/** The one kind of query runner, TypeORM's own uses (`query`, repositories, `transaction`) included. */
export class ManagedQueryRunner extends PostgresQueryRunner {
  constructor(
    driver: PostgresDriver,
    mode: ReplicationMode,
    private readonly context: RunnerContext,
  ) {
    super(driver, mode);
  }

  override async connect(): Promise<any> {
    if (this.isReleased) throw new QueryRunnerAlreadyReleasedError();
    if (this.databaseConnection) return this.databaseConnection;
    await this.context.ready();
    try {
      return await super.connect();
    } catch (error) {
      // TypeORM keeps the rejected promise, and the runner would be dead for ever.
      this.databaseConnectionPromise = undefined as never;
      throw error;
    }
  }

  /** Gives the connection back and rolls back what is open. The runner stays usable: its next query takes a new one. */
  async giveBack(): Promise<void> {
    const { databaseConnectionPromise } = this;
    if (!databaseConnectionPromise) return;
    this.databaseConnectionPromise = undefined as never;
    const connection = (await databaseConnectionPromise.catch(() => undefined)) as PoolClient | undefined;
    const giveBack = this.releaseCallback;
    if (!connection || !giveBack) return;
    this.releaseCallback = undefined;
    this.databaseConnection = undefined;
    const { connectedQueryRunners } = this.driver;
    const index = connectedQueryRunners.indexOf(this);
    if (index !== -1) connectedQueryRunners.splice(index, 1);
    giveBack(await this.rollBackOpen(connection));
  }

  /** Ends the runner; what it left uncommitted is rolled back, where TypeORM would leave it open for the next borrower. */
  override async release(): Promise<void> {
    if (this.isReleased) return;
    const givenBack = this.giveBack();
    // From this moment on, and not only when the rollback is through, the runner is refused to its user.
    await super.release();
    await givenBack;
  }

  /** @returns an error when the connection can't be trusted any more, so that the pool drops it */
  private async rollBackOpen(connection: PoolClient): Promise<Error | undefined> {
    const open = this.isTransactionActive || connection.getTransactionStatus() !== 'I';
    this.isTransactionActive = false;
    this.transactionDepth = 0;
    if (!open) return undefined;
    this.context.loggers.module.warn(
      `A transaction was left open by ${this.context.borrower ?? 'a query runner'} and is rolled back`,
    );
    try {
      await connection.query('ROLLBACK');
      return undefined;
    } catch (error) {
      return error as Error;
    }
  }

  override async query(
    query: string,
    parameters?: unknown[] | ObjectLiteral,
    useStructuredResult = false,
  ): Promise<any> {
    const { echo, loggers } = this.context;
    if (!echo || this.isReleased) return super.query(query, parameters, useStructuredResult);
    // The wait for a connection is the pool's figure, not the statement's.
    await this.connect();
    const started = performance.now();
    const duration = () => `${(performance.now() - started).toFixed(1)} ms`;
    try {
      const result: unknown = await super.query(query, parameters, useStructuredResult);
      loggers.query.log(`${duration()}: ${statementText(query, parameters, echo)}`);
      return result;
    } catch (error) {
      loggers.query.error(`failed after ${duration()}: ${statementText(query, parameters, echo)}`);
      throw error;
    }
  }
}
