import { isIP } from 'node:net';
import { isSocket } from '../../config/url/local-host.js';
import { Connection } from '../../connection/connection.js';
import { watchConnect } from '../../connection/wire/connect-stages.js';
import type { ConnectStage, TlsFacts } from '../../connection/wire/connect-stages.js';
import { connectionOptions } from '../../data-source/pools/data-source.pool.js';
import type { PoolerDetector } from '../../data-source/pooler/pooler-detector.js';
import type { ResolvedDatabaseOptions } from '../../database.options.js';
import { withAnswerTimeout } from './answer-timeout.js';
import type { CheckReporter, Finding } from './check-reporter.js';
import type { CheckName } from './report.js';

/** A certificate that expires sooner causes a warning. */
const EXPIRES_SOON_MS = 14 * 86_400_000;

const CHECK_OF = { name: 'name resolution', tcp: 'TCP', tls: 'TLS' } as const satisfies Record<
  ConnectStage['stage'],
  CheckName
>;

/**
 * Opens a connection and reports its stages: name resolution, TCP, TLS and login. When a pooler refuses the startup packet,
 * connects again without the refused settings, and does not repeat the reports of stages that have passed.
 */
export async function checkConnect(
  settings: ResolvedDatabaseOptions,
  pooler: PoolerDetector,
  checks: CheckReporter,
): Promise<Connection> {
  const stages = stagesOf(settings);
  checks.begin(stages[0]!);
  for (;;) {
    const connection = new Connection({ ...connectionOptions(settings), ...pooler.connectOptions() });
    // An 'error' event without a listener would end the process. The running statement rejects with the same error.
    connection.on('error', () => undefined);
    watchConnect(connection, (reached) => {
      if (stages[0] !== CHECK_OF[reached.stage]) return;
      checks.pass(describeStage(reached, settings));
      stages.shift();
      checks.begin(stages[0]);
    });
    try {
      await connection.connect();
      await withAnswerTimeout(pooler.applySessionSettings(connection), settings);
      connection.finishSetup();
      checks.pass({ summary: `as "${settings.server.username}"` });
      return connection;
    } catch (error) {
      connection.destroy();
      if (!pooler.observeRefusal(error)) throw error;
    }
  }
}

/** The stages of a connection attempt. An address or a socket needs no name resolution. */
function stagesOf({ server: { host }, ssl }: ResolvedDatabaseOptions): CheckName[] {
  const stages: CheckName[] = [];
  if (!isSocket(host) && isIP(host) === 0) stages.push('name resolution');
  stages.push('TCP');
  if (ssl.tls) stages.push('TLS');
  stages.push('login');
  return stages;
}

function describeStage(reached: ConnectStage, settings: ResolvedDatabaseOptions): Finding {
  switch (reached.stage) {
    case 'name': {
      const { addresses } = reached;
      return { summary: `${settings.server.host} is ${addresses.join(', ')}`, facts: { addresses } };
    }
    case 'tcp':
      return { summary: reached.address, facts: { address: reached.address } };
    case 'tls':
      return describeTls(reached, settings);
  }
}

function describeTls(
  { protocol, cipher, issuer, subject, validUntil }: TlsFacts,
  { ssl }: ResolvedDatabaseOptions,
): Finding {
  const isUnverified = ssl.tls && ssl.tls.rejectUnauthorized === false;
  const verified = isUnverified ? 'nothing' : ssl.mode === 'verify-ca' ? 'chain' : 'chain and host name';
  const until = validUntil?.toISOString().slice(0, 10);
  const warnings: string[] = [];
  if (isUnverified) warnings.push('The certificate was not verified (ssl.rejectUnauthorized).');
  if (validUntil && validUntil.getTime() - Date.now() < EXPIRES_SOON_MS)
    warnings.push(`The server's certificate expires on ${until}.`);
  return {
    summary: `${protocol}, ${cipher}, certificate of "${subject}" by "${issuer}" until ${until}, verified: ${verified}`,
    warnings,
    facts: { protocol, cipher, issuer, subject, validUntil, verified },
  };
}
