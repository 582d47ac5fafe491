import type { LeaseInfo, PoolSnapshot } from './database.snapshot.js';
import { redact, shortSql } from './text/masking.js';
import { callSite, setStackFrom, userFramesOf } from './text/call-site.js';

export { maskedSql, redact, shortSql } from './text/masking.js';

/** What `util.inspect` asks an object for, Nest's logger with it. */
const INSPECT = Symbol.for('nodejs.util.inspect.custom');

type Inspect = (value: unknown, options: object) => string;

/** Marks our errors with their family, so that `instanceof` holds between the ESM and the CommonJS build. */
const FAMILY = Symbol.for('nestjs-database.error.family');

/** Notes on an error whether its data source answers HTTP requests by it; for both builds of this package. */
const HTTP_ERRORS = Symbol.for('nestjs-database.error.httpErrors');

/** Notes on an error of a data source whether HTTP requests are answered by it (`httpErrors`). */
export function noteHttpErrors(error: unknown, httpErrors: boolean): void {
  if (typeof error === 'object' && error !== null && Object.isExtensible(error))
    Object.defineProperty(error, HTTP_ERRORS, { value: httpErrors, configurable: true });
}

/** What the error's data source has noted; undefined for an error of no data source of this package. */
export function httpErrorsOf(error: object): boolean | undefined {
  return (error as { [HTTP_ERRORS]?: boolean })[HTTP_ERRORS];
}

/** What every error of this package is made from. */
export interface DatabaseErrorOptions {
  /** Stable, for programs: `DATABASE_CONFIG_INVALID`, `POOL_ACQUIRE_TIMEOUT`, … */
  code: string;
  /** Which setting or person can change it. */
  hint?: string;
  /** The error below this one, unchanged. */
  cause?: unknown;
  /** Name of the data source that it happened on. */
  dataSource?: string;
}

/**
 * The root of all errors of this package. `message` says what happened, `hint` what can be done about it, `cause`
 * keeps the error below. None of them holds a password.
 */
export class DatabaseError extends Error {
  /** The class' name in the family; a subclass outside this package has none and is compared by prototype. */
  static readonly family: string = 'DatabaseError';

  static override [Symbol.hasInstance](value: unknown): boolean {
    if (!Object.hasOwn(this, 'family')) return Function.prototype[Symbol.hasInstance].call(this, value);
    const families = (value as { [FAMILY]?: readonly string[] } | null | undefined)?.[FAMILY];
    return Array.isArray(families) && families.includes(this.family);
  }

  readonly code: string;
  declare readonly hint?: string;
  declare readonly dataSource?: string;

  constructor(message: string, options: DatabaseErrorOptions) {
    const limit = Error.stackTraceLimit;
    Error.stackTraceLimit = 0;
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    Error.stackTraceLimit = limit;
    this.name = new.target.name;
    // Without a limit the stack is that of another place, which the maker of the error knows.
    if (limit > 0) setStackFrom(this, callSite(new.target));
    this.code = options.code;
    // Only what is known, since all of it is printed with the error.
    if (options.hint !== undefined) this.hint = options.hint;
    if (options.dataSource !== undefined) this.dataSource = options.dataSource;
    Object.defineProperty(this, FAMILY, { value: familiesOf(new.target) });
    // Not by the prototype: test frameworks show and compare what stands there.
    Object.defineProperty(this, INSPECT, {
      value: (_depth: number, options: object, inspect: Inspect) => paragraphOf(this, {}, options, inspect),
    });
  }
}

/** An error as a log prints it: one paragraph with its enumerable texts and figures, and a line for each cause. */
export function paragraphOf(
  error: Error,
  further: Readonly<Record<string, unknown>>,
  options: object,
  inspect: Inspect,
): string {
  const shown: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(error))
    if (key !== 'name' && value !== undefined && typeof value !== 'object') shown[key] = value;
  Object.assign(shown, further);
  const lines = [error.stack ?? String(error)];
  if (Object.keys(shown).length > 0) lines[0] += ` ${inspect(shown, options)}`;
  for (let { cause } = error, depth = 0; cause !== undefined && depth < 4; depth++) {
    lines.push(`Caused by ${causeInWords(cause)}`);
    ({ cause } = (cause ?? {}) as { cause?: unknown });
  }
  return lines.join('\n');
}

