import { existsSync } from 'node:fs';
import { fileProblem } from '../config/environment/text-file.js';
import { CommandError } from '../errors/command.error.js';
import type { OptionSpec } from './arguments.js';

/** The default of `ConfigModule.forRoot()`, too. */
const DEFAULT_ENV_FILE = '.env';

export const ENV_FILE_OPTION: OptionSpec = {
  value: 'FILE',
  help: 'reads variables from this file, as node --env-file does; default: .env, if it exists',
};

/**
 * Loads the variables of `--env-file`, or of `.env`; variables that are already set take precedence.
 *
 * @returns the file, if there is one
 * @throws CommandError if the file cannot be read
 */
export function loadEnvironmentFile(given: string | undefined): string | undefined {
  const file = given ?? (existsSync(DEFAULT_ENV_FILE) ? DEFAULT_ENV_FILE : undefined);
  if (file === undefined) return undefined;
  try {
    process.loadEnvFile(file);
    return file;
  } catch (error) {
    throw new CommandError('file', `--env-file: the file ${file} ${fileProblem(error)}.`);
  }
}
