/** Statements that the server runs in one transaction of their own; each can be sent again when that one has failed. */
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

/** Words after which INTO names the target of the statement, and not a table that SELECT makes. */
const WITH_TARGET: ReadonlySet<string> = new Set(['insert', 'merge']);

export type SqlToken = 'word' | 'quoted' | 'symbol';

const QUOTE = 0x27;
const DOUBLE_QUOTE = 0x22;
const DOLLAR = 0x24;
const BACKSLASH = 0x5c;
const DASH = 0x2d;
const SLASH = 0x2f;
const STAR = 0x2a;
const NEWLINE = 0x0a;
const RETURN = 0x0d;

/** The blanks of PostgreSQL's lexer: tab, newline, vertical tab, form feed, return, space. */
function isBlank(code: number): boolean {
  return code === 0x20 || (code >= 0x09 && code <= RETURN);
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}

/** Every character beyond ASCII is a letter for PostgreSQL. */
function beginsWord(code: number): boolean {
  return (code >= 0x61 && code <= 0x7a) || (code >= 0x41 && code <= 0x5a) || code === 0x5f || code >= 0x80;
}

/**
 * Reads SQL token by token, as PostgreSQL's lexer does: literals, quoted identifiers, dollar quotes and nested comments
 * are one piece each. One pass: the time grows with the length of the text alone.
 * See https://www.postgresql.org/docs/current/sql-syntax-lexical.html
 */
export class SqlScanner {
  /** Where the current token begins, and where the one after it is looked for. */
  start = 0;
  end = 0;
  /**
   * Whether the server may read the text in another way: it ends inside a literal or a comment, or a backslash stands
   * before a quote, which `standard_conforming_strings = off` and the continuation of an `E''` literal escape.
   */
  doubtful = false;

  constructor(readonly text: string) {}

  /** The current token, in lower case. */
  get word(): string {
    return this.text.slice(this.start, this.end).toLowerCase();
  }

  /** The kind of the next token; undefined at the end. Comments and blanks are none. */
  next(): SqlToken | undefined {
    const { text } = this;
    const at = this.#skipBlanks();
    this.start = at;
    if (at >= text.length) return undefined;
    const code = text.charCodeAt(at);
    if (beginsWord(code)) return this.#word(at, code);
    if (code === QUOTE) return this.#quoted(at + 1, QUOTE, false);
    if (code === DOUBLE_QUOTE) return this.#quoted(at + 1, DOUBLE_QUOTE, false);
    if (code === DOLLAR) return this.#dollar(at);
    this.end = at + 1;
    return 'symbol';
  }

  /** Skips blanks and comments. */
  #skipBlanks(): number {
    const { text } = this;
    let at = this.end;
    for (;;) {
      const code = text.charCodeAt(at);
      if (isBlank(code)) at += 1;
      else if (code === DASH && text.charCodeAt(at + 1) === DASH) at = lineEnd(text, at + 2);
      else if (code === SLASH && text.charCodeAt(at + 1) === STAR) at = this.#commentEnd(at + 2);
      else return (this.end = at);
    }
  }

  /** Block comments nest. */
  #commentEnd(from: number): number {
    const { text } = this;
    let depth = 1;
    for (let at = from; at < text.length; at += 1) {
      const code = text.charCodeAt(at);
      if (code === STAR && text.charCodeAt(at + 1) === SLASH) {
        at += 1;
        depth -= 1;
        if (depth === 0) return at + 1;
      } else if (code === SLASH && text.charCodeAt(at + 1) === STAR) {
        at += 1;
        depth += 1;
      }
    }
    this.doubtful = true;
    return text.length;
  }

  #word(from: number, first: number): SqlToken {
    const { text } = this;
    let at = from + 1;
    for (let code = text.charCodeAt(at); beginsWord(code) || isDigit(code) || code === DOLLAR;)
      code = text.charCodeAt((at += 1));
    // E'…' is one token, in which a backslash escapes the quote.
    const escapes = at === from + 1 && (first | 0x20) === 0x65 && text.charCodeAt(at) === QUOTE;
    if (escapes) return this.#quoted(at + 1, QUOTE, true);
    this.end = at;
    return 'word';
  }

  /** Up to the closing quote; a doubled one is part of the text. */
  #quoted(from: number, quote: number, escapes: boolean): SqlToken {
    const { text } = this;
    let at = from;
    for (; at < text.length; at += 1) {
      const code = text.charCodeAt(at);
      if (escapes && code === BACKSLASH) at += 1;
      else if (code === quote) {
        if (!escapes && quote === QUOTE && at > from && text.charCodeAt(at - 1) === BACKSLASH)
          this.doubtful = true;
        if (text.charCodeAt(at + 1) !== quote) {
          this.end = at + 1;
          return 'quoted';
        }
        at += 1;
      }
    }
    this.doubtful = true;
    this.end = text.length;
    return 'quoted';
  }

  /** `$tag$ … $tag$`, or the sign alone, before the number of a parameter too. */
  #dollar(from: number): SqlToken {
    const { text } = this;
    let at = from + 1;
    if (beginsWord(text.charCodeAt(at)))
      for (let code = text.charCodeAt(at); beginsWord(code) || isDigit(code);)
        code = text.charCodeAt((at += 1));
    if (text.charCodeAt(at) !== DOLLAR) {
      this.end = from + 1;
      return 'symbol';
    }
    const tag = text.slice(from, at + 1);
    const closing = text.indexOf(tag, at + 1);
    if (closing < 0) this.doubtful = true;
    this.end = closing < 0 ? text.length : closing + tag.length;
    return 'quoted';
  }
}

function lineEnd(text: string, from: number): number {
  for (let at = from; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === NEWLINE || code === RETURN) return at;
  }
  return text.length;
}

/**
 * Whether a text is exactly one statement, and that one a query or DML: SELECT, INSERT, UPDATE, DELETE, MERGE, VALUES,
 * TABLE or WITH. Such a statement, sent outside a transaction, has had no effect when the server ends its session before
 * CommandComplete. Not SELECT … INTO, which makes a table, and no utility statement: CALL and DO may commit inside. In
 * doubt it is none.
 */
export function isSingleRepeatableStatement(text: string): boolean {
  const scanner = new SqlScanner(text);
  let token = scanner.next();
  while (token === 'symbol' && text[scanner.start] === '(') token = scanner.next();
  if (token !== 'word' || !REPEATABLE.has(scanner.word)) return false;
  let previous = scanner.word;
  let selects = previous === 'select';
  let depth = 0;
  let ended = false;
  for (token = scanner.next(); token; token = scanner.next()) {
    if (token === 'symbol' && text[scanner.start] === ';') {
      ended = true;
      continue;
    }
    // A second statement.
    if (ended) return false;
    if (token === 'symbol') {
      const symbol = text[scanner.start];
      if (symbol === '(') depth += 1;
      else if (symbol === ')') depth -= 1;
    }
    const word = token === 'word' ? scanner.word : '';
    if (word === 'select' && depth <= 0) selects = true;
    // In the list of a SELECT, INSERT and MERGE are names: `SELECT 1 AS insert INTO t`.
    if (word === 'into' && ((selects && depth <= 0) || !WITH_TARGET.has(previous))) return false;
    previous = word;
  }
  return !scanner.doubtful;
}
