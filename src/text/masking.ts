const MASK = '***';
const INSPECT = Symbol.for('nodejs.util.inspect.custom');

/**
 * A text with the credentials of URLs and the passwords of connection strings masked. A URL ends at the last @ of its line,
 * since a password that was not encoded may hold anything. Linear in the length of the text.
 */
export function redact(text: string): string {
  const lines = text.includes('@') ? text.split('\n').map(redactedLine).join('\n') : text;
  return lines.replace(PASSWORD_VALUE, `$1${MASK}`);
}

/** `password=…` of a URL or a connection string, quoted or not. */
const PASSWORD_VALUE = /((?:password|passwd|passphrase)=)(?:'[^'\n]*'?|"[^"\n]*"?|[^&\s"']*)/gi;

function redactedLine(line: string): string {
  const at = line.lastIndexOf('@');
  if (at < 0) return line;
  const scheme = /postgres(?:ql)?:\/\//i.exec(line);
  const start = scheme ? scheme.index + scheme[0].length : at;
  const masked = start < at ? `${line.slice(0, start)}${MASK}${line.slice(at)}` : line;
  // Of other schemes, by the word.
  return masked.replace(/[^\s"']+/g, (word) => {
    const slashes = word.indexOf('//');
    const end = word.lastIndexOf('@');
    return slashes >= 0 && slashes + 2 < end
      ? `${word.slice(0, slashes + 2)}${MASK}${word.slice(end)}`
      : word;
  });
}

/** What moves a cursor, ends a line or turns the direction of text: it could forge the lines of a log. */
// eslint-disable-next-line no-control-regex
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]/g;

