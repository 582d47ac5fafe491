import { setTimeout as pause } from 'node:timers/promises';
import type { DataSource } from 'typeorm';
import { forgetSchema } from '../typeorm-internals.js';
import type { LoadedMigration } from './loaded-migration.js';
import { isLockFailure, migrationError, TransactionMisuse } from './migration-failure.js';
import type { MigrationFailure } from './migration-failure.js';
import type { MigrationDirection, MigrationProgress } from './migration-progress.js';
import { LOCK_TIMEOUT_MS, openTransactions } from './migration-session.js';
import type { MigrationSession } from './migration-session.js';
import type { MigrationsTable } from './migrations-table.js';
import { isAborted, StatementLog, transactionStatus } from './statement-log.js';

const MAX_ATTEMPTS = 3;
/** The pause before another attempt; milliseconds. The statements that waited behind the migration run meanwhile. */
const RETRY_PAUSE_MS = 500;

/** A migration that has run. */
export interface TimedMigration {
  readonly migration: LoadedMigration;
  /** Milliseconds; 0 for a migration that was only recorded. */
  readonly ms: number;
}

interface RunContext {
  readonly dataSource: DataSource;
  readonly session: MigrationSession;
  readonly table: MigrationsTable;
  readonly direction: MigrationDirection;
  readonly isFake: boolean;
  /** The names of the migrations whose code runs in this data source. */
  readonly running: Set<string>;
  readonly onProgress: (progress: MigrationProgress) => void;
}

/** Runs migrations in one session, and keeps account of them for the error of one that fails. */
export class MigrationRun {
  readonly #context: RunContext;
  readonly #executed: TimedMigration[] = [];

  constructor(context: RunContext) {
    this.#context = context;
  }

  /** The migrations that have run. */
  get executed(): readonly TimedMigration[] {
    return this.#executed;
  }

