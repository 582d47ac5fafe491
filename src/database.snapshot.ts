/** Why a connection was closed. */
export type DestroyReason =
  | 'lifetime'
  | 'uses'
  | 'idle'
  | 'overflow'
  | 'validation'
  | 'broken'
  | 'released-with-error'
  | 'reset'
  | 'reclaimed'
  | 'shutdown';

/** What has happened since the pool was made. */
export interface PoolCounters {
  /** Connections lent. */
  readonly acquired: number;
  /** Connections given back by their borrowers. */
  readonly released: number;
  /** Connections opened. */
  readonly created: number;
  readonly connectFailures: number;
  readonly destroyed: Readonly<Record<DestroyReason, number>>;
  /** Acquires that ran into their deadline. */
  readonly timeouts: number;
  /** Acquires given up by their signal. */
  readonly cancellations: number;
  /** Acquires refused because `maxWaiting` were waiting. */
  readonly refused: number;
  /** Acquires that failed because no connection could be opened. */
  readonly failedByConnect: number;
  /** Acquires rejected because the pool was closed. */
  readonly closed: number;
  /** Acquires that had to wait, by a unit of work that was an explicit holder already. */
  readonly nestedAcquires: number;
  /** Acquires that failed because every connection had an explicit holder that waited for another one. */
  readonly selfDeadlocks: number;
  /** Validations before use. */
  readonly validations: number;
  readonly validationFailures: number;
  /** Transactions that borrowers left open. */
  readonly rollbacks: number;
  /** Sessions cleared because a borrower had changed them. */
  readonly resets: number;
  readonly leakWarnings: number;
  /** Outages seen: each ages the pool once. */
  readonly outages: number;
}

/** How long something took, counted by upper bounds. */
export interface Histogram {
  /** Upper bounds in milliseconds; the last bucket has none. */
  readonly boundsMs: readonly number[];
  /** How many fell into each bucket; one more than there are bounds. */
  readonly counts: readonly number[];
  readonly count: number;
  readonly sumMs: number;
  readonly maxMs: number;
}

/** A pool at one moment. */
export interface PoolSnapshot {
  readonly state: 'open' | 'draining' | 'ending' | 'ended';
  /** Connections kept open. */
  readonly size: number;
  readonly maxOverflow: number;
  /** `size + maxOverflow`. */
  readonly max: number;
  /** Connections there are, those being opened included. */
  readonly total: number;
  readonly idle: number;
  readonly leased: number;
  readonly connecting: number;
  /** Being asked whether they are alive. */
  readonly validating: number;
  /** Given back and being cleaned. */
  readonly resetting: number;
  /** How many of `total` are above `size`. */
  readonly overflow: number;
  readonly waiting: number;
  readonly oldestLeaseMs: number;
  readonly oldestWaiterMs: number;
  /** Grows by one with each outage. */
  readonly generation: number;
  readonly counters: PoolCounters;
  /** From the asking to the having. */
  readonly wait: Histogram;
  /** From the having to the giving back. */
  readonly use: Histogram;
}

/** A connection that is out, as messages and warnings show it. */
export interface LeaseInfo {
  /** Who has it: what `acquire({ borrower })` said. */
  readonly borrower: string | undefined;
  readonly heldMs: number;
  readonly inTransaction: boolean;
  /** The last statement, shortened. */
  readonly lastSql: string | undefined;
  /** Where it was acquired, when leak detection is on. */
  readonly stack: string | undefined;
}
