import type { Command } from '../command.js';
import { warnOfMissingFiles } from '../data-source/missing-files.js';
import { changeMigrations, changeOptions } from './change.js';
import { counted } from './result.js';

/** Runs the pending migrations. */
export const RUN: Command = {
  name: 'migration:run',
  operands: '',
  maxOperands: 0,
  summary: 'runs the pending migrations',
  description: `Runs the pending migrations, the oldest first, in one process at a time. A process that waits for another one
finds nothing to do after it.`,
  options: changeOptions({
    fake: 'records the migrations as executed and does not run them',
    dryRun: 'shows what would run, after all checks, and changes nothing',
  }),
  run: (context) =>
    changeMigrations(context, {
      command: RUN.name,
      prepare: (dataSource) => warnOfMissingFiles(context, dataSource, 'migrations'),
      plan: ({ migrator }, mode) => migrator.plan(mode),
      apply: ({ migrator }, options) => migrator.run(options),
      plannedText: (planned) =>
        planned
          .map(
            ({ migration, transaction }) =>
              `↑ ${migration.name}${transaction ? '' : '  without a transaction'}\n`,
          )
          .join('') + `${counted(planned.length, 'migration')} would run.\n`,
      summary: (count, isFake) =>
        count === 0
          ? 'No migration is pending.'
          : `${counted(count, 'migration')} ${isFake ? 'recorded' : 'executed'}.`,
    }),
};
