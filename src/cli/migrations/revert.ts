import type { Command } from '../command.js';
import { changeMigrations, changeOptions } from './change.js';

const NOTHING = 'No migration is executed.';

/** Reverts the migration that was executed last. */
export const REVERT: Command = {
  name: 'migration:revert',
  operands: '',
  maxOperands: 0,
  summary: 'reverts the migration that was executed last',
  description: 'Reverts the migration that was executed last, in one process at a time.',
  options: changeOptions({
    fake: 'removes the record of the migration and does not revert it',
    dryRun: 'shows what would be reverted, after all checks, and changes nothing',
  }),
  run: (context) =>
    changeMigrations(context, {
      command: REVERT.name,
      plan: ({ migrator }, mode) => migrator.plan({ ...mode, direction: 'down' }),
      apply: async ({ migrator }, options) => {
        const result = await migrator.revert(options);
        return result ? [result] : [];
      },
      plannedText: ([last]) => `${last ? `↓ ${last.migration.name} would be reverted.` : NOTHING}\n`,
      summary: (count, isFake) =>
        count === 0 ? NOTHING : `1 migration ${isFake ? 'removed from the records' : 'reverted'}.`,
    }),
};
