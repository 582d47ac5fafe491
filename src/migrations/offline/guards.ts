import type { LoadedMigration } from '../../data-source/migrations/loaded-migration.js';
import { quoteLiteral } from './literals.js';

/** The keys of the locks that a run holds, as `keyOf` computes them, for the database in which the file is executed. */
const LOCK_KEYS = ['schema', 'migration session'].map(
  (subject) =>
    `('x' || encode(substr(sha256(convert_to('nestjs-database ${subject} ' || current_database(), 'UTF8')), 1, 8), 'hex'))::bit(64)::bigint`,
);

/** Takes the locks that a run takes, or stops. */
export const TAKE_LOCKS = block(
  LOCK_KEYS.flatMap((key) => [
    `IF NOT pg_try_advisory_lock(${key}) THEN`,
    `  RAISE EXCEPTION 'Another process migrates this database.' USING HINT = 'Run this file again when it has finished.';`,
    'END IF;',
  ]),
  [],
);

/** Releases the locks, for a session that continues. */
export const RELEASE_LOCKS = block(
  [...LOCK_KEYS].reverse().map((key) => `PERFORM pg_advisory_unlock(${key});`),
  [],
);

/** Turns off the limits that the server has since some version, as a run does. */
export const NO_LIMITS = block(
  [
    `PERFORM set_config(name, '0', false) FROM pg_catalog.pg_settings`,
    `  WHERE name IN ('idle_session_timeout', 'transaction_timeout');`,
  ],
  [],
);

/**
 * Stops unless the migration is executed, or is not executed.
 * @param table the table of executed migrations, as SQL writes it
 */
export function requireMigration(table: string, name: string, isExecuted: boolean): string {
  const state = isExecuted ? 'is not executed in this database' : 'is executed in this database already';
  return block(
    [
      `IF ${isExecuted ? 'NOT ' : ''}EXISTS (SELECT FROM ${table} WHERE "name" = ${quoteLiteral(name)}) THEN`,
      `  RAISE EXCEPTION USING MESSAGE = ${quoteLiteral(`Migration ${name} ${state}.`)};`,
      'END IF;',
    ],
    [table, name],
  );
}

/**
 * Stops if the database has executed a newer migration, which may need what the file reverts.
 * @param table the table of executed migrations, as SQL writes it
 */
export function requireNewest(table: string, { name, timestamp }: LoadedMigration): string {
  return block(
    [
      `IF EXISTS (SELECT FROM ${table} WHERE "timestamp" > ${timestamp}) THEN`,
      `  RAISE EXCEPTION USING MESSAGE = ${quoteLiteral(`Migration ${name} is not the newest one that is executed in this database.`)};`,
      'END IF;',
    ],
    [table, name],
  );
}

/** A block of PL/pgSQL. Its quotes differ from everything in `contents`. */
function block(lines: readonly string[], contents: readonly string[]): string {
  let tag = '$guard$';
  for (let number = 1; contents.some((text) => text.includes(tag)); number += 1) tag = `$guard${number}$`;
  return [`DO ${tag}`, 'BEGIN', ...lines.map((line) => `  ${line}`), 'END', `${tag};`].join('\n');
}
