import type { ManagedDataSource } from '../../data-source/managed-data-source.js';
import type {
  MigrationResult,
  MigrationRunOptions,
  PlannedMigration,
} from '../../data-source/migrations/migrator.js';
import type { OptionSpecs } from '../arguments.js';
import type { CommandContext } from '../command.js';
import { DATA_SOURCE_OPTIONS } from '../data-source/options.js';
import { withDataSource } from '../data-source/with-data-source.js';
import { EXIT } from '../exit-codes.js';
import type { ExitCode } from '../exit-codes.js';
import { ProgressWriter } from './progress.js';
import { plannedOf, resultOf, writeJson } from './result.js';
import {
  JSON_OPTION,
  LOCK_TIMEOUT_OPTION,
  lockTimeoutMs,
  TRANSACTION_OPTION,
  transactionMode,
} from './run-options.js';

/** The options of a command that runs or reverts migrations. */
export function changeOptions(help: { readonly fake: string; readonly dryRun: string }): OptionSpecs {
  return {
    ...DATA_SOURCE_OPTIONS,
    transaction: TRANSACTION_OPTION,
    fake: { help: help.fake },
    'lock-timeout': LOCK_TIMEOUT_OPTION,
    'dry-run': { help: help.dryRun },
    json: JSON_OPTION,
  };
}

/** What distinguishes the commands that run and that revert migrations. */
interface Change {
  readonly command: string;
  /** Called before the migrations are planned or changed. */
  readonly prepare?: (dataSource: ManagedDataSource) => void;
  readonly plan: (
    dataSource: ManagedDataSource,
    mode: Pick<MigrationRunOptions, 'transaction'>,
  ) => Promise<PlannedMigration[]>;
  readonly apply: (dataSource: ManagedDataSource, options: MigrationRunOptions) => Promise<MigrationResult[]>;
  /** The lines for `--dry-run`. */
  readonly plannedText: (planned: readonly PlannedMigration[]) => string;
  /** The last line. */
  readonly summary: (count: number, isFake: boolean) => string;
}

/** Runs or reverts migrations, or with `--dry-run` shows what would be done. */
export function changeMigrations(context: CommandContext, change: Change): Promise<ExitCode> {
  const { args, out } = context;
  const mode = transactionMode(args);
  const timeoutMs = lockTimeoutMs(args);
  const progress = new ProgressWriter(context);
  const fake = args.has('fake');
  return withDataSource(context, async (dataSource) => {
    change.prepare?.(dataSource);
    if (args.has('dry-run')) {
      const planned = await change.plan(dataSource, mode);
      if (args.has('json'))
        writeJson(context, change.command, { dryRun: true, migrations: planned.map(plannedOf) });
      else out.write(change.plannedText(planned));
      return EXIT.healthy;
    }
    const results = await change
      .apply(dataSource, { ...mode, fake, lockTimeoutMs: timeoutMs, onProgress: progress.report })
      .finally(() => progress.end());
    if (args.has('json'))
      writeJson(context, change.command, {
        dryRun: false,
        fake,
        migrations: results.map(resultOf),
        warnings: progress.warnings,
      });
    else out.write(`${change.summary(results.length, fake)}\n`);
    return EXIT.healthy;
  });
}
