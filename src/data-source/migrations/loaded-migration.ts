import type { DataSource, MigrationInterface } from 'typeorm';
import { MigrationError } from '../../errors/migration.errors.js';
import { sourceLocationOf, sourceLocationsOf } from './source-location.js';

/** A migration of the data source's option `migrations`. */
export interface LoadedMigration {
  /** `name` of the migration, or else the name of its class. It identifies the migration in the table of executed migrations. */
  readonly name: string;
  /** The 13 digits at the end of {@link name}: milliseconds since 1970. They give the order. */
  readonly timestamp: number;
  readonly instance: MigrationInterface;
}

/**
 * The migrations of a data source, the oldest first, as TypeORM orders them. The metadata of the data source must have been built.
 *
 * @throws MigrationError `MIGRATION_NAME_INVALID` with all names that do not end in 13 digits or occur twice
 */
export function loadedMigrations({ migrations }: DataSource): LoadedMigration[] {
  const loaded = migrations.map((instance) => {
    const name = migrationName(instance);
    return { name, timestamp: Number(/\d{13}$/.exec(name)?.[0]), instance };
  });
  const unnumbered = loaded.filter(({ timestamp }) => Number.isNaN(timestamp)).map(({ name }) => name);
  const names = new Set<string>();
  const duplicates = loaded.filter(({ name }) => names.size === names.add(name).size);
  const problems = [
    ...unnumbered.map((name) => `"${name}" does not end in a timestamp of 13 digits`),
    ...new Set(duplicates.map(({ name }) => `"${name}" occurs more than once`)),
  ];
  if (problems.length > 0)
    throw new MigrationError(`The names of the migrations are not usable: ${problems.join('; ')}.`, {
      code: 'MIGRATION_NAME_INVALID',
      hint: 'Name each class as TypeORM does, for example AddUsers1716200000000. nestjs-database migration:create generates such names.',
    });
  return loaded.sort((one, other) => one.timestamp - other.timestamp);
}

/** The name by which TypeORM identifies a migration. */
export function migrationName(instance: MigrationInterface): string {
  return instance.name ?? instance.constructor.name;
}

/** The absolute path of a migration's file, for messages; undefined where it is not known. */
export function fileOf({ instance }: LoadedMigration): string | undefined {
  return sourceLocationOf(instance.constructor)?.file;
}

/** As `fileOf()` for several migrations, in the time of one. */
export function filesOf(migrations: readonly LoadedMigration[]): (string | undefined)[] {
  return sourceLocationsOf(migrations.map(({ instance }) => instance.constructor)).map(
    (found) => found?.file,
  );
}
