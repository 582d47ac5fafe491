import type { LoadedMigration } from './loaded-migration.js';

/** How migrations are run in transactions: one each, one for all, or none. */
export type MigrationTransactionMode = 'all' | 'each' | 'none';

/** The session that holds the migration lock. */
export interface LockHolder {
  readonly pid: number;
  /** `application_name` of the session; empty if it has none. */
  readonly application: string;
  readonly since: Date;
}

/** What happens while migrations run. */
export type MigrationProgress =
  /** Another process holds the migration lock. Reported once for each holder. */
  | { readonly type: 'waiting'; readonly holder: LockHolder | undefined }
  | { readonly type: 'started'; readonly direction: 'up' | 'down'; readonly migration: LoadedMigration }
  /** The migration was rolled back, since it did not get a lock in time, and is tried again. */
  | {
      readonly type: 'retrying';
      readonly migration: LoadedMigration;
      readonly attempt: number;
      readonly error: Error;
    }
  | {
      readonly type: 'finished';
      readonly direction: 'up' | 'down';
      readonly migration: LoadedMigration;
      readonly ms: number;
    }
  | { readonly type: 'warning'; readonly message: string };

export interface MigrationRunOptions {
  /** @defaultValue `migrationsTransactionMode` of the data source, or else `each` */
  readonly transaction?: MigrationTransactionMode;
  /** Records the migrations as executed, and does not run them. @defaultValue false */
  readonly fake?: boolean;
  /** Milliseconds. @defaultValue no limit: a start waits for the instance that migrates */
  readonly lockTimeoutMs?: number;
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
