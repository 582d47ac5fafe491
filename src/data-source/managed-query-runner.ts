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

type Lease = [connection: PoolClient, release: (error?: Error) => void];

/** TypeORM declares the promise as always there, and treats undefined as none. */
const NONE = undefined as unknown as Promise<unknown>;

const ignore = () => undefined;

/** The one kind of query runner, TypeORM's own uses (`query`, repositories, `transaction`) included. */
export class ManagedQueryRunner extends PostgresQueryRunner {
  private returned: (() => Promise<void>) | undefined;

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
    await this.returnLease();
  }

  /** Ends the runner; what it left uncommitted is rolled back, where TypeORM would leave it open for the next borrower. */
  override async release(): Promise<void> {
    if (this.isReleased) return;
    // At once, and not only when the rollback is through: from here on the runner is refused to its user.
    this.isReleased = true;
    await this.giveBack();
  }

  private async lease(): Promise<PoolClient> {
    await this.context.ready();
    const [connection, release] = (await this.driver.obtainMasterConnection()) as Lease;
    // The pool reports a connection that breaks while it is out through its 'error' event, which kills the process
    // when nobody listens; the query under way, or the next one, tells the borrower.
    connection.on('error', ignore);
    this.returned = async () => {
      const broken = await this.rollBackOpen(connection);
      connection.off('error', ignore);
      release(broken);
    };
    this.driver.connectedQueryRunners.push(this);
    this.databaseConnection = connection;
    return connection;
  }

  private async returnLease(): Promise<void> {
    const { returned } = this;
    this.returned = undefined;
    this.databaseConnection = undefined;
    const { connectedQueryRunners } = this.driver;
    const index = connectedQueryRunners.indexOf(this);
    if (index !== -1) connectedQueryRunners.splice(index, 1);
    await returned?.();
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
