/**
 * Where a failure comes from:
 * - `network`: the host name, the address, the network, or another program on the port
 * - `tls`: encryption, or a certificate
 * - `login`: user, password, database, or whether the client is admitted
 * - `server`: the server, a pooler or a provider that is reached and does not serve
 * - `pool`: the pool or the data source of this process
 * - `statement`: a statement, or the transaction that it runs in
 * - `unknown`: no rule matches
 */
export type FailureCategory = 'network' | 'tls' | 'login' | 'server' | 'pool' | 'statement' | 'unknown';

/** One kind of failure: how it is recognised, what it means, and what this package does about it. */
export interface FailureRule {
  /** Stable name for programs, for instance `CONNECTION_REFUSED`. Several rules may have the same one. */
  readonly code: string;
  /** Where the failure comes from. */
  readonly category: FailureCategory;
  /** What happened: a clause without a full stop, to be put behind a colon. */
  readonly meaning: string;
  /** Which setting or person can change it: one or two sentences. */
  readonly hint: string;
  /** Whether the failure may pass without a change, so that another attempt makes sense. @defaultValue false */
  readonly transient?: boolean;
  /** Any one of them identifies the failure. */
  readonly signs: readonly Sign[];
  /**
   * Codes of later rules in the same list whose patterns match some of the same messages. The first rule that matches
   * wins, so this rule has to stay in front of them.
   */
  readonly precedes?: readonly string[];
  /** Status of an HTTP request that fails by it. Without a status the request is answered as for any other error. */
  readonly httpStatus?: 503 | 504;
  /**
   * Whether the server is about to accept connections: PostgreSQL that starts up, or a compute of Neon that the connection
   * attempt wakes. The pool then goes on connecting instead of failing its waiters. @defaultValue false
   */
  readonly isWaking?: boolean;
}

/**
 * What identifies a failure. A text is a code: an SQLSTATE, a class of SQLSTATEs (`23xxx`), an error code of Node, or one
 * of this package.
 */
export type Sign = string | MessageSign;

/** A message that identifies a failure, together with the codes that it comes with. */
export interface MessageSign {
  /** Repetitions have a bound (`.{0,300}`, not `.*`), so that a long message costs linear time. */
  readonly message: RegExp;
  /** A message that matches; shown in the documentation. */
  readonly example: string;
  /** The message counts with one of these codes only. Without codes it counts for an error that has none, as those of `pg`. */
  readonly codes?: readonly string[];
}
