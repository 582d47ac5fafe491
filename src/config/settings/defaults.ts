import type {
  ConnectRetrySettings,
  DatabaseProfile,
  PoolSettings,
  StartupMode,
  TimeoutSettings,
} from '../../database.options.js';

/** What holds where neither the options, the URL nor the profile says otherwise. */
export const DEFAULTS = {
  pool: {
    size: 5,
    maxOverflow: 10,
    acquireTimeoutMs: 30_000,
    maxLifetimeMs: 1_800_000,
    prePing: true,
    leakThresholdMs: 0,
    reclaimAfterMs: 0,
    minIdle: 0,
    maxWaiting: Infinity,
    overflowIdleMs: 10_000,
    idleTimeoutMs: 0,
    keepaliveMs: 0,
    reset: 'smart',
  } satisfies Required<PoolSettings>,
  timeouts: {
    connectMs: 10_000,
    statementMs: 30_000,
    idleInTransactionMs: 60_000,
    lockMs: 0,
    shutdownMs: 10_000,
  } satisfies Required<TimeoutSettings>,
  connectRetry: {
    retries: 10,
    initialDelayMs: 200,
    maxDelayMs: 5_000,
  } satisfies Required<ConnectRetrySettings>,
  echo: { parameters: false, maxLength: 2_000 },
  startup: 'verify' as StartupMode,
  instances: 1,
  port: 5432,
} as const;

/** Few connections and short waits, for a laptop as for a function that lives for one request. */
const SMALL = { size: 2, acquireTimeoutMs: 10_000, maxLifetimeMs: 300_000 } as const;

export const PROFILES: Readonly<Record<DatabaseProfile, { readonly pool: Readonly<PoolSettings> }>> = {
  production: { pool: {} },
  development: { pool: { ...SMALL, maxOverflow: 5, leakThresholdMs: 30_000 } },
  // A function is frozen soon after its last request, and its connections are cut meanwhile.
  serverless: { pool: { ...SMALL, maxOverflow: 0, idleTimeoutMs: 5_000 } },
};
