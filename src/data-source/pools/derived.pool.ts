import { EXTRA_REPLACED } from '../../config/options/known-options.js';
import { DatabaseConfigError } from '../../errors/config.errors.js';
import type { ConfigProblem } from '../../errors/config.errors.js';
import type { ResolvedDatabaseOptions } from '../../database.options.js';
import { DataSourcePool } from './data-source.pool.js';
import type { PoolGroup } from './pool-group.js';
import type { PoolerDetector } from '../pooler/pooler-detector.js';

/** The options that TypeORM passes to `new Pool()`: options of `pg` under their names, and the keys of `extra`. */
interface GivenPoolOptions extends Readonly<Record<string, unknown>> {
  readonly database?: unknown;
}

/**
 * The class `Pool` in `dataSource.options.driver`, for `new DataSource({ ...dataSource.options, database: 'tenant_b' })`. A data
 * source that TypeORM creates from these options has a pool of its own with the same settings, and closes it.
 *
 * @param base the pools of the data source whose options are copied
 */
export function derivedPoolClass(base: PoolGroup): new (given: GivenPoolOptions) => DataSourcePool {
  return class Pool extends DataSourcePool {
    constructor(given: GivenPoolOptions) {
      super(derivedSettings(base.settings, base.primary?.pooler, given), base.loggers.pool);
    }
  };
}

/** @throws DatabaseConfigError for options that need a data source of DatabaseModule */
function derivedSettings(
  settings: ResolvedDatabaseOptions,
  pooler: PoolerDetector | undefined,
  given: GivenPoolOptions,
): ResolvedDatabaseOptions {
  const { connectionString, host, port, user, password, ssl, ...own } = given;
  const {
    database = settings.server.database,
    connectionTimeoutMillis,
    application_name,
    max,
    ...extra
  } = own;
  const problems = changedServerProblems(settings, { connectionString, host, port, user, password, ssl });
  if (typeof database !== 'string' || database === '')
    problems.push({ setting: 'database', message: 'is not the name of a database' });
  for (const key of Object.keys(extra)) {
    const instead = EXTRA_REPLACED[key];
    if (instead !== undefined && extra[key] !== undefined)
      problems.push({
        setting: `extra.${key}`,
        message: `would contradict the settings of this module; ${instead}`,
      });
  }
  if (problems.length > 0) throw new DatabaseConfigError(problems, { dataSource: settings.name });
  const { pool, timeouts } = settings;
  return {
    ...settings,
    server: { ...settings.server, database: database as string },
    // A derived data source does not observe its server, so it inherits what the base has detected.
    pooler: settings.pooler ?? (pooler && pooler.mode !== 'none' ? pooler.mode : undefined),
    pool:
      max === undefined
        ? pool
        : { ...pool, size: max as number, maxOverflow: 0, minIdle: Math.min(pool.minIdle, max as number) },
    timeouts:
      connectionTimeoutMillis === undefined
        ? timeouts
        : { ...timeouts, connectMs: connectionTimeoutMillis as number },
    applicationName: (application_name as string | undefined) ?? settings.applicationName,
    typeorm: { ...settings.typeorm, extra },
  };
}

/** One problem for each option that would change the server, the user or TLS. */
function changedServerProblems(settings: ResolvedDatabaseOptions, given: GivenPoolOptions): ConfigProblem[] {
  const { server, password } = settings;
  const basePassword = password && 'reveal' in password ? password.reveal() : undefined;
  const options: [setting: string, value: unknown, baseValue: unknown][] = [
    ['url', given['connectionString'], undefined],
    ['host', given['host'], server.host],
    ['port', given['port'] === undefined ? undefined : Number(given['port']), server.port],
    ['username', given['user'], server.username],
    ['password', given['password'], basePassword],
    ['ssl', given['ssl'], undefined],
  ];
  return options
    .filter(([, value, baseValue]) => value !== undefined && value !== baseValue)
    .map(([setting]) => ({
      setting,
      message:
        'a data source created from the options of another one keeps its server, user and TLS; ' +
        'for another server use DatabaseModule.forRoot with a name of its own',
    }));
}
