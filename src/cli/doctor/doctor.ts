import type { Connection } from '../../connection/connection.js';
import { connectFailure } from '../../data-source/logging/connect-failure.js';
import { PoolerDetector } from '../../data-source/pooler/pooler-detector.js';
import { EXIT, EXIT_CODE_OF } from '../exit-codes.js';
import type { ExitCode } from '../exit-codes.js';
import { CheckReporter } from './check-reporter.js';
import { checkConnect } from './connect-check.js';
import type { Check } from './report.js';
import { checkRoundTrips, checkServer, checkSettingsInForce } from './server-checks.js';
import { checkSettings } from './settings-check.js';
import type { SettingsSource } from './settings-check.js';

/**
 * Checks a database from the settings to the round trip, on one connection, with the code by which the module connects.
 * Reports each check when it ends, stops at the first failure, and closes the connection.
 */
export async function examine(source: SettingsSource, report: (check: Check) => void): Promise<ExitCode> {
  const checks = new CheckReporter(report);
  const settings = checkSettings(source, checks);
  if (settings === undefined) return EXIT.settings;
  const pooler = new PoolerDetector(settings);
  let connection: Connection | undefined;
  try {
    connection = await checkConnect(settings, pooler, checks);
    const facts = await checkServer(connection, settings, pooler, checks);
    checkSettingsInForce(facts, settings, pooler, checks);
    await checkRoundTrips(connection, settings, checks);
    return EXIT.healthy;
  } catch (error) {
    const { code, category, summary, hint } = connectFailure(error, settings);
    checks.fail(summary, { code, hint });
    return EXIT_CODE_OF[category];
  } finally {
    await connection?.close().catch(() => connection?.destroy());
  }
}
