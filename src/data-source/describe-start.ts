import type { ResolvedDatabaseOptions } from '../database.options.js';
import { checkBudget } from './budget.js';
import type { PoolerPlan } from './pooler.js';
import { checkSettings, describeKept, describeMissing } from './self-check.js';
import type { ServerFacts } from './start.js';

/** What a start says: its one line, and what is to be warned of. No secret, no user. */
export function describeStart(
  settings: ResolvedDatabaseOptions,
  facts: ServerFacts,
  plan: PoolerPlan,
): { line: string; warnings: string[]; details: string[] } {
  const { server, pool, profile, ssl } = settings;
  const tls = facts.tls ? `${facts.tls} (${ssl.mode})` : 'no TLS';
  const checks = facts.settings ? checkSettings(settings, facts.settings, plan) : [];
  const kept = describeKept(checks);
  const warnings = describeMissing(checks, plan);
  const details: string[] = [];
  if (plan.dropsUrlOptions) warnings.push('options of the URL are not in force: the pooler refuses them.');
  if (plan.shared && pool.reset === 'discard')
    warnings.push(
      "pool.reset discard has no effect: DISCARD ALL would clear a session that is somebody else's.",
    );
  if (plan.told && plan.mode !== 'none' && facts.announcedPid === facts.pid)
    warnings.push(
      `DB_POOLER says ${plan.mode}, but there is no pooler in between; without it the server would keep the limits itself.`,
    );
  if (plan.mode !== 'none')
    details.push('The connection budget is not compared: the pooler has its own limits.');
  else if (facts.budget) warnings.push(...checkBudget(settings, facts.budget));
  const line =
    `Connected to database "${facts.database}" at ${server.host}:${server.port}, PostgreSQL ${facts.version}, ${tls}, ` +
    `${describePooler(plan)}pool ${pool.size} + ${pool.maxOverflow}, profile ${profile}${kept && `; in force: ${kept}`}`;
  return { line, warnings, details };
}

function describePooler({ mode, told }: PoolerPlan): string {
  if (mode === 'none') return '';
  return told ? `pooler in ${mode} mode, ` : 'pooler (detected, taken to be in transaction mode), ';
}
