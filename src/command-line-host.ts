import type { DatabaseLoggers } from './data-source/logging/database.logger.js';
import type { ManagedDataSource } from './data-source/managed-data-source.js';

/** The command line, as the data sources of its process see it. */
export interface CommandLineHost {
  /** Where data sources log, instead of Nest's logger. */
  readonly loggers: DatabaseLoggers;
  /** Takes the data sources of the module of `--module` before they start. Undefined where they come from a file of their own. */
  readonly capture?: (dataSource: ManagedDataSource) => void;
}

/** `Symbol.for`, because the app may have loaded the other build of this package: the command line is ESM, the app may be CommonJS. */
const HOST = Symbol.for('nestjs-database.command-line-host');

const globals = globalThis as { [HOST]?: CommandLineHost | undefined };

/** The command line that runs in this process; undefined in an app. */
export function commandLineHost(): CommandLineHost | undefined {
  return globals[HOST];
}

/** Sets, or with undefined removes, the command line of this process. */
export function setCommandLineHost(host: CommandLineHost | undefined): void {
  globals[HOST] = host;
}
