import { z } from 'zod';
import type { PasswordFunction, SecretText, SslSettings } from '../../database.options.js';
import { BOUNDS, within } from './bounds.js';
import type { Bounds } from './bounds.js';
import { Secret } from '../secrets/secret.js';
import { kindOf, shapeOf, spaced } from '../problems/value-shape.js';
import { SSL_MODES } from '../tls/ssl.js';

export const PROFILE_NAMES = ['production', 'development', 'serverless'] as const;
export const RESET_MODES = ['smart', 'rollback', 'discard', 'none'] as const;
export const STARTUP_MODES = ['verify', 'lazy', 'off'] as const;
export const POOLER_MODES = ['none', 'session', 'transaction', 'statement'] as const;

interface Refused {
  readonly input?: unknown;
}

const not = (allowed: string) => ({
  error: ({ input }: Refused) => `${shapeOf(input)} is not ${allowed}`,
});
/** For what may be a secret, or hold one: only its kind is told. */
const notEven = (allowed: string) => ({
  error: ({ input }: Refused) => `${kindOf(input)} is not ${allowed}`,
});

const whole = ({ min, max }: Bounds) => {
  const refusal = not(`a whole number from ${min} to ${spaced(max)}`);
  return z.int(refusal).min(min, refusal).max(max, refusal);
};

/** Says the unit, since the environment's is another one. */
const milliseconds = (bounds: Bounds) => {
  const { min, max, off } = bounds;
  const allowed = `a whole number of milliseconds from ${spaced(min)} to ${spaced(max)}${off ? ', or 0 for off' : ''}`;
  const error = ({ input }: Refused) => {
    const seconds = typeof input === 'number' && input > 0 && input < min && within(input * 1_000, bounds);
    return `${shapeOf(input)} is not ${allowed}${seconds ? `; ${input} seconds are ${spaced(input * 1_000)}` : ''}`;
  };
  return z.int({ error }).refine((value) => within(value, bounds), { error });
};

const flag = () => z.boolean(not('true or false'));
const oneOf = <const T extends readonly [string, ...string[]]>(values: T) =>
  z.enum(values, not(`one of ${values.join(', ')}`));
const filled = (what: string) => z.string(notEven(what)).min(1, notEven(what));
const secret = (what: string) =>
  z.custom<string | SecretText>((value) => typeof value === 'string' || Secret.is(value), notEven(what));
const PASSWORD = notEven('a password, or a function that gives it');
const password = z.custom<string | SecretText | PasswordFunction>(
  (value) => typeof value === 'string' || typeof value === 'function' || Secret.is(value),
  PASSWORD,
);
const isPem = (value: unknown) => (typeof value === 'string' && value !== '') || value instanceof Uint8Array;
const PEM = notEven('PEM text, a buffer with it, or the path of a PEM file');
const isPemList = (value: unknown, isOne: (one: unknown) => boolean) =>
  Array.isArray(value) && value.length > 0 && value.every(isOne);
const pem = z.custom<NonNullable<SslSettings['ca']>>((value) => isPem(value) || isPemList(value, isPem), PEM);
/** In a list, as `tls.connect` takes it: with a passphrase of its own. */
const isKey = (value: unknown) =>
  isPem(value) || (typeof value === 'object' && value !== null && isPem((value as { pem?: unknown }).pem));
const secretPem = z.custom<NonNullable<SslSettings['key']>>(
  (value) => isPem(value) || Secret.is(value) || isPemList(value, isKey),
  PEM,
);
const group = not('a group of settings: { … }');

const pool = z.strictObject(
  {
    size: whole(BOUNDS.pool.size).optional(),
    maxOverflow: whole(BOUNDS.pool.maxOverflow).optional(),
    acquireTimeoutMs: milliseconds(BOUNDS.pool.acquireTimeoutMs).optional(),
    maxLifetimeMs: milliseconds(BOUNDS.pool.maxLifetimeMs).optional(),
    prePing: flag().optional(),
    leakThresholdMs: milliseconds(BOUNDS.pool.leakThresholdMs).optional(),
    reclaimAfterMs: milliseconds(BOUNDS.pool.reclaimAfterMs).optional(),
    minIdle: whole(BOUNDS.pool.minIdle).optional(),
    maxWaiting: whole(BOUNDS.pool.maxWaiting).optional(),
    overflowIdleMs: milliseconds(BOUNDS.pool.overflowIdleMs).optional(),
    idleTimeoutMs: milliseconds(BOUNDS.pool.idleTimeoutMs).optional(),
    keepaliveMs: milliseconds(BOUNDS.pool.keepaliveMs).optional(),
    reset: oneOf(RESET_MODES).optional(),
  },
  group,
);

