import type { Command } from '../command.js';
import { DATA_SOURCE_OPTIONS } from '../data-source/options.js';
import { withDataSource } from '../data-source/with-data-source.js';
import { EXIT } from '../exit-codes.js';
import { ProgressWriter } from './progress.js';
import { plannedOf, resultOf, writeJson } from './result.js';
import {
  JSON_OPTION,
  LOCK_TIMEOUT_OPTION,
  lockTimeoutMs,
  TRANSACTION_OPTION,
  transactionMode,
} from './run-options.js';

/** Reverts the migration that was executed last. */
export const REVERT: Command = {
  name: 'migration:revert',
  operands: '',
  maxOperands: 0,
  summary: 'reverts the migration that was executed last',
  description: 'Reverts the migration that was executed last, in one process at a time.',
  options: {
    ...DATA_SOURCE_OPTIONS,
    transaction: TRANSACTION_OPTION,
    fake: { help: 'removes the record of the migration and does not revert it' },
    'lock-timeout': LOCK_TIMEOUT_OPTION,
    'dry-run': { help: 'shows what would be reverted, after all checks, and changes nothing' },
    json: JSON_OPTION,
  },
  run: async (context) => {
    const { args, out } = context;
    const mode = transactionMode(args);
    const timeoutMs = lockTimeoutMs(args);
    const progress = new ProgressWriter(context);
    const isFake = args.has('fake');
    return withDataSource(context, async ({ migrator }) => {
      if (args.has('dry-run')) {
        const planned = (await migrator.plan({ ...mode, direction: 'down' })).map(plannedOf);
        if (args.has('json')) writeJson(context, REVERT.name, { dryRun: true, migrations: planned });
        else
          out.write(
            planned.length === 0
              ? 'No migration is executed.\n'
              : `↓ ${planned[0]!.name} would be reverted.\n`,
          );
        return EXIT.healthy;
      }
      const onProgress = progress.report;
      const result = await migrator
        .revert({ ...mode, fake: isFake, lockTimeoutMs: timeoutMs, onProgress })
        .finally(() => progress.end());
      const migrations = result ? [resultOf(result)] : [];
      if (args.has('json'))
        writeJson(context, REVERT.name, {
          dryRun: false,
          fake: isFake,
          migrations,
          warnings: progress.warnings,
        });
      else if (migrations.length === 0) out.write('No migration is executed.\n');
      else out.write(`1 migration ${isFake ? 'removed from the records' : 'reverted'}.\n`);
      return EXIT.healthy;
    });
  },
};
