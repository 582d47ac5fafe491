import { setTimeout as pause } from 'node:timers/promises';
import { MigrationError } from '../../errors/migration.errors.js';
import { duration } from '../../text/duration.js';
import { withJitter } from './retry-delay.js';

/** The first and the longest interval between two attempts to lock; milliseconds. */
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 1_000;

/** The session that holds an advisory lock. */
export interface LockHolder {
  readonly pid: number;
  /** `application_name` of the session; empty if it has none. */
  readonly application: string;
  /** Undefined if the role may not read it: the session belongs to another role. */
  readonly since: Date | undefined;
}

/** How a caller waits for a lock. */
export interface LockWait {
  /** Milliseconds; undefined waits without limit. */
  readonly timeoutMs?: number;
  /** Called once for each holder. */
  readonly onWaiting: (holder: LockHolder | undefined) => void;
  /** Throws when the data source closes, which ends the wait. */
  readonly check: () => void;
}

type Query = <Row>(text: string, parameters: unknown[]) => Promise<Row[]>;

/**
 * The session that holds the advisory lock `$1`. The session of the lock is idle since it has taken the lock, so that `state_change` is
 * the time of that. A bigint key is stored in two halves, and `objsubid` is 1.
 */
const HOLDER = `SELECT l.pid, coalesce(a.application_name, '') AS application, a.state_change AS since
  FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
  WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
    AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
    AND l.classid::bigint = ($1::bigint >> 32) & 4294967295 AND l.objid::bigint = $1::bigint & 4294967295`;

/**
 * Polls for an advisory lock, and is idle between polls. A session that waits in `pg_advisory_lock()` would have a snapshot, and CREATE
 * INDEX CONCURRENTLY of the holder would wait for the end of that snapshot: a deadlock.
 *
 * @param what what the lock protects, for the message
 * @throws MigrationError `MIGRATION_LOCK_TIMEOUT`
 */
export async function pollForLock(
  tryLock: () => Promise<boolean>,
  query: Query,
  key: string,
  what: string,
  { timeoutMs, onWaiting, check }: LockWait,
): Promise<void> {
  const startedAt = performance.now();
  const remainingMs = () => (timeoutMs ?? Infinity) - (performance.now() - startedAt);
  let pauseMs = FIRST_PAUSE_MS;
  let reported: number | undefined;
  while (!(await tryLock())) {
    const holder = await holderOf(query, key);
    if (remainingMs() <= 0) throw lockTimeoutError(what, timeoutMs ?? 0, holder);
    if (reported !== (holder?.pid ?? 0)) onWaiting(holder);
    reported = holder?.pid ?? 0;
    await pause(Math.min(withJitter(pauseMs), LONGEST_PAUSE_MS, Math.max(0, remainingMs())));
    check();
    pauseMs = Math.min(pauseMs * 1.5, LONGEST_PAUSE_MS);
  }
}

/** Undefined if the lock was released meanwhile, and on a server that does not show locks. */
async function holderOf(query: Query, key: string): Promise<LockHolder | undefined> {
  interface Row {
    pid: number;
    application: string;
    since: Date | null;
  }
  const [row] = await query<Row>(HOLDER, [key]).catch(() => []);
  return row && { pid: row.pid, application: row.application, since: row.since ?? undefined };
}

/** SQLSTATE of a server without advisory locks: another product with PostgreSQL's protocol. */
const UNDEFINED_FUNCTION = '42883';

/** Whether the server has no advisory locks: the work is done without one. */
export function isWithoutLocks(error: unknown): boolean {
  return (error as { code?: unknown }).code === UNDEFINED_FUNCTION;
}

/** `pid 4711, application "orders", since 2026-01-31T08:00:00.000Z` */
export function describeSession({ pid, application, since }: LockHolder): string {
  const parts = [`pid ${pid}`];
  if (application !== '') parts.push(`application "${application}"`);
  if (since) parts.push(`since ${since.toISOString()}`);
  return parts.join(', ');
}

/**
 * The log line of a wait for the lock.
 * @param what what the lock protects
 */
export function lockWaitText(what: string, holder: LockHolder | undefined): string {
  const by = holder ? ` (${describeSession(holder)})` : '';
  return `Another instance is changing the schema of ${what}${by}; waiting for its end.`;
}

function lockTimeoutError(what: string, timeoutMs: number, holder: LockHolder | undefined): MigrationError {
  const by = holder ? `: ${describeSession(holder)}` : '';
  const terminate = holder ? ` (SELECT pg_terminate_backend(${holder.pid}))` : '';
  return new MigrationError(
    `Another process holds the migration lock of ${what}${by}. It has not released it within the lock timeout of ${duration(timeoutMs)}. Nothing was changed.`,
    {
      code: 'MIGRATION_LOCK_TIMEOUT',
      hint: `Wait until that process has migrated, or end its session${terminate}, and run the migrations again.`,
    },
  );
}
