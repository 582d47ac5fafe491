import type { PasswordSource, ResolvedReplication, SecretText, DirectServer } from '../../database.options.js';
import { ownSettings } from './direct-server.js';
import { replicationServers } from '../options/check-options.js';
import type { CheckedReplicationServer, CheckedSettings } from '../options/check-options.js';
import { Origins } from '../options/origins.js';
import { RotatingPassword } from '../secrets/rotating-password.js';
import { Problems } from '../problems/problems.js';
import { Secret } from '../secrets/secret.js';
import { resolveServer } from './resolve-server.js';
import type { Server } from './resolve-server.js';
import { resolveSsl } from '../tls/ssl.js';
import { parseDatabaseUrl } from '../url/database-url.js';

/** What both the top level and `replication.master` may say of the primary. */
const PARTS = ['url', 'host', 'port', 'username', 'password', 'database'] as const;

/**
 * The settings with `replication.master` in the place of `url`. A part that both say differently is a problem; what one
 * of them says by its URL and the other by single options is compared where the server is resolved.
 */
export function withMaster(given: CheckedSettings, origins: Origins, problems: Problems): CheckedSettings {
  const { master } = given.replication ?? {};
  if (!master) return given;
  const parts = Object.fromEntries(
    PARTS.flatMap((part) => (isSet(master[part]) ? [[part, master[part]]] : [])),
  );
  for (const part of PARTS)
    if (isSet(given[part]) && isSet(master[part]) && revealed(given[part]) !== revealed(master[part]))
      problems.add(
        `replication.master.${part}`,
        `contradicts ${origins.nameOf(part, given[part])}; give one of them`,
      );
  return {
    ...given,
    ...parts,
    ...(master.ssl && { ssl: master.ssl }),
    // The order of TypeORM.
    applicationName: given.applicationName ?? master.applicationName,
  };
}

/** Problems of the primary under the names that its settings have in the options. */
export function namedAsMaster(given: CheckedSettings, found: Problems, problems: Problems): void {
  const { master } = given.replication ?? {};
  const ofMaster = (setting: string) => {
    const part = /^\w+/.exec(setting)?.[0] as (typeof PARTS)[number];
    return master && isSet(master[part]) ? `replication.master.${setting}` : setting;
  };
  for (const { setting, message } of found.found) problems.add(ofMaster(setting), message);
  problems.warnings.push(...found.warnings.map(ofMaster));
}

/** The read replicas, each with what differs from the primary. */
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
    defaultMode: replication.defaultMode ?? 'slave',
  };
}

function resolveReplica(
  path: string,
  server: CheckedReplicationServer,
  given: CheckedSettings,
  primary: Server<SecretText | PasswordSource>,
  connectMs: number,
  problems: Problems,
): DirectServer {
  if (!isSet(server.url) && server.host === undefined)
    problems.add(path, 'names no server; give url or host');
  const found = new Problems();
  const { address, password, url } = resolveServer(
    withDefaults(server, primary),
    () => undefined,
    new Origins(undefined),
    found,
  );
  const ssl = resolveSsl(
    {
      settings: server.ssl ?? given.ssl,
      url: url?.parameters,
      urlName: 'url',
      host: address.host,
      nameOf: (name) => name,
    },
    found,
  );
  const own = ownSettings(
    { ...given, applicationName: given.applicationName ?? server.applicationName },
    url,
    'url',
    found,
  );
  const named = (text: string) => (OF_SERVER.test(text) ? `${path}.${text}` : text);
  for (const { setting, message } of found.found) problems.add(named(setting), message);
  for (const warning of found.warnings.map(named))
    if (!problems.warnings.includes(warning)) problems.warnings.push(warning);
  // A replica without a password means the same user's.
  const shared = address.username === primary.address.username ? primary.password : undefined;
  return {
    server: address,
    password:
      typeof password === 'function' ? new RotatingPassword(password, connectMs) : (password ?? shared),
    ssl: { mode: ssl.mode, negotiation: ssl.negotiation, tls: ssl.tls },
    channelBinding: url?.parameters.channelBinding,
    requireAuth: url?.parameters.requireAuth,
    serverKind: url?.parameters.serverKind,
    startupOptions: url?.parameters.startupOptions,
    ...own,
    applicationName: own.applicationName ?? (given.applicationName ? undefined : server.applicationName),
  };
}

/** Names that a message about one server may begin with. */
const OF_SERVER = /^(?:url|host|port|username|password|database|ssl)\b/;

/** User and database that it leaves out are those of the primary. */
function withDefaults(server: CheckedReplicationServer, { address }: Server<unknown>): CheckedSettings {
  const { url, host, port, password } = server;
  // Empty where the primary has become a problem.
  const of = (text: string) => text || undefined;
  const ofUrl = isSet(url) ? parseDatabaseUrl(Secret.from(url).reveal()) : undefined;
  return {
    url,
    host,
    port,
    password,
    username: server.username ?? (ofUrl?.username === undefined ? of(address.username) : undefined),
    database: server.database ?? (ofUrl?.database === undefined ? of(address.database) : undefined),
  };
}

/** `url: process.env.X ?? ''` is no URL. */
function isSet<T>(value: T | undefined): value is T {
  return value !== undefined && revealed(value) !== '';
}

function revealed(value: unknown): unknown {
  return Secret.is(value) ? value.reveal() : value;
}
