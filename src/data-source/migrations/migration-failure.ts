import { QueryFailedError } from 'typeorm';
import { MigrationError } from '../../errors/migration.errors.js';
import { oneLine, redact, shortSql } from '../../text/masking.js';
import { textOf } from '../../text/text-of.js';
import { CONCURRENTLY_HINT, describeMigration } from './concurrently.js';
import { describeSession } from '../startup/lock-poll.js';
import type { LoadedMigration } from './loaded-migration.js';
import { LOCK_TIMEOUT_MS } from './migration-session.js';
import type { LongTransaction } from './migration-session.js';
import type { StatementLog } from './statement-log.js';

const LOCK_NOT_AVAILABLE = '55P03';
const DEADLOCK_DETECTED = '40P01';
const ACTIVE_SQL_TRANSACTION = '25001';
/** Class of SQLSTATEs whose messages quote the value: `invalid input syntax for type integer: "12a"`. */
const DATA_EXCEPTION = '22';

/** How a migration has failed although no statement of it threw. */
export class TransactionMisuse extends Error {
  constructor(
    message: string,
    readonly advice: string,
    cause?: unknown,
  ) {
    super(message, { cause });
  }
}

/** What is known of a migration that has failed. */
export interface MigrationFailure {
  readonly error: unknown;
  readonly direction: 'up' | 'down';
  readonly migration: LoadedMigration;
  /** Its statements. */
  readonly log: StatementLog | undefined;
  /** Whether the COMMIT failed: the one of the migration, or with the mode `all` the one of all migrations. */
  readonly isCommit: boolean;
  /** Whether the connection was lost during the COMMIT, or during a statement outside a transaction. */
  readonly isOutcomeUnknown: boolean;
  readonly isInTransaction: boolean;
  /** Migrations before it in the same transaction. */
  readonly rolledBack: readonly LoadedMigration[];
  /** Migrations that this run has executed before, in transactions of their own or without. */
  readonly executed: readonly LoadedMigration[];
  readonly attempts: number;
  readonly longTransactions: readonly LongTransaction[];
  /** Statements that remove INVALID indexes. */
  readonly drops: readonly string[];
}

/** The SQLSTATE of a statement's error. */
function sqlStateOf(error: unknown): string | undefined {
  const { code } = (error ?? {}) as { code?: unknown };
  return typeof code === 'string' ? code : undefined;
}

/** Whether the migration would succeed once another transaction has ended. Its own transaction was rolled back. */
export function isLockFailure(error: unknown): boolean {
  const cause = error instanceof TransactionMisuse ? error.cause : error;
  const code = sqlStateOf(cause);
  return code === LOCK_NOT_AVAILABLE || code === DEADLOCK_DETECTED;
}

/** Describes the failure in one paragraph: which statement, what was rolled back, what was not, and what to do. */
export function migrationError(failure: MigrationFailure): MigrationError {
  const { error, direction, migration } = failure;
  const what = [
    `${direction === 'up' ? 'Migration' : 'The revert of migration'} ${describeMigration(migration)} failed${whereText(failure)}: ${reasonText(error)}.`,
    ...attemptsText(failure),
    ...outcomeText(failure),
  ];
  return new MigrationError(what.join(' '), {
    code: 'MIGRATION_FAILED',
    hint: hintOf(failure),
    cause: error,
  });
}

function whereText({ error, log, isCommit }: MigrationFailure): string {
  if (isCommit) return ' at its COMMIT';
  const failed = log?.lastFailed;
  const cause = error instanceof TransactionMisuse ? error.cause : error;
  if (failed && failed.error === cause)
    return ` at its ${ordinal(failed.position)} statement, ${shortSql(failed.text, 120)}`;
  if (!log) return '';
  return log.sent === 0 ? ' before its first statement' : ` after its ${ordinal(log.sent)} statement`;
}

