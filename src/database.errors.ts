/** Marks our errors with their family, so that `instanceof` holds between the ESM and the CommonJS build. */
const FAMILY = Symbol.for('nestjs-database.error.family');

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
  readonly hint: string | undefined;
  readonly dataSource: string | undefined;

  constructor(message: string, options: DatabaseErrorOptions) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.code = options.code;
    this.hint = options.hint;
    this.dataSource = options.dataSource;
    Object.defineProperty(this, FAMILY, { value: familiesOf(new.target) });
  }
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
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[], options: Partial<DatabaseErrorOptions> = {}) {
    const lines = problems.map(({ setting, message }) => `  ${setting}: ${message}`);
    super(`The database settings are not valid:\n${lines.join('\n')}`, {
      code: 'DATABASE_CONFIG_INVALID',
      hint: 'Change the settings named above; nothing was connected to yet.',
      ...options,
    });
    this.problems = problems;
  }
}

/** No connection at start, or not the one that was asked for. `code` is that of the diagnosis: `CONNECTION_REFUSED`, … */
export class DatabaseConnectionError extends DatabaseError {
  static override readonly family: string = 'DatabaseConnectionError';
}
