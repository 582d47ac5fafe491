import { userInfo } from 'node:os';
import type { PasswordFunction, SecretText, ServerAddress } from '../../database.options.js';
import type { CheckedSettings } from '../options/check-options.js';
import type { Origins } from '../options/origins.js';
import type { Problems } from '../problems/problems.js';
import { DEFAULTS } from '../settings/defaults.js';
import { SETTINGS } from '../settings/schema.js';
import { Secret } from '../secrets/secret.js';
import { hostName, parseDatabaseUrl } from '../url/database-url.js';
import type { ParsedUrl } from '../url/database-url.js';

/** Where to connect and as whom, from the URL, the single options, or both where they don't contradict. */
export interface Server<Password = SecretText | PasswordFunction> {
  readonly address: ServerAddress;
  readonly password: Password | undefined;
  readonly url: ParsedUrl | undefined;
  /** What messages call the URL. */
  readonly urlName: string;
}

/** Stands in while the other settings are judged; the error comes before anybody sees it. */
const NOWHERE: ServerAddress = { host: 'localhost', port: DEFAULTS.port, database: '', username: '' };

/** @param missing is called when there is neither URL nor host */
export function resolveServer(
  given: CheckedSettings,
  missing: () => void,
  origins: Origins,
  problems: Problems,
): Server {
  const urlName = origins.nameOf('url', given.url);
  // `url: process.env.X ?? ''` is no URL.
  const text = given.url === undefined ? '' : Secret.from(given.url).reveal().trim();
  if (text === '' && given.host === undefined) {
    missing();
    return { address: NOWHERE, password: undefined, url: undefined, urlName };
  }
  const url = text === '' ? undefined : parseDatabaseUrl(text);
  if (url) {
    origins.choose('url', [['options', given.url]]);
    for (const problem of url.problems) problems.add(urlName, problem);
    for (const warning of url.warnings) problems.warn(urlName, warning);
    if (url.problems.length > 0) return { address: NOWHERE, password: undefined, url, urlName };
    checkContradictions(given, url, urlName, origins, problems);
  }

  const host = given.host === undefined ? undefined : hostName(given.host);
  if (given.host !== undefined && host === undefined)
    problems.add(
      origins.nameOf('host', given.host),
      'holds a character that no host has; a URL belongs into url, a port into port',
    );
  const username =
    origins.choose('username', [
      ['options', given.username],
      ['url', url?.username],
      ['default', osUser()],
    ]) ?? '';
  if (username === '')
    problems.add(
      url ? urlName : 'username',
      'the user is missing; expected is postgres://user:password@host/database',
    );
  const password = origins.choose<SecretText | PasswordFunction>('password', [
    ['options', passwordIn(given, origins)],
    ['url', url?.password],
  ]);
  const address: ServerAddress = {
    host:
      origins.choose('host', [
        ['options', host],
        ['url', url?.host],
      ]) ?? NOWHERE.host,
    port:
      origins.choose('port', [
        ['options', given.port],
        ['url', url?.port],
        ['default', DEFAULTS.port],
      ]) ?? DEFAULTS.port,
    username,
    database:
      origins.choose('database', [
        ['options', given.database],
        ['url', url?.database],
        // As libpq does.
        ['default', username],
      ]) ?? username,
  };
  return { address, password, url, urlName };
}

/** `application_name` of a URL; a problem when it is none that PostgreSQL takes. */
export function applicationNameIn(
  url: ParsedUrl | undefined,
  urlName: string,
  problems: Problems,
): string | undefined {
  const name = SETTINGS.applicationName.optional().safeParse(url?.parameters.applicationName);
  if (name.error) problems.add(`${urlName} (application_name)`, name.error.issues[0]!.message);
  return name.data;
}

/** `password: process.env.X ?? ''` is no password. */
function passwordIn(
  { password, url }: CheckedSettings,
  origins: Origins,
): SecretText | PasswordFunction | undefined {
  // What reads the password of a file with a URL is for the server in that file alone.
  const ofUrlFile = origins.variable('password', password) === 'DB_URL_FILE';
  if (ofUrlFile && origins.variable('url', url) !== 'DB_URL_FILE') return undefined;
  if (password === undefined || typeof password === 'function') return password;
  const secret = Secret.from(password);
  return secret.reveal() === '' ? undefined : secret;
}

function checkContradictions(
  given: CheckedSettings,
  url: ParsedUrl,
  urlName: string,
  origins: Origins,
  problems: Problems,
): void {
  const differs = (a: unknown, b: unknown) => a !== undefined && b !== undefined && a !== b;
  for (const part of ['host', 'port', 'username', 'database'] as const)
    if (differs(given[part], url[part]))
      problems.add(origins.nameOf(part, given[part]), `contradicts ${urlName}; give one of them`);
  const password = passwordIn(given, origins);
  // It reads the same URL again.
  if (origins.variable('password', password) === 'DB_URL_FILE') return;
  // What a function will give is not known yet; one of the two would never be used.
  if (differs(typeof password === 'function' ? password : password?.reveal(), url.password?.reveal()))
    problems.add(origins.nameOf('password', given.password), `contradicts ${urlName}; give one of them`);
}

/** The user of the operating system, as libpq takes it; a container's may have no name. */
function osUser(): string | undefined {
  try {
    return userInfo().username || undefined;
  } catch {
    return undefined;
  }
}
