import { SqlScanner } from '../../text/sql-scanner.js';
import { HARMLESS_AFTER, HARMLESS_BEFORE_PARENTHESIS } from './harmless-functions.js';

/** Words with which a query writes, locks rows or creates a table: FOR UPDATE, FOR KEY SHARE, WITH … AS (DELETE …), INTO. */
const NOT_PLAIN: ReadonlySet<string> = new Set([
  'insert',
  'update',
  'delete',
  'merge',
  'share',
  'into',
  'call',
]);

/**
 * Whether a text is a SELECT that reads and does nothing else, as far as the text shows. Such a statement may run between
 * the statements of other callers in one session. When in doubt, the answer is false.
 *
 * A function of the app may do anything: write, take an advisory lock, set a variable of the session. So may one of PostgreSQL
 * that is not listed. A name in quotes or with a schema before a parenthesis counts as such a function.
 */
export function isPlainSelect(text: string): boolean {
  const scanner = new SqlScanner(text);
  let token = scanner.next();
  if (token !== 'word' || (scanner.word !== 'select' && scanner.word !== 'with')) return false;
  /** Whether a parenthesis here would begin the arguments of a function that may not be harmless. */
  let isSuspect = false;
  let previous = '';
  for (token = scanner.next(); token; token = scanner.next()) {
    const symbol = token === 'symbol' ? text[scanner.start]! : '';
    if (symbol === '(' && isSuspect) return false;
    const word = token === 'word' ? scanner.word : '';
    if (NOT_PLAIN.has(word)) return false;
    isSuspect = token === 'quoted' || (word !== '' && !isHarmless(word, previous));
    previous = word || symbol;
  }
  return !scanner.isAmbiguous;
}

/** @param previous the word or symbol before it: after a dot, the name has a schema */
function isHarmless(word: string, previous: string): boolean {
  if (previous === '.') return false;
  return HARMLESS_BEFORE_PARENTHESIS.has(word) || HARMLESS_AFTER.get(word)?.includes(previous) === true;
}
