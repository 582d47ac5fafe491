import { SqlScanner } from '../../text/sql-scanner.js';

/** First words of queries and DML statements. The server runs each in one transaction, which has no effect if it fails. */
const REPEATABLE: ReadonlySet<string> = new Set([
  'select',
  'insert',
  'update',
  'delete',
  'merge',
  'values',
  'table',
  'with',
]);

/** Words after which INTO names the target of the statement, and not a table that SELECT creates. */
const WITH_TARGET: ReadonlySet<string> = new Set(['insert', 'merge']);

/**
 * Whether a text is one statement, and that statement is a query or DML: SELECT, INSERT, UPDATE, DELETE, MERGE, VALUES,
 * TABLE or WITH. Outside a transaction, such a statement has had no effect when the server ends the session before
 * CommandComplete. SELECT … INTO does not count, because it creates a table. Utility statements do not count, because CALL and
 * DO may commit. When in doubt, the answer is false.
 */
export function isSingleRepeatableStatement(text: string): boolean {
  const scanner = new SqlScanner(text);
  let token = scanner.next();
  while (token === 'symbol' && text[scanner.start] === '(') token = scanner.next();
  if (token !== 'word' || !REPEATABLE.has(scanner.word)) return false;
  let previous = scanner.word;
  let isSelect = previous === 'select';
  let depth = 0;
  let hasEnded = false;
  for (token = scanner.next(); token; token = scanner.next()) {
    if (token === 'symbol' && text[scanner.start] === ';') {
      hasEnded = true;
      continue;
    }
    // A second statement.
    if (hasEnded) return false;
    if (token === 'symbol') {
      const symbol = text[scanner.start];
      if (symbol === '(') depth += 1;
      else if (symbol === ')') depth -= 1;
    }
    const word = token === 'word' ? scanner.word : '';
    if (word === 'select' && depth <= 0) isSelect = true;
    // In the select list, INSERT and MERGE are names: `SELECT 1 AS insert INTO t`.
    if (word === 'into' && ((isSelect && depth <= 0) || !WITH_TARGET.has(previous))) return false;
    previous = word;
  }
  return !scanner.isAmbiguous;
}
