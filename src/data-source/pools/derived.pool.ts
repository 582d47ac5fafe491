import { EXTRA_REPLACED } from '../../config/options/known-options.js';
import { DatabaseConfigError } from '../../errors/config.errors.js';
import type { ConfigProblem } from '../../errors/config.errors.js';
import type { ResolvedDatabaseOptions } from '../../database.options.js';
import { DataSourcePool } from './data-source.pool.js';
import type { DatabaseLogger } from '../logging/database.logger.js';
import type { PoolerDetector } from '../pooler/pooler-detector.js';

/** What TypeORM gives a `Pool`: the parts of the options that `pg` knows, by the names of `pg`, and `extra`. */
export interface GivenPoolOptions extends Readonly<Record<string, unknown>> {
  readonly database?: unknown;
}

/** The data source whose options were taken. */
export interface DerivedFrom {
  readonly settings: ResolvedDatabaseOptions;
  /** What its pool has learned of a pooler in between. */
  readonly plan: PoolerDetector | undefined;
  readonly logger: DatabaseLogger;
}

/**
 * The `Pool` in `dataSource.options.driver`, for `new DataSource({ ...dataSource.options, database: 'tenant_b' })`: each
 * data source that TypeORM makes of these options has a pool of its own, of the same settings, and closes it.
 */
export function derivedPoolClass(base: () => DerivedFrom): new (given: GivenPoolOptions) => DataSourcePool {
  return class Pool extends DataSourcePool {
    constructor(given: GivenPoolOptions) {
      const { settings, plan, logger } = base();
      super(derivedSettings(settings, plan, given), logger);
    }
  };
}

/** @throws DatabaseConfigError for what only a data source of its own can have */
function derivedSettings(
  settings: ResolvedDatabaseOptions,
  plan: PoolerDetector | undefined,
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
  const ours = settings.password && 'reveal' in settings.password ? settings.password.reveal() : undefined;
  for (const [setting, value, kept] of [
    ['url', connectionString, undefined],
    ['host', host, settings.server.host],
    ['port', port === undefined ? undefined : Number(port), settings.server.port],
    ['username', user, settings.server.username],
    ['password', password, ours],
    ['ssl', ssl, undefined],
  ] as const)
    if (value !== undefined && value !== kept)
      refuse(
        setting,
        'a data source made of the options of another one keeps the server, the user and TLS of that one; ' +
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
    // Found once, since nothing but the start of a data source of ours looks for one.
    pooler: settings.pooler ?? (plan && plan.mode !== 'none' ? plan.mode : undefined),
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
