import type {
  LoginMethod,
  SecretText,
  ServerKind,
  SslNegotiation,
  TimeoutSettings,
} from '../../database.options.js';
import { isWithin } from '../settings/setting-types.js';
import { POSTGRES_LIMITS, SETTINGS } from '../settings/settings.js';
import { parseRequireAuth } from './require-auth.js';
import { Secret } from '../secrets/secret.js';
import { checkUnsupported } from './unsupported-parameters.js';

/** Whether the login is bound to the TLS connection (SCRAM-SHA-256-PLUS). */
type ChannelBinding = 'disable' | 'prefer' | 'require';

/** The supported parameters after the `?` of a URL. */
export interface UrlParameters {
  readonly host: string | undefined;
  readonly port: number | undefined;
  readonly user: string | undefined;
  readonly password: SecretText | undefined;
  readonly dbname: string | undefined;
  /** Not checked here; `resolveSsl` does that. */
  readonly sslMode: string | undefined;
  readonly sslNegotiation: SslNegotiation | undefined;
  readonly sslCa: string | undefined;
  /** Whether `sslrootcert=system` asks for the authorities that Node.js trusts, which are also the default. */
  readonly sslSystemCa: boolean;
  readonly sslCert: string | undefined;
  readonly sslKey: string | undefined;
  readonly sslPassphrase: SecretText | undefined;
  readonly sslCrl: string | undefined;
  /** Not checked here; `resolveSsl` does that. */
  readonly sslMinVersion: string | undefined;
  readonly sslMaxVersion: string | undefined;
  readonly channelBinding: ChannelBinding | undefined;
  readonly requireAuth: readonly LoginMethod[] | undefined;
  readonly serverKind: ServerKind | undefined;
  readonly applicationName: string | undefined;
  /** `options` of the startup packet: `-c geqo=off`, `endpoint=…`. */
  readonly startupOptions: string | undefined;
  readonly timeouts: Readonly<TimeoutSettings>;
}

const CHANNEL_BINDINGS: readonly ChannelBinding[] = ['disable', 'prefer', 'require'];
const NEGOTIATIONS: readonly SslNegotiation[] = ['postgres', 'direct'];
/** Values that every server satisfies. With one host, `prefer-standby` accepts a primary, too. */
const ANY_SERVER = ['any', 'prefer-standby'] as const;
const SERVER_KINDS: readonly ServerKind[] = ['read-write', 'read-only', 'primary', 'standby'];

/** Reads the part after the `?`. Messages show no value, since each may be a misplaced secret. */
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
  if (
    port !== undefined &&
    !isWithin(/^\d+$/.test(port) ? Number(port) : Number.NaN, SETTINGS.port.type.bounds)
  )
    problems.push('the parameter port is not a whole number from 1 to 65535');
  const oneOf = <T extends string>(name: string, values: readonly T[]): T | undefined => {
    const value = text(name);
    const known = values.find((one) => one === value);
    if (value !== undefined && known === undefined)
      problems.push(`${name} is not one of ${values.join(', ')}`);
    return known;
  };
  const server = oneOf('target_session_attrs', [...ANY_SERVER, ...SERVER_KINDS]);
  const password = text('password');
  const passphrase = text('sslpassword');
  const rootCert = text('sslrootcert');
  const found: UrlParameters = {
    host,
    port: port === undefined ? undefined : Number(port),
    user: text('user'),
    password: password === undefined ? undefined : new Secret(password),
    dbname: text('dbname'),
    sslMode: sslMode(text('sslmode'), text('ssl'), text('requiressl'), problems),
    sslNegotiation: oneOf('sslnegotiation', NEGOTIATIONS),
    sslCa: rootCert === 'system' ? undefined : rootCert,
    sslSystemCa: rootCert === 'system',
    sslCert: text('sslcert'),
    sslKey: text('sslkey'),
    sslPassphrase: passphrase === undefined ? undefined : new Secret(passphrase),
    sslCrl: text('sslcrl'),
    sslMinVersion: text('ssl_min_protocol_version'),
    sslMaxVersion: text('ssl_max_protocol_version'),
    channelBinding: oneOf('channel_binding', CHANNEL_BINDINGS),
    requireAuth: parseRequireAuth(text('require_auth'), problems),
    serverKind: SERVER_KINDS.find((kind) => kind === server),
    applicationName: text('application_name') ?? text('fallback_application_name'),
    startupOptions: text('options'),
    timeouts: timeouts(text, problems),
  };
  given.delete('fallback_application_name');
  checkUnsupported(given, problems, warnings);
  return found;
}

/** The `sslmode`, also from `ssl=true` of JDBC and older versions of `pg`, and from `requiressl=1` of old versions of libpq. */
function sslMode(
  mode: string | undefined,
  ssl: string | undefined,
  requireSsl: string | undefined,
  problems: string[],
): string | undefined {
  // A problem, since the connection would be in plain text although a parameter demands TLS.
  const wanted = ssl === 'true' || ssl === '1' || requireSsl === '1';
  if (mode === 'disable' && wanted)
    problems.push('sslmode is disable, but ssl or requiressl demands TLS; leave out one of them');
  if (mode !== undefined) return mode;
  if (ssl === 'true' || ssl === '1') return 'require';
  if (ssl === 'false' || ssl === '0') return 'disable';
  if (ssl === 'no-verify') return ssl;
  if (ssl !== undefined) problems.push('the parameter ssl is neither true nor false; use sslmode');
  else if (requireSsl === '1') return 'require';
  else if (requireSsl !== undefined) problems.push('the parameter requiressl is not 1; use sslmode');
  return undefined;
}

function timeouts(text: (name: string) => string | undefined, problems: string[]): TimeoutSettings {
  const found: TimeoutSettings = {};
  const connect = text('connect_timeout');
  if (connect !== undefined) {
    const ms = /^\d+$/.test(connect) ? Number(connect) * 1_000 : Number.NaN;
    if (isWithin(ms, SETTINGS['timeouts.connectMs'].type.bounds)) found.connectMs = ms;
    else problems.push('connect_timeout is not a whole number of seconds from 1 to 120');
  }
  for (const [name, key] of POSTGRES_LIMITS) {
    const given = text(name);
    if (given === undefined) continue;
    const ms = /^\d+$/.test(given) ? Number(given) : Number.NaN;
    if (isWithin(ms, SETTINGS[`timeouts.${key}`].type.bounds)) found[key] = ms;
    else problems.push(`${name} is not a whole number of milliseconds from 0 to 86400000`);
  }
  return found;
}

function decode(text: string): string | undefined {
  try {
    // `+` stays a plus sign, as in libpq: `options=-c%20a=b+c`.
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
