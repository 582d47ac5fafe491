import { setCommandLineHost } from '../../command-line-host.js';
import type { CommandLineHost } from '../../command-line-host.js';
import type { DatabaseLogger } from '../../data-source/logging/database.logger.js';
import type { ManagedDataSource } from '../../data-source/managed-data-source.js';
import { CommandError } from '../../errors/command.error.js';
import { redact } from '../../text/masking.js';
import { textOf } from '../../text/text-of.js';
import type { Arguments } from '../arguments.js';
import type { CommandContext } from '../command.js';
import type { Output } from '../doctor/report.js';
import { loadEnvironmentFile } from '../environment-file.js';
import { dataSourceOfConfig, findConfigFile } from './from-config.js';
import { dataSourceIn } from './from-exports.js';
import { dataSourceOfModule, moduleIn } from './from-module.js';
import { importFile, loaderHint, prepareLoaders } from './import-file.js';

const SOURCES = ['data-source', 'module', 'config'] as const;

interface Work {
  /** Whether the data source connects. @defaultValue true */
  readonly connect?: boolean;
}

/**
 * Runs `work` with the data source of a command, and destroys it afterwards. The data source never synchronizes the schema and never runs
 * migrations by its options: the command alone decides what changes.
 */
export async function withDataSource<T>(
  context: CommandContext,
  work: (dataSource: ManagedDataSource) => Promise<T>,
  { connect = true }: Work = {},
): Promise<T> {
  loadEnvironmentFile(context.args.get('env-file'));
  let dataSource: ManagedDataSource | undefined;
  try {
    dataSource = await findDataSource(context);
    dataSource.setOptions({ synchronize: false, migrationsRun: false, dropSchema: false });
    if (connect && !dataSource.isInitialized) await dataSource.initialize();
    return await work(dataSource);
  } catch (error) {
    // TypeORM loads the files of entities and migrations.
    const hint = loaderHint(error);
    throw hint === undefined ? error : new CommandError('file', redact(textOf(error)), hint);
  } finally {
    if (dataSource?.isInitialized) await dataSource.destroy().catch(() => undefined);
    setCommandLineHost(undefined);
  }
}

async function findDataSource({ args, err }: CommandContext): Promise<ManagedDataSource> {
  const source = sourceOf(args);
  const name = args.get('name');
  const loggers = { module: warnings(err), pool: warnings(err), query: SILENT };
  await prepareLoaders(args.all('import'), args.all('loader'));
  if (source.option === 'module') {
    const [file, exportName] = splitExport(source.file);
    const wanted = name ?? 'default';
    const captured = new Promise<ManagedDataSource>((resolve) =>
      setCommandLineHost({
        loggers,
        capture: (created) => {
          if (created.settings.name === wanted) resolve(created);
        },
      }),
    );
    return dataSourceOfModule(
      moduleIn(await importFile(file), file, exportName),
      { name: wanted, captured },
      err,
    );
  }
  setCommandLineHost({ loggers } satisfies CommandLineHost);
  const exports = await importFile(source.file);
  const read = source.option === 'config' ? dataSourceOfConfig : dataSourceIn;
  return read(exports, source.file, name);
}

/** Whether the arguments or the current folder name a data source. */
export function hasDataSource(args: Arguments): boolean {
  return SOURCES.some((option) => args.has(option)) || findConfigFile() !== undefined;
}

function sourceOf(args: Arguments): { option: (typeof SOURCES)[number]; file: string } {
  const given = SOURCES.filter((option) => args.has(option));
  if (given.length > 1)
    throw new CommandError('usage', `Give one of ${given.map((option) => `--${option}`).join(' and ')}.`);
  const [option = 'config'] = given;
  const file = args.get(option) ?? findConfigFile();
  if (file !== undefined) return { option, file };
  throw new CommandError(
    'file',
    'There is no nestjs-database.config.{ts,mts,js,mjs,cjs} in this folder.',
    'Create it, or name the data source: --data-source FILE, --module FILE or --config FILE.',
  );
}

/** `dist/app.module.js#AppModule` */
function splitExport(text: string): [file: string, exportName: string | undefined] {
  const at = text.lastIndexOf('#');
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}

const ignore = () => undefined;
const SILENT: DatabaseLogger = { log: ignore, warn: ignore, error: ignore, debug: ignore };

/** Warnings and errors, beside the results. */
function warnings(err: Output): DatabaseLogger {
  const write = (message: string) => err.write(`! ${redact(message)}\n`);
  return { log: ignore, debug: ignore, warn: write, error: write };
}
