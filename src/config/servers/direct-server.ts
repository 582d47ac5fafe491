import type { DirectServer, PasswordSource, SecretText, TimeoutSettings } from '../../database.options.js';
import { neonHost } from '../url/neon.js';
import type { CheckedSettings } from '../options/check-options.js';
import { Origins } from '../options/origins.js';
import { Problems } from '../problems/problems.js';
import { Secret } from '../secrets/secret.js';
import { applicationNameIn, resolveServer } from './resolve-server.js';
import type { Server } from './resolve-server.js';
import { resolveSsl } from '../tls/ssl.js';
import { parseDatabaseUrl } from '../url/database-url.js';
import type { ParsedUrl } from '../url/database-url.js';

/** The way past the pooler: `directUrl`, else that of a pooled host of Neon; undefined where there is none of its own. */
export function resolveDirect(
  given: CheckedSettings,
  server: Server<SecretText | PasswordSource>,
  origins: Origins,
  problems: Problems,
): DirectServer | undefined {
  const found = new Problems();
  const name = origins.nameOf('directUrl', given.directUrl);
  const direct = directOf(given, server, found);
  if (!direct) return undefined;
  const { address, password, url } = direct;
  const ssl = resolveSsl(
    {
      settings: sslPast(given.ssl),
      url: url?.parameters,
      urlName: 'url',
      host: address.host,
      nameOf: (path, value) => origins.nameOf(path, value),
    },
    found,
  );
  // What is said of a URL there is said of this one.
  for (const { setting, message } of found.found) problems.add(setting.replace(/^url(?= |$)/, name), message);
  for (const warning of found.warnings) {
    const told = warning.replace(/^url(?=:| )/, name);
    if (!problems.warnings.includes(told)) problems.warnings.push(told);
  }
  origins.choose('directUrl', [
    ['options', given.directUrl],
    ['url', address.host],
  ]);
  return {
    server: address,
    password,
    ssl: { mode: ssl.mode, negotiation: ssl.negotiation, tls: ssl.tls },
    channelBinding: url?.parameters.channelBinding,
    requireAuth: url?.parameters.requireAuth,
    serverKind: url?.parameters.serverKind,
    startupOptions: url?.parameters.startupOptions,
    ...ownSettings(given, url, name, problems),
  };
}

/** Neon goes by the name that comes with TLS: that of its pooler would lead there, whatever the host. */
function sslPast(ssl: CheckedSettings['ssl']): CheckedSettings['ssl'] {
  if (typeof ssl !== 'object' || ssl.servername === undefined) return ssl;
  const neon = neonHost(ssl.servername);
  return neon?.pooled ? { ...ssl, servername: neon.direct } : ssl;
}

/** What the URL says of limits and name, where nothing was set explicitly: as with `url`, and before what `url` says. */
export function ownSettings(
  given: CheckedSettings,
  url: ParsedUrl | undefined,
  name: string,
  problems: Problems,
): Pick<DirectServer, 'timeouts' | 'applicationName'> {
  const { timeouts = {} } = url?.parameters ?? {};
  const applicationName = applicationNameIn(url, name, problems);
  const explicit: TimeoutSettings = given.timeouts ?? {};
  const free = Object.entries(timeouts).filter(
    ([key]) => explicit[key as keyof TimeoutSettings] === undefined,
  );
  return {
    timeouts: Object.fromEntries(free),
    applicationName: given.applicationName === undefined ? applicationName : undefined,
  };
}

function directOf(
  given: CheckedSettings,
  server: Server<SecretText | PasswordSource>,
  problems: Problems,
): Server<SecretText | PasswordSource> | undefined {
  const { address, password } = server;
  // `directUrl: process.env.X ?? ''` is no URL.
  if (given.directUrl !== undefined && Secret.from(given.directUrl).reveal().trim() !== '') {
    const url = parseDatabaseUrl(Secret.from(given.directUrl).reveal());
    // User and database that it leaves out are those of `url`, and not, as there, of the operating system.
    const { username = address.username, database = address.database } = url;
    const whole = { url: given.directUrl, username, database };
    const direct = resolveServer(whole, () => undefined, new Origins(undefined), problems);
    // A URL without a password means the same user's.
    const shared = direct.address.username === address.username ? password : undefined;
    return { ...direct, password: direct.url?.password ?? shared };
  }
  const neon = neonHost(address.host);
  return neon?.pooled ? { ...server, address: { ...address, host: neon.direct } } : undefined;
}
