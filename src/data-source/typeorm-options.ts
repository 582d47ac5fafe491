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
 * The options for TypeORM's constructor. They contain neither URL nor password: `DataSource.options` is public and may be printed. Their
 * `driver` serves data sources that are derived from these options; a managed data source uses the pools that it has opened.
 */
export function typeOrmOptions(
  options: ResolvedDatabaseOptions,
  entities: readonly EntityTarget[],
  loggers: DatabaseLoggers,
  pools: PoolGroup,
): DataSourceOptions {
  const { typeorm } = options;
  const forTypeOrm: DataSourceOptions = {
    // The pool logs lost connections itself, once.
    poolErrorHandler: () => undefined,
    logger: createTypeOrmLogger(options, loggers, typeorm.logging),
    ...typeorm,
    // TypeORM 0.3 copies it to `dataSource.name`, from which `@nestjs/typeorm` builds tokens.
    ...{ name: options.name },
    type: 'postgres',
    applicationName: options.applicationName,
    ...(entities.length > 0 && { entities: [...listOf(typeorm.entities), ...entities] }),
    driver: { ...pg, Pool: derivedPoolClass(pools) },
    // Without it TypeORM tries to load pg-native, and uses its Pool.
    nativeDriver: {},
  };
  const { replication } = options;
  // Not enumerable, so that a derived data source does not copy it: it uses the primary alone, and TypeORM would ignore its `database`
  // beside `replication`.
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

/** Writes what TypeORM logs to the module's loggers. */
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

/** Options about where and how to connect. The settings of DatabaseModule decide them. */
const FIXED = [
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
 * The options of `setOptions()` that would have no effect.
 * @param hasStarted whether the data source has begun to connect
 */
export function ineffectiveOptions(
  options: Partial<DataSourceOptions>,
  current: DataSourceOptions,
  database: string,
  hasStarted: boolean,
): ConfigProblem[] {
  const given = options as Record<string, unknown>;
  const changed = (key: string) =>
    given[key] !== undefined && given[key] !== (current as unknown as Record<string, unknown>)[key];
  const problems: ConfigProblem[] = FIXED.filter(changed).map((setting) => ({
    setting,
    message: 'is set by the options of DatabaseModule; change it there',
  }));
  const { database: wanted } = given;
  if (wanted !== undefined && (typeof wanted !== 'string' || wanted === ''))
    problems.push({ setting: 'database', message: 'is not the name of a database' });
  else if (wanted !== undefined && hasStarted && wanted !== database)
    problems.push({
      setting: 'database',
      message:
        `the data source is connected to "${database}"; set it before initialize(), or create another data source: ` +
        'new DataSource({ ...dataSource.options, database })',
    });
  const { logger } = current;
  // The command line of TypeORM sets `logging` before it connects; there the logger of the app decides, as with TypeORM's own data source.
  if (
    hasStarted &&
    given['logging'] !== undefined &&
    !given['logger'] &&
    typeof logger === 'object' &&
    !(logger instanceof TypeOrmLogger)
  )
    problems.push({
      setting: 'logging',
      message: 'the logger of the app decides what it logs; set logger as well',
    });
  return problems;
}

/** The options of `setOptions()` that TypeORM may change. */
export function changeableOptions(options: Partial<DataSourceOptions>): Partial<DataSourceOptions> {
  const kept = Object.fromEntries(
    Object.entries(options).filter(([key]) => !(FIXED as readonly string[]).includes(key)),
  );
  // TypeORM creates a new logger only if `logging` is truthy.
  return 'logging' in kept ? { ...kept, logging: options.logging || [] } : kept;
}
