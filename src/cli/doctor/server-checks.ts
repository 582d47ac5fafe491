import type { Connection } from '../../connection/connection.js';
import type { PoolerDetector } from '../../data-source/pooler/pooler-detector.js';
import { availableConnections, maxConnectionsOf } from '../../data-source/startup/budget.js';
import { budgetOf, describePooler, settingsInForce } from '../../data-source/startup/describe-start.js';
import { queryServerInfo } from '../../data-source/startup/server-info.js';
import type { ServerInfo } from '../../data-source/startup/server-info.js';
import type { ResolvedDatabaseOptions } from '../../database.options.js';
import { withAnswerTimeout } from './answer-timeout.js';
import type { CheckReporter, Finding } from './check-reporter.js';

const ROUND_TRIPS = 10;

/** Queries version and role of the server, and compares its free connections with the maximum of the app. */
export async function checkServer(
  connection: Connection,
  settings: ResolvedDatabaseOptions,
  pooler: PoolerDetector,
  checks: CheckReporter,
): Promise<ServerInfo> {
  checks.begin('server');
  const unanswered: string[] = [];
  const facts = await withAnswerTimeout(
    queryServerInfo(connection, settings, (warning) => unanswered.push(warning)),
    settings,
  );
  pooler.observeServer(facts);
  checks.pass(describeServer(facts, settings, pooler, unanswered));
  return facts;
}

function describeServer(
  facts: ServerInfo,
  settings: ResolvedDatabaseOptions,
  pooler: PoolerDetector,
  unanswered: readonly string[],
): Finding {
  const { budget, version, standby } = facts;
  const wanted = maxConnectionsOf(settings);
  const left = budget && availableConnections(budget);
  const connections = budget
    ? `, max_connections ${budget.maxConnections}: ${budget.others} in use by others, ${left} left; this app may open ${wanted}`
    : '';
  return {
    summary: `PostgreSQL ${version}, ${standby ? 'standby' : 'primary'}, ${describePooler(pooler)}${connections}`,
    warnings: [...budgetOf(settings, facts, pooler).warnings, ...unanswered],
    facts: {
      version,
      standby,
      pooler: pooler.mode,
      poolerConfigured: pooler.isConfigured,
      connections: budget && { ...budget, left, wanted },
    },
  };
}

/** Compares the configured settings with the settings in force. */
export function checkSettingsInForce(
  facts: ServerInfo,
  settings: ResolvedDatabaseOptions,
  pooler: PoolerDetector,
  checks: CheckReporter,
): void {
  checks.begin('settings in force');
  const { checks: found, warnings } = settingsInForce(settings, facts, pooler);
  const described = found.map(({ name, actual, enforcedBy }) => {
    if (enforcedBy === 'server') return `${name} ${actual}`;
    return enforcedBy ? `${name} enforced by the client` : `${name} not in force`;
  });
  checks.pass({
    summary: described.join(', ') || 'none configured',
    warnings,
    facts: { settings: found },
  });
}

/** Measures round trips with `SELECT 1`. */
export async function checkRoundTrips(
  connection: Connection,
  settings: ResolvedDatabaseOptions,
  checks: CheckReporter,
): Promise<void> {
  checks.begin('round trips');
  const times: number[] = [];
  for (let i = 0; i < ROUND_TRIPS; i++) {
    const started = performance.now();
    await withAnswerTimeout(connection.query('SELECT 1'), settings);
    times.push(Math.round((performance.now() - started) * 100) / 100);
  }
  times.sort((a, b) => a - b);
  const [minMs, medianMs, maxMs] = [times[0]!, times[ROUND_TRIPS / 2]!, times.at(-1)!];
  checks.pass({
    summary: `minimum ${minMs} ms, median ${medianMs} ms, maximum ${maxMs} ms of ${ROUND_TRIPS}`,
    facts: { minMs, medianMs, maxMs, count: ROUND_TRIPS },
  });
}
