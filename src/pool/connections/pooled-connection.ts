import type { EventEmitter } from 'node:events';
import { PgClientAdapter } from '../../connection/pg-client-adapter.js';
import type { ResetResult } from '../../connection/session/reset.js';
import type { LaneOwner, StatementLane } from '../../connection/shared/statement-lane.js';
import type { ResetMode } from '../../database.options.js';

/** What the pool needs of a connection. The pool itself sends no SQL. */
export interface PooledConnection {
  /** Whether the connection can send a statement. */
  readonly isUsable: boolean;
  /** The error that ended the connection; undefined while it is open and after a regular close. */
  readonly closeReason: Error | undefined;
  /** Whether the server is ready for a query, and no statement is active or queued. */
  readonly isReadyForQuery: boolean;
  readonly transactionStatus: 'I' | 'T' | 'E' | null;
  readonly lastSql: string | undefined;
  /**
   * Grows with each statement sent: two equal counts mean that nothing was sent in between. Without a count, the deadlock
   * detector assumes that the connection is active.
   */
  readonly statementCount?: number | undefined;
  /** Whether the session is known to have changed since its last reset; undefined when the connection does not track changes. */
  readonly isSessionChanged?: boolean;
  /** Resets the session; `undefined` when it needs none. Rejects when the reset fails or takes longer than `timeoutMs`. */
  reset(mode: ResetMode, timeoutMs: number): Promise<ResetResult> | undefined;
  /** Resolves when the server answers within `timeoutMs`. Rejects otherwise, and with `mustBePrimary` also on a standby. */
  validate(timeoutMs: number, mustBePrimary: boolean): Promise<void>;
  /** Asks the server to cancel the active statement. */
  cancelRunning(timeoutMs?: number): Promise<void>;
  /** Closes the connection; resolves when it is closed, and never hangs. */
  close(timeoutMs?: number): Promise<void>;
  /** Destroys the socket immediately. */
  destroy(reason?: Error): void;
  /** Cancels the active statement, then destroys the connection. */
  terminate(reason: Error): Promise<void>;
  /** Begins to share the connection among callers; undefined when it cannot be shared. */
  startSharing?(owner: LaneOwner): StatementLane | undefined;
  /** Ends the sharing. */
  stopSharing?(): void;
  /** Called when a borrower acquires the connection. */
  onAcquired?(): void;
  /** Called once, when the hooks and listeners of a new connection have run. */
  finishSetup?(): void;
}

/** The methods that a `Client` class must have: `pg.Client`, or a compatible class. */
export interface PoolableClient extends EventEmitter {
  connect(callback: (error?: Error | null) => void): unknown;
  query(...args: never[]): unknown;
  end(callback: (error?: Error) => void): unknown;
  ref?(): void;
  unref?(): void;
}

/** A client while it is leased. */
export type LeasedClient<C> = C & {
  /**
   * Ends the lease and returns the connection to the pool; with an error or `true` the pool closes it instead.
   * @throws Error when the lease was released before
   */
  release: (error?: Error | boolean) => void;
};

/** The client itself if it implements `PooledConnection`, otherwise an adapter. */
export function pooledConnectionOf(client: PoolableClient): PooledConnection {
  if (typeof (client as Partial<PooledConnection>).reset === 'function')
    return client as unknown as PooledConnection;
  return new PgClientAdapter(client);
}
