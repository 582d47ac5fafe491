import { SqlScanner } from '../statements/sql-text.js';

/** Command tags after which a session may not be what it was. They see through comments and multi-statements. */
const TAGS = new Set(['SET', 'LISTEN', 'DO', 'CALL', 'PREPARE', 'LOAD', 'DECLARE CURSOR']);

const TRANSACTION_ONLY = /^\s*SET\s+(?:LOCAL|TRANSACTION)\b/i;

/** A setting that ends with the transaction: `set_config('app.tenant', $1, true)`. */
const LOCAL_SET_CONFIG =
  /set_config\s*\(\s*(?:'[^']*'|\$\d+)(?:::\w+)?\s*,\s*(?:'[^']*'|\$\d+)(?:::\w+)?\s*,\s*true\s*\)/gi;

/** What leaves state in the session and shows in no command tag; a name in Unicode escapes (`U&"…"`) may be any of them. */
const TEXT = /set_config|advisory_(?:un)?lock|pg_temp|pg_settings|\bsetseed\b|dblink_connect|u&"/i;

/** A view: reading it changes nothing, and an UPDATE of it sets what it shows. */
const SETTINGS_VIEW = /pg_settings/gi;
const UPDATE = /\bupdate\b/i;

const MAKES = /\b(?:create|into)\b/i;
const TEMPORARY = /\btemp(?:orary)?\b/i;
/** What may stand between the two: CREATE OR REPLACE TEMP VIEW, SELECT … INTO LOCAL TEMP. */
const BEFORE_TEMPORARY: ReadonlySet<string> = new Set(['or', 'replace', 'local', 'global']);

/** Whether the server's command tag says that the session was changed; `text` only narrows it. */
export function tagLeavesState(tag: string, text: string | undefined): boolean {
  if (!TAGS.has(tag)) return false;
  if (text === undefined) return true;
  if (tag === 'SET') return !isTransactionOnly(text);
  if (tag === 'DECLARE CURSOR') return /\bhold\b/i.test(text);
  return true;
}

/** One name and nothing else, perhaps with the comment of sqlcommenter behind it. */
const RENAMES =
  /^\s*SET\s+(?:SESSION\s+)?application_name\s*(?:=|\bTO\b)\s*'[^'\\]*'\s*(?:\/\*[^*]*\*\/\s*)?;?\s*$/i;

/** Whether all that a statement does is to set `application_name`, which the server reports and one SET undoes. */
export function textRenamesOnly(text: string): boolean {
  return RENAMES.test(text);
}

/** A W3C `traceparent`, which tracing tools set as `application_name` before each statement. */
export function isTraceparent(name: string): boolean {
  return /^[\da-f]{2}-[\da-f]{32}-[\da-f]{16}-[\da-f]{2}$/.test(name);
}

/** Whether the text of a statement changes the session in a way that no command tag shows. In doubt it does. */
export function textLeavesState(text: string): boolean {
  if (makesTemporary(text)) return true;
  if (!TEXT.test(text)) return false;
  const rest = text.replace(LOCAL_SET_CONFIG, '');
  return TEXT.test(UPDATE.test(rest) ? rest : rest.replace(SETTINGS_VIEW, ''));
}

/** Whether all there is is one SET LOCAL or SET TRANSACTION, which ends with the transaction. */
function isTransactionOnly(text: string): boolean {
  // The usual shape: without a semicolon there is no second statement.
  if (!text.includes(';') && TRANSACTION_ONLY.test(text)) return true;
  const scanner = new SqlScanner(text);
  const isWord = (...words: string[]) => scanner.next() === 'word' && words.includes(scanner.word);
  if (!isWord('set') || !isWord('local', 'transaction')) return false;
  let ended = false;
  for (let token = scanner.next(); token; token = scanner.next()) {
    if (ended) return false;
    ended = token === 'symbol' && text[scanner.start] === ';';
  }
  return !scanner.doubtful;
}

/**
 * Whether a text makes something temporary. A column named `temp` does not: each INSERT into it would clear the session. The
 * patterns spare most texts the scanner, in two steps: one pattern for both would read on to the end from each INTO, for
 * seconds in a script of inserts.
 */
function makesTemporary(text: string): boolean {
  const made = text.search(MAKES);
  if (made < 0 || !TEMPORARY.test(text.slice(made))) return false;
  const scanner = new SqlScanner(text);
  let making = false;
  for (let token = scanner.next(); token; token = scanner.next()) {
    const word = token === 'word' ? scanner.word : '';
    if (making && TEMPORARY.test(word)) return true;
    making = MAKES.test(word) || (making && BEFORE_TEMPORARY.has(word));
  }
  return scanner.doubtful;
}

/** Whether a statement speaks of the time limit itself; then ours must not stand against what it says. */
export function textSetsTimeLimit(text: string): boolean {
  return /statement_timeout/i.test(text);
}

/** Tags after which the server has forgotten every prepared statement. */
export function tagDropsStatements(tag: string): boolean {
  return tag === 'DISCARD ALL' || tag === 'DEALLOCATE ALL';
}

/** Tags after which settings are those of the startup packet, and not those that were set after the dial. */
export function tagUndoesSetup(tag: string): boolean {
  return tag === 'RESET' || tag === 'DISCARD ALL';
}
