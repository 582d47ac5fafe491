import { userInfo } from 'node:os';
import type { PasswordFunction, SecretText, ServerAddress } from '../../database.options.js';
import type { CheckedSettings } from '../options/check-options.js';
import type { Origins } from '../options/origins.js';
import type { Problems } from '../problems/problems.js';
import { Secret } from '../secrets/secret.js';
import { SETTINGS } from '../settings/settings.js';
import { parseDatabaseUrl } from '../url/database-url.js';
import type { ParsedUrl } from '../url/database-url.js';
import { hostName } from '../url/host-name.js';

/** The server to connect to and its user, from the URL, from separate options, or from both. */
export interface Server<Password = SecretText | PasswordFunction> {
  readonly address: ServerAddress;
  readonly password: Password | undefined;
  readonly url: ParsedUrl | undefined;
  /** The name of the URL in messages: `DB_URL` or `url`. */
  readonly urlName: string;
  /** Whether neither a URL nor a host is given. */
  readonly isMissing: boolean;
}

/** The options that name a server. */
export type ServerSettings = Pick<
  CheckedSettings,
  'url' | 'host' | 'port' | 'username' | 'password' | 'database'
>;

/** The address of a missing or invalid server, while the other settings are checked. Nothing connects to it. */
const PLACEHOLDER: ServerAddress = {
  host: 'localhost',
  port: SETTINGS.port.default,
  database: '',
  username: '',
};

/** Resolves one server. A separate option that contradicts the URL is a problem. */
export function resolveServer(given: ServerSettings, origins: Origins, problems: Problems): Server {
  const urlName = origins.nameOf('url', given.url);
  const url = hasUrl(given) ? parseDatabaseUrl(Secret.from(given.url).reveal()) : undefined;
  const isMissing = !url && given.host === undefined;
  if (isMissing || (url && addUrlProblems(url, urlName, problems)))
    return { address: PLACEHOLDER, password: undefined, url, urlName, isMissing };
  if (url) {
    origins.choose('url', [['options', given.url]]);
    checkContradictions(given, url, urlName, origins, problems);
  }

  const username = resolveUsername(given, url, origins);
  if (username === '')
    problems.add(
      url ? urlName : 'username',
      'the user is missing; write postgres://user:password@host/database',
    );
  const password = origins.choose<SecretText | PasswordFunction>('password', [
    ['options', givenPassword(given, origins)],
    ['url', url?.password],
  ]);
  const address = {
    host: resolveHost(given, url, origins, problems),
    port: resolvePort(given, url, origins),
    username,
    database: resolveDatabase(given, url, username, origins),
  };
  return { address, password, url, urlName, isMissing };
}

/** Whether a URL is given. `url: process.env.X ?? ''` may give none. */
export function hasUrl<S extends Pick<ServerSettings, 'url'>>(
  given: S,
): given is S & { readonly url: string | SecretText } {
  return given.url !== undefined && Secret.from(given.url).reveal().trim() !== '';
}

/** Reports the problems and warnings of the URL. Returns whether there are problems. */
function addUrlProblems(url: ParsedUrl, urlName: string, problems: Problems): boolean {
  for (const problem of url.problems) problems.add(urlName, problem);
  for (const warning of url.warnings) problems.warn(urlName, warning);
  return url.problems.length > 0;
}

function resolveHost(
  given: ServerSettings,
  url: ParsedUrl | undefined,
  origins: Origins,
  problems: Problems,
): string {
  const host = given.host === undefined ? undefined : hostName(given.host);
  if (given.host !== undefined && host === undefined)
    problems.add(
      origins.nameOf('host', given.host),
      'contains a character that no host name has; give a URL as url, and a port as port',
    );
  const chosen = origins.choose('host', [
    ['options', host],
    ['url', url?.host],
  ]);
  return chosen ?? PLACEHOLDER.host;
}

function resolvePort(given: ServerSettings, url: ParsedUrl | undefined, origins: Origins): number {
  const chosen = origins.choose<number>('port', [
    ['options', given.port],
    ['url', url?.port],
    ['default', SETTINGS.port.default],
  ]);
  return chosen!;
}

function resolveUsername(given: ServerSettings, url: ParsedUrl | undefined, origins: Origins): string {
  const chosen = origins.choose('username', [
    ['options', given.username],
    ['url', url?.username],
    ['default', osUser()],
  ]);
  return chosen ?? '';
}

/** Defaults to the name of the user, as in libpq. */
function resolveDatabase(
  given: ServerSettings,
  url: ParsedUrl | undefined,
  username: string,
  origins: Origins,
): string {
  const chosen = origins.choose('database', [
    ['options', given.database],
    ['url', url?.database],
    ['default', username],
  ]);
  return chosen!;
}

/** The user of the operating system, the default in libpq. In a container, it may have no name. */
function osUser(): string | undefined {
  try {
    return userInfo().username || undefined;
  } catch {
    return undefined;
  }
}

/** The password in the options. An empty one, as of `password: process.env.X ?? ''`, is none. */
function givenPassword(
  { password, url }: ServerSettings,
  origins: Origins,
): SecretText | PasswordFunction | undefined {
  // The password in DB_URL_FILE is for the server in that file. The server of another URL must not receive it.
  const isOfUrlFile = origins.variableOf('password', password) === URL_FILE;
  if (isOfUrlFile && origins.variableOf('url', url) !== URL_FILE) return undefined;
  if (password === undefined || typeof password === 'function') return password;
  const secret = Secret.from(password);
  return secret.reveal() === '' ? undefined : secret;
}

const URL_FILE = SETTINGS.url.file.variable;

function checkContradictions(
  given: ServerSettings,
  url: ParsedUrl,
  urlName: string,
  origins: Origins,
  problems: Problems,
): void {
  const differs = (a: unknown, b: unknown) => a !== undefined && b !== undefined && a !== b;
  for (const part of ['host', 'port', 'username', 'database'] as const)
    if (differs(given[part], url[part]))
      problems.add(origins.nameOf(part, given[part]), `contradicts ${urlName}; give one of them`);
  const password = givenPassword(given, origins);
  // The password function of DB_URL_FILE reads the password of this URL.
  if (origins.variableOf('password', password) === URL_FILE) return;
  // A password function contradicts any password in the URL: one of the two would never be used.
  if (differs(typeof password === 'function' ? password : password?.reveal(), url.password?.reveal()))
    problems.add(origins.nameOf('password', given.password), `contradicts ${urlName}; give one of them`);
}
