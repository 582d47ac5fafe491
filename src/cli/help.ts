import type { OptionSpecs } from './arguments.js';
import type { Command } from './command.js';

const EXIT_CODES = `Exit codes: 0 done (doctor: healthy), 1 usage, 2 settings, 3 network, 4 TLS, 5 login, 6 server, 7 a file that is
missing or cannot be loaded, 8 a migration failed or was refused, 9 the migration lock was not free in time,
10 migration:check found a difference, 11 a destructive migration was not allowed.
`;

const WIDTH = 25;

/** The help of the program: its commands. */
export function programHelp(commands: readonly Command[]): string {
  const usages = commands.map(
    ({ name, operands }) => `nestjs-database ${name}${operands && ` ${operands}`} [options]`,
  );
  const lines = commands.map(({ name, summary }) => row(name, summary));
  return `Usage: ${usages.join('\n       ')}
       nestjs-database help COMMAND
       nestjs-database --version

${lines.join('\n')}

${row('-h, --help', 'prints this text, or the help of a command')}
${row('-v, --version', 'prints the version of this package')}

${EXIT_CODES}`;
}

/** The help of one command: its options. */
export function commandHelp({ name, operands, description, options }: Command): string {
  return `Usage: nestjs-database ${name}${operands && ` ${operands}`} [options]

${description}

${optionRows(options)}

${EXIT_CODES}`;
}

function optionRows(options: OptionSpecs): string {
  return Object.entries(options)
    .map(([name, { value, short, help }]) =>
      row(`${short ? `-${short}, ` : ''}--${name}${value ? ` ${value}` : ''}`, help),
    )
    .join('\n');
}

/** A term and its text, whose further lines are indented. */
function row(term: string, text: string): string {
  const indented = text.replaceAll('\n', `\n${' '.repeat(WIDTH + 2)}`);
  const gap = term.length > WIDTH - 2 ? `\n${' '.repeat(WIDTH + 2)}` : ' '.repeat(WIDTH - term.length);
  return `  ${term}${gap}${indented}`;
}