  /**
   * Runs migrations in one transaction, and all of them again if one does not get a lock in time.
   * @throws MigrationError `MIGRATION_FAILED`
   */
  async inTransaction(migrations: readonly LoadedMigration[]): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      const failure = await this.#tryInTransaction(migrations, attempt);
      if (!failure) return;
      const { error, log, migration } = failure;
      if (!isLockFailure(error) || (log?.inEffect ?? 0) > 0) return this.#fail(failure);
      if (attempt === MAX_ATTEMPTS)
        return this.#fail({ ...failure, longTransactions: await this.#context.session.longTransactions() });
      this.#context.onProgress({ type: 'retrying', migration, attempt, error: error as Error });
      await pause(RETRY_PAUSE_MS);
    }
  }

  async #tryInTransaction(
    migrations: readonly LoadedMigration[],
    attempts: number,
  ): Promise<MigrationFailure | undefined> {
    const { session } = this.#context;
    const { runner } = session;
    const done: TimedMigration[] = [];
    let current = migrations[0]!;
    let log: StatementLog | undefined;
    let isCommit = false;
    try {
      await session.setLimits(LOCK_TIMEOUT_MS);
      await runner.beforeMigration();
      await runner.startTransaction();
      for (current of migrations) {
        log = undefined;
        const startedAt = performance.now();
        await this.#apply(current, (begun) => (log = begun));
        done.push({ migration: current, ms: performance.now() - startedAt });
      }
      isCommit = true;
      const committedAt = performance.now();
      await runner.commitTransaction();
      // The COMMIT checks deferred constraints: its time belongs to the last migration.
      const last = done.pop()!;
      done.push({ ...last, ms: last.ms + performance.now() - committedAt });
    } catch (error) {
      const isOutcomeUnknown = isCommit && transactionStatus(runner) === undefined;
      await session.rollBack();
      const rolledBack = done.map(({ migration }) => migration).filter((migration) => migration !== current);
      return this.#failure({
        error,
        migration: current,
        log,
        isCommit,
        isOutcomeUnknown,
        isInTransaction: true,
        rolledBack,
        attempts,
      });
    }
    await runner.afterMigration();
    for (const each of done) this.#finish(each);
    return undefined;
  }

  /**
   * Runs one migration without a transaction.
   * @throws MigrationError `MIGRATION_FAILED`
   */
  async withoutTransaction(migration: LoadedMigration): Promise<void> {
    const { session, onProgress } = this.#context;
    let log: StatementLog | undefined;
    const startedAt = performance.now();
    try {
      await session.setLimits(0);
      await session.runner.beforeMigration();
      await this.#apply(migration, (begun) => (log = begun));
      await session.runner.afterMigration();
    } catch (error) {
      const isOutcomeUnknown = transactionStatus(session.runner) === undefined;
      await session.rollBack();
      return this.#fail(
        this.#failure({
          error,
          migration,
          log,
          isCommit: false,
          isOutcomeUnknown,
          isInTransaction: false,
          rolledBack: [],
          attempts: 1,
          drops: await session.dropsOfInvalidIndexes(),
        }),
      );
    }
    this.#finish({ migration, ms: performance.now() - startedAt });
    const drops = await session.dropsOfInvalidIndexes();
    if (drops.length > 0)
      onProgress({
        type: 'warning',
        message: `Indexes are INVALID after migration ${migration.name}, and PostgreSQL does not use them; remove them with ${drops.join(' ')}`,
      });
  }

  /** Runs the migration and records it. */
  async #apply(migration: LoadedMigration, onBegun: (log: StatementLog) => void): Promise<void> {
    const { direction, isFake, table, session, running, onProgress } = this.#context;
    const { runner } = session;
    const wasInTransaction = runner.isTransactionActive;
    onProgress({ type: 'started', direction, migration });
    if (!isFake) {
      // The statements of the migration before, or the rollback of an attempt, may have changed the tables that the runner remembers.
      forgetSchema(runner);
      const log = new StatementLog(runner);
      onBegun(log);
      running.add(migration.name);
      try {
        await migration.instance[direction](runner);
        await this.#checkTransaction(wasInTransaction, log);
      } catch (error) {
        throw isAborted(error) && log.lastFailed ? swallowedError(log) : error;
      } finally {
        running.delete(migration.name);
        log.stop();
      }
      await session.restoreSearchPath();
    }
    await (direction === 'up' ? table.insert(migration) : table.delete(migration));
  }

  /** Refuses to record a migration that has left the session in another state: the record would be lost, or outlive the work. */
  async #checkTransaction(wasInTransaction: boolean, log: StatementLog): Promise<void> {
    const { session } = this.#context;
    const depth = openTransactions(session.runner);
    const status = await session.status();
    if (status === 'E') throw swallowedError(log);
    if (!wasInTransaction && (depth > 0 || status === 'T'))
      throw new TransactionMisuse(
        'it has begun a transaction and not ended it',
        'Commit the transaction in the migration.',
      );
    if (wasInTransaction && depth > 1)
      throw new TransactionMisuse(
        'it has begun a nested transaction and not ended it',
        'Commit the nested transaction in the migration.',
      );
    if (wasInTransaction && (depth === 0 || status === 'I'))
      throw new TransactionMisuse(
        'it has ended the transaction in which it runs',
        'Set `transaction = false` in the migration, which may then begin and commit transactions of its own.',
      );
  }

  #finish(timed: TimedMigration): void {
    const { dataSource, direction, isFake, onProgress } = this.#context;
    const { migration, ms } = timed;
    this.#executed.push(timed);
    // As TypeORM logs it.
    dataSource.logger.logSchemaBuild(
      `Migration ${migration.name} has been ${isFake ? '(fake) ' : ''}${direction === 'up' ? 'executed' : 'reverted'} successfully.`,
    );
    onProgress({ type: 'finished', direction, migration, ms });
  }

  #failure(
    failure: Omit<MigrationFailure, 'direction' | 'executed' | 'longTransactions' | 'drops'> &
      Partial<Pick<MigrationFailure, 'drops'>>,
  ): MigrationFailure {
    const { direction } = this.#context;
    const executed = this.#executed.map(({ migration }) => migration);
    return { drops: [], longTransactions: [], ...failure, direction, executed };
  }

  #fail(failure: MigrationFailure): never {
    const error = migrationError(failure);
    // As TypeORM logs it.
    this.#context.dataSource.logger.logMigration(
      `Migration "${failure.migration.name}" failed, error: ${error.message}`,
    );
    throw error;
  }
}

function swallowedError({ lastFailed }: StatementLog): TransactionMisuse {
  return new TransactionMisuse(
    'The migration went on after this error, but the error had aborted its transaction',
    'Let the error pass, or run the statement in a nested transaction (startTransaction begins a savepoint there).',
    lastFailed?.error,
  );
}
