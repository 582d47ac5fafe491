import { DatabaseConfigError } from '../errors/config.errors.js';
import type { ConfigProblem } from '../errors/config.errors.js';
import type { Connection, ConnectionOptions } from '../connection/connection.js';
import type { ResetMode } from '../database.options.js';
import type { Clock } from './support/clock.js';
import type { LeasedClient, PoolableClient } from './connections/pooled-connection.js';
import type { PoolWarning } from './reporting/pool-warning.js';

/** The limits of a pool. `PgPoolNames` has the names of `pg-pool` for some of them. */
export interface PoolLimitsOptions {
  /**
   * Connections kept open once they were opened. At least 0.
   * @defaultValue 5; `max` when that is given
   */
  size?: number;
  /**
   * Further connections under load, closed after `overflowIdleMs`. The pool never has more than `size + maxOverflow` connections,
   * connecting ones included. At least 0.
   * @defaultValue 10; 0 when `max` is given
   */
  maxOverflow?: number;
  /**
   * Idle connections that the pool opens ahead of demand and keeps ready. At most `size` connections are opened for it.
   * @defaultValue 0
   */
  minIdle?: number;
  /**
   * Longest wait of an acquire for queue, connect, session setup and validation together. Milliseconds; 0 is no limit.
   * @defaultValue 30 000; `connectionTimeoutMillis` when that is given
   */
  acquireTimeoutMs?: number;
  /**
   * How many acquires may wait beyond those for which a connection is pending; the next one is refused immediately.
   * @defaultValue no limit
   */
  maxWaiting?: number;
  /**
   * Longest connect: TCP, TLS, login, `onConnect` and `verify` together. Milliseconds; 0 is no limit.
   * @defaultValue 10 000; `connectionTimeoutMillis` when that is given
   */
  connectTimeoutMs?: number;
  /**
   * Longest lifetime of a connection, shortened at random by up to 10 % so that connections do not expire together. A leased
   * connection is closed when it is released. Milliseconds; 0 is no limit.
   * @defaultValue 1 800 000; `maxLifetimeSeconds` when that is given
   */
  maxLifetimeMs?: number;
  /**
   * How long a connection above `size` stays idle before it is closed. Milliseconds; 0 is no limit.
   * @defaultValue 10 000
   */
  overflowIdleMs?: number;
  /**
   * Interval at which an idle connection is validated, so that firewalls do not drop it. It also prevents a serverless database
   * from scaling to zero. Connections above `size` are not validated. Milliseconds; 0 is off. TCP keepalive is always on.
   * @defaultValue 0
   */
  keepaliveMs?: number;
  /**
   * Whether a connection that was idle is validated before it is leased.
   * @defaultValue true
   */
  prePing?: boolean;
  /**
   * A connection that was idle for no longer than this is leased without a validation. Milliseconds.
   * @defaultValue 500
   */
  validateAfterIdleMs?: number;
  /**
   * Longest validation; a connection that does not answer in time is replaced. Milliseconds, at least 1.
   * @defaultValue 2 000
   */
  validationTimeoutMs?: number;
  /**
   * How a released connection is reset. `smart` rolls back an open transaction, and clears the session if it has changed.
   * `rollback` only rolls back. `discard` runs DISCARD ALL after each lease. `none` does nothing.
   * @defaultValue `smart`
   */
  reset?: ResetMode;
  /**
   * Longest reset of a released connection, including the rest of its active statement. After that, the connection is closed.
   * Milliseconds, at least 1.
   * @defaultValue 5 000
   */
  resetTimeoutMs?: number;
  /**
   * Reports a possible leak, with the call stack of the acquire, when a lease lasts longer than this and its connection
   * has no active statement.
   * Milliseconds; 0 is off.
   * @defaultValue 0
   */
  leakThresholdMs?: number;
  /**
   * Forcibly ends a lease that lasts longer than this: cancels its statement, closes the connection, and calls `onReclaimed`.
   * Milliseconds; 0 is off.
   * @defaultValue 0
   */
  reclaimAfterMs?: number;
  /**
   * Closes a connection after this many leases; 0 is no limit. A statement on a shared connection counts as a lease.
   * @defaultValue 0
   */
  maxUses?: number;
  /**
   * Whether the process may exit while connections are idle.
   * @defaultValue false
   */
  allowExitOnIdle?: boolean;
}

/** How connections are shared among callers. */
export interface MultiplexOptions {
  /**
   * Connections that may be shared, of those of the pool. At least 0; 0 is off. At least one connection of the pool is never
   * shared, so that a pool of one connection shares none.
   */
  connections: number;
  /**
   * Statements in flight on one shared connection. At least 1.
   * @defaultValue 16
   */
  maxInFlight?: number;
  /**
   * Longest mean time on the server of a statement that is shared. Milliseconds.
   * @defaultValue 5
   */
  maxMeanMs?: number;
}

