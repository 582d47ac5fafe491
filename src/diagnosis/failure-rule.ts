/**
 * Where a failure comes from:
 * - `network`: the host name, the address, the network, or another program on the port
 * - `tls`: encryption or certificates
 * - `login`: user, password, database, or pg_hba.conf
 * - `server`: a server, pooler or provider that was reached but did not serve the connection
 * - `pool`: the pool or the data source of this process
 * - `statement`: a statement, or the transaction that it runs in
 * - `unknown`: no rule matches
 */
export type FailureCategory = 'network' | 'tls' | 'login' | 'server' | 'pool' | 'statement' | 'unknown';

/** One kind of failure: how it is recognised, what it means, and what to do about it. */
export interface FailureRule {
  /** Stable name for programs, for instance `CONNECTION_REFUSED`. Several rules may have the same one. */
  readonly code: string;
  /** Where the failure comes from. */
  readonly category: FailureCategory;
  /** What happened: a clause without a full stop, for use after a colon. */
  readonly meaning: string;
  /** What to do about it: one or two sentences. */
  readonly hint: string;
  /** Whether the same attempt may succeed later without any change. @defaultValue false */
  readonly transient?: boolean;
  /** Each of them alone identifies the failure. */
  readonly signs: readonly Sign[];
  /**
   * Codes of later rules in the same list that match some of the same messages. The first matching rule applies, so this
   * rule must come before them.
   */
  readonly precedes?: readonly string[];
  /** Status of the answer to an HTTP request. Without it, the request is answered as for any other error. */
  readonly httpStatus?: 503 | 504;
  /**
   * Whether the server is about to accept connections: PostgreSQL is starting, or the attempt wakes a compute of Neon. The
   * pool then retries instead of rejecting its waiters. @defaultValue false
   */
  readonly isWaking?: boolean;
}

/**
 * What identifies a failure. A string is a code: an SQLSTATE, a class of SQLSTATEs (`23xxx`), or an error code of Node.js or
 * of this package.
 */
export type Sign = string | MessageSign;

/** A message that identifies a failure, together with a code. */
export interface MessageSign {
  /** Repetitions are bounded (`.{0,300}`, not `.*`), so that matching takes linear time. */
  readonly message: RegExp;
  /** A message that matches. The documentation shows it. */
  readonly example: string;
  /** The error must have one of these codes. Without `codes`, it must have no code, as errors of `pg` itself. */
  readonly codes?: readonly string[];
}
