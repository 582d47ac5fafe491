import type { SecretText, TimeoutSettings } from '../database.options.js';
import { BOUNDS, within } from './bounds.js';
import { Secret } from './secret.js';

/** Whether the login is bound to the TLS connection (SCRAM-SHA-256-PLUS). */
export type ChannelBinding = 'disable' | 'prefer' | 'require';

/** What stands behind the `?` of a URL and is understood here. */
export interface UrlParameters {
  readonly host: string | undefined;
  readonly port: number | undefined;
  readonly user: string | undefined;
  readonly password: SecretText | undefined;
  readonly dbname: string | undefined;
  /** As it was written; `config/ssl` judges it. */
  readonly sslMode: string | undefined;
  readonly sslCa: string | undefined;
  readonly sslCert: string | undefined;
  readonly sslKey: string | undefined;
  readonly channelBinding: ChannelBinding | undefined;
  readonly applicationName: string | undefined;
  /** `options` of the startup packet: `-c geqo=off`, `endpoint=…`. */
  readonly startupOptions: string | undefined;
  readonly timeouts: Readonly<TimeoutSettings>;
}

const CHANNEL_BINDINGS: readonly string[] = ['disable', 'prefer', 'require'] satisfies ChannelBinding[];

/** PostgreSQL's own names for what `timeouts` sets; `pg` takes them in a URL, as milliseconds. */
const TIMEOUTS = {
  statement_timeout: 'statementMs',
  lock_timeout: 'lockMs',
  idle_in_transaction_session_timeout: 'idleInTransactionMs',
} as const satisfies Record<string, keyof TimeoutSettings>;

/** Parameters that other libraries read, and what says the same here. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  uselibpqcompat: 'sslmode=require always verifies here',
  sslnegotiation: 'give ssl options in code',
  sslpassword: 'give ssl.passphrase in code',
  connection_limit: 'use pool.size and pool.maxOverflow',
  pool_timeout: 'use pool.acquireTimeoutMs',
  max_connections: 'use pool.size and pool.maxOverflow',
  schema: "use session: { search_path: '…' }",
  search_path: "use session: { search_path: '…' }",
  client_encoding: 'it is always UTF8',
};

/** Reads the part behind the `?`. No value goes into a message: any of them may be a secret in the wrong place. */
export function readParameters(query: string, problems: string[], warnings: string[]): UrlParameters {
  const given = new Map<string, string>();
  for (const pair of query.split('&')) {
    if (pair === '') continue;
    const equals = pair.indexOf('=');
    const name = equals < 0 ? undefined : decode(pair.slice(0, equals));
    const value = equals < 0 ? undefined : decode(pair.slice(equals + 1));
    if (name === undefined || value === undefined || value.includes('\0'))
      problems.push('a parameter after the ? is not of the form name=value, percent-encoded');
    else if (given.has(name)) problems.push('a parameter is given twice');
    else given.set(name, value);
  }
  const text = (name: string) => {
    const value = given.get(name);
    given.delete(name);
    return value === '' ? undefined : value;
  };

  const host = text('host');
  const port = text('port');
  if (port !== undefined && !within(/^\d+$/.test(port) ? Number(port) : Number.NaN, BOUNDS.port))
    problems.push('the parameter port is not a whole number from 1 to 65535');
  const target = text('target_session_attrs');
  if (target !== undefined && target !== 'any')
    problems.push('target_session_attrs is not supported, other than "any"; name the primary as the host');
  const binding = text('channel_binding');
  if (binding !== undefined && !CHANNEL_BINDINGS.includes(binding))
    problems.push('channel_binding is none of disable, prefer, require');
  const password = text('password');
  const rootCert = text('sslrootcert');
  const found: UrlParameters = {
    host,
    port: port === undefined ? undefined : Number(port),
    user: text('user'),
    password: password === undefined ? undefined : new Secret(password),
    dbname: text('dbname'),
    sslMode: sslMode(text('sslmode'), text('ssl'), problems),
    // The authorities that Node brings along, which is what an absent CA means.
    sslCa: rootCert === 'system' ? undefined : rootCert,
    sslCert: text('sslcert'),
    sslKey: text('sslkey'),
    channelBinding: binding as ChannelBinding | undefined,
    applicationName: text('application_name') ?? text('fallback_application_name'),
    startupOptions: text('options'),
    timeouts: timeouts(text, problems),
  };
  given.delete('fallback_application_name');
  for (const name of given.keys()) {
    const instead = ELSEWHERE[name];
    // A name that is none, or an @ behind it, may be the rest of a password with a ? in it.
    const isName = /^[a-z][a-z_]{2,40}$/.test(name) && !given.get(name)?.includes('@');
    const shown = isName ? `the parameter ${name}` : 'a parameter';
    warnings.push(`${shown} has no effect here${instead ? `; ${instead}` : ''}`);
  }
  return found;
}

/** `ssl=true` is JDBC's and old pg's way to say it. */
function sslMode(mode: string | undefined, ssl: string | undefined, problems: string[]): string | undefined {
  if (mode !== undefined || ssl === undefined) return mode;
  if (ssl === 'true' || ssl === '1') return 'require';
  if (ssl === 'false' || ssl === '0') return 'disable';
  if (ssl === 'no-verify') return ssl;
  problems.push('the parameter ssl is neither true nor false; use sslmode');
  return undefined;
}

function timeouts(text: (name: string) => string | undefined, problems: string[]): TimeoutSettings {
  const found: TimeoutSettings = {};
  const connect = text('connect_timeout');
  if (connect !== undefined) {
    const ms = /^\d+$/.test(connect) ? Number(connect) * 1_000 : Number.NaN;
    if (within(ms, BOUNDS.timeouts.connectMs)) found.connectMs = ms;
    else problems.push('connect_timeout is not a whole number of seconds from 1 to 120');
  }
  for (const [name, key] of Object.entries(TIMEOUTS)) {
    const given = text(name);
    if (given === undefined) continue;
    const ms = /^\d+$/.test(given) ? Number(given) : Number.NaN;
    if (within(ms, BOUNDS.timeouts[key])) found[key] = ms;
    else problems.push(`${name} is not a whole number of milliseconds from 0 to 86400000`);
  }
  return found;
}

function decode(text: string): string | undefined {
  try {
    // Not `+` for a blank: libpq and `options=-c%20a=b+c` take it as it is.
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
