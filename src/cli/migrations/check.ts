import { migrationToolsOf } from '../../migration-tools.js';
import { shortSql } from '../../text/masking.js';
import type { Command } from '../command.js';
import { warnOfMissingFiles } from '../data-source/missing-files.js';
import { DATA_SOURCE_OPTIONS } from '../data-source/options.js';
import { withDataSource } from '../data-source/with-data-source.js';
import { EXIT } from '../exit-codes.js';
import { counted, writeJson } from './result.js';
import { JSON_OPTION } from './run-options.js';

/** Checks that nothing is pending and that the entities agree with the schema. */
export const CHECK: Command = {
  name: 'migration:check',
  operands: '',
  maxOperands: 0,
  summary: 'checks that nothing is pending and that entities and schema agree',
  description: `Ends with exit code 0 if no migration is pending and the entities agree with the schema of the database, and otherwise
with exit code 10, the pending migrations and the statements that would make the schema that of the entities. Changes
nothing.`,
  options: { ...DATA_SOURCE_OPTIONS, json: JSON_OPTION },
  run: async (context) => {
    const { args, out } = context;
    const { status, statements } = await withDataSource(context, async (dataSource) => {
      warnOfMissingFiles(context, dataSource, 'entities', 'migrations');
      return {
        status: await dataSource.migrator.status(),
        statements: (await migrationToolsOf(dataSource)!.compareSchema()).up,
      };
    });
    const pending = status.pending.map(({ name }) => name);
    const unknown = status.unknown.map(({ name }) => name);
    const exitCode = pending.length + statements.length === 0 ? EXIT.healthy : EXIT.different;
    if (args.has('json')) {
      writeJson(context, CHECK.name, { pending, unknown, statements }, exitCode);
      return exitCode;
    }
    for (const name of unknown) out.write(`? unknown   ${name}\n`);
    for (const name of pending) out.write(`… pending   ${name}\n`);
    for (const { sql } of statements) out.write(`≠ ${shortSql(sql)}\n`);
    out.write(
      exitCode === EXIT.healthy
        ? 'No migration is pending, and the entities agree with the schema.\n'
        : `${counted(pending.length, 'migration')} pending; the schema differs from the entities by ${counted(statements.length, 'statement')}.\n`,
    );
    return exitCode;
  },
};
