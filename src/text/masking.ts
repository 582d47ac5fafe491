import { SqlScanner } from './sql-scanner.js';

/** What stands for a secret in logs, messages and JSON. */
export const MASK = '***';
/** Key of the method that `util.inspect`, and with it Nest's logger, calls to print an object. */
export const INSPECT: unique symbol = Symbol.for('nodejs.util.inspect.custom');

/**
 * Masks the credentials of URLs and the passwords of connection strings. The credentials of a PostgreSQL URL end at the last
 * @ of the line: a password that is not percent-encoded may contain any character. Takes linear time.
 */
export function redact(text: string): string {
  const lines = text.includes('@') ? text.split('\n').map(redactedLine).join('\n') : text;
  return lines.replace(PASSWORD_VALUE, `$1${MASK}`);
}

/** `password=…` in a URL or a connection string, quoted or not. */
const PASSWORD_VALUE = /((?:password|passwd|passphrase)=)(?:'[^'\n]*'?|"[^"\n]*"?|[^&\s"']*)/gi;

function redactedLine(line: string): string {
  const at = line.lastIndexOf('@');
  if (at < 0) return line;
  const scheme = /postgres(?:ql)?:\/\//i.exec(line);
  const start = scheme ? scheme.index + scheme[0].length : at;
  const masked = start < at ? `${line.slice(0, start)}${MASK}${line.slice(at)}` : line;
  // URLs of other schemes contain no white space.
  return masked.replace(/[^\s"']+/g, (word) => {
    const slashes = word.indexOf('//');
    const end = word.lastIndexOf('@');
    return slashes >= 0 && slashes + 2 < end && !isFilePath(word, slashes)
      ? `${word.slice(0, slashes + 2)}${MASK}${word.slice(end)}`
      : word;
  });
}

/** A path with an `@`, such as `file:///app/node_modules/@nestjs/core/…` in a stack: its authority is empty. */
function isFilePath(word: string, slashes: number): boolean {
  return word.startsWith('file:///', slashes - 5) && !word.includes('//', slashes + 3);
}

/** Characters that move the cursor, end a line or change the direction of text. They could forge lines of a log. */
// eslint-disable-next-line no-control-regex
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]/g;

/** Puts a text on one line and escapes its control characters: `\u001b`. */
export function oneLine(text: string): string {
  const line = /[\r\n]/.test(text)
    ? text.replace(/\s+/g, (space) => (/[\r\n]/.test(space) ? ' ' : space))
    : text;
  return line.replace(CONTROL, (character) =>
    character === '\t' ? ' ' : `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** Masks the passwords of a statement. Takes linear time. */
export function maskedSql(sql: string): string {
  return /pass|:\/\/|dblink|connection/i.test(sql) ? new SqlMasker(sql).masked() : sql;
}

/** The beginning of a statement, on one line and with passwords masked. `length` counts characters. */
export function shortSql(sql: string, length = 200): string {
  const line = oneLine(
    maskedSql(sql.slice(0, length * 4))
      .replace(/\s+/g, ' ')
      .trim(),
  );
  return line.length > length ? `${line.slice(0, length)}…` : line;
}

/** Names of columns, options and settings that hold a password. */
const PASSWORD_NAME = /pass(?:word|wd|phrase)?$/i;
/** A password inside a literal: a connection string, or SQL that is executed later. */
const PASSWORD_INSIDE = /pass(?:word|wd|phrase)?\s*(?:=|'|\\'|\$|(?:E|U&)')/i;
/** The word before a connection string: CREATE SUBSCRIPTION … CONNECTION, or a function of dblink. */
const CONNECTION_NAME = /^(?:connection$|dblink)/i;
/** A prefix that the scanner reads as a separate word, and the quote of its literal: `B'…'`, `X'…'`, `N'…'`, `U&'…'`. */
const PREFIXED = /^(?:[BXN]'|U&')/i;

/** Masks the literals of a statement that are or contain passwords. */
class SqlMasker {
  readonly #sql: string;
  readonly #scanner: SqlScanner;
  #out = '';
  /** The statement is copied to `#out` up to this index. */
  #copied = 0;
  /** Whether the next literal is a password. */
  #isPassword = false;
  /** Whether the next literal is a connection string, of a subscription or of dblink. */
  #isConnectionString = false;
  /** Whether the word before the next literal is its prefix. */
  #hasPrefix = false;

  constructor(sql: string) {
    this.#sql = sql;
    this.#scanner = new SqlScanner(sql);
  }

  masked(): string {
    const sql = this.#sql;
    const scanner = this.#scanner;
    for (let token = scanner.next(); token; token = scanner.next()) {
      const first = sql[scanner.start]!;
      if (token === 'word') this.#readWord(sql.slice(scanner.start, scanner.end));
      else if (token === 'symbol') {
        if (first === ',' || first === ';' || first === ')')
          this.#isPassword = this.#isConnectionString = false;
      } else if (first === '"') this.#readName(sql.slice(scanner.start + 1, scanner.end - 1), false);
      else this.#maskLiteral(first);
    }
    return this.#out + sql.slice(this.#copied);
  }

  #readWord(word: string): void {
    let name = word;
    // PostgreSQL treats white space beyond ASCII as letters. In a pasted statement, it separates two words.
    if (/\s/.test(word)) {
      const names = word.split(/\s+/);
      name = names.pop()!;
      for (const each of names) this.#readName(each, false);
    }
    const { end } = this.#scanner;
    this.#hasPrefix = name.length === 1 && PREFIXED.test(name + this.#sql.slice(end, end + 2));
    if (!this.#hasPrefix) this.#readName(name, this.#sql[end] === '(');
  }

  /** Remembers what the name says about the next literal. A function does not change that: `password = crypt('…', …)`. */
  #readName(name: string, isFunction: boolean): void {
    if (PASSWORD_NAME.test(name.slice(-10))) this.#isPassword = true;
    else if (!isFunction && name !== '') this.#isPassword = false;
    this.#isConnectionString = CONNECTION_NAME.test(name);
  }

  /**
   * Masks a literal that is a password, or its text from a password on. `#isPassword` stays set, since the literal may continue
   * on the next line.
   * @param first the first character of the token: a quote, a dollar sign, or the `E` of `E'…'`
   */
  #maskLiteral(first: string): void {
    const sql = this.#sql;
    const { start, end } = this.#scanner;
    const isEscapeString = first !== "'" && first !== '$';
    const hasPrefix = isEscapeString || this.#hasPrefix;
    this.#hasPrefix = false;
    const from = isEscapeString ? start + 1 : start;
    const { opening, text, closing } = partsOfLiteral(sql, from, end);
    // Escapes in a connection string could spell the word `password`.
    if (this.#isPassword || (this.#isConnectionString && hasPrefix && text.includes('\\')))
      this.#replace(from, end, `'${MASK}'`);
    else {
      const inside = maskInside(text);
      if (inside !== text) this.#replace(from, end, `${opening}${inside}${closing}`);
    }
    // With standard_conforming_strings = off, a backslash before the closing quote escapes it, and the literal goes on. The rest
    // of the statement is omitted.
    if (this.#isPassword && !hasPrefix && first === "'" && sql[end - 2] === '\\') {
      this.#copied = sql.length;
      this.#scanner.end = sql.length;
    }
  }

  #replace(from: number, end: number, masked: string): void {
    this.#out += this.#sql.slice(this.#copied, from) + masked;
    this.#copied = end;
  }
}

