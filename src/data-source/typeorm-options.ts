import pg from 'pg';
import type { DataSourceOptions, EntitySchema, MixedList } from 'typeorm';
import { DEFAULTS } from '../config/profiles.js';
import type { ResolvedDatabaseOptions } from '../database.options.js';
import { type DatabaseLoggers, TypeOrmLogger } from './database.logger.js';
import type { DataSourcePool } from './data-source.pool.js';

/** An entity class or schema, as TypeORM's `entities` takes them. */
// eslint-disable-next-line @typescript-eslint/no-unsafe-function-type -- TypeORM's own type of a class
export type EntityTarget = Function | string | EntitySchema;

/**
 * TypeORM's view of our options. URL and password are not in it, since `DataSource.options` is public and gets
 * printed: the driver it is given builds no pool of its own but asks for ours.
 */
export function typeOrmOptions(
  options: ResolvedDatabaseOptions,
  entities: readonly EntityTarget[],
  loggers: DatabaseLoggers,
  pool: () => DataSourcePool,
): DataSourceOptions {
  const { typeorm } = options;
  return {
    // The pool tells of lost connections itself, once.
    poolErrorHandler: () => undefined,
    logger: new TypeOrmLogger(loggers, options.echo || DEFAULTS.echo, typeorm.logging),
    ...typeorm,
    // TypeORM 0.3 has it as `dataSource.name`, from which `@nestjs/typeorm` makes tokens.
    ...{ name: options.name },
    type: 'postgres',
    applicationName: options.applicationName,
    ...(entities.length > 0 && { entities: [...listOf(typeorm.entities), ...entities] }),
    driver: { ...pg, Pool: poolConstructor(pool) },
    // TypeORM tries to load pg-native otherwise, and takes its Pool when it is there.
    nativeDriver: {},
  };
}

function listOf<T>(list: MixedList<T> | undefined): T[] {
  return list === undefined ? [] : Array.isArray(list) ? list : Object.values(list as Record<string, T>);
}

/** TypeORM says `new driver.Pool(…)`; a constructor that returns an object hands that one out instead. */
function poolConstructor(pool: () => DataSourcePool): new () => DataSourcePool {
  return function Pool() {
    return pool();
  } as unknown as new () => DataSourcePool;
}
