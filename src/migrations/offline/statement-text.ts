import { SqlScanner } from '../../text/sql-scanner.js';

/** A range of a text to replace. */
interface Range {
  readonly start: number;
  readonly end: number;
}

/** A parameter `$1` outside literals and comments. */
interface ParameterRange extends Range {
  readonly number: number;
}

/** What the writer needs to know of the SQL that a migration sends as one text. */
export interface StatementText {
  /** The first words of each statement, in lower case: `create index concurrently`. At most five. */
  readonly heads: readonly string[];
  /** All words outside literals, quoted identifiers and comments, in lower case. */
  readonly words: ReadonlySet<string>;
  readonly parameters: readonly ParameterRange[];
  /** Colons that psql would read as the beginning of a variable: `[1:n]`. */
  readonly colons: readonly number[];
  /** Where the last token ends, behind which only white space and comments follow. 0 for a text without a token. */
  readonly end: number;
  /** Whether the last token is a semicolon. */
  readonly isTerminated: boolean;
  /** Whether the text ends inside a literal, a quoted identifier or a comment. */
  readonly isIncomplete: boolean;
  /** Whether a backslash stands outside literals and comments. PostgreSQL has no such token; psql reads a command. */
  readonly hasBackslash: boolean;
}

const HEAD_LENGTH = 5;

/** Statements that may have a body in SQL: `BEGIN ATOMIC …; …; END`. psql finds the end of the body in the same way. */
const WITH_BODY = /^create (?:or replace )?(?:function|procedure)\b/;

/** Reads a text once, as PostgreSQL and psql do. Takes linear time. */
export function scanStatements(text: string): StatementText {
  const scanner = new SqlScanner(text);
  const heads: string[] = [];
  const words = new Set<string>();
  const parameters: ParameterRange[] = [];
  const colons: number[] = [];
  let [end, depth, isTerminated, hasBackslash] = [0, 0, false, false];
  /** In a body of SQL, BEGIN and CASE that no END has closed. */
  let blocks = 0;
  let head: string[] | undefined;
  for (let token = scanner.next(); token; token = scanner.next()) {
    const { start } = scanner;
    const symbol = token === 'symbol' ? text[start] : undefined;
    isTerminated = symbol === ';';
    if (symbol === '$') readParameter(scanner, parameters);
    else if (symbol === ':') readColon(scanner, colons);
    else if (symbol === '\\') hasBackslash = true;
    else if (symbol === '(') depth += 1;
    else if (symbol === ')') depth = Math.max(0, depth - 1);
    end = scanner.end;
    if (isTerminated && depth === 0 && blocks === 0) {
      head = undefined;
      continue;
    }
    if (!head) heads.push('');
    head ??= [];
    if (token !== 'word') continue;
    const { word } = scanner;
    words.add(word);
    if (word === 'begin' ? WITH_BODY.test(heads.at(-1)!) : word === 'case' && blocks > 0) blocks += 1;
    else if (word === 'end' && blocks > 0) blocks -= 1;
    if (head.length === HEAD_LENGTH) continue;
    head.push(word);
    heads[heads.length - 1] = head.join(' ');
  }
  const { isIncomplete } = scanner;
  return { heads, words, parameters, colons, end, isTerminated, isIncomplete, hasBackslash };
}

function readParameter(scanner: SqlScanner, parameters: ParameterRange[]): void {
  const digits = /^\d+/.exec(scanner.text.slice(scanner.end, scanner.end + 12))?.[0];
  if (!digits) return;
  const { start } = scanner;
  scanner.end += digits.length;
  parameters.push({ start, end: scanner.end, number: Number(digits) });
}

/** `::` and `:=` are tokens of PostgreSQL. */
function readColon(scanner: SqlScanner, colons: number[]): void {
  const next = scanner.text[scanner.end];
  if (next === ':' || next === '=') scanner.end += 1;
  else if (next !== undefined && /[\w'"{\u0080-\uffff]/.test(next)) colons.push(scanner.start);
}

/** Whether a statement with this head begins or ends a transaction; undefined if it does neither. */
export function transactionEffect(head: string): 'begins' | 'ends' | undefined {
  if (/^(?:begin|start transaction)\b/.test(head)) return 'begins';
  // ROLLBACK TO a savepoint, and COMMIT AND CHAIN, which begins the next one.
  if (/^\w+(?: work| transaction)? (?:to|and chain)\b/.test(head)) return undefined;
  return /^(?:commit|end|abort|rollback|prepare transaction)\b/.test(head) ? 'ends' : undefined;
}
