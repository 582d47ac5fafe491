import { SETTING_ROWS, valueAt, valueText } from '../../config/settings/settings.js';
import type { ResolvedDatabaseOptions } from '../../database.options.js';
import { DatabaseConfigError } from '../../errors/config.errors.js';
import type { CheckReporter, Finding } from './check-reporter.js';

/** The source of the settings. */
export interface SettingsSource {
  /** @throws DatabaseConfigError `DATABASE_CONFIG_INVALID` for wrong settings */
  readonly read: () => ResolvedDatabaseOptions;
  /** The file whose variables were loaded into the environment. */
  readonly file: string | undefined;
}

/** Resolves and reports the settings; undefined when they are wrong. */
export function checkSettings(
  { read, file }: SettingsSource,
  checks: CheckReporter,
): ResolvedDatabaseOptions | undefined {
  checks.begin('settings');
  let settings: ResolvedDatabaseOptions;
  try {
    settings = read();
  } catch (error) {
    if (!(error instanceof DatabaseConfigError)) throw error;
    const problems = error.problems.map(({ setting, message }) => `${setting}: ${message}`);
    const origin =
      file === undefined
        ? 'There is no .env file in this folder; --env-file names another one.'
        : `The variables of ${file} were read, too.`;
    checks.fail(problems.join('; '), { code: error.code, hint: `${error.hint} ${origin}` });
    return undefined;
  }
  if (settings.missingServer) {
    const { setting, message } = settings.missingServer;
    checks.fail(`${setting}: ${message}`, {
      code: 'DATABASE_CONFIG_INVALID',
      hint: 'Pass a URL as an argument, or set DB_URL. Only an app with startup off starts without a URL.',
    });
    return undefined;
  }
  checks.pass(describeSettings(settings, file));
  return settings;
}

/** The essential settings in the summary, without the URL, which contains the password, and without certificates. */
const SUMMARY_ROWS = SETTING_ROWS.filter(({ essential, type }) => essential && type.content === undefined);

function describeSettings(settings: ResolvedDatabaseOptions, file: string | undefined): Finding {
  const { server, profile, pool, ssl, timeouts, instances, warnings } = settings;
  const origin = file === undefined ? '' : `, with ${file}`;
  const essential = SUMMARY_ROWS.map(
    (row) => `${row.variable}=${valueText(row, valueAt(settings, row.path))}`,
  );
  return {
    summary:
      `database "${server.database}" at ${server.host}:${server.port} as "${server.username}", ` +
      `${essential.join(', ')}${origin}`,
    warnings,
    facts: { ...server, profile, sslMode: ssl.mode, pool, timeouts, instances },
  };
}
