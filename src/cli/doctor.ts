import { isIP } from 'node:net';
import { isSocket } from '../config/url/local-host.js';
import { withTimeout } from '../connection/deadline.js';
import { Connection } from '../connection/connection.js';
import { watchConnect } from '../connection/wire/connect-stages.js';
import type { ConnectStage, TlsFacts } from '../connection/wire/connect-stages.js';
import { availableConnections, maxConnectionsOf } from '../data-source/startup/budget.js';
import { connectionOptions } from '../data-source/pools/data-source.pool.js';
import { budgetOf, describePooler, settingsInForce } from '../data-source/startup/describe-start.js';
import { connectFailure } from '../data-source/logging/connect-failure.js';
import { PoolerDetector } from '../data-source/pooler/pooler-detector.js';
import { queryServerInfo } from '../data-source/startup/server-info.js';
import type { ServerInfo } from '../data-source/startup/server-info.js';
import { ConnectionError, DatabaseConfigError } from '../database.errors.js';
import type { ResolvedDatabaseOptions } from '../database.options.js';
import { EXIT, EXIT_CODE_OF } from './exit-codes.js';
import type { ExitCode } from './exit-codes.js';
import type { Check, CheckName } from './report.js';

const ROUND_TRIPS = 10;
/** A certificate that ends sooner is warned of. */
const SOON_MS = 14 * 86_400_000;

const STAGES = { name: 'name resolution', tcp: 'TCP', tls: 'TLS' } as const;

type Found = Pick<Check, 'summary'> & Partial<Pick<Check, 'warnings' | 'facts'>>;

/** Where the settings come from. */
export interface SettingsSource {
  readonly read: () => ResolvedDatabaseOptions;
  /** The file of variables that was read first. */
  readonly file: string | undefined;
}

/**
 * Checks a database from the settings to the round trip, with the code that the module connects by, and tells each check as
 * it comes out. Ends at the first failure; what was opened is closed again.
 */
export async function examine(
  { read, file }: SettingsSource,
  tell: (check: Check) => void,
): Promise<ExitCode> {
  const examination = new Examination(tell);
  let settings: ResolvedDatabaseOptions;
  try {
    settings = read();
  } catch (error) {
    if (!(error instanceof DatabaseConfigError)) throw error;
    const problems = error.problems.map(({ setting, message }) => `${setting}: ${message}`);
    const looked =
      file === undefined
        ? ' There is no .env in this folder; name one by --env-file.'
        : ` Read from ${file}, too.`;
    examination.fail('settings', problems.join('; '), { code: error.code, hint: `${error.hint}${looked}` });
    return EXIT.settings;
  }
  if (settings.missingServer) {
    const { setting, message } = settings.missingServer;
    examination.fail('settings', `${setting}: ${message}`, {
      code: 'DATABASE_CONFIG_INVALID',
      hint: 'Give a URL as an argument, or set one; startup off alone needs none.',
    });
    return EXIT.settings;
  }
  examination.pass('settings', describeSettings(settings, file));
  const plan = new PoolerDetector(settings);
  const dialled = await dial(settings, plan, examination);
  if (!(dialled instanceof Connection)) return dialled;
  try {
    await question(dialled, settings, plan, examination);
    return EXIT.healthy;
  } catch (error) {
    return examination.failBy(examination.next, error, settings);
  } finally {
    await dialled.close().catch(() => dialled.destroy());
  }
}

/** Tells checks, with the time since the last one. */
class Examination {
  readonly #tell: (check: Check) => void;
  /** The check that is under way. */
  next: CheckName = 'settings';
  #since = performance.now();

  constructor(tell: (check: Check) => void) {
    this.#tell = tell;
  }

  pass(name: CheckName, { summary, warnings = [], facts }: Found): void {
    const status = warnings.length > 0 ? 'warning' : 'ok';
    this.#tell({ name, status, ms: this.#lap(), summary, warnings, ...(facts && { facts }) });
  }

  fail(name: CheckName, summary: string, diagnosis: NonNullable<Check['diagnosis']>): void {
    this.#tell({ name, status: 'failed', ms: this.#lap(), summary, warnings: [], diagnosis });
  }

  failBy(name: CheckName, error: unknown, settings: ResolvedDatabaseOptions): ExitCode {
    const { code, category, summary, hint } = connectFailure(error, settings);
    this.fail(name, summary, { code, hint });
    return EXIT_CODE_OF[category];
  }

