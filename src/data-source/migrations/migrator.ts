import type { DataSource } from 'typeorm';
import { MigrationError } from '../../errors/migration.errors.js';
import type { DatabaseLogger } from '../logging/database.logger.js';
import type { ManagedQueryRunner } from '../query-runner/managed-query-runner.js';
import type { LockHolder, LockWait } from '../startup/lock-poll.js';
import { keyOf } from '../startup/schema-lock.js';
import type { SchemaLockWait } from '../startup/schema-lock.js';
import { refuseConcurrently } from './concurrently.js';
import { loadedMigrations } from './loaded-migration.js';
import type { LoadedMigration } from './loaded-migration.js';
import { logProgress } from './migration-progress.js';
import type { MigrationDirection, MigrationProgress } from './migration-progress.js';
import { MigrationRun } from './migration-run.js';
import { MigrationSession } from './migration-session.js';
import { MigrationsTable } from './migrations-table.js';
import type { ExecutedMigration } from './migrations-table.js';
import { refuseOverrides, runsInTransaction, transactionMode } from './transaction-rule.js';
import type { MigrationTransactionMode } from './transaction-rule.js';

export type { LockHolder } from '../startup/lock-poll.js';
export type { MigrationDirection, MigrationProgress } from './migration-progress.js';
export type { ExecutedMigration } from './migrations-table.js';
export type { MigrationTransactionMode } from './transaction-rule.js';

export interface MigrationPlanOptions {
  /** `down` plans what `revert()` does. @defaultValue 'up' */
  readonly direction?: MigrationDirection;
  /** @defaultValue `migrationsTransactionMode` of the data source, or else `each` */
  readonly transaction?: MigrationTransactionMode;
}

export interface MigrationRunOptions {
  /** @defaultValue `migrationsTransactionMode` of the data source, or else `each` */
  readonly transaction?: MigrationTransactionMode;
  /** Records the migrations as executed, and does not run them. @defaultValue false */
  readonly fake?: boolean;
  /** Milliseconds. @defaultValue no limit: a start waits for the instance that migrates */
  readonly lockTimeoutMs?: number;
  /** @defaultValue the module's logger writes a line for each migration, and for what else happens */
  readonly onProgress?: (progress: MigrationProgress) => void;
}

/** The state of a database beside the source code. */
export interface MigrationStatus {
  /** In the order of their execution. */
  readonly executed: readonly ExecutedMigration[];
  /** The migrations of the source code that are not executed, the oldest first. */
  readonly pending: readonly LoadedMigration[];
  /** Executed migrations that the source code does not have. */
  readonly unknown: readonly ExecutedMigration[];
}

/** A migration that would run. */
export interface PlannedMigration {
  readonly migration: LoadedMigration;
  /** Whether it runs in a transaction: one of its own, or with the mode `all` the one of all migrations. */
  readonly transaction: boolean;
}

/** A migration that has run. */
export interface MigrationResult extends PlannedMigration {
  /** Milliseconds; 0 for a migration that was only recorded. */
  readonly ms: number;
}

/** What a migrator needs of its data source, `ManagedDataSource`. */
export interface MigratorContext {
  readonly dataSource: DataSource;
  readonly logger: DatabaseLogger;
  /** `current_database()` */
  readonly database: () => string;
  readonly createQueryRunner: (callerName: string) => ManagedQueryRunner;
  /** @throws MigrationError `MIGRATION_POOLER` */
  readonly refusePooler: () => Promise<void>;
  /** Runs work under the schema lock. */
  readonly underLock: <T>(work: () => Promise<T>, wait: SchemaLockWait) => Promise<T>;
  /** Runs work on a direct connection if the settings have a direct server. */
  readonly onDirectConnection: <T>(work: () => Promise<T>) => Promise<T>;
  /** Throws when the data source closes. */
  readonly check: () => void;
}

/** What `run()` or `revert()` was called for. */
interface Change {
  readonly direction: MigrationDirection;
  readonly mode: MigrationTransactionMode;
  readonly isFake: boolean;
  readonly onProgress: (progress: MigrationProgress) => void;
}

/** Runs, reverts and shows the migrations of a data source: `dataSource.migrator`. */
export class Migrator {
  readonly #context: MigratorContext;
  /** Whether migrations run: a migration may call `runMigrations()`. */
  #isRunning = false;
  /** The names of the migrations whose code runs: several, if a migration calls `runMigrations()`. */
  readonly #running = new Set<string>();

