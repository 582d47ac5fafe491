import type { DirectServer, ResolvedDatabaseOptions, ServerAddress } from '../../database.options.js';

/** The settings for another server than the primary: what that one has of its own, and the rest as it is. */
export function settingsForServer(
  settings: ResolvedDatabaseOptions,
  server: DirectServer,
): ResolvedDatabaseOptions {
  return {
    ...settings,
    ...server,
    timeouts: { ...settings.timeouts, ...server.timeouts },
    applicationName: server.applicationName ?? settings.applicationName,
  };
}

/** The same settings for another database of the same servers. */
export function settingsForDatabase(
  settings: ResolvedDatabaseOptions,
  database: string,
): ResolvedDatabaseOptions {
  const at = <T extends { readonly server: ServerAddress }>(one: T): T => ({
    ...one,
    server: Object.freeze({ ...one.server, database }),
  });
  const { direct, replication } = settings;
  return Object.freeze({
    ...at(settings),
    direct: direct && at(direct),
    replication: replication && { ...replication, replicas: Object.freeze(replication.replicas.map(at)) },
    origins: Object.freeze({ ...settings.origins, database: 'options' as const }),
  });
}
