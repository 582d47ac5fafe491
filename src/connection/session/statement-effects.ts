import { SqlScanner } from '../../text/sql-scanner.js';

/**
 * Command tags of statements that may change the session. Unlike a search in the text, they are not misled by comments, and
 * each statement of a text has its own.
 */
const CHANGING_TAGS = new Set(['SET', 'LISTEN', 'DO', 'CALL', 'PREPARE', 'LOAD', 'DECLARE CURSOR']);

const TRANSACTION_ONLY = /^\s*SET\s+(?:LOCAL|TRANSACTION)\b/i;

/** A setting that ends with the transaction: `set_config('app.tenant', $1, true)`. */
const LOCAL_SET_CONFIG =
  /set_config\s*\(\s*(?:'[^']*'|\$\d+)(?:::\w+)?\s*,\s*(?:'[^']*'|\$\d+)(?:::\w+)?\s*,\s*true\s*\)/gi;

/** Names in statements whose command tag does not show that they change the session. `U&"…"` may spell any of them in escapes. */
const CHANGING_NAMES = /set_config|advisory_(?:un)?lock|pg_temp|pg_settings|\bsetseed\b|dblink_connect|u&"/i;

/** A view of the settings: a SELECT from it changes nothing, an UPDATE of it sets them. */
const SETTINGS_VIEW = /pg_settings/gi;
const UPDATE = /\bupdate\b/i;

const CREATES = /\b(?:create|into)\b/i;
const TEMPORARY = /\btemp(?:orary)?\b/i;
/** Words between CREATE or INTO and TEMP: CREATE OR REPLACE TEMP VIEW, SELECT … INTO LOCAL TEMP. */
const BEFORE_TEMPORARY: ReadonlySet<string> = new Set(['or', 'replace', 'local', 'global']);

/**
 * Whether a command tag means that the session has changed.
 * @param text the text of the statement, for changes that may end with the transaction; without it, they do not
 */
export function tagChangesSession(tag: string, text: string | undefined): boolean {
  if (!CHANGING_TAGS.has(tag)) return false;
  if (text === undefined) return true;
  if (tag === 'SET') return !endsWithTransaction(text);
  if (tag === 'DECLARE CURSOR') return /\bhold\b/i.test(text);
  return true;
}

/** One SET of a literal, with or without the comment of sqlcommenter behind it. */
const SETS_APPLICATION_NAME =
  /^\s*SET\s+(?:SESSION\s+)?application_name\s*(?:=|\bTO\b)\s*'[^'\\]*'\s*(?:\/\*[^*]*\*\/\s*)?(?:;\s*)?$/i;

/** Whether a text only sets `application_name`. The server reports that setting, and one SET undoes it. */
export function onlySetsApplicationName(text: string): boolean {
  return SETS_APPLICATION_NAME.test(text);
}

/** Whether a name is a W3C `traceparent`, which tracing tools set as `application_name` before each statement. */
export function isTraceparent(name: string): boolean {
  return /^[\da-f]{2}-[\da-f]{32}-[\da-f]{16}-[\da-f]{2}$/.test(name);
}

/** Whether a text changes the session in a way that no command tag shows. When in doubt, the answer is true. */
export function textChangesSession(text: string): boolean {
  if (createsTemporary(text)) return true;
  if (!CHANGING_NAMES.test(text)) return false;
  const rest = text.replace(LOCAL_SET_CONFIG, '');
  return CHANGING_NAMES.test(UPDATE.test(rest) ? rest : rest.replace(SETTINGS_VIEW, ''));
}

/** Whether a text is one SET LOCAL or SET TRANSACTION and nothing else. */
function endsWithTransaction(text: string): boolean {
  // The usual form: without a semicolon there is no second statement.
  if (!text.includes(';') && TRANSACTION_ONLY.test(text)) return true;
  const scanner = new SqlScanner(text);
  const isWord = (...words: string[]) => scanner.next() === 'word' && words.includes(scanner.word);
  if (!isWord('set') || !isWord('local', 'transaction')) return false;
  let hasEnded = false;
  for (let token = scanner.next(); token; token = scanner.next()) {
    if (hasEnded) return false;
    hasEnded = token === 'symbol' && text[scanner.start] === ';';
  }
  return !scanner.isAmbiguous;
}

/**
 * Whether a text creates a temporary table or view. A column named `temp` does not count: otherwise every INSERT into its
 * table would cause a DISCARD ALL. Two patterns spare most texts the scanner. One pattern for both would search from each INTO
 * to the end of the text, which takes seconds for a script of inserts.
 */
function createsTemporary(text: string): boolean {
  const created = text.search(CREATES);
  if (created < 0 || !TEMPORARY.test(text.slice(created))) return false;
  const scanner = new SqlScanner(text);
  let isCreating = false;
  for (let token = scanner.next(); token; token = scanner.next()) {
    const word = token === 'word' ? scanner.word : '';
    if (isCreating && TEMPORARY.test(word)) return true;
    isCreating = CREATES.test(word) || (isCreating && BEFORE_TEMPORARY.has(word));
  }
  return scanner.isAmbiguous;
}

/** Whether a text mentions `statement_timeout`: it may set a longer limit than the client's. */
export function mentionsStatementTimeout(text: string): boolean {
  return /statement_timeout/i.test(text);
}

/** Whether a command tag means that the server has dropped all prepared statements. */
export function tagDropsPreparedStatements(tag: string): boolean {
  return tag === 'DISCARD ALL' || tag === 'DEALLOCATE ALL';
}

/** Whether a command tag means that the settings are those of the startup packet again. */
export function tagResetsSettings(tag: string): boolean {
  return tag === 'RESET' || tag === 'DISCARD ALL';
}

/** Whether a command tag means that the database may have new objects, or existing ones another shape. */
export function tagChangesSchema(tag: string): boolean {
  return /^(?:ALTER|CREATE|IMPORT) /.test(tag);
}

/**
 * Whether a command tag means that names in the statements of this session may mean other objects than before, or that the server
 * may have dropped a prepared statement. DO and CALL may do either.
 */
export function tagMayExpireStatements(tag: string): boolean {
  return /^(?:ALTER |CREATE |IMPORT |DROP |DO$|CALL$|DEALLOCATE$)/.test(tag);
}
