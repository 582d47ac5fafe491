import type { MigrationResult, PlannedMigration } from '../../data-source/migrations/migrator.js';
import type { CommandContext } from '../command.js';
import { EXIT } from '../exit-codes.js';
import type { ExitCode } from '../exit-codes.js';

/** Prints the result of a command with `--json`: one document. Its keys are stable. */
export function writeJson(
  { out }: CommandContext,
  command: string,
  result: object,
  exitCode: ExitCode = EXIT.healthy,
): void {
  out.write(`${JSON.stringify({ command, ok: exitCode === EXIT.healthy, exitCode, ...result }, null, 2)}\n`);
}

/** `1 migration`, `2 migrations` */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** A migration that has run, for `--json`. */
export function resultOf({ migration, transaction, ms }: MigrationResult): object {
  return { name: migration.name, transaction, ms: Math.round(ms * 10) / 10 };
}

/** A migration that would run, for `--json`. */
export function plannedOf({ migration, transaction }: PlannedMigration): {
  name: string;
  transaction: boolean;
} {
  return { name: migration.name, transaction };
}
