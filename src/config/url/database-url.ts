import { isIPv6 } from 'node:net';
import { Secret } from '../secrets/secret.js';
import type { SecretText } from '../../database.options.js';
import { isWithin } from '../settings/setting-types.js';
import { SETTINGS } from '../settings/settings.js';
import { hostName } from './host-name.js';
import { readParameters } from './url-parameters.js';
import type { UrlParameters } from './url-parameters.js';

/** The parts of a URL. A missing part is undefined: other settings may give it, and defaults apply later. */
export interface ParsedUrl {
  /** A name, an address without brackets, or the directory of a socket. */
  readonly host: string | undefined;
  readonly port: number | undefined;
  readonly username: string | undefined;
  readonly password: SecretText | undefined;
  readonly database: string | undefined;
  readonly parameters: UrlParameters;
  readonly warnings: readonly string[];
  /** What is wrong with the URL. Messages quote only its scheme and the names of known parameters. */
  readonly problems: readonly string[];
}

const ENCODE =
  'percent-encode the characters of user, password and database that have a meaning in a URL (@ %40, / %2F, ? %3F, # %23, % %25)';
const EXPECTED = 'write postgres://user:password@host:5432/database';

/** The value of one part of the URL, or what is wrong with it. */
type Part<T> = { value: T } | { problem: string };

/**
 * Parses a URL as libpq does. `URL` of Node.js and the parser of `pg` are not used: they quote the URL in their errors, let
 * parameters override the settings in code, and silently drop some parameters.
 */
export function parseDatabaseUrl(text: string): ParsedUrl {
  const problems: string[] = [];
  const warnings: string[] = [];
  const valueOf = <T>(part: Part<T>): T | undefined => {
    if ('value' in part) return part.value;
    problems.push(part.problem);
    return undefined;
  };
  const url = text.trim();
  const found: { -readonly [K in keyof ParsedUrl]: ParsedUrl[K] } = {
    host: undefined,
    port: undefined,
    username: undefined,
    password: undefined,
    database: undefined,
    parameters: readParameters('', problems, warnings),
    warnings,
    problems,
  };

  const rest = valueOf(withoutScheme(url));
  const pieces = rest === undefined ? undefined : valueOf(split(rest));
  if (!pieces) return found;

  const { user, path, query } = pieces;
  if (user !== undefined) {
    const colon = user.indexOf(':');
    found.username = valueOf(decoded(colon < 0 ? user : user.slice(0, colon), 'the user'));
    const password = colon < 0 ? undefined : valueOf(decoded(user.slice(colon + 1), 'the password'));
    found.password = password === undefined ? undefined : new Secret(password);
    if (user.includes('@'))
      warnings.push(
        'user or password contains an @ that is not encoded; psql reads such a URL differently, write %40',
      );
  }

  const parameters = readParameters(query, problems, warnings);
  found.parameters = parameters;
  const server = valueOf(hostAndPort(pieces.server));
  // The parameter takes precedence, as in libpq and pg: postgres://user@localhost/app?host=/cloudsql/… means the socket.
  const named = parameters.host === undefined ? undefined : hostName(parameters.host);
  if (parameters.host !== undefined && named === undefined)
    problems.push('the parameter host is neither the name of one host nor the directory of a socket');
  found.host = parameters.host === undefined ? server?.host : named;
  found.port = parameters.port ?? server?.port;
  found.username = parameters.user ?? found.username;
  found.password = parameters.password ?? found.password;
  found.database = parameters.dbname ?? valueOf(databaseOf(path));
  if (found.host === undefined && parameters.host === undefined && server !== undefined)
    problems.push('the host is empty; write a socket as postgres:///database?host=/var/run/postgresql');
  return found;
}

