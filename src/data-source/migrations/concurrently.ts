import { relative } from 'node:path';
import { MigrationError } from '../../errors/migration.errors.js';
import { SqlScanner } from '../../text/sql-scanner.js';
import { fileOf } from './loaded-migration.js';
import type { LoadedMigration } from './loaded-migration.js';
import { readSource } from './source-text.js';

/** The option by which TypeORM builds or drops an index with CONCURRENTLY; minified, `true` is `!0`. */
const CONCURRENT_OPTION = /(?<![\w$])(?:isConcurrent|concurrent)(?![\w$])\s*:\s*(?:true|!0)(?![\w$])/;

export const CONCURRENTLY_HINT =
  'Set `transaction = false` in a migration with CONCURRENTLY, and leave that one statement in it: what has run before a failure stays in effect.';

/**
 * Finds the first statement with CONCURRENTLY that PostgreSQL refuses in a transaction block. It reads the source text of the function:
 * SQL that comes from elsewhere is not seen.
 *
 * @returns the statement's first words, or the option of TypeORM: `CREATE INDEX CONCURRENTLY`
 */
export function findConcurrently(source: string): string | undefined {
  if (!/concurrent/i.test(source)) return undefined;
  const { code, literals } = readSource(source);
  for (const literal of literals) {
    const found = concurrentStatement(literal);
    if (found) return found;
  }
  // A quoted key is a literal, which leaves no name in the code.
  return CONCURRENT_OPTION.test(code) ? 'an index with isConcurrent: true' : undefined;
}

/**
 * Finds the first statement with CONCURRENTLY in a text of SQL. What matters are a few words in a row, wherever they stand: the beginning
 * may come from an expression.
 */
export function concurrentStatement(sql: string): string | undefined {
  if (!/concurrently/i.test(sql)) return undefined;
  const scanner = new SqlScanner(sql);
  let words: string[] = [];
  let detaches = false;
  let reindexes = false;
  for (let token = scanner.next(); token; token = scanner.next()) {
    if (token === 'symbol' && scanner.word === ';') {
      words = [];
      detaches = reindexes = false;
    }
    if (token !== 'word') continue;
    const { word } = scanner;
    if (word === 'concurrently') {
      const last = words.slice(-3).join(' ');
      if (/(?:^| )create (?:unique )?index$/.test(last))
        return `${last.slice(last.indexOf('create'))} concurrently`.toUpperCase();
      if (/(?:^| )drop index$/.test(last)) return 'DROP INDEX CONCURRENTLY';
      if (detaches) return 'DETACH PARTITION CONCURRENTLY';
      if (reindexes) return 'REINDEX CONCURRENTLY';
    }
    // REINDEX (CONCURRENTLY) TABLE x, REINDEX TABLE CONCURRENTLY x
    if (word === 'reindex') reindexes = true;
    if (word === 'partition' && words.at(-1) === 'detach') detaches = true;
    words.push(word);
    if (words.length > 3) words.shift();
  }
  return undefined;
}

/**
 * Refuses migrations that run in a transaction and contain a statement with CONCURRENTLY.
 * @throws MigrationError `MIGRATION_CONCURRENTLY` with all of them
 */
export function refuseConcurrently(
  inTransaction: readonly LoadedMigration[],
  direction: 'up' | 'down',
): void {
  const found = inTransaction.flatMap((migration) => {
    const statement = findConcurrently(String(Reflect.get(migration.instance, direction)));
    return statement ? [`${describeMigration(migration)}: ${statement}`] : [];
  });
  if (found.length === 0) return;
  throw new MigrationError(
    `PostgreSQL refuses CONCURRENTLY inside a transaction, and these migrations run in one: ${found.join('; ')}. Nothing was changed.`,
    { code: 'MIGRATION_CONCURRENTLY', hint: CONCURRENTLY_HINT },
  );
}

/** The name of a migration with its file: `AddUsers1716200000000 (src/migrations/add-users.ts)`. */
export function describeMigration(migration: LoadedMigration): string {
  const file = fileOf(migration);
  if (!file) return migration.name;
  const path = relative(process.cwd(), file);
  return `${migration.name} (${path.startsWith('..') ? file : path})`;
}
