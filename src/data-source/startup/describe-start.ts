import type { ResolvedDatabaseOptions } from '../../database.options.js';
import { checkBudget } from './budget.js';
import type { PoolerDetector } from '../pooler/pooler-detector.js';
import { checkSettings, describeClientEnforced, describeUnenforced } from './self-check.js';
import type { SettingCheck } from './self-check.js';
import type { ServerInfo } from './server-info.js';

/** The log lines of a start: one line, warnings, and details for level debug. They contain no secret and no user name. */
export function describeStart(
  settings: ResolvedDatabaseOptions,
  info: ServerInfo,
  pooler: PoolerDetector,
): { line: string; warnings: string[]; details: string[] } {
  const { server, pool, profile, ssl } = settings;
  const tls = info.tls ? `${info.tls} (${ssl.mode})` : 'no TLS';
  const inForce = settingsInForce(settings, info, pooler);
  const budget = budgetOf(settings, info, pooler);
  const byClient = describeClientEnforced(inForce.checks);
  const poolerText =
    pooler.mode === 'none'
      ? ''
      : `${describePooler(pooler)}, ${pooler.isPreparingSuspended ? 'no prepared statements, ' : ''}`;
  const replicas = settings.replication?.replicas.length ?? 0;
  const line =
    `Connected to database "${info.database}" at ${server.host}:${server.port}, ${describeServer(info)}, ${tls}, ` +
    `${poolerText}pool ${pool.size} + ${pool.maxOverflow}, ${settings.multiplex ? `${settings.multiplex.connections} shared, ` : ''}${replicas > 0 ? `${replicas} read replica(s), ` : ''}profile ${profile}${byClient && `; in force: ${byClient}`}`;
  return { line, warnings: [...inForce.warnings, ...budget.warnings], details: budget.details };
}

/** `PostgreSQL 18.4` */
function describeServer({ version, standby }: ServerInfo): string {
  return `PostgreSQL ${version}${standby ? ' (standby)' : ''}`;
}

/** Describes the pooler between client and server. */
export function describePooler({ mode, isConfigured }: PoolerDetector): string {
  if (mode === 'none') return 'no pooler';
  return isConfigured ? `pooler in ${mode} mode` : 'pooler (detected, transaction mode assumed)';
}

/** Compares the configured settings with those in force. */
export function settingsInForce(
  settings: ResolvedDatabaseOptions,
  info: ServerInfo,
  pooler: PoolerDetector,
): { checks: SettingCheck[]; warnings: string[] } {
  const checks = info.settings ? checkSettings(settings, info.settings, pooler) : [];
  const warnings = describeUnenforced(checks, pooler);
  if (settings.multiplex && pooler.isSessionShared)
    warnings.push(
      'multiplex (DB_MULTIPLEX) has no effect: the pooler shares the connections already, and may not keep prepared statements.',
    );
  if (pooler.isUrlOptionsOmitted)
    warnings.push('options of the URL are not in force: the pooler refuses them.');
  if (pooler.isSessionShared && settings.pool.reset === 'discard')
    warnings.push("pool.reset discard has no effect: DISCARD ALL would clear another client's session.");
  if (pooler.isConfigured && pooler.mode !== 'none' && info.announcedPid === info.pid)
    warnings.push(
      `DB_POOLER is ${pooler.mode}, but there is no pooler in between; without this setting the server would enforce the limits.`,
    );
  return { checks, warnings };
}

/** Compares the connections of all instances with the limits of the server. */
export function budgetOf(
  settings: ResolvedDatabaseOptions,
  { budget }: ServerInfo,
  { mode }: PoolerDetector,
): { warnings: string[]; details: string[] } {
  if (mode !== 'none')
    return {
      warnings: [],
      details: ['The connection budget is not checked: the pooler has limits of its own.'],
    };
  return { warnings: budget ? checkBudget(settings, budget) : [], details: [] };
}
