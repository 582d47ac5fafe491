import type { ManagedDataSource } from '../../data-source/managed-data-source.js';
import { CommandError } from '../../errors/command.error.js';
import { migrationToolsOf } from '../../migration-tools.js';
import type { FileExports } from './import-file.js';

/** A data source of this package, of this build or the other one, or of another installed copy. */
export function isManaged(value: unknown): value is ManagedDataSource {
  return typeof value === 'object' && value !== null && migrationToolsOf(value) !== undefined;
}

/** A data source of TypeORM, from any copy of it. */
function isDataSource(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'driver' in value && 'runMigrations' in value;
}

/**
 * The data source of a file: one of its exports, or what an exported promise or function gives.
 *
 * @param name of the data source, if the file exports several
 * @throws CommandError if there is none, or several
 */
export async function dataSourceIn(
  exports: FileExports,
  file: string,
  name: string | undefined,
): Promise<ManagedDataSource> {
  const found = new Set<unknown>();
  const keys = Object.keys(exports);
  for (const key of keys) {
    const value = await exports[key];
    // A function that is one of several exports may do anything; the default export, or the only one, is meant.
    const isCalled = typeof value === 'function' && (key === 'default' || keys.length === 1);
    found.add(isCalled ? await (value as () => unknown)() : value);
  }
  const sources = [...found].filter((value) => isDataSource(value) || isManaged(value));
  const managed = sources.filter(isManaged);
  if (managed.length < sources.length) throw foreign(file);
  if (managed.length === 0)
    throw new CommandError(
      'file',
      `The file ${file} exports no data source.`,
      'Export one of createDataSource().',
    );
  return chosen(managed, file, name);
}

export function foreign(file: string): CommandError {
  return new CommandError(
    'file',
    `The file ${file} exports a data source of TypeORM itself, which has no migration lock and none of the settings of this package.`,
    "Create it with createDataSource() of 'nestjs-database' instead of new DataSource().",
  );
}

function chosen(
  sources: readonly ManagedDataSource[],
  file: string,
  name: string | undefined,
): ManagedDataSource {
  const names = sources.map(({ settings }) => `"${settings.name}"`).join(', ');
  const named = name === undefined ? sources : sources.filter(({ settings }) => settings.name === name);
  if (named.length === 1) return named[0]!;
  throw named.length === 0
    ? new CommandError('usage', `The file ${file} has no data source "${name}"; it has ${names}.`)
    : new CommandError(
        'usage',
        `The file ${file} exports several data sources: ${names}.`,
        'Choose one: --name NAME.',
      );
}