function reasonText(error: unknown): string {
  if (error instanceof TransactionMisuse && error.cause !== undefined)
    return `${reasonText(error.cause)}. ${error.message}`;
  const code = sqlStateOf(error);
  const message = error instanceof Error ? error.message : textOf(error);
  if (!(error instanceof QueryFailedError)) {
    const name =
      error instanceof Error && error.name !== 'Error' && !(error instanceof TransactionMisuse)
        ? `${error.name}: `
        : '';
    return `${name}${oneLine(redact(message)).replace(/\.$/, '')}`;
  }
  // The value may be that of a parameter.
  const text = code?.startsWith(DATA_EXCEPTION) ? message.replace(/: ".*"$/s, '') : message;
  return `${oneLine(redact(text))}${code ? ` (${code})` : ''}`;
}

function attemptsText({ attempts, longTransactions, error }: MigrationFailure): string[] {
  if (!isLockFailure(error)) return [];
  const tries = attempts > 1 ? [`It was tried ${attempts} times.`] : [];
  if (longTransactions.length === 0) return tries;
  const sessions = longTransactions.map(describeSession);
  return [
    ...tries,
    `Transactions that have been open for more than ${LOCK_TIMEOUT_MS / 1_000} s: ${sessions.join('; ')}.`,
  ];
}

/** What was rolled back, and what was not. */
function outcomeText(failure: MigrationFailure): string[] {
  const { direction, isInTransaction, isOutcomeUnknown, log, rolledBack, executed, drops } = failure;
  const texts: string[] = [];
  const inEffect = log?.inEffect ?? 0;
  const others = rolledBack.length > 0 ? ` with the ${count(rolledBack.length, 'migration')} before it` : '';
  if (isOutcomeUnknown && !isInTransaction)
    texts.push('The connection was lost: it is unknown whether its last statement is in effect.');
  if (isOutcomeUnknown && isInTransaction)
    texts.push(
      `The connection was lost before the server confirmed the COMMIT: it is unknown whether the migration${others} was ${direction === 'up' ? 'executed' : 'reverted'}.`,
    );
  else if (inEffect > 0)
    texts.push(
      `${inEffect === 1 ? 'One statement of it is' : `${inEffect} statements of it are`} in effect and ${inEffect === 1 ? 'was' : 'were'} not rolled back, ` +
        `since ${isInTransaction ? 'the migration has committed by itself' : 'the migration does not run in a transaction'}.`,
    );
  else if (isInTransaction) texts.push(`It was rolled back${others}.`);
  else if (!isOutcomeUnknown) texts.push('None of its statements is in effect.');
  if (executed.length > 0)
    texts.push(
      `The ${executed.length === 1 ? 'migration' : `${executed.length} migrations`} that ran before (${executed.map(({ name }) => name).join(', ')}) ${executed.length === 1 ? 'was' : 'were'} not rolled back.`,
    );
  if (drops.length > 0)
    texts.push(
      `Indexes that are INVALID, as a failed CREATE INDEX CONCURRENTLY leaves them; remove them with ${drops.join(' ')}`,
    );
  return texts;
}

function hintOf(failure: MigrationFailure): string {
  const { error, isOutcomeUnknown, isInTransaction, log, direction, drops } = failure;
  const again = direction === 'up' ? 'run the migrations again' : 'revert it again';
  if (isOutcomeUnknown && isInTransaction)
    return `Look at the executed migrations (nestjs-database migration:show), and ${again} if it is not as intended.`;
  if (sqlStateOf(error) === ACTIVE_SQL_TRANSACTION) return CONCURRENTLY_HINT;
  if (isLockFailure(error))
    return `End what holds the lock (SELECT pg_terminate_backend(pid)), or wait for it, and ${again}.`;
  if (error instanceof TransactionMisuse) return `${error.advice} Then ${again}.`;
  if ((log?.inEffect ?? 0) > 0 || drops.length > 0 || isOutcomeUnknown)
    return `Undo by hand what is in effect, or let the migration skip it (IF NOT EXISTS); correct the cause, and ${again}.`;
  return `Correct the migration, or the data that it met, and ${again}.`;
}

function count(number: number, noun: string): string {
  return number === 1 ? noun : `${number} ${noun}s`;
}

function ordinal(number: number): string {
  const tens = number % 100;
  const ending = tens >= 11 && tens <= 13 ? 'th' : (['th', 'st', 'nd', 'rd'][number % 10] ?? 'th');
  return `${number}${ending}`;
}
