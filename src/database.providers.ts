import type {
  OnApplicationBootstrap,
  OnApplicationShutdown,
  OnModuleDestroy,
  Provider,
} from '@nestjs/common';
import { ModulesContainer } from '@nestjs/core';
import { Repository } from 'typeorm';
import type { DataSource } from 'typeorm';
import { commandLineHost } from './command-line-host.js';
import { resolveDatabaseOptions } from './config/resolve.js';
import { dataSourceWith } from './create-data-source.js';
import { ManagedDataSource } from './data-source/managed-data-source.js';
import { LegacyConnection } from './data-source/typeorm-internals.js';
import type { EntityTarget } from './data-source/typeorm-options.js';
import { shutdownHooksToken } from './data-source-names.js';
import { DatabaseConfigError } from './errors/config.errors.js';
import { MODULE_OPTIONS_TOKEN } from './database.module-definition.js';
import type { DatabaseModuleOptions } from './database.options.js';
import {
  DEFAULT_DATA_SOURCE_NAME,
  getDataSourceToken,
  getEntityManagerToken,
  getRepositoryToken,
} from './database.tokens.js';
import type { EntityClassOrSchema } from './database.tokens.js';
import { HttpErrorsFilter } from './unit-of-work/http/http-errors.filter.js';

/** The value of the options token: the result of a factory, or the function by which `forRoot` reads the environment. */
type ProvidedOptions = DatabaseModuleOptions | (() => DatabaseModuleOptions);

/** The providers of a root module, without its options and without those of a request. */
export function rootProviders(name: string): Provider[] {
  const dataSource = getDataSourceToken(name);
  return [
    {
      provide: dataSource,
      // Options are resolved here, not in a provider of their own, so that a test that overrides the data source needs no settings.
      useFactory: async (options: ProvidedOptions, modules: ModulesContainer) => {
        refuseSecondRoot(modules, name);
        return startDataSource(name, typeof options === 'function' ? options() : options, modules);
      },
      inject: [MODULE_OPTIONS_TOKEN, ModulesContainer],
    },
    {
      provide: getEntityManagerToken(name),
      useFactory: (source: DataSource) => source.manager,
      inject: [dataSource],
    },
    ...connectionAlias(name),
    {
      provide: shutdownHooksToken(name),
      useFactory: (source: DataSource, modules: ModulesContainer, httpErrors: HttpErrorsFilter) => {
        httpErrors.register(source);
        return new ShutdownHooks(source, modules);
      },
      inject: [dataSource, ModulesContainer, HttpErrorsFilter],
    },
  ];
}

/** With TypeORM 0.3, the class `Connection` as a second token of the data source, as in `@nestjs/typeorm`. */
export function connectionAlias(name: string): Provider[] {
  return LegacyConnection && name === DEFAULT_DATA_SOURCE_NAME
    ? [{ provide: LegacyConnection, useExisting: getDataSourceToken(name) }]
    : [];
}

/** The key under which the factory of a repository keeps its entity. */
const ENTITY = Symbol.for('nestjs-database.entity');

/** A provider of a repository for each entity, in the form that `@nestjs/typeorm` uses. */
export function featureProviders(entities: readonly EntityClassOrSchema[], name: string): Provider[] {
  return entities.map((entity) => ({
    provide: getRepositoryToken(entity, name),
    useFactory: Object.assign((dataSource: DataSource) => repositoryOf(entity, dataSource), {
      [ENTITY]: entity,
    }),
    inject: [getDataSourceToken(name)],
  }));
}

function repositoryOf(entity: EntityClassOrSchema, dataSource: DataSource) {
  const isTree = dataSource.entityMetadatas.some(({ target, treeType }) => target === entity && treeType);
  return isTree ? dataSource.getTreeRepository(entity) : dataSource.getRepository(entity);
}

async function startDataSource(
  name: string,
  options: DatabaseModuleOptions,
  modules: ModulesContainer,
): Promise<DataSource> {
  const settings = resolveDatabaseOptions(options, { name });
  const entities = settings.autoLoadEntities ? featureEntities(modules, name) : [];
  const dataSource = dataSourceWith(settings, entities);
  const capture = commandLineHost()?.capture;
  if (capture) {
    capture(dataSource);
    // The creation of the app stops here, so that no hook of the app runs.
    return new Promise(() => undefined);
  }
  return settings.startup === 'off' ? dataSource : startWith(startingDataSources(modules), dataSource);
}

