import type { DirectServer, PasswordSource, SecretText } from '../../database.options.js';
import type { CheckedSettings } from '../options/check-options.js';
import { Origins } from '../options/origins.js';
import { Problems } from '../problems/problems.js';
import { Secret } from '../secrets/secret.js';
import { resolveSsl } from '../tls/ssl.js';
import { parseDatabaseUrl } from '../url/database-url.js';
import { neonHost } from '../url/neon-host.js';
import { settingsOfUrl } from './url-settings.js';
import { hasUrl, resolveServer } from './resolve-server.js';
import type { Server } from './resolve-server.js';

type PrimaryServer = Server<SecretText | PasswordSource>;

/**
 * The server for migrations, which bypasses the pooler: `directUrl`, or for a pooled host of Neon the same host without
 * `-pooler`. Undefined for any other server.
 */
export function resolveDirectServer(
  given: CheckedSettings,
  primary: PrimaryServer,
  origins: Origins,
  problems: Problems,
): DirectServer | undefined {
  const found = new Problems();
  const direct = serverOfDirectUrl(given, primary, found) ?? directServerOfNeon(primary);
  if (!direct) return undefined;
  const urlName = origins.nameOf('directUrl', given.directUrl);
  const { address, password, url } = direct;
  const ssl = resolveSsl(
    {
      settings: withDirectServername(given.ssl),
      url: url?.parameters,
      urlName: 'url',
      host: address.host,
      nameOf: (path, value) => origins.nameOf(path, value),
    },
    found,
  );
  problems.addAll(found, (setting) => setting.replace(/^url(?= |$)/, urlName));
  origins.choose('directUrl', [
    ['options', given.directUrl],
    ['url', address.host],
  ]);
  return {
    server: address,
    password,
    ssl: { mode: ssl.mode, negotiation: ssl.negotiation, tls: ssl.tls },
    ...settingsOfUrl(given, url, urlName, problems),
  };
}

/** The server of `directUrl`. User and database default to the primary's, and the password does for the same user. */
function serverOfDirectUrl(
  { directUrl }: CheckedSettings,
  { address, password }: PrimaryServer,
  problems: Problems,
): PrimaryServer | undefined {
  if (!hasUrl({ url: directUrl })) return undefined;
  const { username = address.username, database = address.database } = parseDatabaseUrl(
    Secret.from(directUrl!).reveal(),
  );
  const direct = resolveServer({ url: directUrl, username, database }, new Origins(undefined), problems);
  const shared = direct.address.username === address.username ? password : undefined;
  return { ...direct, password: direct.url?.password ?? shared };
}

function directServerOfNeon(primary: PrimaryServer): PrimaryServer | undefined {
  const neon = neonHost(primary.address.host);
  return neon?.isPooled ? { ...primary, address: { ...primary.address, host: neon.direct } } : undefined;
}

/** Neon routes by the server name that TLS sends. The pooler's name would lead to the pooler, whatever the host is. */
function withDirectServername(ssl: CheckedSettings['ssl']): CheckedSettings['ssl'] {
  if (typeof ssl !== 'object' || ssl.servername === undefined) return ssl;
  const neon = neonHost(ssl.servername);
  return neon?.isPooled ? { ...ssl, servername: neon.direct } : ssl;
}
