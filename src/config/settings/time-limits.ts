import type { TimeoutSettings } from '../../database.options.js';

/** PostgreSQL's names for those of `timeouts` that the server keeps; there they are milliseconds, too. */
export const TIME_LIMITS = {
  statement_timeout: 'statementMs',
  lock_timeout: 'lockMs',
  idle_in_transaction_session_timeout: 'idleInTransactionMs',
} as const satisfies Record<string, keyof TimeoutSettings>;
