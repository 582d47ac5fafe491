import { DatabaseError } from './database.error.js';

/**
 * Migrations could not be run, reverted, written as SQL or checked. `hint` says what to do; `cause` is the error of the statement.
 *
 * - `MIGRATION_NAME_INVALID`: a migration's name does not end in a timestamp of 13 digits, or occurs twice.
 * - `MIGRATION_FAILED`: a statement or the code of a migration failed. The message says what was rolled back and what was not.
 * - `MIGRATION_LOCK_TIMEOUT`: another process held the migration lock for the whole lock timeout.
 * - `MIGRATION_POOLER`: the connection passes a pooler in transaction or statement mode, and no direct server is known.
 * - `MIGRATION_CONCURRENTLY`: a migration that runs in a transaction contains a statement with CONCURRENTLY.
 * - `MIGRATION_UNKNOWN`: the database or the command line names a migration that the source code does not have.
 * - `MIGRATION_NEEDS_CATALOGUE`: a migration reads the catalogue, and no shadow database is given.
 * - `MIGRATION_BRANCHES`: a migration uses the result of a statement, which is not known offline.
 * - `MIGRATION_SHADOW`: the shadow database cannot be used.
 * - `MIGRATION_VALUE`: a parameter has no form as a literal.
 * - `MIGRATION_PENDING`: a migration cannot be generated before the pending ones are executed.
 * - `MIGRATION_DESTRUCTIVE`: a generated migration would drop or change data, and this was not allowed.
 */
export class MigrationError extends DatabaseError {
  static override readonly family: string = 'MigrationError';
}
