import { filesOf } from '../../data-source/migrations/loaded-migration.js';
import type { Command } from '../command.js';
import { warnOfMissingFiles } from '../data-source/missing-files.js';
import { DATA_SOURCE_OPTIONS } from '../data-source/options.js';
import { withDataSource } from '../data-source/with-data-source.js';
import { EXIT } from '../exit-codes.js';
import { writeJson } from './result.js';
import { JSON_OPTION } from './run-options.js';

/** Shows executed, pending and unknown migrations. */
export const SHOW: Command = {
  name: 'migration:show',
  operands: '',
  maxOperands: 0,
  summary: 'shows executed, pending and unknown migrations',
  description: `Shows the migrations that are executed, those that are pending, and those that the database has executed and the
source code does not have. Changes nothing; the exit code is 0 in each case.`,
  options: { ...DATA_SOURCE_OPTIONS, json: JSON_OPTION },
  run: async (context) => {
    const { args, out } = context;
    return withDataSource(context, async (dataSource) => {
      warnOfMissingFiles(context, dataSource, 'migrations');
      const { executed, pending, unknown } = await dataSource.migrator.status();
      if (args.has('json')) {
        const files = filesOf(pending);
        const waiting = pending.map(({ name, timestamp }, index) => ({
          name,
          timestamp,
          file: files[index] ?? null,
        }));
        writeJson(context, SHOW.name, { executed, pending: waiting, unknown });
        return EXIT.healthy;
      }
      const unknownIds = new Set(unknown.map(({ id }) => id));
      for (const { id, name } of executed)
        out.write(unknownIds.has(id) ? `? unknown   ${name}\n` : `✔ executed  ${name}\n`);
      for (const { name } of pending) out.write(`… pending   ${name}\n`);
      out.write(
        `${executed.length - unknown.length} executed, ${pending.length} pending, ${unknown.length} unknown to the source code.\n`,
      );
      return EXIT.healthy;
    });
  },
};
