import { DatabaseConfigError } from '../errors/config.errors.js';
import type { ConfigProblem } from '../errors/config.errors.js';
import type { Connection, ConnectionOptions } from '../connection/connection.js';
import type { ResetMode } from '../database.options.js';
import type { Clock } from './support/clock.js';
import type { LeasedClient, PoolableClient } from './connections/pooled-connection.js';
import type { PoolWarning } from './reporting/pool-warning.js';

/** How many connections, for how long, and what is done to them. Names of `pg-pool` stand below ours. */
export interface PoolLimitsOptions {
  /**
   * Connections kept open once they are.
   * @defaultValue 5; `max` when that is given
   */
  size?: number;
  /**
   * Extra connections under load, closed soon after. `size + maxOverflow` is the most there ever are, those being opened
   * included.
   * @defaultValue 10; 0 when `max` is given
   */
  maxOverflow?: number;
  /**
   * Idle connections opened ahead and kept ready, never above `size` in all.
   * @defaultValue 0
   */
  minIdle?: number;
  /**
   * Longest wait of an acquire: queue, dial, session setup and validation. Milliseconds, 0 is for ever.
   * @defaultValue 30 000; `connectionTimeoutMillis` when that is given
   */
  acquireTimeoutMs?: number;
  /**
   * How many may wait beyond those for whom a connection is being opened; the next one is refused at once.
   * @defaultValue no limit
   */
  maxWaiting?: number;
  /**
   * Longest dial: TCP, TLS, login, `onConnect` and `verify`. Milliseconds, 0 is for ever.
   * @defaultValue 10 000; `connectionTimeoutMillis` when that is given
   */
  connectTimeoutMs?: number;
  /**
   * A connection older than this is replaced, up to 10 % earlier so that they don't all go at once; one in use is never
   * cut. Milliseconds, 0 is for ever.
   * @defaultValue 1 800 000; `maxLifetimeSeconds` when that is given
   */
  maxLifetimeMs?: number;
  /**
   * How long a connection above `size` stays idle before it is closed. Milliseconds, 0 is for ever.
   * @defaultValue 10 000
   */
  overflowIdleMs?: number;
  /**
   * Ask an idle connection this often whether it is alive, so that nothing in between forgets it. It keeps a database awake
   * that would else sleep and cost nothing. Not those above `size`. Milliseconds, 0 is off; TCP keepalive is on in any case.
   * @defaultValue 0
   */
  keepaliveMs?: number;
  /**
   * Whether a connection that lay idle is asked whether it is alive before it is lent.
   * @defaultValue true
   */
  prePing?: boolean;
  /**
   * A connection used less than this ago is lent without asking. Milliseconds.
   * @defaultValue 500
   */
  validateAfterIdleMs?: number;
  /**
   * Longest wait for the answer to that question; then the connection is replaced. Milliseconds.
   * @defaultValue 2 000
   */
  validationTimeoutMs?: number;
  /**
   * What is done to a connection that comes back. `smart`: roll back what is open, clear the session if it was seen to
   * change. `rollback`: the first alone. `discard`: DISCARD ALL each time. `none`: nothing.
   * @defaultValue smart
   */
  reset?: ResetMode;
  /**
   * Longest clean-up of a connection that comes back, the end of a statement still running included. Milliseconds.
   * @defaultValue 5 000
   */
  resetTimeoutMs?: number;
  /**
   * Warn, with the borrower's stack, when a connection is out for longer than this. Milliseconds, 0 is off.
   * @defaultValue 0
   */
  leakThresholdMs?: number;
  /**
   * Take a connection back by force when it is out for longer than this: cancel, destroy, and tell the owner.
   * Milliseconds, 0 is off.
   * @defaultValue 0
   */
  reclaimAfterMs?: number;
  /**
   * Close a connection after it was lent this often.
   * @defaultValue no limit
   */
  maxUses?: number;
  /**
   * Whether the process may end while connections are idle.
   * @defaultValue false
   */
  allowExitOnIdle?: boolean;
}

