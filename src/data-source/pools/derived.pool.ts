import { EXTRA_REPLACED } from '../../config/options/known-options.js';
import { DatabaseConfigError } from '../../errors/config.errors.js';
import type { ConfigProblem } from '../../errors/config.errors.js';
import type { ResolvedDatabaseOptions } from '../../database.options.js';
import { DataSourcePool } from './data-source.pool.js';
import type { PoolGroup } from './pool-group.js';
import type { PoolerDetector } from '../pooler/pooler-detector.js';

/** The options that TypeORM passes to `new Pool()`: options of `pg` under their names, and the keys of `extra`. */
export interface GivenPoolOptions extends Readonly<Record<string, unknown>> {
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
  const problems: ConfigProblem[] = [];
  const refuse = (setting: string, message: string) => problems.push({ setting, message });
  const ownPassword =
    settings.password && 'reveal' in settings.password ? settings.password.reveal() : undefined;
  for (const [setting, value, kept] of [
    ['url', connectionString, undefined],
    ['host', host, settings.server.host],
    ['port', port === undefined ? undefined : Number(port), settings.server.port],
    ['username', user, settings.server.username],
    ['password', password, ownPassword],
    ['ssl', ssl, undefined],
  ] as const)
    if (value !== undefined && value !== kept)
      refuse(
        setting,
        'a data source created from the options of another one keeps its server, user and TLS; ' +
          'for another server use DatabaseModule.forRoot with a name of its own',
      );
  if (typeof database !== 'string' || database === '') refuse('database', 'is not the name of a database');
  for (const key of Object.keys(extra)) {
    const instead = EXTRA_REPLACED[key];
    if (instead !== undefined && extra[key] !== undefined)
      refuse(`extra.${key}`, `would contradict the settings of this module; ${instead}`);
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
