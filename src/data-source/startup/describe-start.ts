import type { ResolvedDatabaseOptions } from '../../database.options.js';
import { checkBudget } from './budget.js';
import type { PoolerDetector } from '../pooler/pooler-detector.js';
import { checkSettings, describeClientEnforced, describeUnenforced } from './self-check.js';
import type { SettingCheck } from './self-check.js';
import type { ServerInfo } from './server-info.js';

/** What a start says: its one line, and what is to be warned of. No secret, no user. */
export function describeStart(
  settings: ResolvedDatabaseOptions,
  facts: ServerInfo,
  plan: PoolerDetector,
): { line: string; warnings: string[]; details: string[] } {
  const { server, pool, profile, ssl } = settings;
  const tls = facts.tls ? `${facts.tls} (${ssl.mode})` : 'no TLS';
  const inForce = settingsInForce(settings, facts, plan);
  const budget = budgetOf(settings, facts, plan);
  const kept = describeClientEnforced(inForce.checks);
  const pooler = plan.mode === 'none' ? '' : `${describePooler(plan)}, `;
  const replicas = settings.replication?.replicas.length ?? 0;
  const line =
    `Connected to database "${facts.database}" at ${server.host}:${server.port}, ${describeServer(facts)}, ${tls}, ` +
    `${pooler}pool ${pool.size} + ${pool.maxOverflow}, ${replicas > 0 ? `${replicas} read replica(s), ` : ''}profile ${profile}${kept && `; in force: ${kept}`}`;
  return { line, warnings: [...inForce.warnings, ...budget.warnings], details: budget.details };
}

/** `PostgreSQL 18.4` */
function describeServer({ version, standby }: ServerInfo): string {
  return `PostgreSQL ${version}${standby ? ' (standby)' : ''}`;
}

/** What stands in between. */
export function describePooler({ mode, isConfigured }: PoolerDetector): string {
  if (mode === 'none') return 'no pooler';
  return isConfigured ? `pooler in ${mode} mode` : 'pooler (detected, taken to be in transaction mode)';
}

/** Each configured setting as it is in force, and what is wrong with them. */
export function settingsInForce(
  settings: ResolvedDatabaseOptions,
  facts: ServerInfo,
  plan: PoolerDetector,
): { checks: SettingCheck[]; warnings: string[] } {
  const checks = facts.settings ? checkSettings(settings, facts.settings, plan) : [];
  const warnings = describeUnenforced(checks, plan);
  if (plan.isUrlOptionsOmitted)
    warnings.push('options of the URL are not in force: the pooler refuses them.');
  if (plan.isSessionShared && settings.pool.reset === 'discard')
    warnings.push(
      'pool.reset discard has no effect: DISCARD ALL would clear a session that other clients use.',
    );
  if (plan.isConfigured && plan.mode !== 'none' && facts.announcedPid === facts.pid)
    warnings.push(
      `DB_POOLER says ${plan.mode}, but there is no pooler in between; without it the server would keep the limits itself.`,
    );
  return { checks, warnings };
}

/** Whether the connections of all instances fit. */
export function budgetOf(
  settings: ResolvedDatabaseOptions,
  { budget }: ServerInfo,
  { mode }: PoolerDetector,
): { warnings: string[]; details: string[] } {
  if (mode !== 'none')
    return {
      warnings: [],
      details: ['The connection budget is not compared: the pooler has its own limits.'],
    };
  return { warnings: budget ? checkBudget(settings, budget) : [], details: [] };
}
