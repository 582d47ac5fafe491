import type { EventEmitter } from 'node:events';
import { PgClientAdapter } from '../../connection/pg-client-adapter.js';
import type { ResetResult } from '../../connection/session/reset.js';
import type { ResetMode } from '../../database.options.js';

/** What the pool asks of one connection. Whatever needs SQL is behind it. */
export interface PooledConnection {
  /** Whether a statement can be sent at all. */
  readonly isUsable: boolean;
  /** Why the connection is gone, when it is gone against our will. */
  readonly closeReason: Error | undefined;
  /** Whether nothing is active, queued or sent. */
  readonly isReadyForQuery: boolean;
  readonly transactionStatus: 'I' | 'T' | 'E' | null;
  readonly lastSql: string | undefined;
  /**
   * Grows whenever a statement is sent: two equal figures mean that nothing was sent in between. Without it a connection
   * that is kept counts as working, and never as part of a deadlock.
   */
  readonly statementCount?: number | undefined;
  /** Whether the session was seen to change since it was last clean; undefined when that cannot be seen. */
  readonly isSessionChanged?: boolean;
  /** `undefined` when the session is clean already; rejects when it cannot be cleaned. */
  reset(mode: ResetMode, timeoutMs: number): Promise<ResetResult> | undefined;
  /** Resolves when the server answers; with `primary`, only when it is no standby. */
  validate(timeoutMs: number, primary: boolean): Promise<void>;
  cancelRunning(timeoutMs?: number): Promise<void>;
  /** Resolves when the connection is closed; never hangs. */
  close(timeoutMs?: number): Promise<void>;
  destroy(reason?: Error): void;
  /** Stops what is running on the server, then destroys. */
  terminate(reason: Error): Promise<void>;
  /** It goes to a new borrower. */
  onAcquired?(): void;
  /** The hooks after the dial have run. */
  finishSetup?(): void;
}

/** The least that a `Client` class must offer: that of `pg`, or anything shaped like it. */
export interface PoolableClient extends EventEmitter {
  connect(callback: (error?: Error | null) => void): unknown;
  query(...args: never[]): unknown;
  end(callback: (error?: Error) => void): unknown;
  ref?(): void;
  unref?(): void;
}

/** A client while it is lent. */
export type LeasedClient<C> = C & {
  /** Gives the connection back, once. With an error or `true` it is closed instead of kept. */
  release: (error?: Error | boolean) => void;
};

/** A client that takes care of itself is its own link. */
export function pooledConnectionOf(client: PoolableClient): PooledConnection {
  if (typeof (client as Partial<PooledConnection>).reset === 'function')
    return client as unknown as PooledConnection;
  return new PgClientAdapter(client);
}
