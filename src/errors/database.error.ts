import { callSite, setStackFrom } from '../text/call-site.js';
import { INSPECT } from '../text/masking.js';
import { errorParagraph } from './error-paragraph.js';
import type { Inspect } from './error-paragraph.js';

/** What the constructor of `DatabaseError` takes in addition to the message. */
export interface DatabaseErrorOptions {
  /** Stable name for programs, for instance `POOL_ACQUIRE_TIMEOUT`. */
  code: string;
  /** What to do about the failure. */
  hint?: string;
  /** The error that led to this one. */
  cause?: unknown;
  /** Name of the data source that failed. */
  dataSource?: string;
}

/** Key of an error's families. `Symbol.for`, because the ESM and the CommonJS build must find it on each other's errors. */
const FAMILIES = Symbol.for('nestjs-database.error.family');

/**
 * The base class of all errors of this package. `message` says what happened, `hint` says what to do, and `cause` is the error
 * that led to this one. No error contains a password. A log prints an error as one paragraph.
 *
 * `instanceof` also recognises errors of another copy of this package: the ESM and the CommonJS build may both be loaded.
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
  /** Identifies the class across copies of this package. A subclass in the app has none and is compared by its prototype. */
  static readonly family: string = 'DatabaseError';

  static override [Symbol.hasInstance](value: unknown): boolean {
    if (!Object.hasOwn(this, 'family')) return Function.prototype[Symbol.hasInstance].call(this, value);
    const families = (value as { [FAMILIES]?: readonly string[] } | null | undefined)?.[FAMILIES];
    return Array.isArray(families) && families.includes(this.family);
  }

  /** Stable name for programs. */
  readonly code: string;
  /** What to do about the failure. */
  declare readonly hint?: string;
  /** Name of the data source that failed. */
  declare readonly dataSource?: string;

  constructor(message: string, options: DatabaseErrorOptions) {
    // The stack is captured below. A capture by `Error` itself would double the cost.
    const limit = Error.stackTraceLimit;
    Error.stackTraceLimit = 0;
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    Error.stackTraceLimit = limit;
    this.name = new.target.name;
    // With a limit of 0, the caller sets the stack: see `withoutStack`.
    if (limit > 0) setStackFrom(this, callSite(new.target));
    this.code = options.code;
    // Only when known: a log prints every enumerable property, undefined ones included.
    if (options.hint !== undefined) this.hint = options.hint;
    if (options.dataSource !== undefined) this.dataSource = options.dataSource;
    Object.defineProperty(this, FAMILIES, { value: familiesOf(new.target) });
    // On the error, not on the prototype: test frameworks show and compare the prototype's members.
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
