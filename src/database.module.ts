import { Module } from '@nestjs/common';
import type { DynamicModule, FactoryProvider, Provider } from '@nestjs/common';
import { withEnvironment } from './config/environment/environment.js';
import { REPLACED } from './config/options/known-options.js';
import { DatabaseConfigError } from './errors/config.errors.js';
import { plainCause } from './errors/plain-cause.js';
import { redact } from './text/masking.js';
import { ConfigurableModuleClass, MODULE_OPTIONS_TOKEN } from './database.module-definition.js';
import type { ASYNC_OPTIONS_TYPE, OPTIONS_TYPE } from './database.module-definition.js';
import type { DatabaseModuleOptions } from './database.options.js';
import { connectionAlias, featureProviders, rootProviders } from './database.providers.js';
import {
  DEFAULT_DATA_SOURCE_NAME,
  getDataSourceToken,
  getEntityManagerToken,
  getQueryRunnerToken,
  getUnitOfWorkToken,
} from './database.tokens.js';
import type { EntityClassOrSchema } from './database.tokens.js';
import { DatabaseMonitoringModule } from './monitoring/database-monitoring.module.js';
import { DatabaseRequestModule, requestProviders } from './unit-of-work/database-request.module.js';

/**
 * A PostgreSQL data source for a Nest app: `forRoot` or `forRootAsync` once per data source, `forFeature` in each module that injects
 * repositories. Both roots are global and provide the injection tokens of `@nestjs/typeorm`.
 *
 * @example
 * ```ts
 * @Module({ imports: [DatabaseModule.forRoot({ autoLoadEntities: true }), DatabaseModule.forFeature([User])] })
 * export class AppModule {}
 * ```
 */
@Module({})
export class DatabaseModule extends ConfigurableModuleClass {
  /**
   * Creates a data source from these options. If they name no server (`url`, `host` or `replication.master`), environment variables
   * (`DB_URL`, `DB_POOL_SIZE`, …) supply every option that is left out: `forRoot()` reads all settings from the environment.
   *
   * @param dataSourceName name of the data source, as in `@nestjs/typeorm` 12; takes precedence over `options.name`.
   *   @defaultValue `'default'`
   * @throws DatabaseConfigError `DATABASE_CONFIG_INVALID` if the options are not an object. All other checks are made when the app starts,
   *   which fails with the same error, or with `DATA_SOURCE_DUPLICATE` for a second root of that name.
   * @example
   * ```ts
   * DatabaseModule.forRoot()                                                  // everything from the environment
   * DatabaseModule.forRoot({ url: 'postgres://localhost/shop', pool: { size: 20 } })
   * DatabaseModule.forRoot({ name: 'reports', url: process.env.REPORTS_URL })
   * ```
   */
  static override forRoot(options: typeof OPTIONS_TYPE = {}, dataSourceName?: string): DynamicModule {
    if (typeof options !== 'object' || options === null)
      throw new DatabaseConfigError([
        {
          setting: 'forRoot',
          message:
            typeof options === 'string'
              ? 'a string was given; pass a URL as forRoot({ url: … })'
              : 'takes its options as an object: { … }',
        },
      ]);
    const { name: ownName = DEFAULT_DATA_SOURCE_NAME, ...settings } = options;
    const name = dataSourceName ?? ownName;
    return asRoot(name, {
      ...super.forRoot(options),
      // A function, so that the environment is read when the data source is created: not when this file is imported, and not in a test
      // that overrides the data source.
      providers: [{ provide: MODULE_OPTIONS_TOKEN, useValue: () => withEnvironment(settings, name) }],
    });
  }

  /**
   * Creates a data source from the options that a factory or a class returns: `useFactory`, `useClass` or `useExisting`. A class
   * implements `DatabaseOptionsFactory`. The environment supplies nothing here, except through `databaseConfig`.
   *
   * @throws DatabaseConfigError `DATABASE_CONFIG_INVALID` if none of the three is given
   * @example
   * ```ts
   * DatabaseModule.forRootAsync(databaseConfig.asProvider())
   *
   * DatabaseModule.forRootAsync({
   *   imports: [ConfigModule.forFeature(databaseConfig)],
   *   inject: [databaseConfig.KEY],
   *   useFactory: (config: ConfigType<typeof databaseConfig>) => ({ ...config, autoLoadEntities: true }),
   * })
   * ```
   */
  static override forRootAsync(options: typeof ASYNC_OPTIONS_TYPE): DynamicModule {
    if (!options?.useFactory && !options?.useClass && !options?.useExisting)
      throw new DatabaseConfigError([
        {
          setting: 'forRootAsync',
          message:
            'needs one of useFactory, useClass and useExisting; for settings from the environment alone use forRoot()',
        },
      ]);
    if ('dataSourceFactory' in options && options.dataSourceFactory !== undefined)
      throw new DatabaseConfigError([
        { setting: 'dataSourceFactory', message: `is not supported; ${REPLACED['dataSourceFactory']}` },
      ]);
    const definition = super.forRootAsync(options);
    return asRoot(options.name ?? DEFAULT_DATA_SOURCE_NAME, {
      ...definition,
      providers: definition.providers?.map(withConfigError),
    });
  }

  /**
   * Provides a repository for each entity, for `@InjectRepository(Entity)` in the module that imports it.
   *
   * @param name name of the data source. @defaultValue `'default'`
   * @throws DatabaseError `ENTITY_UNDEFINED` for an entity that is undefined, as after a circular import
   * @example
   * ```ts
   * @Module({ imports: [DatabaseModule.forFeature([User, Order])], providers: [UsersService] })
   * export class UsersModule {}
   * ```
   */
  static forFeature(
    entities: readonly EntityClassOrSchema[],
    name = DEFAULT_DATA_SOURCE_NAME,
  ): DynamicModule {
    const providers = featureProviders(entities, name);
    return { module: DatabaseModule, providers, exports: providers };
  }
}

function asRoot(name: string, definition: DynamicModule): DynamicModule {
  return {
    ...definition,
    imports: [...(definition.imports ?? []), DatabaseMonitoringModule, DatabaseRequestModule],
    providers: [...(definition.providers ?? []), ...rootProviders(name), ...requestProviders(name)],
    exports: [
      getDataSourceToken(name),
      getEntityManagerToken(name),
      getQueryRunnerToken(name),
      getUnitOfWorkToken(name),
      ...connectionAlias(name),
    ],
  };
}

/** Wraps the factory of the options: its error becomes a DatabaseConfigError, which shows no URL. */
function withConfigError(provider: Provider): Provider {
  if (!('useFactory' in provider) || provider.provide !== MODULE_OPTIONS_TOKEN) return provider;
  const { useFactory } = provider as FactoryProvider<DatabaseModuleOptions>;
  return {
    ...provider,
    useFactory: async (...injected: unknown[]) => {
      try {
        return await useFactory(...(injected as never[]));
      } catch (error) {
        throw new DatabaseConfigError(
          [
            {
              setting: 'forRootAsync',
              message: `the factory of the options failed: ${redact(String(error))}`,
            },
          ],
          { cause: plainCause(error) },
        );
      }
    },
  };
}
