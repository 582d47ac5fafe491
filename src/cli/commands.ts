import { nearMiss } from '../config/problems/near-miss.js';
import { CommandError } from '../errors/command.error.js';
import { readArguments } from './arguments.js';
import type { Command } from './command.js';
import { DOCTOR } from './doctor/command.js';
import type { Output } from './doctor/report.js';
import { EXIT } from './exit-codes.js';
import type { ExitCode } from './exit-codes.js';
import { reportFailure } from './failure.js';
import type { FailedCommand } from './failure.js';
import { commandHelp, programHelp } from './help.js';
import { CHECK } from './migrations/check.js';
import { CREATE } from './migrations/create.js';
import { GENERATE } from './migrations/generate.js';
import { REVERT } from './migrations/revert.js';
import { RUN } from './migrations/run.js';
import { SHOW } from './migrations/show.js';
import { SQL } from './migrations/sql.js';
import { packageVersion } from './package-version.js';
import { askerFor } from './question.js';

/** The commands of the program, in the order of its help. */
export const COMMANDS: readonly Command[] = [DOCTOR, RUN, REVERT, SHOW, GENERATE, CREATE, SQL, CHECK];

const COMMON_OPTIONS = {
  help: { short: 'h', help: 'prints this text' },
  version: { short: 'v', help: 'prints the version of this package' },
};

/** Runs the command line `args`, without the name of the program. Resolves with the exit code and never rejects. */
export async function run(args: readonly string[], out: Output, err: Output): Promise<ExitCode> {
  try {
    const [first, ...rest] = args;
    const command = COMMANDS.find(({ name }) => name === first);
    if (!command) return runWithoutCommand(args, out);
    const given = readArguments(rest, { ...command.options, ...COMMON_OPTIONS });
    if (given.has('version')) return print(out, `${packageVersion()}\n`);
    if (given.has('help')) return print(out, commandHelp(command));
    if (given.positionals.length > command.maxOperands)
      throw new CommandError(
        'usage',
        'There are too many arguments.',
        `See: nestjs-database ${command.name} --help`,
      );
    return await command.run({ args: given, out, err, ask: askerFor(out) });
  } catch (error) {
    return reportFailure(error, failedCommand(args, out, err));
  }
}

/** Finds the command and `--json` in arguments that may be wrong, so that the report of the mistake is JSON, too. */
export function failedCommand(args: readonly string[], out: Output, err: Output): FailedCommand {
  const command = args.find((arg) => COMMANDS.some(({ name }) => name === arg)) ?? null;
  return { command, isJson: args.includes('--json'), out, err };
}

/** `help`, `help COMMAND`, `--help` and `--version`. */
function runWithoutCommand(args: readonly string[], out: Output): ExitCode {
  const [first, subject] = args;
  if (first === 'help' && subject !== undefined) return print(out, commandHelp(commandNamed(subject)));
  if (first === 'help') return print(out, programHelp(COMMANDS));
  if (first !== undefined && !first.startsWith('-')) commandNamed(first);
  const given = readArguments(args, COMMON_OPTIONS);
  if (given.has('version')) return print(out, `${packageVersion()}\n`);
  if (given.has('help')) return print(out, programHelp(COMMANDS));
  throw new CommandError('usage', 'A command is missing.', 'See: nestjs-database help');
}

/** @throws CommandError with the command that is probably meant. Another argument is not repeated: it may be a URL with a password. */
function commandNamed(name: string): Command {
  const found = COMMANDS.find((command) => command.name === name);
  if (found) return found;
  const names = COMMANDS.map((command) => command.name);
  const meant = nearMiss(name, names) ?? names.find((known) => known === `migration:${name}`);
  throw new CommandError(
    'usage',
    `Unknown command${meant ? `; did you mean ${meant}?` : '.'}`,
    'See: nestjs-database help',
  );
}

function print(out: Output, text: string): ExitCode {
  out.write(text);
  return EXIT.healthy;
}
