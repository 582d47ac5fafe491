import { Logger } from '@nestjs/common';
import { commandLineHost } from './command-line-host.js';
import { withEnvironment } from './config/environment/environment.js';
import { resolveDatabaseOptions } from './config/resolve.js';
import type { DatabaseLoggers } from './data-source/logging/database.logger.js';
import { ManagedDataSource } from './data-source/managed-data-source.js';
import type { EntityTarget } from './data-source/typeorm-options.js';
import type { DatabaseModuleExtras } from './database.module-definition.js';
import type { DatabaseModuleOptions, ResolvedDatabaseOptions } from './database.options.js';
import { DEFAULT_DATA_SOURCE_NAME } from './database.tokens.js';
import { provideMigrationTools } from './migration-tools.js';

/** The options of a data source outside a Nest app: those of `DatabaseModule.forRoot()`. */
export type DataSourceConfig = DatabaseModuleOptions & DatabaseModuleExtras;

/**
 * Creates the data source that `DatabaseModule.forRoot(options)` creates, for scripts and for the command line of TypeORM (`typeorm -d`).
 * It reads the settings as `forRoot` does: options that name no server are completed by environment variables. It does not connect;
 * `initialize()` does, and fails if no server is configured. There is no `forFeature` outside an app, so that `entities` and
 * `migrations` have to be given. It logs with Nest's `Logger`.
 *
 * @throws DatabaseConfigError `DATABASE_CONFIG_INVALID` with every setting that is wrong
 * @example
 * ```ts
 * // data-source.ts
 * export default createDataSource({ entities: ['src/**\/*.entity.ts'], migrations: ['src/migrations/*.ts'] });
 * ```
 */
export function createDataSource(options: DataSourceConfig = {}): ManagedDataSource {
  const { name = DEFAULT_DATA_SOURCE_NAME, ...given } = options;
  // A file of a data source is also loaded by commands that do not connect: the missing server is reported by initialize().
  const complete = withEnvironment(given, name, { requireServer: false });
  const settings = resolveDatabaseOptions(complete, { name, requireServer: false });
  return dataSourceWith(settings, []);
}

/**
 * Returns its argument: gives the default export of `nestjs-database.config.ts` its type.
 *
 * @param options those of `DatabaseModule.forRoot()`
 * @example
 * ```ts
 * // nestjs-database.config.ts
 * export default defineConfig({ entities: ['src/**\/*.entity.ts'], migrations: ['src/migrations/*.ts'] });
 * ```
 */
export function defineConfig(options: DataSourceConfig): DataSourceConfig {
  return options;
}

/** Creates a data source from resolved settings and logs their warnings. */
export function dataSourceWith(
  settings: ResolvedDatabaseOptions,
  entities: readonly EntityTarget[],
): ManagedDataSource {
  const loggers = commandLineHost()?.loggers ?? nestLoggers(settings.name);
  for (const warning of settings.warnings) loggers.module.warn(warning);
  return provideMigrationTools(new ManagedDataSource(settings, entities, loggers));
}

function nestLoggers(name: string): DatabaseLoggers {
  const suffix = name === DEFAULT_DATA_SOURCE_NAME ? '' : `:${name}`;
  return {
    module: new Logger(`DatabaseModule${suffix}`),
    pool: new Logger(`DatabasePool${suffix}`),
    query: new Logger(`DatabaseQuery${suffix}`),
  };
}
