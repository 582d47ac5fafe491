import { Logger } from '@nestjs/common';
import type {
  OnApplicationBootstrap,
  OnApplicationShutdown,
  OnModuleDestroy,
  Provider,
  Type,
} from '@nestjs/common';
import { ModulesContainer } from '@nestjs/core';
import * as typeorm from 'typeorm';
import { Repository } from 'typeorm';
import type { DataSource } from 'typeorm';
import { resolveDatabaseOptions } from './config/resolve.js';
import type { DatabaseLoggers } from './data-source/logging/database.logger.js';
import { ManagedDataSource } from './data-source/managed-data-source.js';
import type { EntityTarget } from './data-source/typeorm-options.js';
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

/** What stands under the options token: a factory's result, or what `forRoot` makes of the environment when asked. */
type GivenOptions = DatabaseModuleOptions | (() => DatabaseModuleOptions);

/** Everything that a root module provides to the app, beside its options and the request's runner. */
export function rootProviders(name: string): Provider[] {
  const dataSource = getDataSourceToken(name);
  return [
    {
      provide: dataSource,
      // Options are resolved here and not in a provider of their own, so that overriding the data source in a test
      // needs no settings.
      useFactory: async (options: GivenOptions, modules: ModulesContainer) => {
        refuseSecondRoot(modules, name);
        return createDataSource(name, typeof options === 'function' ? options() : options, modules);
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
      provide: lifecycleToken(name),
      useFactory: (source: DataSource, modules: ModulesContainer, httpErrors: HttpErrorsFilter) => {
        httpErrors.register(source);
        return new DataSourceLifecycle(source, modules);
      },
      inject: [dataSource, ModulesContainer, HttpErrorsFilter],
    },
  ];
}

/** TypeORM 0.3 still exports the class `Connection`, and `@nestjs/typeorm` makes it a token too. */
export function connectionAlias(name: string): Provider[] {
  const { Connection } = typeorm as { Connection?: Type };
  return Connection && name === DEFAULT_DATA_SOURCE_NAME
    ? [{ provide: Connection, useExisting: getDataSourceToken(name) }]
    : [];
}

/** Marks the factory of a repository with its entity. */
const ENTITY = Symbol.for('nestjs-database.entity');

/** A repository for each entity, in the shape that `@nestjs/typeorm` gives its own. */
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

async function createDataSource(
  name: string,
  options: DatabaseModuleOptions,
  modules: ModulesContainer,
): Promise<DataSource> {
  const settings = resolveDatabaseOptions(options, { name });
  const loggers = nestLoggers(name);
  for (const warning of settings.warnings) loggers.module.warn(warning);
  const entities = settings.autoLoadEntities ? featureEntities(modules, name) : [];
  const dataSource = new ManagedDataSource(settings, entities, loggers);
  return settings.startup === 'off' ? dataSource : startBeside(starting(modules), dataSource);
}

/** The data sources of one app that have started, or are about to, until the app itself has. */
const STARTING = new WeakMap<ModulesContainer, Set<ManagedDataSource>>();

function starting(modules: ModulesContainer): Set<ManagedDataSource> {
  const known = STARTING.get(modules) ?? new Set();
  STARTING.set(modules, known);
  return known;
}

/** When one data source of an app fails, the app fails: the others end, and do not try on in a process that is to end. */
async function startBeside(
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

function nestLoggers(name: string): DatabaseLoggers {
  const suffix = name === 'default' ? '' : `:${name}`;
  return {
    module: new Logger(`DatabaseModule${suffix}`),
    pool: new Logger(`DatabasePool${suffix}`),
    query: new Logger(`DatabaseQuery${suffix}`),
  };
}

/** The entities that `forFeature` registered for this data source, ours and that of `@nestjs/typeorm`. */
function featureEntities(modules: ModulesContainer, name: string): EntityTarget[] {
  const token = getDataSourceToken(name);
  const found = new Set<EntityTarget>();
  for (const module of modules.values())
    for (const { inject, metatype: factory } of module.providers.values()) {
      if (inject?.length !== 1 || inject[0] !== token || typeof factory !== 'function') continue;
      const own = (factory as { [ENTITY]?: EntityTarget })[ENTITY];
      if (own) found.add(own);
      else if (module.metatype.name === 'TypeOrmModule') askForEntity(factory as RepositoryFactory, found);
    }
  return [...found].filter((entity) => !isRepositoryClass(entity));
}

type RepositoryFactory = (dataSource: unknown) => unknown;

/**
 * `TypeOrmModule.forFeature` keeps its entities in a list that is not exported and is shared by all apps of a process.
 * Its factories make a repository from a data source: a stand-in sees which entity they want, a class or a schema.
 */
function askForEntity(factory: RepositoryFactory, found: Set<EntityTarget>): void {
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
 * Two roots with one name would each open a pool, and chance would tell which one is injected. One dynamic module that
 * is imported in several places is one module to Nest.
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
          ? `the data source "${name}" is also made by TypeOrmModule.forRoot: remove that, or give one of them another name`
          : `${roots.length} modules make a data source named "${name}": give each its own name, or import one and the same module`,
      },
    ],
    { code: 'DATA_SOURCE_DUPLICATE', dataSource: name },
  );
}

function lifecycleToken(name: string): string {
  return `${name}DataSourceLifecycle`;
}

/**
 * The end of a data source. From `onModuleDestroy` it is not ready any more and has `shutdownMs` left; requests in flight
 * keep their connections until Nest's HTTP server has closed, which is when Nest calls `onApplicationShutdown`.
 */
class DataSourceLifecycle implements OnApplicationBootstrap, OnModuleDestroy, OnApplicationShutdown {
  readonly #dataSource: DataSource;
  readonly #modules: ModulesContainer;

  constructor(dataSource: DataSource, modules: ModulesContainer) {
    this.#dataSource = dataSource;
    this.#modules = modules;
  }

  onApplicationBootstrap(): void {
    if (!(this.#dataSource instanceof ManagedDataSource)) return;
    starting(this.#modules).delete(this.#dataSource);
    this.#dataSource.lifecycle.setAllowExitOnIdle(false);
  }

  onModuleDestroy(): void {
    if (this.#dataSource instanceof ManagedDataSource) this.#dataSource.lifecycle.beginShutdown();
  }

  async onApplicationShutdown(): Promise<void> {
    // What a test put in the data source's place may be anything.
    if (this.#dataSource?.isInitialized) await this.#dataSource.destroy();
  }
}
