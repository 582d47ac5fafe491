import { callSite, setStackFrom } from '../text/call-site.js';
import { errorParagraph } from './error-paragraph.js';
import type { Inspect } from './error-paragraph.js';

/** What the constructor of `DatabaseError` takes beside the message. */
export interface DatabaseErrorOptions {
  /** Stable name for programs, for instance `POOL_ACQUIRE_TIMEOUT`. */
  code: string;
  /** Which setting or person can change it. */
  hint?: string;
  /** The error that led to this one. */
  cause?: unknown;
  /** Name of the data source that failed. */
  dataSource?: string;
}

/** Key of an error's families. `Symbol.for`, because the ESM and the CommonJS build have to find it on each other's errors. */
const FAMILIES = Symbol.for('nestjs-database.error.family');

/** What `util.inspect`, and with it Nest's logger, calls to print an object. */
const INSPECT = Symbol.for('nodejs.util.inspect.custom');

/**
 * The root of all errors of this package. `message` says what happened, `hint` what can be done, and `cause` holds the
 * error that led to it. No error holds a password. A log prints it as one paragraph.
 *
 * `instanceof` also holds for an error of another copy of this package: the ESM and the CommonJS build may both be loaded.
 *
 * Codes of the class itself: `DATA_SOURCE_CLOSED`, `DATA_SOURCE_FOREIGN`, `ENTITY_UNDEFINED`, `REQUEST_CLOSED`,
 * `REQUEST_NOT_HTTP`, `TRANSACTION_ABORTED`, `TRANSACTION_IN_PROGRESS`, `TRANSACTION_ROLLED_BACK`.
 *
 * @example
 * ```ts
 * if (error instanceof DatabaseError) logger.error(`${error.code}: ${error.message} ${error.hint ?? ''}`);
 * ```
 */
export class DatabaseError extends Error {
  /** Names the class across copies of this package. A subclass of a user has no name of its own: its prototype decides. */
  static readonly family: string = 'DatabaseError';

  static override [Symbol.hasInstance](value: unknown): boolean {
    if (!Object.hasOwn(this, 'family')) return Function.prototype[Symbol.hasInstance].call(this, value);
    const families = (value as { [FAMILIES]?: readonly string[] } | null | undefined)?.[FAMILIES];
    return Array.isArray(families) && families.includes(this.family);
  }

  /** Stable name for programs. */
  readonly code: string;
  /** Which setting or person can change it. */
  declare readonly hint?: string;
  /** Name of the data source that failed. */
  declare readonly dataSource?: string;

  constructor(message: string, options: DatabaseErrorOptions) {
    // The stack is replaced below, and a capture by `Error` itself would cost as much again.
    const limit = Error.stackTraceLimit;
    Error.stackTraceLimit = 0;
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    Error.stackTraceLimit = limit;
    this.name = new.target.name;
    // With a limit of 0 the caller sets a stack itself.
    if (limit > 0) setStackFrom(this, callSite(new.target));
    this.code = options.code;
    // Only where known: an error is printed with all its enumerable properties.
    if (options.hint !== undefined) this.hint = options.hint;
    if (options.dataSource !== undefined) this.dataSource = options.dataSource;
    Object.defineProperty(this, FAMILIES, { value: familiesOf(new.target) });
    // On the error and not on the prototype, which test frameworks show and compare.
    Object.defineProperty(this, INSPECT, {
      value: (_depth: number, inspectOptions: object, inspect: Inspect) =>
        errorParagraph(this, {}, inspectOptions, inspect),
    });
  }
}

/** The families of a class and of the classes that it extends. */
function familiesOf(errorClass: object): string[] {
  const families: string[] = [];
  for (let at: { family?: string } | null = errorClass; at; at = Object.getPrototypeOf(at) as object | null)
    if (Object.hasOwn(at, 'family') && at.family) families.push(at.family);
  return families;
}