  constructor(context: MigratorContext) {
    this.#context = context;
  }

  /**
   * Reads which migrations are executed. Changes nothing, and works through any pooler.
   *
   * @throws MigrationError `MIGRATION_NAME_INVALID`
   */
  status(): Promise<MigrationStatus> {
    return this.#context.onDirectConnection(() =>
      this.#withRunner('dataSource.showMigrations', (runner) => this.#readStatus(runner)),
    );
  }

  /**
   * What `run()` or `revert()` would do. Changes nothing, and checks everything that they check before they change anything.
   *
   * @throws MigrationError `MIGRATION_POOLER`, `MIGRATION_NAME_INVALID`, `MIGRATION_CONCURRENTLY`, `MIGRATION_UNKNOWN`
   * @throws ForbiddenTransactionModeOverrideError for a migration that sets `transaction` in the mode `all`
   */
  async plan({ direction = 'up', transaction }: MigrationPlanOptions = {}): Promise<PlannedMigration[]> {
    const mode = transactionMode(this.#context.dataSource, transaction);
    await this.#context.refusePooler();
    return this.#planned(await this.status(), direction, mode, false);
  }

  /**
   * Runs the pending migrations, the oldest first, under the migration lock.
   *
   * @throws MigrationError `MIGRATION_POOLER`, `MIGRATION_NAME_INVALID`, `MIGRATION_CONCURRENTLY`, `MIGRATION_LOCK_TIMEOUT`,
   * `MIGRATION_FAILED`
   * @throws ForbiddenTransactionModeOverrideError for a migration that sets `transaction` in the mode `all`
   */
  run(options: MigrationRunOptions = {}): Promise<MigrationResult[]> {
    return this.#change('up', options);
  }

  /**
   * Reverts the migration that was executed last, under the migration lock.
   *
   * @returns undefined if no migration is executed
   * @throws MigrationError `MIGRATION_UNKNOWN` if the source code does not have that migration; otherwise as `run()`
   */
  async revert(options: MigrationRunOptions = {}): Promise<MigrationResult | undefined> {
    return (await this.#change('down', options))[0];
  }

  async #change(
    direction: MigrationDirection,
    { transaction, fake = false, lockTimeoutMs, onProgress: given }: MigrationRunOptions,
  ): Promise<MigrationResult[]> {
    const { dataSource, logger, database, refusePooler, underLock, onDirectConnection, check } =
      this.#context;
    const onProgress = given ?? logProgress(logger, database());
    const onWaiting = (holder: LockHolder | undefined) => onProgress({ type: 'waiting', holder });
    const change = { direction, mode: transactionMode(dataSource, transaction), isFake: fake, onProgress };
    loadedMigrations(dataSource);
    await refusePooler();
    const callerName = `dataSource.${direction === 'up' ? 'runMigrations' : 'undoLastMigration'}`;
    return underLock(
      () =>
        onDirectConnection(() =>
          this.#withRunner(callerName, async (runner) => {
            const isNested = this.#isRunning;
            this.#isRunning = true;
            try {
              return await (isNested
                ? this.#changeIn(new MigrationSession(runner), change)
                : this.#inSession(runner, { timeoutMs: lockTimeoutMs, onWaiting, check }, change));
            } finally {
              this.#isRunning = isNested;
            }
          }),
        ),
      { needsSession: true, lockTimeoutMs, onWaiting },
    );
  }

  async #inSession(runner: ManagedQueryRunner, wait: LockWait, change: Change): Promise<MigrationResult[]> {
    const database = this.#context.database();
    const session = new MigrationSession(runner);
    try {
      await session.open(keyOf(database, 'migration session'), `database "${database}"`, wait);
      return await this.#changeIn(session, change);
    } finally {
      await session.close();
    }
  }

  async #changeIn(session: MigrationSession, change: Change): Promise<MigrationResult[]> {
    const { dataSource } = this.#context;
    const { direction, mode, isFake, onProgress } = change;
    const table = new MigrationsTable(dataSource, session.runner);
    const status = await this.#readStatus(session.runner);
    if (direction === 'up' && status.unknown.length > 0)
      onProgress({
        type: 'warning',
        message: `The database has migrations that the source code does not have: ${status.unknown.map(({ name }) => name).join(', ')}`,
      });
    const planned = this.#planned(status, direction, mode, isFake);
    if (!isFake) this.#refuseRunning(planned);
    // After everything that may be refused: a refusal changes nothing.
    await table.createIfMissing();
    this.#logPlan(status, direction, planned);
    const run = new MigrationRun({
      dataSource,
      session,
      table,
      direction,
      isFake,
      running: this.#running,
      onProgress,
    });
    if (mode === 'all' && planned.length > 0 && planned.every(({ transaction }) => transaction))
      await run.inTransaction(planned.map(({ migration }) => migration));
    else
      for (const { migration, transaction } of planned)
        await (transaction ? run.inTransaction([migration]) : run.withoutTransaction(migration));
    return run.executed.map(({ migration, ms }, index) => ({
      migration,
      ms: isFake ? 0 : ms,
      transaction: planned[index]!.transaction,
    }));
  }

  /** The migrations that would run, if nothing forbids them. */
  #planned(
    { pending, executed }: MigrationStatus,
    direction: MigrationDirection,
    mode: MigrationTransactionMode,
    isFake: boolean,
  ): PlannedMigration[] {
    const last = executed.at(-1);
    const migrations = direction === 'up' ? pending : last ? [this.#loaded(last)] : [];
    if (direction === 'up') refuseOverrides(migrations, mode);
    const planned = migrations.map((migration) => ({
      migration,
      transaction: runsInTransaction(migration, mode),
    }));
    const inTransaction = planned.filter(({ transaction }) => transaction);
    if (!isFake)
      refuseConcurrently(
        inTransaction.map(({ migration }) => migration),
        direction,
      );
    return planned;
  }

  /**
   * A migration that runs the pending migrations would run itself, and so on: it is pending until it has ended.
   * @throws MigrationError `MIGRATION_FAILED`
   */
  #refuseRunning(planned: readonly PlannedMigration[]): void {
    const again = planned.find(({ migration }) => this.#running.has(migration.name));
    if (!again) return;
    throw new MigrationError(`Migration ${again.migration.name} runs already, and would run itself again`, {
      code: 'MIGRATION_FAILED',
      hint: 'Do not call runMigrations() in a migration: it is pending until it has ended.',
    });
  }

  /** @throws MigrationError `MIGRATION_UNKNOWN` */
  #loaded({ name }: ExecutedMigration): LoadedMigration {
    const found = loadedMigrations(this.#context.dataSource).find((migration) => migration.name === name);
    if (found) return found;
    throw new MigrationError(
      `Migration ${name} was executed last, and the source code does not have it. Nothing was changed.`,
      {
        code: 'MIGRATION_UNKNOWN',
        hint: 'Revert it with the version of the app that has it, or add its class to the option migrations.',
      },
    );
  }

  async #readStatus(runner: ManagedQueryRunner): Promise<MigrationStatus> {
    const { dataSource } = this.#context;
    const loaded = loadedMigrations(dataSource);
    const executed = await new MigrationsTable(dataSource, runner).executed();
    const executedNames = new Set(executed.map(({ name }) => name));
    const loadedNames = new Set(loaded.map(({ name }) => name));
    return {
      executed,
      pending: loaded.filter(({ name }) => !executedNames.has(name)),
      unknown: executed.filter(({ name }) => !loadedNames.has(name)),
    };
  }

  /** The lines of TypeORM (`logging: ['schema']`). */
  #logPlan(
    { executed }: MigrationStatus,
    direction: MigrationDirection,
    planned: readonly PlannedMigration[],
  ): void {
    const { logger } = this.#context.dataSource;
    if (planned.length === 0) {
      logger.logSchemaBuild(
        direction === 'up'
          ? 'No migrations are pending'
          : 'No migrations were found in the database. Nothing to revert!',
      );
      return;
    }
    logger.logSchemaBuild(`${executed.length} migrations are already loaded in the database.`);
    logger.logSchemaBuild(
      direction === 'up'
        ? `${planned.length} migrations are new migrations must be executed.`
        : `${planned[0]!.migration.name} is the last executed migration. Now reverting it...`,
    );
  }

  async #withRunner<T>(callerName: string, work: (runner: ManagedQueryRunner) => Promise<T>): Promise<T> {
    const runner = this.#context.createQueryRunner(callerName);
    try {
      // One session for all of it: settings and locks belong to it.
      await (runner.connect() as Promise<unknown>);
      return await work(runner);
    } finally {
      await runner.release();
    }
  }
}
