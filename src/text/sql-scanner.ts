/** `quoted` is a string literal, a dollar-quoted string or a quoted identifier; `symbol` is any other single character. */
type SqlToken = 'word' | 'quoted' | 'symbol';

const QUOTE = 0x27;
const DOUBLE_QUOTE = 0x22;
const DOLLAR = 0x24;
const BACKSLASH = 0x5c;
const DASH = 0x2d;
const SLASH = 0x2f;
const STAR = 0x2a;
const NEWLINE = 0x0a;
const RETURN = 0x0d;

/** The white space of PostgreSQL's lexer: tab, newline, vertical tab, form feed, carriage return, space. */
function isBlank(code: number): boolean {
  return code === 0x20 || (code >= 0x09 && code <= RETURN);
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}

/** PostgreSQL treats every character beyond ASCII as a letter. */
function beginsWord(code: number): boolean {
  return (code >= 0x61 && code <= 0x7a) || (code >= 0x41 && code <= 0x5a) || code === 0x5f || code >= 0x80;
}

/**
 * Reads SQL token by token, as PostgreSQL's lexer does: a literal, a quoted identifier and a dollar-quoted string are one
 * token each; comments are skipped, including nested ones. Takes linear time.
 * See https://www.postgresql.org/docs/current/sql-syntax-lexical.html
 * @example
 * const scanner = new SqlScanner(text);
 * for (let token = scanner.next(); token; token = scanner.next()) visit(token, scanner.start, scanner.end);
 */
export class SqlScanner {
  readonly text: string;
  /** Where the current token begins. */
  start = 0;
  /** Where the current token ends; `next()` continues there. */
  end = 0;
  /**
   * Whether the server may read the text differently: it ends inside a literal or a comment, or a backslash precedes a
   * quote. With `standard_conforming_strings = off`, and in the continuation of an `E''`, the backslash escapes the quote.
   */
  isAmbiguous = false;
  /** Whether the text ends inside a literal, a quoted identifier or a block comment. */
  isIncomplete = false;

  constructor(text: string) {
    this.text = text;
  }

  /** The current token in lower case. */
  get word(): string {
    return this.text.slice(this.start, this.end).toLowerCase();
  }

  /** Advances to the next token and returns its kind; undefined at the end of the text. */
  next(): SqlToken | undefined {
    const { text } = this;
    const at = this.#skipBlanks();
    this.start = at;
    if (at >= text.length) return undefined;
    const code = text.charCodeAt(at);
    if (beginsWord(code)) return this.#readWord(at, code);
    if (code === QUOTE) return this.#readQuoted(at + 1, QUOTE, false);
    if (code === DOUBLE_QUOTE) return this.#readQuoted(at + 1, DOUBLE_QUOTE, false);
    if (code === DOLLAR) return this.#readDollar(at);
    this.end = at + 1;
    return 'symbol';
  }

  /** Skips white space and comments. */
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

  /** The end of a block comment. Block comments nest. */
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
    this.#endIncomplete();
    return text.length;
  }

  #readWord(from: number, first: number): SqlToken {
    const { text } = this;
    let at = from + 1;
    for (let code = text.charCodeAt(at); beginsWord(code) || isDigit(code) || code === DOLLAR;)
      code = text.charCodeAt((at += 1));
    // E'…' is one token, in which a backslash escapes the quote.
    const hasEscapes = at === from + 1 && (first | 0x20) === 0x65 && text.charCodeAt(at) === QUOTE;
    if (hasEscapes) return this.#readQuoted(at + 1, QUOTE, true);
    this.end = at;
    return 'word';
  }

  /** Reads up to the closing quote. A doubled quote is part of the text. */
  #readQuoted(from: number, quote: number, hasEscapes: boolean): SqlToken {
    const { text } = this;
    let at = from;
    for (; at < text.length; at += 1) {
      const code = text.charCodeAt(at);
      if (hasEscapes && code === BACKSLASH) at += 1;
      else if (code === quote) {
        if (!hasEscapes && quote === QUOTE && at > from && text.charCodeAt(at - 1) === BACKSLASH)
          this.isAmbiguous = true;
        if (text.charCodeAt(at + 1) !== quote) {
          this.end = at + 1;
          return 'quoted';
        }
        at += 1;
      }
    }
    this.#endIncomplete();
    this.end = text.length;
    return 'quoted';
  }

  /** Reads `$tag$ … $tag$`, or the dollar sign alone, as in the parameter `$1`. */
  #readDollar(from: number): SqlToken {
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
    if (closing < 0) this.#endIncomplete();
    this.end = closing < 0 ? text.length : closing + tag.length;
    return 'quoted';
  }

  #endIncomplete(): void {
    this.isAmbiguous = true;
    this.isIncomplete = true;
  }
}

function lineEnd(text: string, from: number): number {
  for (let at = from; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === NEWLINE || code === RETURN) return at;
  }
  return text.length;
}
