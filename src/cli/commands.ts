import { parseArgs } from 'node:util';
import { readEnvironment, processEnvironment } from '../config/environment.js';
import { resolveDatabaseOptions } from '../config/resolve.js';
import { redact } from '../database.errors.js';
import { examine } from './doctor.js';
import { EXIT, type ExitCode } from './exit-codes.js';
import { type Check, lineWriter, type Output } from './report.js';

const HELP = `Usage: nestjs-database doctor [url] [--json] [--env-file <file>]

Checks a database connection step by step, and says at the first failure what it means and what helps.

  url          postgres://user:password@host:5432/database; else DB_URL or DATABASE_URL.
               All other DB_… variables are read in either case. Better not on a shared machine: others see a
               command's arguments.
  --json       the checks as JSON
  --env-file   reads variables from a file first, as node --env-file
  --help       this text

Exit codes: 0 all right (there may be warnings), 1 wrong use, 2 settings, 3 network, 4 TLS, 5 login, 6 server.
`;

/** Runs a command line, without the program's name. Resolves with the exit code. */
export async function run(args: readonly string[], out: Output, err: Output): Promise<ExitCode> {
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
        'env-file': { type: 'string' },
      },
    });
    const [command, url, ...more] = positionals;
    if (values.help) {
      out.write(HELP);
      return EXIT.healthy;
    }
    if (command !== 'doctor' || more.length > 0) {
      // Without its words: one of them may be a URL.
      err.write(`${command === undefined ? 'A command is missing' : 'There is no such command'}.\n\n${HELP}`);
      return EXIT.usage;
    }
    if (values['env-file'] !== undefined) process.loadEnvFile(values['env-file']);
    return await doctor(url, values.json, out);
  } catch (error) {
    err.write(`${redact(error instanceof Error ? error.message : String(error))}\n`);
    return EXIT.usage;
  }
}

async function doctor(url: string | undefined, json: boolean, out: Output): Promise<ExitCode> {
  const checks: Check[] = [];
  const line = lineWriter(out);
  const read = () => {
    // An argument takes the place of the URL, and so of what the parts of a server say.
    const env = {
      ...processEnvironment(),
      ...(url !== undefined && { DB_URL: url, DB_URL_FILE: undefined }),
    };
    return resolveDatabaseOptions(readEnvironment(env, { requireUrl: true }));
  };
  const exitCode = await examine(read, (check) => {
    checks.push(check);
    if (!json) line(check);
  });
  if (json)
    out.write(`${JSON.stringify({ healthy: exitCode === EXIT.healthy, exitCode, checks }, null, 2)}\n`);
  return exitCode;
}
