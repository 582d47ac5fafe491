/** Why a connection was closed. */
export type DestroyReason =
  /** It was older than `maxLifetimeMs`. */
  | 'lifetime'
  /** It was leased `maxUses` times. */
  | 'uses'
  /** It was idle for longer than `idleTimeoutMillis`. */
  | 'idle'
  /** It was above `size` and idle for longer than `overflowIdleMs`. */
  | 'overflow'
  /** It failed its validation. */
  | 'validation'
  /** Its socket had ended, or the server had terminated its session. */
  | 'broken'
  /** Its borrower released it with an error or `true`. */
  | 'released-with-error'
  /** Its reset failed, or it was used after its release. */
  | 'reset'
  /** Its lease lasted longer than `reclaimAfterMs`. */
  | 'reclaimed'
  /** The pool was closed. */
  | 'shutdown';

/** Counts of events since the pool was created. */
export interface PoolCounters {
  /** Acquires that got a connection. */
  readonly acquired: number;
  /** Connections released by their borrowers. */
  readonly released: number;
  /** Connections opened. */
  readonly created: number;
  /** Connection attempts that failed. */
  readonly connectFailures: number;
  /** Connections closed, by reason. */
  readonly destroyed: Readonly<Record<DestroyReason, number>>;
  /** Acquires that reached their deadline. */
  readonly timeouts: number;
  /** Acquires cancelled by their signal. */
  readonly cancellations: number;
  /** Acquires refused because `maxWaiting` acquires were waiting. */
  readonly refused: number;
  /** Acquires rejected because a connection attempt failed and no other connection existed. */
  readonly failedByConnect: number;
  /** Acquires rejected because the pool was closed while they waited. */
  readonly closed: number;
  /** Acquires that waited although their unit of work already was an explicit holder of a connection. */
  readonly nestedAcquires: number;
  /** Acquires rejected because the holder of every connection waited for another connection. */
  readonly selfDeadlocks: number;
  /** Validations of idle connections. */
  readonly validations: number;
  /** Validations that failed. */
  readonly validationFailures: number;
  /** Transactions that borrowers left open and the pool rolled back. */
  readonly rollbacks: number;
  /** Sessions reset because a borrower had changed them. */
  readonly resets: number;
  /** Leases reported as possible leaks. */
  readonly leakWarnings: number;
  /** Outages. Each one starts a new generation, however many connections are lost. */
  readonly outages: number;
}

/** A distribution of durations. */
export interface Histogram {
  /** Inclusive upper bounds of the buckets, in milliseconds. The last bucket has no upper bound. */
  readonly boundsMs: readonly number[];
  /** Number of durations per bucket; one element more than `boundsMs`. */
  readonly counts: readonly number[];
  /** Number of durations in all buckets. */
  readonly count: number;
  /** Sum of all durations, in milliseconds. */
  readonly sumMs: number;
  /** The longest duration, in milliseconds. */
  readonly maxMs: number;
}

/**
 * Why a statement had a connection of its own in a pool that shares connections:
 * - `not-plain`: it is no SELECT that only reads;
 * - `unknown`: it is not prepared yet, or was not measured often enough;
 * - `slow`, `large`: its text takes too long, or its results are too large;
 * - `session`: a statement of its text has changed a setting of the session, which a function can do;
 * - `unavailable`: no connection could be shared;
 * - `full`: every shared connection had `maxInFlight` statements in flight;
 * - `late`: the first statement on every shared connection took longer than usual.
 */
export type NotSharedReason =
  'not-plain' | 'unknown' | 'slow' | 'large' | 'session' | 'unavailable' | 'full' | 'late';

/** The shared connections of a pool at one moment. */
export interface MultiplexSnapshot {
  /** Connections that are shared; they are part of `total`. */
  readonly connections: number;
  /** Statements in flight on them. */
  readonly inFlight: number;
  /** Statements that were sent on shared connections since the pool was created. */
  readonly shared: number;
  /** Statements that had a connection of their own, by reason. */
  readonly notShared: Readonly<Record<NotSharedReason, number>>;
}

/** The state of a pool at one moment. Durations are milliseconds. */
export interface PoolSnapshot {
  /** `draining`: waiters are still served; `ending`: no acquire is served; `ended`: every connection is closed. */
  readonly state: 'open' | 'draining' | 'ending' | 'ended';
  /** Connections kept open. */
  readonly size: number;
  /** Connections allowed above `size`. */
  readonly maxOverflow: number;
  /** `size + maxOverflow`. */
  readonly max: number;
  /** All connections: idle, leased, connecting, validating, resetting and shared. */
  readonly total: number;
  readonly idle: number;
  readonly leased: number;
  readonly connecting: number;
  readonly validating: number;
  readonly resetting: number;
  /** How many of `total` are above `size`. */
  readonly overflow: number;
  /** Acquires that wait, including those for which a connection is being opened. */
  readonly waiting: number;
  /** Duration of the oldest lease; 0 without leases. */
  readonly oldestLeaseMs: number;
  /** Wait of the oldest waiter; 0 without waiters. */
  readonly oldestWaiterMs: number;
  /** The number of outages so far. */
  readonly generation: number;
  readonly counters: PoolCounters;
  /** How long acquires have waited for their connections. */
  readonly wait: Histogram;
  /** How long completed leases have lasted. */
  readonly use: Histogram;
  /** The shared connections; undefined unless `multiplex` is on. */
  readonly multiplex?: MultiplexSnapshot;
}

/** A lease as messages and warnings show it. */
export interface LeaseInfo {
  /** The name of the borrower, from `acquire({ borrower })`. */
  readonly borrower: string | undefined;
  /** Milliseconds since the acquire. */
  readonly heldMs: number;
  /** Whether a transaction is open, including a failed one. */
  readonly inTransaction: boolean;
  /** The last statement, truncated and with passwords masked. */
  readonly lastSql: string | undefined;
  /** The call stack of the acquire; undefined without `leakThresholdMs`, unless the acquire had to wait. */
  readonly stack: string | undefined;
}