/** The options with their defaults. */
export type ResolvedMultiplex = Readonly<Required<MultiplexOptions>>;

/** The defaults of `multiplex`. */
export const MULTIPLEX: ResolvedMultiplex = { connections: 0, maxInFlight: 16, maxMeanMs: 5 };

/** The names of `pg-pool` for the same limits. Those of `PoolLimitsOptions` take precedence. */
export interface PgPoolNames {
  /** The most connections; sets `size` to the same value and `maxOverflow` to 0. */
  max?: number;
  /** Another name of `max`. */
  poolSize?: number;
  /**
   * Connections that `idleTimeoutMillis` leaves open.
   * @defaultValue 0
   */
  min?: number;
  /**
   * How long a connection above `min` stays idle before it is closed. Milliseconds; 0 or null is no limit.
   * @defaultValue 10 000 when `max` is given, else no limit
   */
  idleTimeoutMillis?: number | null;
  /** `acquireTimeoutMs` and `connectTimeoutMs`. */
  connectionTimeoutMillis?: number;
  /** `maxLifetimeMs` in seconds. */
  maxLifetimeSeconds?: number;
}

/** The explanation of a failed connect. */
export interface Explanation {
  /** What the failure means, in one sentence. */
  meaning: string;
  /** What to do about it. */
  hint?: string;
}

/** The options of a pool: its limits, its hooks, and the options of `pg.Client`. */
export interface PoolOptions<C extends PoolableClient = Connection>
  extends
    PoolLimitsOptions,
    PgPoolNames,
    Omit<ConnectionOptions, 'connectionTimeoutMillis' | 'connectTimeoutMs'> {
  /**
   * The class of the connections.
   * @defaultValue `Connection`
   */
  Client?: new (options: never) => C;
  /**
   * Whether prepared SELECTs that are fast, return little and only read share a few connections, on which several of them are
   * in flight. Every other statement has a connection of its own.
   * @defaultValue false
   */
  multiplex?: MultiplexOptions | false;
  /** Called before each connect. Returns further options of the client, which may change from connect to connect. */
  connectOptions?: () => Omit<ConnectionOptions, 'connectionTimeoutMillis' | 'connectTimeoutMs'>;
  /**
   * Called when a connect has failed. Returns true when the failure has changed what `connectOptions` returns: then the pool
   * connects again immediately, and neither counts nor reports the failure.
   * @defaultValue returns false
   */
  shouldRetryConnect?: (error: Error) => boolean;
  /**
   * Explains a failed connect, for the message and the `hint` of the pool's errors and warnings.
   * @defaultValue returns the message of the error, without a hint
   * @example
   * explainConnectError: (cause) => ({ meaning: cause.message, hint: 'Is the VPN connected?' })
   */
  explainConnectError?: (cause: Error) => Explanation;
  /** Prepares a new connection, within `connectTimeoutMs`. A rejection fails the connect. */
  onConnect?: (client: C) => unknown;
  /** Runs after `onConnect`, with a callback, as in `pg-pool`. */
  verify?: (client: LeasedClient<C>, done: (error?: Error | null) => void) => void;
  /** Receives debug messages about connections: opening, opened, validating, and closing with its reason. */
  log?: (message: string, ...details: unknown[]) => void;
  /**
   * Receives warnings for an operator, such as leaks, open transactions and lost connections. `false` turns them off.
   * @defaultValue `process.emitWarning` for warnings of level `warn`
   */
  onWarning?: ((warning: PoolWarning) => void) | false;
  /**
   * The time and the timers of the pool, for tests.
   * @defaultValue the system's clock
   */
  clock?: Clock;
}

/** The limits with their defaults; `Infinity` is no limit. */
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

/** Default of `resetTimeoutMs`. */
export const RESET_TIMEOUT_MS = 5_000;

const RESET_MODES: readonly ResetMode[] = ['smart', 'rollback', 'discard', 'none'];

/**
 * Applies the defaults.
 * @throws DatabaseConfigError (`DATABASE_CONFIG_INVALID`) that names every invalid value
 */