/** A text on one line, with control characters written out: `\u001b`. */
export function oneLine(text: string): string {
  return text
    .replace(/\s+/g, (space) => (/[\r\n]/.test(space) ? ' ' : space))
    .replace(CONTROL, (character) =>
      character === '\t' ? ' ' : `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
    );
}

/** A statement for the log, without the passwords in it. Linear in its length. */
export function maskedSql(sql: string): string {
  return /pass|:\/\/|dblink|connection/i.test(sql) ? new SqlMask(sql).masked() : sql;
}

/** A statement as messages show it: on one line, cut, and without the passwords in it. */
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
/** What may hold a password inside of a literal: a connection string, or SQL that is executed later. */
const PASSWORD_INSIDE = /pass(?:word|wd|phrase)?\s*(?:=|'|\\'|\$|(?:E|U&)')/i;

/** Reads a statement once, token by token as PostgreSQL does, and masks the literals that are passwords. */
class SqlMask {
  readonly #sql: string;
  #at = 0;
  #out = '';
  /** Whether the next literal is a password. */
  #armed = false;
  /** Whether the next literal is a connection string: of a subscription, or of dblink. */
  #connection = false;

  constructor(sql: string) {
    this.#sql = sql;
  }

  masked(): string {
    const sql = this.#sql;
    while (this.#at < sql.length) {
      const character = sql[this.#at]!;
      if (/\s/.test(character)) this.#copy(this.#at + 1);
      else if (character === '-' && sql[this.#at + 1] === '-') this.#copy(this.#endOf('\n'));
      else if (character === '/' && sql[this.#at + 1] === '*') this.#copy(this.#endOfComment());
      else if (character === "'") this.#literal(0, this.#endOfQuoted(this.#at + 1, false), 1);
      else if (character === '$') this.#dollar();
      else if (character === '"') this.#identifier();
      else if (/[A-Za-z_\u0080-\uffff]/.test(character)) this.#word();
      else this.#sign(character);
    }
    return this.#out;
  }

  #copy(end: number): void {
    this.#out += this.#sql.slice(this.#at, end);
    this.#at = end;
  }

  #endOf(text: string, from = this.#at): number {
    const found = this.#sql.indexOf(text, from);
    return found < 0 ? this.#sql.length : found + text.length;
  }

  /** Comments nest. */
  #endOfComment(): number {
    const part = /\/\*|\*\//g;
    part.lastIndex = this.#at;
    let depth = 0;
    for (let found = part.exec(this.#sql); found; found = part.exec(this.#sql)) {
      depth += found[0] === '/*' ? 1 : -1;
      if (depth === 0) return part.lastIndex;
    }
    return this.#sql.length;
  }

  /** Behind the closing quote, of which two stand for one; a backslash takes the next character with it in E'…'. */
  #endOfQuoted(from: number, escapes: boolean, quote = "'"): number {
    for (let at = from; at < this.#sql.length; at++) {
      const character = this.#sql[at];
      if (escapes && character === '\\') at++;
      else if (character === quote) {
        if (this.#sql[at + 1] !== quote) return at + 1;
        at++;
      }
    }
    return this.#sql.length;
  }

  /** @param prefix length of `E` or `U&` before it @param quote length of its quotes */
  #literal(prefix: number, end: number, quote: number): void {
    const start = this.#at + prefix;
    const text = this.#sql.slice(start + quote, Math.max(start + quote, end - quote));
    this.#out += this.#sql.slice(this.#at, start);
    this.#at = end;
    // Escapes could spell the word itself.
    const hidden = this.#armed || (this.#connection && prefix > 0 && text.includes('\\'));
    // Where standard_conforming_strings is off, the literal goes on behind such a quote.
    if (this.#armed && prefix === 0 && quote === 1 && this.#sql[end - 2] === '\\')
      this.#at = this.#sql.length;
    // A literal goes on in the next line, so that the state stays.
    if (hidden) this.#out += `'${MASK}'`;
    else
      this.#out += `${this.#sql.slice(start, start + quote)}${insideMasked(text)}${this.#sql.slice(end - quote, end)}`;
  }

  #dollar(): void {
    const tag = /\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$/y;
    tag.lastIndex = this.#at;
    const opening = tag.exec(this.#sql)?.[0];
    if (opening === undefined) this.#sign('$');
    else this.#literal(0, this.#endOf(opening, this.#at + opening.length), opening.length);
  }

  #identifier(): void {
    const end = this.#endOfQuoted(this.#at + 1, false, '"');
    this.#named(this.#sql.slice(this.#at + 1, end - 1));
    this.#copy(end);
  }

  #word(): void {
    const rest = /[\w$\u0080-\uffff]*/y;
    rest.lastIndex = this.#at;
    rest.exec(this.#sql);
    const end = rest.lastIndex;
    const word = this.#sql.slice(this.#at, end);
    if (/^[EBXN]$/i.test(word) && this.#sql[end] === "'")
      this.#literal(1, this.#endOfQuoted(end + 1, /^E$/i.test(word)), 1);
    else if (/^U$/i.test(word) && this.#sql.startsWith("&'", end))
      this.#literal(2, this.#endOfQuoted(end + 2, false), 1);
    else {
      this.#named(word);
      this.#copy(end);
    }
  }

  /** A function keeps what stands before it: `password = crypt('…', …)`. */
  #named(name: string): void {
    if (PASSWORD_NAME.test(name.slice(-10))) this.#armed = true;
    else if (this.#sql[this.#at + name.length] !== '(') this.#armed = false;
    this.#connection = /^connection$/i.test(name) || /^dblink/i.test(name);
  }

  #sign(character: string): void {
    if (character === ',' || character === ';' || character === ')') this.#armed = this.#connection = false;
    this.#copy(this.#at + 1);
  }
}

/** What stands before a password inside of a literal; what comes behind it is left out, since its end is hard to tell. */
function insideMasked(text: string): string {
  const found = PASSWORD_INSIDE.exec(text);
  const kept = found ? `${text.slice(0, found.index)}${/^\w+/.exec(found[0])![0]}=${MASK}` : text;
  return kept.includes('://') ? redact(kept) : kept;
}

/** Keys whose values are secrets. */
const SECRET_KEY = /pass|pwd|secret|token|credential|api.?key|private.?key/i;

/**
 * A copy for printing: what secret keys hold is masked, and so are the credentials in URLs. Only plain objects and lists are
 * looked into: what else a setting holds (classes, functions, clients) is the app's.
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
  // Not by identity: an object of another realm is one, too.
  return Array.isArray(value) || prototype === null || Object.getPrototypeOf(prototype) === null;
}

/** Prints as what `shown` gives, by `inspect` and as JSON; a copy of it prints as it is. */
export function printedAs<T extends object>(value: T, shown: () => unknown): T {
  Object.defineProperty(value, 'toJSON', { value: shown });
  Object.defineProperty(value, INSPECT, { value: shown });
  return value;
}

/** `-c app.token=…` of the start-up packet, with the values of secret names masked. */
export function maskedStartupOptions(options: string): string {
  return options.replace(/(?:\\[^]|[^\s\\])+/g, (word) => {
    const equals = word.indexOf('=');
    const name = word.slice(0, Math.max(0, equals));
    return SECRET_KEY.test(name) ? `${name}=${MASK}` : word;
  });
}
