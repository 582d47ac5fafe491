import { processEnvironment, readEnvironment } from '../../config/environment/environment.js';
import { resolveDatabaseOptions } from '../../config/resolve.js';
import type { Command } from '../command.js';
import { ENV_FILE_OPTION, loadEnvironmentFile } from '../environment-file.js';
import { EXIT } from '../exit-codes.js';
import { examine } from './doctor.js';
import { lineWriter } from './report.js';
import type { Check } from './report.js';

/** Runs the doctor and writes its checks, as lines or as JSON. */
export const DOCTOR: Command = {
  name: 'doctor',
  operands: '[url]',
  maxOperands: 1,
  summary: 'checks a database connection step by step',
  description: `Checks a database connection step by step. Stops at the first failure, and prints its meaning and what to do.

  url                      postgres://user:password@host:5432/database; default: DB_URL or DATABASE_URL. The other
                           DB_… variables always apply. On a shared machine, other users can see the arguments of a
                           command.`,
  options: {
    json: { help: 'prints the checks as JSON' },
    'env-file': ENV_FILE_OPTION,
  },
  run: async ({ args, out }) => {
    const [url] = args.positionals;
    const file = loadEnvironmentFile(args.get('env-file'));
    const read = () => {
      // The argument replaces every variable that holds a URL.
      const argument = url === undefined ? {} : { DB_URL: url, DB_URL_FILE: undefined };
      const env = { ...processEnvironment(), ...argument };
      return resolveDatabaseOptions(readEnvironment(env, { requireUrl: true }));
    };
    if (!args.has('json')) return examine({ read, file }, lineWriter(out));
    const checks: Check[] = [];
    const exitCode = await examine({ read, file }, (check) => checks.push(check));
    out.write(`${JSON.stringify({ healthy: exitCode === EXIT.healthy, exitCode, checks }, null, 2)}\n`);
    return exitCode;
  },
};
