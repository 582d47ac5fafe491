import { existsSync, readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { processEnvironment, readEnvironment } from '../config/environment/environment.js';
import { fileProblem } from '../config/environment/text-file.js';
import { resolveDatabaseOptions } from '../config/resolve.js';
import { redact } from '../text/masking.js';
import { examine } from './doctor/doctor.js';
import { lineWriter } from './doctor/report.js';
import type { Check, Output } from './doctor/report.js';
import { EXIT } from './exit-codes.js';
import type { ExitCode } from './exit-codes.js';

const HELP = `Usage: nestjs-database doctor [url] [--json] [--env-file <file>]
       nestjs-database --version

Checks a database connection step by step. Stops at the first failure, and prints its meaning and what to do.

  url              postgres://user:password@host:5432/database; default: DB_URL or DATABASE_URL. The other DB_…
                   variables always apply. On a shared machine, other users can see the arguments of a command.
  --json           prints the checks as JSON
  --env-file       reads variables from this file, as node --env-file does; default: .env, if it exists
  -v, --version    prints the version of this package
  -h, --help       prints this text

Exit codes: 0 healthy (possibly with warnings), 1 usage, 2 settings, 3 network, 4 TLS, 5 login, 6 server,
7 missing or unreadable --env-file.
`;

/** The default of `ConfigModule.forRoot()`, too. */
const DEFAULT_ENV_FILE = '.env';

/** Runs the command line `args`, without the name of the program. Resolves with the exit code and never rejects. */
export async function run(args: readonly string[], out: Output, err: Output): Promise<ExitCode> {
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
        version: { type: 'boolean', short: 'v', default: false },
        'env-file': { type: 'string' },
      },
    });
    const [command, url, ...more] = positionals;
    if (values.version) {
      out.write(`${packageVersion()}\n`);
      return EXIT.healthy;
    }
    if (values.help) {
      out.write(HELP);
      return EXIT.healthy;
    }
    if (command !== 'doctor' || more.length > 0) {
      // The arguments are not repeated: one of them may be a URL with a password.
      err.write(`${command === undefined ? 'A command is missing' : 'Unknown command'}.\n\n${HELP}`);
      return EXIT.usage;
    }
    const file = values['env-file'] ?? (existsSync(DEFAULT_ENV_FILE) ? DEFAULT_ENV_FILE : undefined);
    const problem = file === undefined ? undefined : loadEnvFile(file);
    if (problem !== undefined) {
      err.write(`--env-file: the file ${file} ${problem}.\n`);
      return EXIT.file;
    }
    return await doctor(url, file, values.json, out);
  } catch (error) {
    err.write(`${redact(error instanceof Error ? error.message : String(error))}\n`);
    return EXIT.usage;
  }
}

/** Runs the doctor and writes its checks, as lines or as JSON. */
async function doctor(
  url: string | undefined,
  file: string | undefined,
  json: boolean,
  out: Output,
): Promise<ExitCode> {
  const read = () => {
    // The argument replaces every variable that holds a URL.
    const argument = url === undefined ? {} : { DB_URL: url, DB_URL_FILE: undefined };
    const env = { ...processEnvironment(), ...argument };
    return resolveDatabaseOptions(readEnvironment(env, { requireUrl: true }));
  };
  if (!json) return examine({ read, file }, lineWriter(out));
  const checks: Check[] = [];
  const exitCode = await examine({ read, file }, (check) => checks.push(check));
  out.write(`${JSON.stringify({ healthy: exitCode === EXIT.healthy, exitCode, checks }, null, 2)}\n`);
  return exitCode;
}

/** Loads variables from a file; variables that are already set take precedence. Returns what is wrong with the file. */
function loadEnvFile(file: string): string | undefined {
  try {
    process.loadEnvFile(file);
    return undefined;
  } catch (error) {
    return fileProblem(error);
  }
}

/** The version in the nearest package.json of this package. Its folder differs between the sources and the builds. */
function packageVersion(): string {
  for (let at = new URL('.', import.meta.url); ; at = new URL('..', at)) {
    const file = new URL('package.json', at);
    if (existsSync(file)) {
      const { name, version } = JSON.parse(readFileSync(file, 'utf8')) as { name?: string; version?: string };
      if (name === 'nestjs-database') return version ?? 'unknown';
    }
    if (at.pathname === '/' || at.href === new URL('..', at).href) return 'unknown';
  }
}
