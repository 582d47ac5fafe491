import type { Command } from '../command.js';
import { warnOfMissingFiles } from '../data-source/missing-files.js';
import { DATA_SOURCE_OPTIONS } from '../data-source/options.js';
import { withDataSource } from '../data-source/with-data-source.js';
import { EXIT } from '../exit-codes.js';
import { ProgressWriter } from './progress.js';
import { counted, plannedOf, resultOf, writeJson } from './result.js';
import {
  JSON_OPTION,
  LOCK_TIMEOUT_OPTION,
  lockTimeoutMs,
  TRANSACTION_OPTION,
  transactionMode,
} from './run-options.js';

/** Runs the pending migrations. */
export const RUN: Command = {
  name: 'migration:run',
  operands: '',
  maxOperands: 0,
  summary: 'runs the pending migrations',
  description: `Runs the pending migrations, the oldest first, in one process at a time. A process that waits for another one
finds nothing to do after it.`,
  options: {
    ...DATA_SOURCE_OPTIONS,
    transaction: TRANSACTION_OPTION,
    fake: { help: 'records the migrations as executed and does not run them' },
    'lock-timeout': LOCK_TIMEOUT_OPTION,
    'dry-run': { help: 'shows what would run, after all checks, and changes nothing' },
    json: JSON_OPTION,
  },
  run: async (context) => {
    const { args, out } = context;
    const mode = transactionMode(args);
    const timeoutMs = lockTimeoutMs(args);
    const progress = new ProgressWriter(context);
    const isFake = args.has('fake');
    return withDataSource(context, async (dataSource) => {
      warnOfMissingFiles(context, dataSource, 'migrations');
      const { migrator } = dataSource;
      if (args.has('dry-run')) {
        const planned = (await migrator.plan(mode)).map(plannedOf);
        if (args.has('json')) writeJson(context, RUN.name, { dryRun: true, migrations: planned });
        else {
          for (const { name, transaction } of planned)
            out.write(`↑ ${name}${transaction ? '' : '  without a transaction'}\n`);
          out.write(`${counted(planned.length, 'migration')} would run.\n`);
        }
        return EXIT.healthy;
      }
      const onProgress = progress.report;
      const results = await migrator
        .run({ ...mode, fake: isFake, lockTimeoutMs: timeoutMs, onProgress })
        .finally(() => progress.end());
      const migrations = results.map(resultOf);
      if (args.has('json'))
        writeJson(context, RUN.name, {
          dryRun: false,
          fake: isFake,
          migrations,
          warnings: progress.warnings,
        });
      else if (migrations.length === 0) out.write('No migration is pending.\n');
      else out.write(`${counted(migrations.length, 'migration')} ${isFake ? 'recorded' : 'executed'}.\n`);
      return EXIT.healthy;
    });
  },
};