  #lap(): number {
    const now = performance.now();
    const ms = Math.round((now - this.#since) * 10) / 10;
    this.#since = now;
    return ms;
  }
}

function describeSettings(settings: ResolvedDatabaseOptions, file: string | undefined): Found {
  const { server, profile, pool, ssl, timeouts, instances, warnings } = settings;
  return {
    summary:
      `database "${server.database}" at ${server.host}:${server.port} as "${server.username}", profile ${profile}, ` +
      `TLS ${ssl.mode}, pool ${pool.size} + ${pool.maxOverflow}${file === undefined ? '' : `, with ${file}`}`,
    warnings,
    facts: { ...server, profile, sslMode: ssl.mode, pool, timeouts, instances },
  };
}

/** One dial, told stage by stage; a second one when a pooler refuses what the first has said. */
async function dial(
  settings: ResolvedDatabaseOptions,
  plan: PoolerDetector,
  examination: Examination,
): Promise<Connection | ExitCode> {
  const { host } = settings.server;
  const stages: CheckName[] = [
    ...(isSocket(host) || isIP(host) !== 0 ? [] : ['name resolution' as const]),
    'TCP',
    ...(settings.ssl.tls ? ['TLS' as const] : []),
    'login',
  ];
  for (;;) {
    const connection = new Connection({ ...connectionOptions(settings), ...plan.connectOptions() });
    // What breaks it is told by the dial or the question.
    connection.on('error', () => undefined);
    watchConnect(connection, (reached) => {
      const name = STAGES[reached.stage];
      // Of a second dial the way there is known.
      if (stages[0] !== name) return;
      stages.shift();
      examination.pass(name, describeStage(reached, settings));
    });
    try {
      await connection.connect();
      await answered(plan.applySessionSettings(connection), settings);
      connection.finishSetup();
      examination.pass('login', { summary: `as "${settings.server.username}"` });
      return connection;
    } catch (error) {
      connection.destroy();
      if (!plan.observeRefusal(error)) return examination.failBy(stages[0]!, error, settings);
    }
  }
}

function describeStage(reached: ConnectStage, settings: ResolvedDatabaseOptions): Found {
  if (reached.stage === 'name')
    return {
      summary: `${settings.server.host} is ${reached.addresses.join(', ')}`,
      facts: { addresses: reached.addresses },
    };
  if (reached.stage === 'tcp') return { summary: reached.address, facts: { address: reached.address } };
  return describeTls(reached, settings);
}

function describeTls(
  { protocol, cipher, issuer, subject, validUntil }: TlsFacts,
  { ssl }: ResolvedDatabaseOptions,
): Found {
  const unverified = ssl.tls && ssl.tls.rejectUnauthorized === false;
  const verified = unverified ? 'nothing' : ssl.mode === 'verify-ca' ? 'chain' : 'chain and host name';
  const until = validUntil?.toISOString().slice(0, 10);
  const warnings: string[] = [];
  if (unverified) warnings.push('The certificate was not verified (ssl.rejectUnauthorized).');
  if (validUntil && validUntil.getTime() - Date.now() < SOON_MS)
    warnings.push(`The server's certificate ends on ${until}.`);
  return {
    summary: `${protocol}, ${cipher}, certificate of "${subject}" by "${issuer}" until ${until}, verified: ${verified}`,
    warnings,
    facts: { protocol, cipher, issuer, subject, validUntil, verified },
  };
}

async function question(
  connection: Connection,
  settings: ResolvedDatabaseOptions,
  plan: PoolerDetector,
  examination: Examination,
): Promise<void> {
  examination.next = 'server';
  const unknown: string[] = [];
  const asked = queryServerInfo(connection, settings, (reason) => unknown.push(reason));
  const facts = await answered(asked, settings);
  plan.observeServer(facts);
  examination.pass('server', describeFacts(facts, settings, plan, unknown));

  examination.next = 'settings in force';
  const { checks, warnings } = settingsInForce(settings, facts, plan);
  const kept = checks.map(({ name, actual, enforcedBy }) =>
    enforcedBy === 'server'
      ? `${name} ${actual}`
      : `${name} ${enforcedBy ? 'by the client' : 'not in force'}`,
  );
  examination.pass('settings in force', {
    summary: kept.join(', ') || 'none to be checked',
    warnings,
    facts: { settings: checks },
  });

  examination.next = 'round trips';
  const times: number[] = [];
  for (let i = 0; i < ROUND_TRIPS; i++) {
    const started = performance.now();
    await answered(connection.query('SELECT 1'), settings);
    times.push(Math.round((performance.now() - started) * 100) / 100);
  }
  times.sort((a, b) => a - b);
  const [least, median, most] = [times[0]!, times[ROUND_TRIPS / 2]!, times.at(-1)!];
  examination.pass('round trips', {
    summary: `${least} ms at least, ${median} ms in the middle, ${most} ms at most, of ${ROUND_TRIPS}`,
    facts: { least, median, most, times: ROUND_TRIPS },
  });
}

/** Within the limit of the dial: a statement may be allowed to take for ever, and the network may freeze after the login. */
function answered<T>(asked: Promise<T>, { timeouts: { connectMs } }: ResolvedDatabaseOptions): Promise<T> {
  const late = () => new ConnectionError(`no answer within ${connectMs} ms`, { code: 'CONNECTION_SILENT' });
  return withTimeout(asked, connectMs, late);
}

function describeFacts(
  facts: ServerInfo,
  settings: ResolvedDatabaseOptions,
  plan: PoolerDetector,
  unknown: readonly string[],
): Found {
  const { budget, version, standby } = facts;
  const wanted = maxConnectionsOf(settings);
  const left = budget && availableConnections(budget);
  const room = budget
    ? `, max_connections ${budget.maxConnections}: ${budget.others} in use by others, ${left} left; this app may open ${wanted}`
    : '';
  return {
    summary: `PostgreSQL ${version}, ${standby ? 'standby' : 'primary'}, ${describePooler(plan)}${room}`,
    warnings: [...budgetOf(settings, facts, plan).warnings, ...unknown],
    facts: {
      version,
      standby,
      pooler: plan.mode,
      poolerTold: plan.isConfigured,
      connections: budget && { ...budget, left, wanted },
    },
  };
}