function withoutScheme(url: string): Part<string> {
  if (/^["']/.test(url)) return { problem: `it is enclosed in quotes; ${EXPECTED}` };
  // eslint-disable-next-line no-control-regex
  if (/[\s\x00-\x1f\x7f]/.test(url))
    return { problem: `it contains white space (%20 in a URL); ${EXPECTED}` };
  const scheme = /^(?<scheme>[a-z][a-z0-9+.-]{0,15}):\/\//i.exec(url);
  if (!scheme) return { problem: `it is not a URL (a string of ${url.length} characters); ${EXPECTED}` };
  const name = scheme[1]!.toLowerCase();
  if (name !== 'postgres' && name !== 'postgresql')
    return { problem: `it starts with ${name}://, not with postgres:// or postgresql://` };
  return { value: url.slice(scheme[0].length) };
}

/** The pieces of a URL after its scheme, still encoded: `user@server/path?query`. */
interface UrlPieces {
  /** User and password; undefined without an @. */
  readonly user: string | undefined;
  readonly server: string;
  /** Begins with a slash, or is empty. */
  readonly path: string;
  readonly query: string;
}

function split(rest: string): Part<UrlPieces> {
  const end = rest.search(/[/?#]/);
  const authority = end < 0 ? rest : rest.slice(0, end);
  const tail = end < 0 ? '' : rest.slice(end);
  // A password with / ? or # moves the @ behind the apparent host. Parsing such a URL further could put a piece of the
  // password into a message, so this is its only problem.
  if (tail.includes('@') || tail.includes('#'))
    return { problem: `there is an @ or # after the host; ${ENCODE}` };
  // The last @, as in pg and WHATWG: an unencoded password may contain one, a host may not.
  const at = authority.lastIndexOf('@');
  const question = tail.indexOf('?');
  return {
    value: {
      user: at < 0 ? undefined : authority.slice(0, at),
      server: authority.slice(at + 1),
      path: question < 0 ? tail : tail.slice(0, question),
      query: question < 0 ? '' : tail.slice(question + 1),
    },
  };
}

/** Decodes percent-encoding. An empty text is an absent part. */
function decoded(text: string, what: string): Part<string | undefined> {
  if (text === '') return { value: undefined };
  try {
    const value = decodeURIComponent(text);
    if (value.includes('\0')) return { problem: `${what} contains a null character` };
    return { value };
  } catch {
    return { problem: `${what} contains a % that encodes nothing; ${ENCODE}` };
  }
}

function databaseOf(path: string): Part<string | undefined> {
  const name = path.slice(1);
  if (name.includes('/')) return { problem: `there is a second / after the host; ${ENCODE}` };
  return decoded(name, 'the database');
}

function hostAndPort(text: string): Part<{ host: string | undefined; port: number | undefined }> {
  if (text.includes(','))
    return {
      problem: 'several hosts are not supported; give one host, or a name that resolves to the primary',
    };
  const parts = /^(?:\[(?<v6>[^\]]*)\]|(?<name>[^:[\]]*))(?::(?<port>[^:]*))?$/.exec(text)?.groups;
  if (!parts)
    return { problem: 'host and port cannot be distinguished; write an IPv6 address as [::1]:5432' };
  const port = portOf(parts.port);
  if ('problem' in port) return port;
  const v6 = parts.v6 === undefined ? undefined : safeDecode(parts.v6);
  if (v6 !== undefined) {
    if (!isIPv6(v6)) return { problem: 'the text in brackets is not an IPv6 address' };
    return { value: { host: v6, port: port.value } };
  }
  const name = decoded(parts.name ?? '', 'the host');
  if ('problem' in name) return name;
  if (name.value === undefined) return { value: { host: undefined, port: port.value } };
  const host = hostName(name.value);
  if (host === undefined)
    return { problem: `the host contains a character that no host name has; ${ENCODE}` };
  return { value: { host, port: port.value } };
}

const safeDecode = (text: string) => {
  const part = decoded(text, '');
  return 'value' in part ? (part.value ?? '') : '';
};

/** Messages do not show the digits: when the @ and the host are missing, they are the password. */
function portOf(text: string | undefined): Part<number | undefined> {
  if (text === undefined || text === '') return { value: undefined };
  const port = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (isWithin(port, SETTINGS.port.type.bounds)) return { value: port };
  const wrong = 'the port is not a whole number from 1 to 65535';
  return { problem: /^\d+$/.test(text) ? wrong : `${wrong}; ${ENCODE}` };
}
