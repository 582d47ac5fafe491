import { type ObjectLiteral, QueryRunnerAlreadyReleasedError, type ReplicationMode } from 'typeorm';
import type { PostgresDriver } from 'typeorm/driver/postgres/PostgresDriver.js';
import { PostgresQueryRunner } from 'typeorm/driver/postgres/PostgresQueryRunner.js';
import type { Connection } from '../connection/connection.js';
import type { EchoSettings } from '../database.options.js';
import type { Leased } from '../pool/link.js';
import { type DatabaseLoggers, statementText } from './database.logger.js';
import type { DataSourcePool } from './data-source.pool.js';
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
  pool(): DataSourcePool | Promise<DataSourcePool>;
  readonly echo: Readonly<Required<EchoSettings>> | false;
  readonly loggers: DatabaseLoggers;
  /** Who borrows, for logs, and as part of what. */
  readonly borrower: Borrower | undefined;
}

/** TypeORM declares the promise as always there, and treats undefined as none. */
const NONE = undefined as unknown as Promise<unknown>;

const ignore = () => undefined;

/** The one kind of query runner, TypeORM's own uses (`query`, repositories, `transaction`) included. */
export class ManagedQueryRunner extends PostgresQueryRunner {
  constructor(
    driver: PostgresDriver,
    mode: ReplicationMode,
    private readonly context: RunnerContext,
  ) {
    super(driver, mode);
  }

  /** A connection of the pool, the same one until it is given back. */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- TypeORM's own signature
  override connect(): Promise<any> {
    if (this.isReleased) return Promise.reject(new QueryRunnerAlreadyReleasedError());
    this.databaseConnectionPromise ??= this.lease().catch((error: unknown) => {
      // A rejected promise that is kept would make the runner dead for ever.
      this.databaseConnectionPromise = NONE;
      throw error;
    });
    return this.databaseConnectionPromise;
  }

  /** Gives the connection back and rolls back what is open. The runner stays usable: its next query takes a new one. */
  async giveBack(): Promise<void> {
    const { databaseConnectionPromise } = this;
    if (databaseConnectionPromise === NONE) return;
    this.databaseConnectionPromise = NONE;
    // A connection that is still on its way is given back when it comes, or its slot would be lost.
    await databaseConnectionPromise.catch(() => undefined);
    this.returnLease();
  }

  /** Ends the runner; what it left uncommitted is rolled back, where TypeORM would leave it open for the next borrower. */
  override async release(): Promise<void> {
    if (this.isReleased) return;
    // At once, and not only when the rollback is through: from here on the runner is refused to its user.
    this.isReleased = true;
    await this.giveBack();
  }

  /** No await before the pool is asked: it takes the stack of the borrower, which an await would cut off. */
  private async lease(): Promise<Leased<Connection>> {
    const { borrower } = this.context;
    const pool = this.context.pool();
    const request = { borrower: borrower?.name, unit: borrower?.unit ?? currentUnit() };
    const asked =
      pool instanceof Promise ? pool.then((ready) => ready.acquire(request)) : pool.acquire(request);
    const connection = await asked;
    // A connection that breaks while it is out emits 'error', which ends the process when nobody listens; its borrower
    // learns of it from the query under way, or the next one.
    connection.on('error', ignore);
    this.driver.connectedQueryRunners.push(this);
    this.databaseConnection = connection;
    return connection;
  }

  private returnLease(): void {
    const connection = this.databaseConnection as Leased<Connection> | undefined;
    if (!connection) return;
    this.databaseConnection = undefined;
    this.isTransactionActive = false;
    this.transactionDepth = 0;
    const { connectedQueryRunners } = this.driver;
    const index = connectedQueryRunners.indexOf(this);
    if (index !== -1) connectedQueryRunners.splice(index, 1);
    connection.off('error', ignore);
    // The pool rolls back what is open, and says who left it.
    connection.release();
  }

  override async query(
    query: string,
    parameters?: unknown[] | ObjectLiteral,
    useStructuredResult = false,
    // eslint-disable-next-line @typescript-eslint/no-explicit-any -- TypeORM's own signature
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
