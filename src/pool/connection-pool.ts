import { EventEmitter } from 'node:events';
import { inspect } from 'node:util';
import { Connection } from '../connection/connection.js';
import type { PoolSnapshot } from '../database.snapshot.js';
import { describePool } from './reporting/describe.js';
import type { Caller, PoolLease } from './leases/lease.js';
import type { LeasedClient, PoolableClient } from './connections/pooled-connection.js';
import { PgPoolErrors } from './pg-pool/pg-pool-errors.js';
import { PoolEngine } from './pool-engine.js';
import type { DrainReport } from './drain.js';
import { withoutSecrets } from './pool.options.js';
import type { PoolOptions } from './pool.options.js';
import { queryOnPool } from './pg-pool/pool-query.js';
import type { AcquireOptions } from './waiters/waiter-queue.js';

type ConnectCallback<C> = (
  error: Error | undefined,
  client: LeasedClient<C> | undefined,
  release: (error?: Error | boolean) => void,
) => void;

/**
 * A pool of PostgreSQL connections with the API and the events of `pg.Pool` (`connect`, `acquire`, `release`, `remove`,
 * `error`), and `acquire`, `drain`, `snapshot` and `leases` beside it.
 */
export class ConnectionPool<C extends PoolableClient = Connection> extends EventEmitter {
  /** What the pool was given; password, connection string and TLS are there, and neither listed nor printed. */
  readonly options: PoolOptions<C>;
  readonly #engine: PoolEngine<C>;
  readonly #pgPoolErrors = new PgPoolErrors();
  #endCalled = false;

  constructor(options: PoolOptions<C> = {}, Client?: new (options: never) => C) {
    super();
    this.options = withoutSecrets(options);
    const type = options.Client ?? Client ?? (Connection as unknown as new (options: never) => C);
    this.#engine = new PoolEngine(options, type, this);
    // What watches a `pg.Pool` reads them. Not listed: a pool made of these options is to be the same pool.
    const { idleTimeoutMs } = this.#engine;
    const shown = {
      max: this.snapshot().max,
      // `pg-pool` has null for "never".
      idleTimeoutMillis: idleTimeoutMs === Infinity ? null : idleTimeoutMs,
    };
    for (const [name, value] of Object.entries(shown))
      if (options[name as keyof typeof shown] === undefined)
        Object.defineProperty(this.options, name, { value, enumerable: false });
  }

  /** A connection, by promise or callback, as `pg.Pool` gives it; rejects with the error that `pg.Pool` gives. */
  connect(): Promise<LeasedClient<C>>;
  connect(callback: ConnectCallback<C>): void;
  connect(callback?: ConnectCallback<C>): Promise<LeasedClient<C>> | void {
    const asked = this.#engine.acquire({}, callers.connect, this.#pgPoolErrors.restate);
    if (!callback) return asked;
    asked.then(
      (client) => process.nextTick(callback, undefined, client, client.release),
      (error: Error) => process.nextTick(callback, error, undefined, () => undefined),
    );
  }

  /**
   * A connection for `borrower`, within `deadlineMs`, unless `signal` gives up first.
   * @throws PoolError with the state of the pool; the dial's own error is its `cause`
   */
  acquire(request: AcquireOptions = {}): Promise<LeasedClient<C>> {
    return this.#engine.acquire(request, callers.acquire);
  }

  /** One statement on a connection of the pool, in every form of `pg.Pool.query`. */
  readonly query: Connection['query'] = ((text: unknown, values?: unknown, callback?: unknown) =>
    queryOnPool(
      () =>
        this.#engine.acquire({ borrower: 'pool.query' }, this.query as Caller, this.#pgPoolErrors.restate),
      text,
      values,
      callback,
    )) as Connection['query'];

  /**
   * Closes the pool: idle connections now, those that are out when they come back. Who waits gets the connection that is being
   * opened, validated or cleaned for him, as with `pg.Pool`; waiters beyond those are rejected with `POOL_CLOSED`.
   */
  end(): Promise<void>;
  end(callback: (error?: Error) => void): void;
  end(callback?: (error?: Error) => void): Promise<void> | void {
    const ended = this.#endCalled
      ? Promise.reject(new Error('Called end on pool more than once'))
      : this.#engine.close({ serving: true });
    this.#endCalled = true;
    if (!callback) return ended;
    ended.then(
      () => process.nextTick(callback),
      (error: Error) => process.nextTick(callback, error),
    );
  }

  /**
   * Closes the pool gently and surely: goes on lending until nothing is out and nobody waits, or `timeoutMs` is over; then
   * rejects the waiters, cancels what still runs, cuts it, and closes. Never hangs; called again, it is the same drain.
   */
  drain({ timeoutMs = 10_000 }: { timeoutMs?: number } = {}): Promise<DrainReport> {
    return this.#engine.drain(timeoutMs);
  }

  /** Changes whether the process may end while connections are idle; at first it is the option `allowExitOnIdle`. */
  setAllowExitOnIdle(allowed: boolean): void {
    this.#engine.exitsOnIdle = allowed;
  }

  /** The pool at this moment; costs the same however many connections and waiters there are. */
  snapshot(): PoolSnapshot {
    return this.#engine.snapshot();
  }

  /** The connections that are out, the longest first. */
  leases(): PoolLease[] {
    return [...this.#engine.leases];
  }

  /** The lease of a client of this pool while it is out. */
  leaseOf(client: C): PoolLease | undefined {
    return this.#engine.leases.find(client);
  }

  get ending(): boolean {
    return this.#engine.ending;
  }

  get ended(): boolean {
    return this.#engine.ended;
  }

  /** Connections there are, those being opened included. */
  get totalCount(): number {
    return this.#engine.totalCount;
  }

  get idleCount(): number {
    return this.#engine.idleCount;
  }

  /** Acquires that wait and for which no connection is being opened; `snapshot().waiting` counts all. */
  get waitingCount(): number {
    return Math.max(0, this.#engine.waitingCount - this.#engine.connectingCount);
  }

  /** Connections past their lifetime that are still there. */
  get expiredCount(): number {
    return this.#engine.expiredCount;
  }

  /** Figures only: the options hold the password. */
  toJSON(): PoolSnapshot {
    return this.snapshot();
  }

  [inspect.custom](): string {
    return `ConnectionPool { ${describePool(this.snapshot(), [])} }`;
  }
}

/** Left out of the stacks that errors show: they begin where the caller stands. */
const callers = ConnectionPool.prototype as unknown as Record<'connect' | 'acquire', Caller>;
