const SECOND = 1_000;
const DAY = 86_400 * SECOND;
/** Longer than this and a timer of Node's fires at once. */
export const LONGEST_TIMER = 2_147_483_000;

/** Whole numbers from `min` to `max`; `off` says that 0 is allowed too and turns the thing off. */
export interface Bounds {
  readonly min: number;
  readonly max: number;
  readonly off?: true;
}

/** One place for the limits of both ways in, environment and code; all durations in milliseconds. */
export const BOUNDS = {
  pool: {
    size: { min: 1, max: 100 },
    maxOverflow: { min: 0, max: 100 },
    acquireTimeoutMs: { min: SECOND, max: 300 * SECOND },
    maxLifetimeMs: { min: 300 * SECOND, max: LONGEST_TIMER },
    leakThresholdMs: { min: 2 * SECOND, max: LONGEST_TIMER, off: true },
    reclaimAfterMs: { min: 2 * SECOND, max: LONGEST_TIMER, off: true },
    minIdle: { min: 0, max: 100 },
    maxWaiting: { min: 0, max: 1_000_000 },
    keepaliveMs: { min: SECOND, max: LONGEST_TIMER, off: true },
    overflowIdleMs: { min: SECOND, max: LONGEST_TIMER },
    idleTimeoutMs: { min: SECOND, max: LONGEST_TIMER, off: true },
  },
  timeouts: {
    connectMs: { min: SECOND, max: 120 * SECOND },
    statementMs: { min: 1, max: DAY, off: true },
    idleInTransactionMs: { min: 1, max: DAY, off: true },
    lockMs: { min: 1, max: DAY, off: true },
    shutdownMs: { min: 0, max: 300 * SECOND },
  },
  connectRetry: {
    retries: { min: 0, max: 100 },
    delayMs: { min: 0, max: 300 * SECOND },
  },
  instances: { min: 1, max: 10_000 },
  echoLength: { min: 10, max: 1_000_000 },
  port: { min: 1, max: 65_535 },
  applicationNameBytes: 63,
} as const satisfies Record<string, unknown>;

export const within = (value: number, { min, max, off }: Bounds) =>
  (value >= min && value <= max) || (off === true && value === 0);
