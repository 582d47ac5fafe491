import type { ManagedDataSource } from '../../data-source/managed-data-source.js';
import type { CommandContext } from '../command.js';

/**
 * Warns of patterns that find nothing: in a folder that is not compiled, no migration is pending, and no entity differs from the schema.
 * The data source is initialized.
 */
export function warnOfMissingFiles(
  { err }: CommandContext,
  { options, entityMetadatas, migrations }: ManagedDataSource,
  ...kinds: readonly ('entities' | 'migrations')[]
): void {
  const found = { entities: entityMetadatas.length, migrations: migrations.length };
  for (const kind of kinds) {
    const given = Object.values(options[kind] ?? {}) as unknown[];
    const patterns = given.filter((entry) => typeof entry === 'string');
    if (patterns.length > 0 && found[kind] === 0)
      err.write(`! The patterns of ${kind} find none: ${patterns.join(', ')}\n`);
  }
}
