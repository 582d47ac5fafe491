import { DatabaseError } from './database.error.js';
import type { DatabaseErrorOptions } from './database.error.js';

/** One setting that is wrong or missing. */
export interface ConfigProblem {
  /** Variable (`DB_POOL_SIZE`) or path of the option (`pool.size`). */
  setting: string;
  /** What was found, without secrets, and what is allowed. */
  message: string;
}

/**
 * Settings are wrong or missing. `problems` lists all of them. The error is thrown before any connection is opened. Another
 * attempt fails in the same way.
 *
 * - `DATABASE_CONFIG_INVALID`: change the settings that `problems` names.
 * - `DATA_SOURCE_DUPLICATE`: two modules define data sources of the same name. Give one of them another `name`.
 *
 * @example
 * ```ts
 * try {
 *   await NestFactory.create(AppModule, { abortOnError: false });
 * } catch (error) {
 *   if (!(error instanceof DatabaseConfigError)) throw error;
 *   for (const { setting, message } of error.problems) console.error(`${setting}: ${message}`);
 *   process.exitCode = 2;
 * }
 * ```
 */
export class DatabaseConfigError extends DatabaseError {
  static override readonly family: string = 'DatabaseConfigError';
  /** All problems, in the order of the settings. Not enumerable: a log would print them in addition to the message. */
  declare readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[], options: Partial<DatabaseErrorOptions> = {}) {
    const lines = problems.map(({ setting, message }) => `  ${setting}: ${message}`);
    super(`The database settings are not valid:\n${lines.join('\n')}`, {
      code: 'DATABASE_CONFIG_INVALID',
      hint: 'Change the settings above. No connection was opened.',
      ...options,
    });
    Object.defineProperty(this, 'problems', { value: Object.freeze([...problems]) });
  }
}
