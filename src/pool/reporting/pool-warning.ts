import type { LeaseInfo } from '../../database.snapshot.js';

/** A warning of the pool to an operator, passed to `onWarning`. */
export interface PoolWarning {
  /**
   * What has happened:
   * - `CONNECTION_LEAK`, `CONNECTION_LEAK_ENDED`: a connection is held for longer than `leakThresholdMs`, or was released after that.
   * - `CONNECTION_RECLAIMED`: it was held for longer than `reclaimAfterMs` and was forcibly closed.
   * - `CONNECTION_FORCE_CLOSED`: it was still leased at the end of a drain, or shared by statements in flight, and was forcibly closed.
   * - `CONNECTION_LOST`: an idle connection was lost.
   * - `OUTAGE`: a connection was lost, and older ones are suspect.
   * - `CONNECT_FAILED`: a connection could not be opened.
   * - `CONNECTION_RESET_FAILED`, `CONNECTION_VALIDATION_FAILED`: it failed its reset or its validation and was closed.
   * - `TRANSACTION_LEFT_OPEN`: it was released with an open transaction, which was rolled back.
   * - `SESSION_STATE_LEFT`: its session was changed behind a pooler, where the pool cannot reset it.
   * - `USED_AFTER_RELEASE`: an idle connection was used by its last borrower and was closed.
   * - `SELF_DEADLOCK`: every connection has an explicit holder that waits for another one.
   * - `POOL_EXHAUSTED`: an acquire has failed although connections can be opened.
   */
  readonly code:
    | 'CONNECTION_LEAK'
    | 'CONNECTION_LEAK_ENDED'
    | 'CONNECTION_RECLAIMED'
    | 'CONNECTION_FORCE_CLOSED'
    | 'CONNECTION_LOST'
    | 'OUTAGE'
    | 'CONNECT_FAILED'
    | 'CONNECTION_RESET_FAILED'
    | 'CONNECTION_VALIDATION_FAILED'
    | 'TRANSACTION_LEFT_OPEN'
    | 'SESSION_STATE_LEFT'
    | 'USED_AFTER_RELEASE'
    | 'SELF_DEADLOCK'
    | 'POOL_EXHAUSTED';
  /** `warn` for mistakes of a borrower; `info` for events that the pool handles by itself. */
  readonly level: 'warn' | 'info';
  /** One sentence for a log; contains no password. */
  readonly message: string;
  /** The lease that the warning is about. */
  readonly lease?: LeaseInfo;
  readonly error?: Error;
}

/** Emits a warning of the process, for a pool without `onWarning`. */
export function emitProcessWarning(warning: PoolWarning): void {
  if (warning.level !== 'warn') return;
  const detail = warning.lease?.stack;
  process.emitWarning(warning.message, {
    type: 'PoolWarning',
    code: warning.code,
    ...(detail && { detail }),
  });
}