/** The names of `pg-pool`. */
export interface PgPoolNames {
  /** The most connections there ever are; `size` becomes the same and `maxOverflow` 0. */
  max?: number;
  /** Another name of `max`. */
  poolSize?: number;
  /**
   * Connections that `idleTimeoutMillis` leaves open.
   * @defaultValue 0
   */
  min?: number;
  /**
   * How long a connection above `min` stays idle before it is closed. Milliseconds, 0 is for ever.
   * @defaultValue 10 000 when `max` is given, else off
   */
  idleTimeoutMillis?: number | null;
  /** `acquireTimeoutMs`. */
  connectionTimeoutMillis?: number;
  /** `maxLifetimeMs`, in seconds. */
  maxLifetimeSeconds?: number;
}

/** Everything that the pool takes: its limits, its hooks, and what `pg.Client` takes. */
export interface PoolOptions<C extends PoolableClient = Connection>
  extends
    PoolLimitsOptions,
    PgPoolNames,
    Omit<ConnectionOptions, 'connectionTimeoutMillis' | 'connectTimeoutMs'> {
  /** The class of the connections. @defaultValue `Connection` */
  Client?: new (options: never) => C;
  /** Further options of the client, asked for at each dial: what an earlier dial has taught can change them. */
  connectOptions?: () => Omit<ConnectionOptions, 'connectionTimeoutMillis' | 'connectTimeoutMs'>;
  /**
   * Asked when a dial has failed: whether the failure has changed `connectOptions`, so that another dial is to follow at once.
   * Then it counts as no failure.
   */
  retryConnect?: (error: Error) => boolean;
  /**
   * What the errors of the pool say of a failed dial: in place of its own words, and as their `hint`.
   * @defaultValue the message of the failure, and no hint
   */
  explain?: (cause: Error) => { message: string; hint?: string };
  /** Prepares a new connection; a rejection fails the dial, and the dial's deadline bounds it. */
  onConnect?: (client: C) => unknown;
  /** As `onConnect`, by callback, after it. */
  verify?: (client: LeasedClient<C>, done: (error?: Error | null) => void) => void;
  /** Hears in words what the pool does with its connections, for debugging: opening, opened, validating, closing and why. */
  log?: (message: string, ...details: unknown[]) => void;
  /**
   * Hears what an operator should know: leaks, open transactions, lost connections. `false` is for nobody.
   * @defaultValue `process.emitWarning` for those of level `warn`
   */
  onWarning?: ((warning: PoolWarning) => void) | false;
  /** Where the time comes from. @defaultValue the system's clock */
  clock?: Clock;
}

/** The limits with their defaults; a limit that is off is `Infinity`. */
export interface ResolvedLimits {
  readonly size: number;
  readonly max: number;
  readonly min: number;
  readonly minIdle: number;
  readonly acquireTimeoutMs: number;
  readonly maxWaiting: number;
  readonly connectTimeoutMs: number;
  readonly maxLifetimeMs: number;
  readonly idleTimeoutMs: number;
  readonly overflowIdleMs: number;
  readonly keepaliveMs: number;
  readonly prePing: boolean;
  readonly validateAfterIdleMs: number;
  readonly validationTimeoutMs: number;
  readonly reset: ResetMode;
  readonly resetTimeoutMs: number;
  readonly leakThresholdMs: number;
  readonly reclaimAfterMs: number;
  readonly maxUses: number;
  readonly allowExitOnIdle: boolean;
}

/** Longest clean-up of a connection that comes back, where nothing else is said. */
export const RESET_TIMEOUT_MS = 5_000;

const RESET_MODES: readonly ResetMode[] = ['smart', 'rollback', 'discard', 'none'];

