import pg from 'pg';
import type { DataSourceOptions, EntitySchema, LoggerOptions, MixedList } from 'typeorm';
import { DEFAULTS } from '../config/settings/defaults.js';
import type { ConfigProblem } from '../errors/config.errors.js';
import type { ResolvedDatabaseOptions } from '../database.options.js';
import { TypeOrmLogger } from './logging/database.logger.js';
import type { DatabaseLoggers } from './logging/database.logger.js';
import { derivedPoolClass } from './pools/derived.pool.js';
import type { PoolGroup } from './pools/pool-group.js';

/** An entity class or schema, as TypeORM's `entities` takes them. */
// eslint-disable-next-line @typescript-eslint/no-unsafe-function-type -- TypeORM's own type of a class
export type EntityTarget = Function | string | EntitySchema;

/**
 * TypeORM's view of our options. URL and password are not in it, since `DataSource.options` is public and gets printed.
 * The `driver` in it is for data sources that are made of these options; ours takes the pools that it has opened.
 */
export function typeOrmOptions(
  options: ResolvedDatabaseOptions,
  entities: readonly EntityTarget[],
  loggers: DatabaseLoggers,
  pools: PoolGroup,
): DataSourceOptions {
  const { typeorm } = options;
  const forTypeOrm: DataSourceOptions = {
    // The pool tells of lost connections itself, once.
    poolErrorHandler: () => undefined,
    logger: createTypeOrmLogger(options, loggers, typeorm.logging),
    ...typeorm,
    // TypeORM 0.3 has it as `dataSource.name`, from which `@nestjs/typeorm` makes tokens.
    ...{ name: options.name },
    type: 'postgres',
    applicationName: options.applicationName,
    ...(entities.length > 0 && { entities: [...listOf(typeorm.entities), ...entities] }),
    driver: { ...pg, Pool: derivedPoolClass(pools) },
    // TypeORM tries to load pg-native otherwise, and takes its Pool when it is there.
    nativeDriver: {},
  };
  const { replication } = options;
  // TypeORM looks for it here. Not listed: a data source that is made of these options has the primary alone, and its
  // `database` would count for nothing beside it.
  if (replication)
    Object.defineProperty(forTypeOrm, 'replication', {
      value: {
        master: {},
        slaves: replication.replicas.map(() => ({})),
        defaultMode: replication.defaultMode,
      },
    });
  return forTypeOrm;
}

/** TypeORM's `logging` on our loggers. */
export function createTypeOrmLogger(
  { echo }: ResolvedDatabaseOptions,
  loggers: DatabaseLoggers,
  logging: LoggerOptions | undefined,
): TypeOrmLogger {
  return new TypeOrmLogger(loggers, echo || DEFAULTS.echo, logging);
}

function listOf<T>(list: MixedList<T> | undefined): T[] {
  return list === undefined ? [] : Array.isArray(list) ? list : Object.values(list as Record<string, T>);
}

/** Options that say where and how to connect: the settings of this module decide them. */
const DECIDED = [
  'url',
  'host',
  'port',
  'username',
  'password',
  'ssl',
  'replication',
  'driver',
  'nativeDriver',
  'poolSize',
  'connectTimeoutMS',
  'applicationName',
  'extra',
  'type',
] as const;

/**
 * What of `setOptions()` can have no effect.
 * @param started whether the data source has begun to connect
 */
export function ineffectiveOptions(
  options: Partial<DataSourceOptions>,
  current: DataSourceOptions,
  database: string,
  started: boolean,
): ConfigProblem[] {
  const given = options as Record<string, unknown>;
  const changed = (key: string) =>
    given[key] !== undefined && given[key] !== (current as unknown as Record<string, unknown>)[key];
  const problems: ConfigProblem[] = DECIDED.filter(changed).map((setting) => ({
    setting,
    message: 'is decided by the options of DatabaseModule; give it there',
  }));
  const { database: wanted } = given;
  if (wanted !== undefined && (typeof wanted !== 'string' || wanted === ''))
    problems.push({ setting: 'database', message: 'is not the name of a database' });
  else if (wanted !== undefined && started && wanted !== database)
    problems.push({
      setting: 'database',
      message:
        `the data source is connected to "${database}"; set it before initialize(), or make another data source: ` +
        'new DataSource({ ...dataSource.options, database })',
    });
  const { logger } = current;
  if (
    given['logging'] !== undefined &&
    !given['logger'] &&
    typeof logger === 'object' &&
    !(logger instanceof TypeOrmLogger)
  )
    problems.push({
      setting: 'logging',
      message: 'a logger of your own decides what it logs; give logger too',
    });
  return problems;
}

/** What `setOptions()` changes; what is left out is not given, or as it was. */
export function changeableOptions(options: Partial<DataSourceOptions>): Partial<DataSourceOptions> {
  const kept = Object.fromEntries(
    Object.entries(options).filter(([key]) => !(DECIDED as readonly string[]).includes(key)),
  );
  // TypeORM makes a new logger for a truthy `logging` alone.
  return 'logging' in kept ? { ...kept, logging: options.logging || [] } : kept;
}
