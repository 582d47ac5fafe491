import type { Arguments, OptionSpecs } from './arguments.js';
import type { Output } from './doctor/report.js';
import type { ExitCode } from './exit-codes.js';

/** What a command works with. */
export interface CommandContext {
  readonly args: Arguments;
  /** Results. */
  readonly out: Output;
  /** Warnings and failures. */
  readonly err: Output;
  /** Asks a question on the terminal; undefined without a terminal. */
  readonly ask: ((question: string) => Promise<boolean>) | undefined;
}

/** A command of the command line. */
export interface Command {
  readonly name: string;
  /** What follows the name: `NAME`. */
  readonly operands: string;
  /** The greatest number of operands. */
  readonly maxOperands: number;
  /** One line for the list of commands. */
  readonly summary: string;
  /** Paragraphs for the help of the command. */
  readonly description: string;
  readonly options: OptionSpecs;
  /** Resolves with the exit code. A rejection is reported by the caller. */
  readonly run: (context: CommandContext) => Promise<ExitCode>;
}
