import { join } from 'node:path';
import type { ManagedDataSource } from '../../data-source/managed-data-source.js';
import { MigrationError } from '../../errors/migration.errors.js';
import { migrationToolsOf } from '../../migration-tools.js';
import { destructiveReason } from '../../migrations/schema-diff/destructive.js';
import { shortSql } from '../../text/masking.js';
import type { Command, CommandContext } from '../command.js';
import { warnOfMissingFiles } from '../data-source/missing-files.js';
import { DATA_SOURCE_OPTIONS } from '../data-source/options.js';
import { withDataSource } from '../data-source/with-data-source.js';
import { EXIT } from '../exit-codes.js';
import { extensionOf, FILE_OPTIONS, formatted, languageOf, migrationText } from './migration-file.js';
import { migrationName } from './migration-name.js';
import { migrationsFolder } from './migrations-folder.js';
import { counted, writeJson } from './result.js';
import { JSON_OPTION } from './run-options.js';
import { createFile } from './write-file.js';

/** A statement that may lose data, or fail on a table that has rows. */
interface DestructiveStatement {
  readonly sql: string;
  readonly reason: string;
}

/** Writes a migration with what differs between the entities and the schema. */
export const GENERATE: Command = {
  name: 'migration:generate',
  operands: 'NAME',
  maxOperands: 1,
  summary: 'writes a migration with what differs between the entities and the schema',
  description: `Compares the entities with the schema of the database and writes a migration with the statements that make the schema
that of the entities: NAME is AddUsers or add-users, the file <timestamp>-add-users.ts. Pending migrations have to be
executed before. Destructive statements need an answer on the terminal, or --allow-destructive: drops, changes of a
type, NOT NULL without a default.`,
  options: {
    ...DATA_SOURCE_OPTIONS,
    ...FILE_OPTIONS,
    'allow-destructive': { help: 'writes destructive statements without a question' },
    'dry-run': { help: 'prints the file and does not write it' },
    json: JSON_OPTION,
  },
  run: async (context) => {
    const { args, out } = context;
    const extension = extensionOf(args);
    // Before the data source is loaded: a wrong name is reported at once.
    migrationName(args.positionals[0], 0);
    const { difference, folder, timestamp } = await withDataSource(context, (dataSource) => {
      warnOfMissingFiles(context, dataSource, 'entities');
      return compare(dataSource, extension);
    });
    const { up, down } = difference;
    const isDryRun = args.has('dry-run');
    if (up.length === 0) {
      if (args.has('json'))
        writeJson(context, GENERATE.name, {
          dryRun: isDryRun,
          name: null,
          file: null,
          up,
          down,
          destructive: [],
        });
      else out.write('The entities and the schema agree: there is nothing to generate.\n');
      return EXIT.healthy;
    }
    const destructive = up.flatMap(({ sql }) => {
      const reason = destructiveReason(sql);
      return reason === undefined ? [] : [{ sql, reason }];
    });
    if (!isDryRun) await requirePermission(context, destructive);
    const { className, fileName } = migrationName(args.positionals[0], timestamp);
    const file = join(args.get('dir') ?? folder, `${fileName}.${extension}`);
    const text = await formatted(migrationText(className, languageOf(file), difference), file);
    if (!isDryRun) await createFile(file, text);
    if (args.has('json'))
      writeJson(context, GENERATE.name, { dryRun: isDryRun, name: className, file, up, down, destructive });
    else out.write(isDryRun ? text : `${file} written, ${counted(up.length, 'statement')}.\n`);
    return EXIT.healthy;
  },
};

async function compare(dataSource: ManagedDataSource, extension: string) {
  const { pending, executed } = await dataSource.migrator.status();
  if (pending.length > 0)
    throw new MigrationError(
      `${counted(pending.length, 'migration')} pending: ${pending.map(({ name }) => name).join(', ')}. What they change would be generated again.`,
      { code: 'MIGRATION_PENDING', hint: 'Run nestjs-database migration:run first.' },
    );
  const last = Math.max(0, ...executed.map(({ timestamp }) => timestamp));
  return {
    difference: await migrationToolsOf(dataSource)!.compareSchema(),
    folder: migrationsFolder(dataSource.options.migrations, extension),
    // The new migration is the last one, whatever the clock says.
    timestamp: Math.max(Date.now(), last + 1),
  };
}

/**
 * Names destructive statements, and asks for permission on a terminal.
 *
 * @throws MigrationError `MIGRATION_DESTRUCTIVE` without `--allow-destructive` or a confirmation
 */
export async function requirePermission(
  { args, err, ask }: CommandContext,
  destructive: readonly DestructiveStatement[],
): Promise<void> {
  if (destructive.length === 0) return;
  for (const { sql, reason } of destructive) err.write(`! Destructive: ${reason}: ${shortSql(sql)}\n`);
  if (args.has('allow-destructive')) return;
  if (await ask?.(`Write ${counted(destructive.length, 'destructive statement')} into the migration?`))
    return;
  throw new MigrationError(
    `The migration would contain ${counted(destructive.length, 'destructive statement')}; no file is written.`,
    {
      code: 'MIGRATION_DESTRUCTIVE',
      hint: 'Read the statements above, and allow them with --allow-destructive.',
    },
  );
}