export function resolveLimits(options: PoolLimitsOptions & PgPoolNames): ResolvedLimits {
  const problems: ConfigProblem[] = [];
  const read = <F>(name: keyof (PoolLimitsOptions & PgPoolNames), fallback: F, minimum = 0): number | F => {
    const given = options[name];
    if (given === undefined || given === null) return fallback;
    const value = Number(given);
    if (Number.isNaN(value) || value < minimum)
      problems.push({ setting: name, message: `is ${String(given)}; it must be at least ${minimum}` });
    return value;
  };
  const readCount = <F>(name: keyof (PoolLimitsOptions & PgPoolNames), fallback: F): number | F => {
    const value = read(name, fallback);
    if (typeof value === 'number' && Number.isFinite(value) && !Number.isInteger(value))
      problems.push({ setting: name, message: `is ${value}; it must be a whole number` });
    return value;
  };
  const orNoLimit = (ms: number): number => (ms > 0 ? ms : Infinity);
  // `pg-pool` treats 0 as "not given".
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
      message: `is ${String(reset)}; it must be one of ${RESET_MODES.join(', ')}`,
    });
  const limits: ResolvedLimits = {
    size,
    max: size + overflow,
    min: readCount('min', 0),
    minIdle: Math.min(readCount('minIdle', 0), size),
    acquireTimeoutMs: orNoLimit(read('acquireTimeoutMs', timeoutMs ?? 30_000)),
    maxWaiting: readCount('maxWaiting', Infinity),
    connectTimeoutMs: orNoLimit(read('connectTimeoutMs', timeoutMs || 10_000)),
    maxLifetimeMs: orNoLimit(
      options.maxLifetimeMs === undefined && options.maxLifetimeSeconds !== undefined
        ? read('maxLifetimeSeconds', 0) * 1_000
        : read('maxLifetimeMs', 1_800_000),
    ),
    // `pg-pool` treats null, like 0, as "never".
    idleTimeoutMs: orNoLimit(
      options.idleTimeoutMillis === null ? 0 : read('idleTimeoutMillis', max === undefined ? 0 : 10_000),
    ),
    overflowIdleMs: orNoLimit(read('overflowIdleMs', 10_000)),
    keepaliveMs: orNoLimit(read('keepaliveMs', 0)),
    prePing: options.prePing ?? true,
    validateAfterIdleMs: read('validateAfterIdleMs', 500),
    validationTimeoutMs: read('validationTimeoutMs', 2_000, 1),
    reset,
    resetTimeoutMs: read('resetTimeoutMs', RESET_TIMEOUT_MS, 1),
    leakThresholdMs: orNoLimit(read('leakThresholdMs', 0)),
    reclaimAfterMs: orNoLimit(read('reclaimAfterMs', 0)),
    maxUses: orNoLimit(readCount('maxUses', 0)),
    allowExitOnIdle: options.allowExitOnIdle ?? false,
  };
  if (problems.length > 0) throw new DatabaseConfigError(problems);
  return limits;
}

/**
 * Applies the defaults of `multiplex`.
 * @throws DatabaseConfigError (`DATABASE_CONFIG_INVALID`) that names every invalid value
 */
export function resolveMultiplex({
  multiplex = MULTIPLEX,
  preparedStatements,
  reset,
}: Pick<PoolOptions<never>, 'multiplex' | 'preparedStatements' | 'reset'>): ResolvedMultiplex | undefined {
  if (!multiplex || multiplex.connections === 0) return undefined;
  // In the tests, the default may be on.
  if (multiplex === MULTIPLEX && reset === 'discard') return undefined;
  const resolved = { ...MULTIPLEX, ...multiplex };
  const problems: ConfigProblem[] = [];
  for (const name of ['connections', 'maxInFlight'] as const)
    if (!Number.isInteger(resolved[name]) || resolved[name] < 1)
      problems.push({
        setting: `multiplex.${name}`,
        message: `is ${resolved[name]}; it must be a whole number of at least 1`,
      });
  if (!(resolved.maxMeanMs > 0))
    problems.push({
      setting: 'multiplex.maxMeanMs',
      message: `is ${resolved.maxMeanMs}; it must be more than 0`,
    });
  if (preparedStatements === false && multiplex !== MULTIPLEX)
    problems.push({
      setting: 'multiplex',
      message: 'shares connections for prepared statements, and preparedStatements is false',
    });
  if (reset === 'discard')
    problems.push({
      setting: 'multiplex',
      message: 'shares a session among callers, and reset: discard clears it after each of them',
    });
  if (problems.length > 0) throw new DatabaseConfigError(problems);
  return resolved;
}

const SECRET_OPTIONS = ['password', 'connectionString', 'ssl', 'connection', 'stream'];

/** A copy of the options whose secrets are not enumerable, so that `inspect` and JSON omit them. */
export function withoutSecrets<T extends object>(options: T): T {
  const copy = { ...options };
  for (const name of SECRET_OPTIONS)
    if (name in copy) Object.defineProperty(copy, name, { enumerable: false });
  return copy;
}
