import { ForbiddenTransactionModeOverrideError, Migration } from 'typeorm';
import type { DataSource } from 'typeorm';
import type { LoadedMigration } from './loaded-migration.js';

/** How migrations are run in transactions: one each, one for all, or none. */
export type MigrationTransactionMode = 'all' | 'each' | 'none';

/**
 * The mode of a run. TypeORM's default is `all`, which refuses a migration with `transaction = false`.
 * @param given the mode that the caller names
 */
export function transactionMode(
  { options }: Pick<DataSource, 'options'>,
  given?: MigrationTransactionMode,
): MigrationTransactionMode {
  return given ?? options.migrationsTransactionMode ?? 'each';
}

/** Whether a migration runs in a transaction: as it says, or else by the mode. */
export function runsInTransaction(
  { instance }: Pick<LoadedMigration, 'instance'>,
  mode: MigrationTransactionMode,
): boolean {
  return instance.transaction ?? mode !== 'none';
}

/**
 * Refuses migrations that set `transaction` in the mode `all`, as TypeORM does.
 * @throws ForbiddenTransactionModeOverrideError
 */
export function refuseOverrides(
  migrations: readonly LoadedMigration[],
  mode: MigrationTransactionMode,
): void {
  if (mode !== 'all') return;
  const overriding = migrations.filter(({ instance }) => instance.transaction !== undefined);
  if (overriding.length > 0)
    throw new ForbiddenTransactionModeOverrideError(
      overriding.map((migration) => typeOrmMigration(migration)),
    );
}

/** TypeORM's description of a migration. */
export function typeOrmMigration(
  { timestamp, name, instance }: LoadedMigration,
  transaction?: boolean,
): Migration {
  return new Migration(undefined, timestamp, name, instance, transaction);
}