const timeouts = z.strictObject(
  {
    connectMs: milliseconds(BOUNDS.timeouts.connectMs).optional(),
    statementMs: milliseconds(BOUNDS.timeouts.statementMs).optional(),
    idleInTransactionMs: milliseconds(BOUNDS.timeouts.idleInTransactionMs).optional(),
    lockMs: milliseconds(BOUNDS.timeouts.lockMs).optional(),
    shutdownMs: milliseconds(BOUNDS.timeouts.shutdownMs).optional(),
  },
  group,
);

const retries = whole(BOUNDS.connectRetry.retries);
const delay = milliseconds(BOUNDS.connectRetry.delayMs);
const connectRetry = z.strictObject(
  { retries: retries.optional(), initialDelayMs: delay.optional(), maxDelayMs: delay.optional() },
  group,
);

const echo = z.strictObject(
  { parameters: flag().optional(), maxLength: whole(BOUNDS.echoLength).optional() },
  group,
);

/** Beside these, whatever Node's `tls.connect` takes. */
const ssl = z.looseObject(
  {
    mode: oneOf(SSL_MODES).optional(),
    negotiation: oneOf(['postgres', 'direct']).optional(),
    ca: pem.optional(),
    cert: pem.optional(),
    key: secretPem.optional(),
    rejectUnauthorized: flag().optional(),
    servername: filled("the name in the server's certificate").optional(),
    passphrase: filled("the key's passphrase").optional(),
  },
  group,
);

/** PostgreSQL's names, with a prefix for those of extensions: `search_path`, `app.tenant`. */
const GUC = /^[A-Za-z_][\w$]*(?:\.[A-Za-z_][\w$]*)*$/;
const session = z.record(
  z
    .string()
    .regex(GUC, { error: "is not the name of a PostgreSQL setting, as 'search_path' or 'app.tenant'" }),
  z
    .union([z.string(), z.boolean(), z.number()], notEven('a text, a number, true or false'))
    .refine((value) => !String(value).includes('\0'), { error: 'it holds a zero character' }),
  group,
);

/** As on the top level, where `ssl: true` is taken apart elsewhere. */
const serverSsl = z.preprocess(
  (value) => (typeof value === 'boolean' ? { mode: value ? 'require' : 'disable' } : value),
  ssl,
);

const bytes = (value: string) => Buffer.byteLength(value, 'utf8');
const applicationName = z
  .string(not('a text'))
  .refine((value) => bytes(value) >= 1 && bytes(value) <= BOUNDS.applicationNameBytes, {
    error: ({ input }) => `a text of ${bytes(String(input))} bytes is not a text of 1 to 63 bytes`,
  });

const URL = 'a URL: postgres://user:password@host:5432/database';
const host = filled('the name of a host, or the folder of a socket');
const username = filled('the name of a user');
const database = filled('the name of a database');
const port = whole(BOUNDS.port);

const replicationServer = z.strictObject(
  {
    url: secret(URL).optional(),
    host: host.optional(),
    port: port.optional(),
    username: username.optional(),
    password: password.optional(),
    database: database.optional(),
    ssl: serverSsl.optional(),
    applicationName: applicationName.optional(),
  },
  group,
);

export const REPLICATION_SERVER_KEYS = Object.keys(replicationServer.shape);

const replication = z.strictObject(
  {
    master: replicationServer.optional(),
    slaves: z.array(replicationServer, not('a list of servers: [{ url }, …]')),
    defaultMode: oneOf(['master', 'slave']).optional(),
  },
  group,
);

/** Short forms (`ssl: true`, `connectRetry: 3`, `echo: true`) are taken out before a group gets here. */
export const SETTINGS = {
  url: secret(URL),
  directUrl: secret(URL),
  host,
  port,
  username,
  password,
  database,
  replication,
  profile: oneOf(PROFILE_NAMES),
  startup: oneOf(STARTUP_MODES),
  applicationName,
  autoLoadEntities: flag(),
  cancelOnDisconnect: flag(),
  retryTerminated: flag(),
  httpErrors: flag(),
  retryAttempts: whole({ min: 0, max: BOUNDS.connectRetry.retries.max + 1 }),
  retryDelay: delay,
  toRetry: z.custom<(error: unknown) => boolean>((value) => typeof value === 'function', not('a function')),
  pool,
  timeouts,
  ssl,
  session,
  connectRetry,
  pooler: oneOf(POOLER_MODES),
  instances: whole(BOUNDS.instances),
  echo,
} as const;

export type SettingName = keyof typeof SETTINGS;
