import type { ManagedQueryRunner } from '../query-runner/managed-query-runner.js';
import { isWithoutLocks, pollForLock } from '../startup/lock-poll.js';
import type { LockWait } from '../startup/lock-poll.js';

/**
 * Longest wait of a transactional migration for a lock; milliseconds. A statement that waits for an ACCESS EXCLUSIVE lock makes all later
 * statements on that table wait behind it.
 */
export const LOCK_TIMEOUT_MS = 5_000;

/** The settings that a session of migrations changes, if the server has them: `transaction_timeout` exists since PostgreSQL 17. */
const CHANGED = `('statement_timeout', 'lock_timeout', 'transaction_timeout', 'idle_in_transaction_session_timeout',
  'idle_session_timeout', 'client_connection_check_interval')`;

const READ_SETTINGS = `SELECT json_object_agg(name, setting) AS settings FROM pg_catalog.pg_settings
  WHERE name IN ${CHANGED} OR name = 'search_path'`;

const RESTORE_SETTINGS = 'SELECT set_config(key, value, false) FROM json_each_text($1::json)';

const SET_LIMITS = `SELECT set_config(name, CASE name WHEN 'lock_timeout' THEN $1 ELSE '0' END, false)
  FROM pg_catalog.pg_settings WHERE name IN ${CHANGED} AND name <> 'client_connection_check_interval'`;

/** Since PostgreSQL 14. */
const SET_CHECK_INTERVAL = `SELECT set_config(name, '1s', false)
  FROM pg_catalog.pg_settings WHERE name = 'client_connection_check_interval'`;

/** Indexes that are being built at the moment are invalid too. An invalid index of a partitioned table merely lacks a partition. */
const INVALID_INDEXES = `SELECT n.nspname AS schema, c.relname AS name
  FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE NOT i.indisvalid AND c.relkind = 'i' AND n.nspname NOT LIKE 'pg\\_toast%'
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_progress_create_index p WHERE p.index_relid = i.indexrelid)
  ORDER BY 1, 2`;

/** Sessions with a transaction that was open for the whole lock timeout and holds locks on tables: one of them was in the way. */
const LONG_TRANSACTIONS = `SELECT a.pid, coalesce(a.application_name, '') AS application, a.xact_start AS since
  FROM pg_catalog.pg_stat_activity a
  WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()
    AND a.xact_start < clock_timestamp() - $1 * interval '1 millisecond'
    AND EXISTS (SELECT FROM pg_catalog.pg_locks l WHERE l.pid = a.pid AND l.granted AND l.locktype IN ('relation', 'tuple')
      AND l.relation >= 16384)
  ORDER BY a.xact_start LIMIT 3`;

/** A session with an open transaction. */
export interface LongTransaction {
  readonly pid: number;
  readonly application: string;
  readonly since: Date;
}

/** The session in which migrations run: the one of a pinned query runner. */
export class MigrationSession {
  readonly runner: ManagedQueryRunner;
  /** The settings before `open()`. */
  #settings: { readonly search_path: string } | undefined;
  /** The key of the lock that the session holds. */
  #key: string | undefined;

  constructor(runner: ManagedQueryRunner) {
    this.runner = runner;
  }

  /**
   * Prepares the session: no limits, and a second lock, in this session itself. If the process is killed, the server ends the idle session
   * of the schema lock at once, and this one when it notices the loss of the client or its statement ends: without a lock here, another
   * process would begin meanwhile.
   *
   * @param key the key of the lock
   * @param what what the lock protects, for messages
   * @throws MigrationError `MIGRATION_LOCK_TIMEOUT`
   */
  async open(key: string, what: string, wait: LockWait): Promise<void> {
    const [row] = await this.#query<{ settings: { readonly search_path: string } }>(READ_SETTINGS);
    this.#settings = row?.settings;
    await this.setLimits(0);
    // Lets the server notice the loss of the client while a statement runs. Some systems do not support it.
    await this.#query(SET_CHECK_INTERVAL).catch(() => undefined);
    const tryLock = async () => {
      const [{ locked } = { locked: false }] = await this.#query<{ locked: boolean }>(
        'SELECT pg_try_advisory_lock($1::bigint) AS locked',
        [key],
      );
      this.#key = locked ? key : undefined;
      return locked;
    };
    try {
      await pollForLock(tryLock, (text, parameters) => this.#query(text, parameters), key, what, wait);
    } catch (error) {
      if (!isWithoutLocks(error)) throw error;
    }
  }