/** The stack of a cause is mostly that of a socket; where it leads into the user's code, it is shown too. */
function causeInWords(cause: unknown): string {
  if (!isError(cause)) return String(cause);
  const { code } = cause as { code?: string | number };
  const frames = userFramesOf(cause);
  return `${String(cause)}${code === undefined ? '' : ` (${code})`}${frames ? `\n${frames}` : ''}`;
}

/** Not `instanceof`: errors of Node itself come from another realm under Jest. */
function isError(value: unknown): value is Error {
  return typeof (value as { stack?: unknown } | undefined)?.stack === 'string';
}

function familiesOf(type: { family?: string }): string[] {
  const families: string[] = [];
  for (
    let t: { family?: string } | null = type;
    t;
    t = Object.getPrototypeOf(t) as { family?: string } | null
  )
    if (Object.hasOwn(t, 'family') && t.family) families.push(t.family);
  return families;
}

/** One wrong setting: its name, what was found (its shape; never a secret) and what is allowed. */
export interface ConfigProblem {
  /** The variable (`DB_POOL_SIZE`) or the option's path (`pool.size`). */
  setting: string;
  message: string;
}

/** Wrong or missing settings; all of them at once, before any connection is tried. */
export class DatabaseConfigError extends DatabaseError {
  static override readonly family: string = 'DatabaseConfigError';
  declare readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[], options: Partial<DatabaseErrorOptions> = {}) {
    const lines = problems.map(({ setting, message }) => `  ${setting}: ${message}`);
    super(`The database settings are not valid:\n${lines.join('\n')}`, {
      code: 'DATABASE_CONFIG_INVALID',
      hint: 'Change the settings named above; nothing was connected to yet.',
      ...options,
    });
    // Not enumerable: the message lists them already, and Nest prints an error with all its properties.
    Object.defineProperty(this, 'problems', { value: Object.freeze([...problems]) });
  }
}

/** Something that one connection could not do. */
export class ConnectionError extends DatabaseError {
  static override readonly family: string = 'ConnectionError';
}

/** The dial took longer than it may. */
export class ConnectTimeoutError extends ConnectionError {
  static override readonly family: string = 'ConnectTimeoutError';

  constructor(server: string, timeoutMs: number, reached = false) {
    const what = reached ? 'took the connection and did not let us in' : 'did not answer';
    super(`Connection timeout: ${server} ${what} within ${timeoutMs} ms (timeout expired).`, {
      code: reached ? 'HANDSHAKE_TIMEOUT' : 'CONNECT_TIMEOUT',
      hint: 'Check host, port and firewall; connectTimeoutMs (pg: connectionTimeoutMillis) bounds the dial.',
    });
  }
}

/** The function that gives the password failed or took too long, or gave what is none. */
export class PasswordError extends ConnectionError {
  static override readonly family: string = 'PasswordError';

  constructor(message: string, options: Partial<DatabaseErrorOptions> = {}) {
    super(message, { code: 'PASSWORD_UNAVAILABLE', ...options });
  }

  /** After `timeoutMs` milliseconds, of a call or of a dial that waited for it. */
  static late(timeoutMs: number): PasswordError {
    return new PasswordError(`The password function did not answer within ${timeoutMs} ms.`, {
      hint: 'connectTimeoutMs (pg: connectionTimeoutMillis) bounds it, as it bounds the dial.',
    });
  }
}

/** A connection did not answer, or could not be cleaned; it is destroyed. */
export class ConnectionResetError extends ConnectionError {
  static override readonly family: string = 'ConnectionResetError';

  constructor(message: string, options: Partial<DatabaseErrorOptions> = {}) {
    super(message, { code: 'CONNECTION_RESET_FAILED', ...options });
  }
}

/** A statement ran out of time on our side: the server was asked to stop it, and the socket is cut if it does not. */
export class QueryTimeoutError extends ConnectionError {
  static override readonly family: string = 'QueryTimeoutError';

  constructor(
    limitMs: number,
    sql?: string,
    hint = 'The limit is statement_timeout plus statementGraceMs, or query_timeout.',
  ) {
    super(
      `Query read timeout: no answer within ${limitMs} ms${sql ? `, SQL ${shortSql(sql)}` : ''}; it was cancelled.`,
      {
        code: 'QUERY_TIMEOUT',
        hint,
      },
    );
  }
}

