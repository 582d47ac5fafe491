import { join } from 'node:path';
import type { Command } from '../command.js';
import type { CommandContext } from '../command.js';
import { DATA_SOURCE_OPTIONS } from '../data-source/options.js';
import { hasDataSource, withDataSource } from '../data-source/with-data-source.js';
import { EXIT } from '../exit-codes.js';
import { extensionOf, FILE_OPTIONS, formatted, languageOf, migrationText } from './migration-file.js';
import { migrationName } from './migration-name.js';
import { migrationsFolder } from './migrations-folder.js';
import { writeJson } from './result.js';
import { JSON_OPTION } from './run-options.js';
import { createFile } from './write-file.js';

/** Writes an empty migration. */
export const CREATE: Command = {
  name: 'migration:create',
  operands: 'NAME',
  maxOperands: 1,
  summary: 'writes an empty migration',
  description: `Writes an empty migration: NAME is AddUsers or add-users, the file <timestamp>-add-users.ts. Does not connect, and
overwrites no file.`,
  options: {
    ...DATA_SOURCE_OPTIONS,
    ...FILE_OPTIONS,
    'dry-run': { help: 'prints the file and does not write it' },
    json: JSON_OPTION,
  },
  run: async (context) => {
    const { args, out } = context;
    const { className, fileName } = migrationName(args.positionals[0], Date.now());
    const extension = extensionOf(args);
    const file = join(await folderFor(context, extension), `${fileName}.${extension}`);
    const text = await formatted(migrationText(className, languageOf(file), { up: [], down: [] }), file);
    const isDryRun = args.has('dry-run');
    if (!isDryRun) await createFile(file, text);
    if (args.has('json')) writeJson(context, CREATE.name, { dryRun: isDryRun, name: className, file });
    else out.write(isDryRun ? text : `${file} written.\n`);
    return EXIT.healthy;
  },
};

/** The folder of `--dir`; otherwise that of the data source, if one is configured: a new project has none yet. */
async function folderFor(context: CommandContext, extension: string): Promise<string> {
  const folder = context.args.get('dir');
  if (folder !== undefined) return folder;
  if (!hasDataSource(context.args)) return migrationsFolder(undefined, extension);
  return withDataSource(
    context,
    ({ options }) => Promise.resolve(migrationsFolder(options.migrations, extension)),
    { connect: false },
  );
}
