import { Inject } from '@nestjs/common';
import { DataSource, EntityManager, EntitySchema, Repository } from 'typeorm';
import { DatabaseError } from './errors/database.error.js';

/** The name of the data source that is meant when none is given. */
export const DEFAULT_DATA_SOURCE_NAME = 'default';

/** What an injection token may be here: a class or a string, those of `@nestjs/typeorm`. */
// eslint-disable-next-line @typescript-eslint/no-unsafe-function-type -- Nest's own type of a class token
export type DatabaseToken = Function | string;

/** An entity class, an `EntitySchema`, or a subclass of `Repository`. */
// eslint-disable-next-line @typescript-eslint/no-unsafe-function-type -- TypeORM's own type of a class
export type EntityClassOrSchema = Function | EntitySchema;

/** Token of a data source: the class `DataSource`, for a named one `` `${name}DataSource` ``. */
export function getDataSourceToken(name: string = DEFAULT_DATA_SOURCE_NAME): DatabaseToken {
  return name === DEFAULT_DATA_SOURCE_NAME ? DataSource : `${name}DataSource`;
}

/** Token of an entity manager: the class `EntityManager`, for a named data source `` `${name}EntityManager` ``. */
export function getEntityManagerToken(name: string = DEFAULT_DATA_SOURCE_NAME): DatabaseToken {
  return name === DEFAULT_DATA_SOURCE_NAME ? EntityManager : `${name}EntityManager`;
}

/** Token of a request's query runner: `` `${name}QueryRunner` ``. */
export function getQueryRunnerToken(name: string = DEFAULT_DATA_SOURCE_NAME): string {
  return `${name}QueryRunner`;
}

/** Token of a request's unit of work: `` `${name}UnitOfWork` ``. */
export function getUnitOfWorkToken(name: string = DEFAULT_DATA_SOURCE_NAME): string {
  return `${name}UnitOfWork`;
}

/**
 * Token of a repository: `` `${Entity.name}Repository` ``, for a named data source `` `${name}_${Entity.name}Repository` ``;
 * a subclass of `Repository` is its own token, for a named data source `` `${name}_${Class.name}` ``.
 * @throws DatabaseError `ENTITY_UNDEFINED` when the entity is undefined, as it is in a circle of imports
 */
export function getRepositoryToken(
  entity: EntityClassOrSchema,
  name: string = DEFAULT_DATA_SOURCE_NAME,
): DatabaseToken {
  if (entity === undefined || entity === null)
    throw new DatabaseError(
      'getRepositoryToken and @InjectRepository need an entity, and this one is undefined.',
      {
        code: 'ENTITY_UNDEFINED',
        hint: 'Two files that import each other cause this: move the entity to a file of its own.',
      },
    );
  const prefix = name === DEFAULT_DATA_SOURCE_NAME ? '' : `${name}_`;
  if (entity instanceof EntitySchema)
    return `${prefix}${entity.options.target?.name ?? entity.options.name}Repository`;
  if (entity.prototype instanceof Repository) return prefix ? `${prefix}${entity.name}` : entity;
  return `${prefix}${entity.name}Repository`;
}

/** Injects the data source; the class `DataSource` as a parameter's type does the same for the default one. */
export const InjectDataSource = (name?: string) => Inject(getDataSourceToken(name));

/** Injects the data source's entity manager. */
export const InjectEntityManager = (name?: string) => Inject(getEntityManagerToken(name));

/** Injects the repository that `forFeature` registered for this entity. */
export const InjectRepository = (entity: EntityClassOrSchema, name?: string) =>
  Inject(getRepositoryToken(entity, name));

/**
 * Injects this request's own query runner: the same one wherever it is injected in one request, another one in another.
 * It takes a connection with its first query and is given back when the request ends; what it leaves uncommitted is
 * rolled back. It makes its owner request-scoped. Not for gateways, where a request lasts as long as the client stays.
 */
export const InjectQueryRunner = (name?: string) => Inject(getQueryRunnerToken(name));

/** Injects this request's unit of work, which makes further query runners for work in parallel. */
export const InjectUnitOfWork = (name?: string) => Inject(getUnitOfWorkToken(name));
