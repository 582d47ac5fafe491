import { existsSync, readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { readEnvironment, processEnvironment } from '../config/environment/environment.js';
import { resolveDatabaseOptions } from '../config/resolve.js';
import { fileProblem } from '../config/environment/text-file.js';
import { redact } from '../text/masking.js';
import { examine } from './doctor.js';
import { EXIT } from './exit-codes.js';
import type { ExitCode } from './exit-codes.js';
import { lineWriter } from './report.js';
import type { Check, Output } from './report.js';

const HELP = `Usage: nestjs-database doctor [url] [--json] [--env-file <file>]
       nestjs-database --version

Checks a database connection step by step, and says at the first failure what it means and what helps.

  url          postgres://user:password@host:5432/database; else DB_URL or DATABASE_URL.
               All other DB_… variables are read in either case. Better not on a shared machine: others see a
               command's arguments.
  --json       the checks as JSON
  --env-file   reads variables from a file first, as node --env-file; without it, from .env where there is one
  --version    the version of this package
  --help       this text

Exit codes: 0 all right (there may be warnings), 1 wrong use, 2 settings, 3 network, 4 TLS, 5 login, 6 server,
7 the file of variables is not there.
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
        version: { type: 'boolean', short: 'v', default: false },
        'env-file': { type: 'string' },
      },
    });
    const [command, url, ...more] = positionals;
    if (values.version) {
      out.write(`${ownVersion()}\n`);
      return EXIT.healthy;
    }
    if (values.help) {
      out.write(HELP);
      return EXIT.healthy;
    }
    if (command !== 'doctor' || more.length > 0) {
      // Without its words: one of them may be a URL.
      err.write(`${command === undefined ? 'A command is missing' : 'There is no such command'}.\n\n${HELP}`);
      return EXIT.usage;
    }
    const file = values['env-file'] ?? (existsSync(ENV_FILE) ? ENV_FILE : undefined);
    if (file !== undefined) {
      const problem = loadEnvFile(file);
      if (problem !== undefined) {
        err.write(`--env-file: the file ${file} ${problem}.\n`);
        return EXIT.file;
      }
    }
    return await doctor(url, values.json, out, file);
  } catch (error) {
    err.write(`${redact(error instanceof Error ? error.message : String(error))}\n`);
    return EXIT.usage;
  }
}

/** What `ConfigModule.forRoot()` reads, too. */
const ENV_FILE = '.env';

/** Adds what the file sets to the environment, which wins; returns what is wrong. */
function loadEnvFile(file: string): string | undefined {
  try {
    process.loadEnvFile(file);
    return undefined;
  } catch (error) {
    return fileProblem(error);
  }
}

/** The version in this package's package.json, which is the nearest one with its name, for sources and builds. */
function ownVersion(): string {
  for (let at = new URL('.', import.meta.url); ; at = new URL('..', at)) {
    const file = new URL('package.json', at);
    if (existsSync(file)) {
      const { name, version } = JSON.parse(readFileSync(file, 'utf8')) as { name?: string; version?: string };
      if (name === 'nestjs-database') return version ?? 'unknown';
    }
    if (at.pathname === '/' || at.href === new URL('..', at).href) return 'unknown';
  }
}

async function doctor(
  url: string | undefined,
  json: boolean,
  out: Output,
  file: string | undefined,
): Promise<ExitCode> {
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
  const exitCode = await examine({ read, file }, (check) => {
    checks.push(check);
    if (!json) line(check);
  });
  if (json)
    out.write(`${JSON.stringify({ healthy: exitCode === EXIT.healthy, exitCode, checks }, null, 2)}\n`);
  return exitCode;
}
