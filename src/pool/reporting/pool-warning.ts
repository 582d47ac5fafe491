import type { LeaseInfo } from '../../database.snapshot.js';

/** What an operator should know. */
export interface PoolWarning {
  readonly code:
    | 'CONNECTION_LEAK'
    | 'CONNECTION_LEAK_ENDED'
    | 'CONNECTION_RECLAIMED'
    | 'CONNECTION_LOST'
    | 'CONNECT_FAILED'
    | 'CONNECTION_RESET_FAILED'
    | 'CONNECTION_VALIDATION_FAILED'
    | 'TRANSACTION_LEFT_OPEN'
    | 'SESSION_STATE_LEFT'
    | 'USED_AFTER_RELEASE'
    | 'SELF_DEADLOCK'
    | 'POOL_EXHAUSTED'
    | 'CONNECTION_CUT'
    | 'OUTAGE';
  readonly level: 'warn' | 'info';
  readonly message: string;
  /** The connection's borrower and what it did, when there is one. */
  readonly lease?: LeaseInfo;
  readonly error?: Error;
}

/** For a pool without a listener: a warning of the process, as Node has for its own. */
export function emitProcessWarning(warning: PoolWarning): void {
  if (warning.level !== 'warn') return;
  const detail = warning.lease?.stack;
  process.emitWarning(warning.message, {
    type: 'PoolWarning',
    code: warning.code,
    ...(detail && { detail }),
  });
}
