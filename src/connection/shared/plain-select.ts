import { SqlScanner } from '../../text/sql-scanner.js';

/** Words with which a query writes, locks rows or creates a table: FOR UPDATE, FOR KEY SHARE, WITH … AS (DELETE …), INTO. */
const NOT_PLAIN: ReadonlySet<string> = new Set([
  'insert',
  'update',
  'delete',
  'merge',
  'share',
  'into',
  'call',
]);

/**
 * Functions whose effect or whose result belongs to a session, or that wait: `currval`, `pg_sleep`, large objects, `pg_notify`.
 * Searched in the whole text, because a quoted name calls them, too.
 */
const NOT_SHAREABLE_CALLS =
  /\b(?:currval|lastval|setseed|set_config|dblink\w*|lo_\w+|lo(?:read|write)|pg_(?:\w*advisory\w*|sleep\w*|notify|export_snapshot|cancel_backend|terminate_backend|reload_conf|rotate_logfile|promote|switch_wal|create_\w+|replication_\w+|logical_\w+|wal_replay_\w+|log_\w+))\s*["(]/i;

/**
 * Whether a text is a SELECT that reads and does nothing else, as far as the text shows. Such a statement may run between
 * the statements of other callers in one session. When in doubt, the answer is false.
 */
export function isPlainSelect(text: string): boolean {
  if (NOT_SHAREABLE_CALLS.test(text)) return false;
  const scanner = new SqlScanner(text);
  let token = scanner.next();
  if (token !== 'word' || (scanner.word !== 'select' && scanner.word !== 'with')) return false;
  for (token = scanner.next(); token; token = scanner.next())
    if (token === 'word' && NOT_PLAIN.has(scanner.word)) return false;
  return !scanner.isAmbiguous;
}