/** Splits a literal at its delimiter: a quote, or `$tag$`. `closing` is empty when the statement ends inside the literal. */
function partsOfLiteral(
  sql: string,
  from: number,
  end: number,
): { opening: string; text: string; closing: string } {
  const length = sql[from] === '$' ? sql.indexOf('$', from + 1) + 1 - from : 1;
  const opening = sql.slice(from, from + length);
  const isClosed = end - length >= from + length && sql.endsWith(opening, end);
  return {
    opening,
    text: sql.slice(from + length, isClosed ? end - length : end),
    closing: isClosed ? opening : '',
  };
}

/** The text of a literal up to a password in it. The rest is omitted, because the end of the password is not certain. */
function maskInside(text: string): string {
  const found = PASSWORD_INSIDE.exec(text);
  const kept = found ? `${text.slice(0, found.index)}${/^\w+/.exec(found[0])![0]}=${MASK}` : text;
  return kept.includes('://') ? redact(kept) : kept;
}

/** Keys with secret values. */
const SECRET_KEY = /pass|pwd|secret|token|credential|api.?key|private.?key/i;

/**
 * A copy for printing, with the values of secret keys and the credentials of URLs masked. Only plain objects and arrays are
 * copied. Class instances and functions belong to the app and are returned unchanged.
 */
export function maskedCopy<T>(value: T): T {
  return masked('', value, new Map()) as T;
}

function masked(key: string, value: unknown, seen: Map<object, unknown>): unknown {
  if (value === undefined || value === null || typeof value === 'function' || typeof value === 'boolean')
    return value;
  if (SECRET_KEY.test(key)) return MASK;
  if (typeof value === 'string') return redact(value);
  if (typeof value !== 'object' || !isPlain(value)) return value;
  const known = seen.get(value);
  if (known !== undefined) return known;
  const copy: unknown = Array.isArray(value) ? [] : {};
  seen.set(value, copy);
  for (const [name, inner] of Object.entries(value))
    Object.defineProperty(copy, name, {
      value: masked(Array.isArray(value) ? key : name, inner, seen),
      enumerable: true,
      configurable: true,
      writable: true,
    });
  return copy;
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  // Object.prototype differs between realms, so a plain object is one whose prototype has none.
  return Array.isArray(value) || prototype === null || Object.getPrototypeOf(prototype) === null;
}

/** Makes `inspect` and JSON print the result of `view` instead of `value`. Copies of `value` are not affected. */
export function printedAs<T extends object>(value: T, view: () => unknown): T {
  Object.defineProperty(value, 'toJSON', { value: view });
  Object.defineProperty(value, INSPECT, { value: view });
  return value;
}

/** Masks the values of secret names in the `options` of a startup packet: `-c app.token=***`. */
export function maskedStartupOptions(options: string): string {
  return options.replace(/(?:\\[^]|[^\s\\])+/g, (word) => {
    const equals = word.indexOf('=');
    const name = word.slice(0, Math.max(0, equals));
    return SECRET_KEY.test(name) ? `${name}=${MASK}` : word;
  });
}
