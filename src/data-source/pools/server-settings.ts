import type { DirectServer, ResolvedDatabaseOptions, ServerAddress } from '../../database.options.js';

/** The settings for another server of the data source: a replica, or the direct server. */
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

/** The settings for another database on the same servers. */
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
