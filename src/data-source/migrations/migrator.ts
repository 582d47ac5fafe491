import type { LoadedMigration } from './loaded-migration.js';

/** How migrations are run in transactions: one each, one for all, or none. */
export type MigrationTransactionMode = 'all' | 'each' | 'none';

export type MigrationDirection = 'up' | 'down';

/** The session that holds the migration lock. */
export interface LockHolder {
  readonly pid: number;
  /** `application_name` of the session; empty if it has none. */
  readonly application: string;
  /** Undefined if the role may not read it: the session belongs to another role. */
  readonly since: Date | undefined;
}

/** What happens while migrations run. */
export type MigrationProgress =
  /** Another process holds the migration lock. Reported once for each holder. */
  | { readonly type: 'waiting'; readonly holder: LockHolder | undefined }
  | {
      readonly type: 'started';
      readonly direction: MigrationDirection;
      readonly migration: LoadedMigration;
    }
  /** The migration was rolled back, since it did not get a lock in time, and is tried again. */
  | {
      readonly type: 'retrying';
      readonly migration: LoadedMigration;
      /** The number of the attempt that has failed, from 1 on. */
      readonly attempt: number;
      readonly error: Error;
    }
  | {
      readonly type: 'finished';
      readonly direction: MigrationDirection;
      readonly migration: LoadedMigration;
      readonly ms: number;
    }
  | { readonly type: 'warning'; readonly message: string };

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

/** A migration in the table of executed migrations. */
export interface ExecutedMigration {
  readonly id: number;
  readonly name: string;
  readonly timestamp: number;
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

/** Runs, reverts and shows the migrations of a data source: `dataSource.migrator`. */
export class Migrator {
  /** Reads which migrations are executed. Changes nothing, and works through any pooler. */
  status(): Promise<MigrationStatus> {
    return Promise.reject(new Error('not implemented'));
  }

  /**
   * What `run()` or `revert()` would do. Changes nothing, and checks everything that they check before they change anything.
   *
   * @throws MigrationError `MIGRATION_POOLER`, `MIGRATION_NAME_INVALID`, `MIGRATION_CONCURRENTLY`, `MIGRATION_UNKNOWN`
   */
  plan(_options: MigrationPlanOptions = {}): Promise<PlannedMigration[]> {
    return Promise.reject(new Error('not implemented'));
  }

  /**
   * Runs the pending migrations, the oldest first, under the migration lock.
   *
   * @throws MigrationError `MIGRATION_POOLER`, `MIGRATION_NAME_INVALID`, `MIGRATION_CONCURRENTLY`, `MIGRATION_LOCK_TIMEOUT`,
   * `MIGRATION_FAILED`
   */
  run(_options: MigrationRunOptions = {}): Promise<MigrationResult[]> {
    return Promise.reject(new Error('not implemented'));
  }

  /**
   * Reverts the migration that was executed last, under the migration lock.
   *
   * @returns undefined if no migration is executed
   * @throws MigrationError `MIGRATION_UNKNOWN` if the source code does not have that migration; otherwise as `run()`
   */
  revert(_options: MigrationRunOptions = {}): Promise<MigrationResult | undefined> {
    return Promise.reject(new Error('not implemented'));
  }
}
