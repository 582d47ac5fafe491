import { diagnose } from '../diagnosis/diagnose.js';
import { CommandError } from '../errors/command.error.js';
import { DatabaseConfigError } from '../errors/config.errors.js';
import { DatabaseConnectionError } from '../errors/connection.errors.js';
import { DatabaseError } from '../errors/database.error.js';
import { MigrationError } from '../errors/migration.errors.js';
import { redact, shortSql } from '../text/masking.js';
import { textOf } from '../text/text-of.js';
import type { Output } from './doctor/report.js';
import { EXIT, EXIT_CODE_OF } from './exit-codes.js';
import type { ExitCode } from './exit-codes.js';

/** The command that failed, and where its failure is reported. */
export interface FailedCommand {
  /** Null if the command line names none. */
  readonly command: string | null;
  readonly isJson: boolean;
  readonly out: Output;
  readonly err: Output;
}

/** Prints why a command failed, without a secret, and returns its exit code. */
export function reportFailure(error: unknown, failed: FailedCommand): ExitCode {
  const exitCode = exitCodeOf(error);
  printFailure(describe(error), exitCode, failed);
  return exitCode;
}

interface FailureText {
  readonly code: string | null;
  readonly message: string;
  readonly hint: string | null;
}

/** Prints why a command failed: one document with `--json`, otherwise lines. */
export function printFailure(
  { code, message, hint }: FailureText,
  exitCode: number,
  { command, isJson, out, err }: FailedCommand,
): void {
  if (isJson) {
    const document = { command, ok: false, exitCode, error: { code, message, hint } };
    out.write(`${JSON.stringify(document, null, 2)}\n`);
  } else {
    const what = code === null ? message : `✖ ${code}: ${message}`;
    err.write(`${what}\n${hint === null ? '' : `  → ${hint}\n`}`);
  }
}

function describe(error: unknown): FailureText {
  const { message, stack, code, hint, query } = (error ?? {}) as Partial<
    Record<'message' | 'stack' | 'code' | 'hint' | 'query', unknown>
  >;
  const isOurs = error instanceof DatabaseError || error instanceof CommandError;
  const statement =
    typeof query === 'string' && typeof code === 'string' ? `: ${shortSql(query)}` : undefined;
  // An error of the app is shown with its stack, which leads to its cause; an error of the server, with its statement.
  const text = isOurs || statement !== undefined ? message : (stack ?? message ?? error);
  return {
    code: typeof code === 'string' ? code : null,
    message: redact(textOf(text)) + (statement ?? ''),
    hint: typeof hint === 'string' ? redact(hint) : null,
  };
}

/** The exit code of a failure, by its class. */
export function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof CommandError) return EXIT[error.mistake];
  if (error instanceof DatabaseConfigError) return EXIT.settings;
  if (error instanceof MigrationError) {
    if (error.code === 'MIGRATION_LOCK_TIMEOUT') return EXIT.locked;
    return error.code === 'MIGRATION_DESTRUCTIVE' ? EXIT.destructive : EXIT.migration;
  }
  const { category } = diagnose(error, { connecting: error instanceof DatabaseConnectionError });
  return category === 'unknown' ? EXIT.usage : EXIT_CODE_OF[category];
}