export interface PoolErrorOptions extends Partial<DatabaseErrorOptions> {
  /** The pool when it happened. */
  snapshot?: PoolSnapshot;
  /** Who had the connections, the longest first. */
  holders?: readonly LeaseInfo[];
}

/** The root of what the pool throws. */
export class PoolError extends DatabaseError {
  static override readonly family: string = 'PoolError';
  /** The pool when it happened. */
  declare readonly snapshot: PoolSnapshot | undefined;
  /** Who had the connections, the longest first. */
  declare readonly holders: readonly LeaseInfo[];

  constructor(message: string, options: PoolErrorOptions & { code: string }) {
    super(message, options);
    // Not enumerable: the message has what an operator needs of them, and loggers print all that is.
    Object.defineProperty(this, 'snapshot', { value: options.snapshot });
    Object.defineProperty(this, 'holders', { value: options.holders ?? [] });
  }
}

/** No connection came free within the deadline. */
export class PoolAcquireTimeoutError extends PoolError {
  static override readonly family: string = 'PoolAcquireTimeoutError';
  constructor(message: string, options: PoolErrorOptions = {}) {
    super(message, { code: 'POOL_ACQUIRE_TIMEOUT', ...options });
  }
}

/** As many as `maxWaiting` allows are waiting already. */
export class PoolQueueFullError extends PoolError {
  static override readonly family: string = 'PoolQueueFullError';
  constructor(message: string, options: PoolErrorOptions = {}) {
    super(message, { code: 'POOL_QUEUE_FULL', ...options });
  }
}

/** No connection could be opened, and none was out that could have come back; `cause` is the server's or the socket's. */
export class PoolConnectError extends PoolError {
  static override readonly family: string = 'PoolConnectError';
  constructor(message: string, options: PoolErrorOptions = {}) {
    super(message, { code: 'POOL_CONNECT_FAILED', ...options });
  }
}

/** A connection did not pass its validation; it is what the acquire's own error gives as its cause. */
export class PoolValidationError extends PoolError {
  static override readonly family: string = 'PoolValidationError';
  constructor(message: string, options: PoolErrorOptions = {}) {
    super(message, { code: 'POOL_VALIDATION_FAILED', ...options });
  }
}

/** The pool is closed, or was while the acquire waited. */
export class PoolClosedError extends PoolError {
  static override readonly family: string = 'PoolClosedError';
  constructor(message: string, options: PoolErrorOptions = {}) {
    super(message, { code: 'POOL_CLOSED', ...options });
  }
}

/** The acquire's signal was aborted; `cause` is its reason. */
export class PoolAcquireCancelledError extends PoolError {
  static override readonly family: string = 'PoolAcquireCancelledError';
  constructor(message: string, options: PoolErrorOptions = {}) {
    super(message, { code: 'POOL_ACQUIRE_CANCELLED', ...options });
  }
}

/** Every connection has an explicit holder, an open transaction or a pinned connection, that waits for another one. */
export class PoolSelfDeadlockError extends PoolError {
  static override readonly family: string = 'PoolSelfDeadlockError';
  constructor(message: string, options: PoolErrorOptions = {}) {
    super(message, { code: 'POOL_SELF_DEADLOCK', ...options });
  }
}

/** The connection was out for too long and was taken back by force. */
export class PoolLeaseReclaimedError extends PoolError {
  static override readonly family: string = 'PoolLeaseReclaimedError';
  constructor(message: string, options: PoolErrorOptions = {}) {
    super(message, { code: 'POOL_LEASE_RECLAIMED', ...options });
  }
}

/** No connection at start, or not the one that was asked for. `code` is that of the diagnosis: `CONNECTION_REFUSED`, … */
export class DatabaseConnectionError extends DatabaseError {
  static override readonly family: string = 'DatabaseConnectionError';
}

/**
 * A stranger's error as a cause of ours: its text, stack and code, and none of its further properties, which get
 * printed too (`new URL()` puts the whole URL into `input`).
 */
export function plainCause(error: unknown): Error {
  // Anything can be thrown, `undefined` by a bare `Promise.reject()`.
  const { name, message, stack, code } = (error ?? {}) as Partial<Error> & { code?: unknown };
  const copy = new Error(redact(String(message ?? error)));
  if (name) copy.name = name;
  if (stack) copy.stack = redact(stack);
  return typeof code === 'string' ? Object.assign(copy, { code }) : copy;
}
