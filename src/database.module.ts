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
 * A PostgreSQL data source for a Nest app: `forRoot` or `forRootAsync` once per data source, `forFeature` where
 * repositories are injected.
 */
@Module({})
export class DatabaseModule extends ConfigurableModuleClass {
  /**
   * Makes a data source from these options. When they name no server (`url` or `host`, or `replication.master`), the environment's settings are
   * taken for all that they leave out: `forRoot()` alone reads everything from there.
   *
   * @param dataSourceName as in `@nestjs/typeorm` 12; comes before `options.name`
   */
  static override forRoot(options: typeof OPTIONS_TYPE = {}, dataSourceName?: string): DynamicModule {
    if (typeof options !== 'object' || options === null)
      throw new DatabaseConfigError([
        {
          setting: 'forRoot',
          message:
            typeof options === 'string'
              ? 'a string was given; a URL is written forRoot({ url: … })'
              : 'takes its options as an object: { … }',
        },
      ]);
    const { name: ownName = DEFAULT_DATA_SOURCE_NAME, ...settings } = options;
    const name = dataSourceName ?? ownName;
    return asRoot(name, {
      ...super.forRoot(options),
      // A function, so that the environment is read when the data source is made: not when a file is imported, and not
      // in a test that puts another data source in its place.
      providers: [{ provide: MODULE_OPTIONS_TOKEN, useValue: () => withEnvironment(settings, name) }],
    });
  }

  /**
   * Makes a data source from options that a factory or a class gives: `useFactory`, `useClass` or `useExisting`.
   * @throws DatabaseConfigError when none of the three is given
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
      providers: definition.providers?.map(guarded),
    });
  }

  /** Repositories for these entities, to be injected by `@InjectRepository` in the module that imports this. */
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

/** The provider of the options, whose own failure names it and shows no URL that it stumbled on. */
function guarded(provider: Provider): Provider {
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
