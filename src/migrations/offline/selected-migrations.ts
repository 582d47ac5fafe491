import { nearMiss } from '../../config/problems/near-miss.js';
import type { LoadedMigration } from '../../data-source/migrations/loaded-migration.js';
import { MigrationError } from '../../errors/migration.errors.js';

/** The migrations of a file. */
export interface SelectedMigrations {
  /** Those that the database has before, the oldest first. */
  readonly before: readonly LoadedMigration[];
  /** Those that the file runs or reverts, in this order. */
  readonly selected: readonly LoadedMigration[];
}

/** The names that select migrations; see `MigrationSqlOptions`. */
interface Range {
  readonly from?: string;
  readonly to?: string;
  readonly down?: boolean;
}

/**
 * @param migrations the oldest first
 * @throws MigrationError `MIGRATION_UNKNOWN` for a name that no migration has, and for a range in the other direction
 */
export function selectMigrations(migrations: readonly LoadedMigration[], range: Range): SelectedMigrations {
  const { down = false } = range;
  const count = migrations.length;
  const after = (name: string) => indexOf(migrations, name) + 1;
  // The number of migrations that the database has before and after.
  const from = range.from === undefined ? (down ? count : 0) : after(range.from);
  const to = range.to === undefined ? (down ? Math.max(0, from - 1) : count) : after(range.to);
  if (down ? to > from : to < from)
    throw new MigrationError(
      `"${range.to ?? migrations[to - 1]?.name}" is ${down ? 'newer' : 'older'} than "${range.from ?? migrations[from - 1]?.name}".`,
      {
        code: 'MIGRATION_UNKNOWN',
        hint: down
          ? 'With --down, --from names the newest migration of the database, and --to the newest one that remains.'
          : 'Add --down to revert migrations.',
      },
    );
  const selected = down ? migrations.slice(to, from).reverse() : migrations.slice(from, to);
  return { before: migrations.slice(0, from), selected };
}

function indexOf(migrations: readonly LoadedMigration[], wanted: string): number {
  const named = (is: (migration: LoadedMigration) => boolean) =>
    migrations.flatMap((migration, index) => (is(migration) ? [index] : []));
  const exact = named(({ name }) => name === wanted);
  const found = exact.length > 0 ? exact : named((migration) => shortNames(migration).includes(wanted));
  if (found.length === 1) return found[0]!;
  const meant = nearMiss(
    wanted,
    migrations.flatMap((migration) => [migration.name, ...shortNames(migration)]),
  );
  const choices = found.map((index) => migrations[index]!.name).join(', ');
  throw new MigrationError(
    found.length > 1
      ? `"${wanted}" may be one of several migrations: ${choices}.`
      : `No migration is named "${wanted}".${meant === undefined ? '' : ` Is "${meant}" meant?`}`,
    {
      code: 'MIGRATION_UNKNOWN',
      hint: 'Give the full name, the timestamp at its end, or the name without the timestamp. nestjs-database migration:show lists the names.',
    },
  );
}

function shortNames({ name, timestamp }: LoadedMigration): string[] {
  return [String(timestamp), name.replace(/\d{13}$/, '')];
}