/** The data sources of an app that are starting or have started, until the app itself has started. */
const STARTING = new WeakMap<ModulesContainer, Set<ManagedDataSource>>();

function startingDataSources(modules: ModulesContainer): Set<ManagedDataSource> {
  const known = STARTING.get(modules) ?? new Set();
  STARTING.set(modules, known);
  return known;
}

/** Starts a data source. If that fails, the app fails: the other ones are destroyed, so that their retries do not keep the process alive. */
async function startWith(
  others: Set<ManagedDataSource>,
  dataSource: ManagedDataSource,
): Promise<ManagedDataSource> {
  others.add(dataSource);
  try {
    return await dataSource.initialize();
  } catch (error) {
    others.delete(dataSource);
    for (const other of others) void other.destroy().catch(() => undefined);
    throw error;
  }
}

/** The entities that `forFeature` of this package or of `@nestjs/typeorm` has registered for this data source. */
function featureEntities(modules: ModulesContainer, name: string): EntityTarget[] {
  const token = getDataSourceToken(name);
  const found = new Set<EntityTarget>();
  for (const module of modules.values())
    for (const { inject, metatype: factory } of module.providers.values()) {
      if (inject?.length !== 1 || inject[0] !== token || typeof factory !== 'function') continue;
      const own = (factory as { [ENTITY]?: EntityTarget })[ENTITY];
      if (own) found.add(own);
      else if (module.metatype.name === 'TypeOrmModule') recordEntity(factory as RepositoryFactory, found);
    }
  return [...found].filter((entity) => !isRepositoryClass(entity));
}

type RepositoryFactory = (dataSource: unknown) => unknown;

/**
 * Finds the entity of a factory of `TypeOrmModule.forFeature`: calls the factory with a stub of a data source, which records the entity
 * whose repository is requested. `@nestjs/typeorm` keeps its entities in a list that is not exported and that all apps of a process share.
 */
function recordEntity(factory: RepositoryFactory, found: Set<EntityTarget>): void {
  const record = (entity: EntityTarget) => found.add(entity);
  factory({
    entityMetadatas: [],
    options: { type: 'postgres' },
    getRepository: record,
    getTreeRepository: record,
  });
}

function isRepositoryClass(target: EntityTarget): boolean {
  return typeof target === 'function' && target.prototype instanceof Repository;
}

/**
 * Refuses a second root with the same name: each would open a pool, and the order of imports would decide which one is injected. Nest
 * treats one dynamic module that is imported in several places as one module.
 */
function refuseSecondRoot(modules: ModulesContainer, name: string): void {
  const token = getDataSourceToken(name);
  const roots = [...modules.values()].filter((module) => module.isGlobal && module.providers.has(token));
  if (roots.length < 2) return;
  const foreign = roots.find((module) => module.metatype.name === 'TypeOrmCoreModule');
  throw new DatabaseConfigError(
    [
      {
        setting: 'name',
        message: foreign
          ? `the data source "${name}" is also created by TypeOrmModule.forRoot: remove that, or give one of them another name`
          : `${roots.length} modules create a data source named "${name}": give each its own name, or import one and the same module`,
      },
    ],
    { code: 'DATA_SOURCE_DUPLICATE', dataSource: name },
  );
}

/**
 * Closes a data source with its app. From `onModuleDestroy` on, health checks report it as not ready, and it has `shutdownMs` left.
 * Requests in flight keep their connections until Nest's HTTP server has closed: Nest calls `onApplicationShutdown` after that.
 */
class ShutdownHooks implements OnApplicationBootstrap, OnModuleDestroy, OnApplicationShutdown {
  readonly #dataSource: DataSource;
  readonly #modules: ModulesContainer;

  constructor(dataSource: DataSource, modules: ModulesContainer) {
    this.#dataSource = dataSource;
    this.#modules = modules;
  }

  onApplicationBootstrap(): void {
    if (!(this.#dataSource instanceof ManagedDataSource)) return;
    startingDataSources(this.#modules).delete(this.#dataSource);
    this.#dataSource.lifecycle.setAllowExitOnIdle(false);
  }

  onModuleDestroy(): void {
    if (this.#dataSource instanceof ManagedDataSource) this.#dataSource.lifecycle.beginShutdown();
  }

  async onApplicationShutdown(): Promise<void> {
    // A test may have overridden the data source with any value.
    if (this.#dataSource?.isInitialized) await this.#dataSource.destroy();
  }
}
