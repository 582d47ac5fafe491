import type {
  DirectServer,
  PasswordSource,
  ResolvedReplication,
  SecretText,
} from '../../database.options.js';
import { replicationServers } from '../options/check-options.js';
import type { CheckedReplicationServer, CheckedSettings } from '../options/check-options.js';
import { Origins } from '../options/origins.js';
import { Problems } from '../problems/problems.js';
import { RotatingPassword } from '../secrets/rotating-password.js';
import { Secret } from '../secrets/secret.js';
import { SETTINGS } from '../settings/settings.js';
import { resolveSsl } from '../tls/ssl.js';
import { parseDatabaseUrl } from '../url/database-url.js';
import { settingsOfUrl } from './url-settings.js';
import { hasUrl, resolveServer } from './resolve-server.js';
import type { Server, ServerSettings } from './resolve-server.js';

/** The options of the primary that may stand on the top level or in `replication.master`. */
const PARTS = ['url', 'host', 'port', 'username', 'password', 'database'] as const;

/**
 * Merges `replication.master` into the top level. A part that both set differently is a problem. `resolveServer` finds the
 * contradictions between a URL in one of them and separate options in the other.
 */
export function withMaster(given: CheckedSettings, origins: Origins, problems: Problems): CheckedSettings {
  const { master } = given.replication ?? {};
  if (!master) return given;
  const parts = PARTS.filter((part) => isSet(master[part]));
  for (const part of parts)
    if (isSet(given[part]) && revealed(given[part]) !== revealed(master[part]))
      problems.add(
        `replication.master.${part}`,
        `contradicts ${origins.nameOf(part, given[part])}; give one of them`,
      );
  return {
    ...given,
    ...Object.fromEntries(parts.map((part) => [part, master[part]])),
    ...(master.ssl && { ssl: master.ssl }),
    // TypeORM prefers the top level, too.
    applicationName: given.applicationName ?? master.applicationName,
  };
}

/** The name of a setting of the primary in the options: `replication.master.url` or `url`. */
export function nameInMaster({ replication }: CheckedSettings, setting: string): string {
  const part = /^\w+/.exec(setting)?.[0] as (typeof PARTS)[number];
  return isSet(replication?.master?.[part]) ? `replication.master.${setting}` : setting;
}

/** The read replicas, each with the settings that differ from those of the primary. */
export function resolveReplication(
  given: CheckedSettings,
  primary: Server<SecretText | PasswordSource>,
  connectMs: number,
  origins: Origins,
  problems: Problems,
): ResolvedReplication | undefined {
  const { replication } = given;
  if (!replication) return undefined;
  origins.choose('replication', [['options', replication]]);
  const replicas = replicationServers(replication)
    .filter(([, server]) => server !== replication.master)
    .map(([path, server]) => resolveReplica(path, server, given, primary, connectMs, problems));
  return {
    replicas: Object.freeze(replicas),
    defaultMode: replication.defaultMode ?? SETTINGS['replication.defaultMode'].default,
  };
}

function resolveReplica(
  path: string,
  replica: CheckedReplicationServer,
  given: CheckedSettings,
  primary: Server<SecretText | PasswordSource>,
  connectMs: number,
  problems: Problems,
): DirectServer {
  if (!hasUrl(replica) && replica.host === undefined) problems.add(path, 'names no server; give url or host');
  const found = new Problems();
  const server = resolveServer(withPrimaryDefaults(replica, primary), new Origins(undefined), found);
  const { address, password, url } = server;
  const ssl = resolveSsl(
    {
      settings: replica.ssl ?? given.ssl,
      url: url?.parameters,
      urlName: 'url',
      host: address.host,
      nameOf: (name) => name,
    },
    found,
  );
  const applicationName = given.applicationName ?? replica.applicationName;
  const own = settingsOfUrl({ ...given, applicationName }, url, 'url', found);
  problems.addAll(found, (setting) => (SERVER_SETTING.test(setting) ? `${path}.${setting}` : setting));
  // The password defaults to the primary's, for the same user.
  const shared = address.username === primary.address.username ? primary.password : undefined;
  return {
    server: address,
    password:
      typeof password === 'function' ? new RotatingPassword(password, connectMs) : (password ?? shared),
    ssl: { mode: ssl.mode, negotiation: ssl.negotiation, tls: ssl.tls },
    ...own,
    applicationName: own.applicationName ?? (given.applicationName ? undefined : replica.applicationName),
  };
}

/** Settings of one server. The other settings are shared, and problems name them as on the top level. */
const SERVER_SETTING = /^(?:url|host|port|username|password|database|ssl)\b/;

/** The settings of a replica. User and database default to the primary's. */
function withPrimaryDefaults(
  replica: CheckedReplicationServer,
  { address }: Server<unknown>,
): ServerSettings {
  const { url, host, port, password } = replica;
  const inUrl = hasUrl(replica) ? parseDatabaseUrl(Secret.from(replica.url).reveal()) : undefined;
  // The primary's is empty when the primary has a problem.
  const shared = (part: 'username' | 'database') =>
    inUrl?.[part] === undefined ? address[part] || undefined : undefined;
  return {
    url,
    host,
    port,
    password,
    username: replica.username ?? shared('username'),
    database: replica.database ?? shared('database'),
  };
}

/** Whether a value is given. `url: process.env.X ?? ''` may give none. */
function isSet<T>(value: T | undefined): value is T {
  return value !== undefined && revealed(value) !== '';
}

const revealed = (value: unknown): unknown => (Secret.is(value) ? value.reveal() : value);
