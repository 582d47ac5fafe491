import { Inject } from '@nestjs/common';
import { DataSource, EntityManager, EntitySchema, Repository } from 'typeorm';
import { DatabaseError } from './errors/database.error.js';

/** The name of the data source if none is given. */
export const DEFAULT_DATA_SOURCE_NAME = 'default';

/** An injection token: a class or a string, the same as in `@nestjs/typeorm`. */
// eslint-disable-next-line @typescript-eslint/no-unsafe-function-type -- Nest's own type of a class token
export type DatabaseToken = Function | string;

/** An entity class, an `EntitySchema`, or a subclass of `Repository`. */
// eslint-disable-next-line @typescript-eslint/no-unsafe-function-type -- TypeORM's own type of a class
export type EntityClassOrSchema = Function | EntitySchema;

/**
 * Token of a data source: the class `DataSource`, for a named one `` `${name}DataSource` ``.
 *
 * @example
 * ```ts
 * Test.createTestingModule({ imports: [AppModule] }).overrideProvider(getDataSourceToken()).useValue(stub)
 * ```
 */
export function getDataSourceToken(name: string = DEFAULT_DATA_SOURCE_NAME): DatabaseToken {
  return name === DEFAULT_DATA_SOURCE_NAME ? DataSource : `${name}DataSource`;
}

/** Token of an entity manager: the class `EntityManager`, for a named data source `` `${name}EntityManager` ``. */
export function getEntityManagerToken(name: string = DEFAULT_DATA_SOURCE_NAME): DatabaseToken {
  return name === DEFAULT_DATA_SOURCE_NAME ? EntityManager : `${name}EntityManager`;
}

/**
 * Token of a request's query runner: `` `${name}QueryRunner` ``.
 *
 * @example
 * ```ts
 * Test.createTestingModule({ imports: [AppModule] }).overrideProvider(getQueryRunnerToken()).useValue(runner)
 * ```
 */
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
 *
 * @throws DatabaseError `ENTITY_UNDEFINED` if the entity is undefined, as after a circular import
 * @example
 * ```ts
 * const users = app.get<Repository<User>>(getRepositoryToken(User));
 * ```
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

/**
 * Injects a data source. The class `DataSource` as the type of a parameter injects the default one without a decorator.
 *
 * @param name name of the data source. @defaultValue `'default'`
 * @example
 * ```ts
 * constructor(@InjectDataSource('reports') private readonly reports: DataSource) {}
 * ```
 */
export const InjectDataSource = (name?: string) => Inject(getDataSourceToken(name));

/**
 * Injects the entity manager of a data source.
 *
 * @param name name of the data source. @defaultValue `'default'`
 * @example
 * ```ts
 * constructor(@InjectEntityManager() private readonly manager: EntityManager) {}
 * ```
 */
export const InjectEntityManager = (name?: string) => Inject(getEntityManagerToken(name));

/**
 * Injects the repository that `forFeature` has registered for this entity.
 *
 * @param name name of the data source. @defaultValue `'default'`
 * @throws DatabaseError `ENTITY_UNDEFINED` if the entity is undefined, as after a circular import
 * @example
 * ```ts
 * constructor(@InjectRepository(User) private readonly users: Repository<User>) {}
 * ```
 */
export const InjectRepository = (entity: EntityClassOrSchema, name?: string) =>
  Inject(getRepositoryToken(entity, name));

/**
 * Injects the query runner of the HTTP request: one for all providers of the same request.
 *
 * The runner acquires a connection with its first statement. It keeps the connection only while a statement is pending, or while an open
 * transaction, `connect()`, a changed session or a stream pins it. The end of the request rolls back an open transaction and releases the
 * runner. Providers that inject it become request-scoped. Gateways cannot inject it: their "request" lasts as long as the client is
 * connected.
 *
 * @param name name of the data source. @defaultValue `'default'`
 * @throws DatabaseError `REQUEST_NOT_HTTP` outside an HTTP request
 * @example
 * ```ts
 * @Controller('transfers')
 * export class TransfersController {
 *   constructor(@InjectQueryRunner() private readonly runner: QueryRunner) {}
 * }
 * ```
 */
export const InjectQueryRunner = (name?: string) => Inject(getQueryRunnerToken(name));

/**
 * Injects the unit of work of the HTTP request, which creates further query runners for parallel statements.
 *
 * @param name name of the data source. @defaultValue `'default'`
 * @throws DatabaseError `REQUEST_NOT_HTTP` outside an HTTP request
 * @example
 * ```ts
 * constructor(@InjectUnitOfWork() private readonly unit: UnitOfWork) {}
 * ```
 */
export const InjectUnitOfWork = (name?: string) => Inject(getUnitOfWorkToken(name));