  /** Restores the settings and releases the lock: a pool with `reset: 'none'` does not. On a lost connection the server does. */
  async close(): Promise<void> {
    await this.rollBack();
    if (this.#settings)
      await this.#query(RESTORE_SETTINGS, [JSON.stringify(this.#settings)]).catch(() => undefined);
    if (this.#key)
      await this.#query('SELECT pg_advisory_unlock($1::bigint)', [this.#key]).catch(() => undefined);
  }

  /**
   * Turns the limits off: a migration may take long. The settings are those of the session and end with the lease.
   * @param lockTimeoutMs milliseconds, 0 is no limit
   */
  async setLimits(lockTimeoutMs: number): Promise<void> {
    await this.#query(SET_LIMITS, [String(lockTimeoutMs)]);
  }

  /**
   * Restores the search path, which the output of pg_dump empties: the table of executed migrations has no schema in its name, and the
   * next migration expects the search path of the data source.
   */
  async restoreSearchPath(): Promise<void> {
    const { search_path } = this.#settings ?? {};
    if (search_path !== undefined)
      await this.#query("SELECT set_config('search_path', $1, false)", [search_path]);
  }

  /** Rolls back whatever is open: the transaction around the migration, and one that the migration has begun itself. */
  async rollBack(): Promise<void> {
    const { runner } = this;
    try {
      // A rollback that is refused leaves the depth as it is.
      for (let depth = openTransactions(runner); depth > 0; depth -= 1) await runner.rollbackTransaction();
      if ((await this.status()) !== 'I') await runner.query('ROLLBACK');
    } catch {
      // The connection is lost, and the server rolls back. The error that led here is reported.
    }
  }

  /** As the server has reported it: `I` outside a transaction, `T` in one, `E` in a failed one; undefined without a usable connection. */
  async status(): Promise<string | undefined> {
    const connection = this.runner.runnerConnection.lease?.connection;
    if (!connection?.isUsable) return undefined;
    // `pg` reports an error before ReadyForQuery, which carries the transaction status.
    if (!connection.isReadyForQuery) await connection.whenReadyForQuery().catch(() => undefined);
    return connection.isUsable ? (connection.transactionStatus ?? undefined) : undefined;
  }

  /** The statements that remove INVALID indexes, which a failed CREATE INDEX CONCURRENTLY leaves behind. */
  async dropsOfInvalidIndexes(): Promise<string[]> {
    const rows = await this.#query<{ schema: string; name: string }>(INVALID_INDEXES).catch(() => []);
    return rows.map(({ schema, name }) => `DROP INDEX CONCURRENTLY ${quoted(schema)}.${quoted(name)};`);
  }

  /** The transactions that may have been in the way of a migration that did not get a lock. */
  longTransactions(): Promise<LongTransaction[]> {
    return this.#query<LongTransaction>(LONG_TRANSACTIONS, [LOCK_TIMEOUT_MS]).catch(() => []);
  }

  #query<Row>(text: string, parameters?: unknown[]): Promise<Row[]> {
    return this.runner.query(text, parameters) as Promise<Row[]>;
  }
}

/** How many transactions are open, nested ones included. */
export function openTransactions(runner: ManagedQueryRunner): number {
  return runner.isTransactionActive ? Math.max(1, runner.openDepth) : 0;
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
