import type { Connection } from '../connection/connection.js';
import { PoolAcquireCancelledError } from '../database.errors.js';
import type { Leased } from '../pool/link.js';
import type { AcquireOptions, CancelSignal } from '../pool/waiters.js';
import type { DataSourcePool } from './data-source.pool.js';

const ignore = () => undefined;

/** Ends one wait; where a connection is there at once, which is the rule, it is never listened to. */
class WaitSignal implements CancelSignal {
  aborted = false;
  reason: unknown;
  private listener: (() => void) | undefined;

  abort(reason: Error): void {
    this.aborted = true;
    this.reason = reason;
    this.listener?.();
  }

  addEventListener(_event: 'abort', listener: () => void): void {
    this.listener = listener;
  }

  removeEventListener(): void {
    this.listener = undefined;
  }

  /** For a wait that the pool knows nothing of yet. */
  rejection(): Promise<never> {
    return new Promise((_, reject) => {
      this.listener = () =>
        reject(
          new PoolAcquireCancelledError('The wait for a connection was given up', { cause: this.reason }),
        );
    });
  }
}

/** A query runner's hold on one connection, from the asking to the giving back. */
export class RunnerLease {
  /** Resolves with the connection; rejects when none is to be had, or the lease was given back first. */
  readonly connected: Promise<Leased<Connection>>;
  /** The connection, while it is held. */
  connection: Leased<Connection> | undefined;
  private readonly waiting = new WaitSignal();
  private running = 0;
  private onSettled: (() => void) | undefined;
  private over = false;

  constructor(pool: () => DataSourcePool | Promise<DataSourcePool>, request: AcquireOptions) {
    this.connected = this.acquire(pool, { ...request, signal: this.waiting });
    // Whoever uses the promise hears of its failure.
    this.connected.catch(ignore);
  }

  /** Who still waits for the connection fails with a PoolAcquireCancelledError; one that is there stays. */
  stopWaiting(reason: string): void {
    if (!this.connection) this.waiting.abort(new Error(reason));
  }

  /** Runs something on the connection; it is not given back before that has settled. */
  async run<T>(work: (connection: Leased<Connection>) => Promise<T>): Promise<T> {
    this.running++;
    try {
      return await work(await this.connected);
    } finally {
      this.running--;
      if (this.running === 0) this.onSettled?.();
    }
  }

  /** Back to the pool, which rolls back what is open and says who left it. Once. */
  async giveBack(): Promise<void> {
    if (this.over) return;
    this.over = true;
    this.stopWaiting('the query runner was given back');
    // A statement that nobody awaited would else go out on a connection that is somebody else's by then.
    if (this.running > 0) await new Promise<void>((resolve) => (this.onSettled = resolve));
    const { connection } = this;
    if (!connection) return;
    this.connection = undefined;
    connection.off('error', ignore);
    connection.release();
  }

  /** No await before the pool is asked: it takes the stack of the borrower, which an await would cut off. */
  private async acquire(
    poolOnceReady: () => DataSourcePool | Promise<DataSourcePool>,
    request: AcquireOptions,
  ): Promise<Leased<Connection>> {
    const pool = poolOnceReady();
    const connection = await (pool instanceof Promise
      ? Promise.race([pool, this.waiting.rejection()]).then((ready) => ready.acquire(request))
      : pool.acquire(request));
    if (this.over) {
      // Given back in the moment in which it came.
      connection.release();
      throw this.waiting.reason;
    }
    // A connection that breaks while it is out emits 'error', which ends the process when nobody listens; its borrower
    // learns of it from the statement under way, or the next one.
    connection.on('error', ignore);
    this.connection = connection;
    return connection;
  }
}
