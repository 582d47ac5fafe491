import { quoteLiteral } from './literals.js';

/** The key of the migration lock, as `migrationLockKey` computes it, from the database in which the file is executed. */
const LOCK_KEY = `('x' || encode(substr(sha256(convert_to('nestjs-database schema ' || current_database(), 'UTF8')), 1, 8), 'hex'))::bit(64)::bigint`;

/** Takes the migration lock, or stops. */
export const TAKE_LOCK = block(
  [
    `IF NOT pg_try_advisory_lock(${LOCK_KEY}) THEN`,
    `  RAISE EXCEPTION 'Another process migrates this database.' USING HINT = 'Run this file again when it has finished.';`,
    'END IF;',
  ],
  [],
);

/** Releases the migration lock, for a session that continues. */
export const RELEASE_LOCK = block([`PERFORM pg_advisory_unlock(${LOCK_KEY});`], []);

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

/** A block of PL/pgSQL. Its quotes differ from everything in `contents`. */
function block(lines: readonly string[], contents: readonly string[]): string {
  let tag = '$guard$';
  for (let number = 1; contents.some((text) => text.includes(tag)); number += 1) tag = `$guard${number}$`;
  return [`DO ${tag}`, 'BEGIN', ...lines.map((line) => `  ${line}`), 'END', `${tag};`].join('\n');
}