/** Applies the defaults; throws a `DatabaseConfigError` that names every wrong value. */
export function resolveLimits(options: PoolLimitsOptions & PgPoolNames): ResolvedLimits {
  const problems: ConfigProblem[] = [];
  const read = <F>(name: keyof (PoolLimitsOptions & PgPoolNames), fallback: F, least = 0): number | F => {
    const given = options[name];
    if (given === undefined || given === null) return fallback;
    const value = Number(given);
    if (Number.isNaN(value) || value < least)
      problems.push({ setting: name, message: `is ${String(given)}; at least ${least} is allowed` });
    return value;
  };
  const readCount = <F>(name: keyof (PoolLimitsOptions & PgPoolNames), fallback: F): number | F => {
    const value = read(name, fallback);
    if (typeof value === 'number' && Number.isFinite(value) && !Number.isInteger(value))
      problems.push({ setting: name, message: `is ${value}; a whole number is wanted` });
    return value;
  };
  const orNever = (ms: number): number => (ms > 0 ? ms : Infinity);
  // `pg-pool` takes 0 for "not given".
  const max = readCount('max', undefined) || readCount('poolSize', undefined) || undefined;
  const size = readCount('size', max ?? 5);
  const overflow = readCount('maxOverflow', max === undefined ? 10 : Math.max(0, max - size));
  const timeoutMs = read('connectionTimeoutMillis', undefined);
  const reset = options.reset ?? 'smart';
  if (size + overflow < 1)
    problems.push({ setting: 'size', message: 'and maxOverflow are both 0; no connection could be opened' });
  if (!RESET_MODES.includes(reset))
    problems.push({
      setting: 'reset',
      message: `is ${String(reset)}; one of ${RESET_MODES.join(', ')} is allowed`,
    });
  const limits: ResolvedLimits = {
    size,
    max: size + overflow,
    min: readCount('min', 0),
    minIdle: Math.min(readCount('minIdle', 0), size),
    acquireTimeoutMs: orNever(read('acquireTimeoutMs', timeoutMs ?? 30_000)),
    maxWaiting: readCount('maxWaiting', Infinity),
    connectTimeoutMs: orNever(read('connectTimeoutMs', timeoutMs || 10_000)),
    maxLifetimeMs: orNever(
      options.maxLifetimeMs === undefined && options.maxLifetimeSeconds !== undefined
        ? read('maxLifetimeSeconds', 0) * 1_000
        : read('maxLifetimeMs', 1_800_000),
    ),
    // `pg-pool` takes null, like 0, for "never".
    idleTimeoutMs: orNever(
      options.idleTimeoutMillis === null ? 0 : read('idleTimeoutMillis', max === undefined ? 0 : 10_000),
    ),
    overflowIdleMs: orNever(read('overflowIdleMs', 10_000)),
    keepaliveMs: orNever(read('keepaliveMs', 0)),
    prePing: options.prePing ?? true,
    validateAfterIdleMs: read('validateAfterIdleMs', 500),
    validationTimeoutMs: read('validationTimeoutMs', 2_000, 1),
    reset,
    resetTimeoutMs: read('resetTimeoutMs', RESET_TIMEOUT_MS, 1),
    leakThresholdMs: orNever(read('leakThresholdMs', 0)),
    reclaimAfterMs: orNever(read('reclaimAfterMs', 0)),
    maxUses: orNever(readCount('maxUses', 0)),
    allowExitOnIdle: options.allowExitOnIdle ?? false,
  };
  if (problems.length > 0) throw new DatabaseConfigError(problems);
  return limits;
}

const SECRETS = ['password', 'connectionString', 'ssl', 'connection', 'stream'];

/** A copy of the options that no `inspect` and no JSON takes a secret from; the caller's object stays as it was. */
export function withoutSecrets<T extends object>(options: T): T {
  const copy = { ...options };
  for (const name of SECRETS) if (name in copy) Object.defineProperty(copy, name, { enumerable: false });
  return copy;
}
