import type { Connection, ConnectionOptions } from '../../connection/connection.js';
import { statementGraceMs } from '../../connection/statements/statement-limit.js';
import { neonHost } from '../../config/url/neon-host.js';
import type { PoolerTerms } from '../../connection/session/pooler-terms.js';
import type { PoolerMode, ResolvedDatabaseOptions } from '../../database.options.js';
import { wantedSettings } from '../startup/self-check.js';
import type { PoolerConstraints } from '../startup/self-check.js';
import type { ServerInfo } from '../startup/server-info.js';

/** The refusals of PgBouncer, which names the parameter, and of Amazon RDS Proxy, which does not. */
const REFUSAL = /unsupported startup parameter(?: in options)?: ([\w.$]+)|(command-line options)/i;

/** What the startup packet carries beside user and database. After each refusal the next entry applies, which carries less. */
const STARTUP_PARAMETERS = ['settings and URL options', 'URL options', 'none'] as const;

/** Whether the app or its environment sets `preparedStatements`. */
function isConfigured({ origins }: ResolvedDatabaseOptions): boolean {
  return Object.entries(origins).some(
    ([path, origin]) => path.startsWith('preparedStatements') && origin !== 'default',
  );
}

/**
 * Detects a pooler between client and server. The result decides what the startup packet of the next connection carries, and which limits
 * the client enforces instead of the server. Each pool has one detector; its open connections read it at each use.
 *
 * | detected by | when                                                                   | mode                               |
 * | ----------- | ---------------------------------------------------------------------- | ---------------------------------- |
 * | configured  | `pooler` (`DB_POOLER`) is set                                          | as configured; nothing is detected |
 * | host name   | the host is Neon's `-pooler`                                           | transaction                        |
 * | observed    | the process id of the backend differs from the one announced at login, and no setting of the startup packet is in force | transaction |
 * | refused     | a connect fails because of a startup parameter                         | transaction                        |
 *
 * Transaction mode is the safe assumption: its restrictions are valid in every mode, and a limit that both sides enforce does no harm.
 */
export class PoolerDetector implements PoolerTerms, PoolerConstraints {
  readonly settings = {
    statement: 'timeouts.statementMs (DB_STATEMENT_TIMEOUT)',
    idleInTransaction: 'timeouts.idleInTransactionMs (DB_IDLE_IN_TRANSACTION_TIMEOUT)',
  };
  readonly #settings: ResolvedDatabaseOptions;
  /** Neon's pooler is in transaction mode and supports prepared statements: https://neon.com/docs/connect/connection-pooling */
  readonly #isNeon: boolean;
  /** Whether the user says that the pooler supports prepared statements, as PgBouncer does with max_prepared_statements. */
  readonly #isPreparingConfigured: boolean;
  #isDetected: boolean;
  #parameters: (typeof STARTUP_PARAMETERS)[number];
  /** How many connects that began before the last refusal may still be refused for the same reason. */
  #pendingRefusals = 0;

  constructor(settings: ResolvedDatabaseOptions) {
    this.#settings = settings;
    const { pooler, server } = settings;
    this.#isNeon = neonHost(server.host)?.isPooled === true;
    this.#isPreparingConfigured = settings.preparedStatements !== false && isConfigured(settings);
    this.#isDetected = pooler === undefined && this.#isNeon;
    const isPooled = this.#isDetected || (pooler !== undefined && pooler !== 'none');
    this.#parameters = isPooled ? 'URL options' : 'settings and URL options';
  }

  get mode(): PoolerMode {
    return this.#settings.pooler ?? (this.#isDetected ? 'transaction' : 'none');
  }

  get isConfigured(): boolean {
    return this.#settings.pooler !== undefined;
  }

  get isSessionShared(): boolean {
    return this.mode === 'transaction' || this.mode === 'statement';
  }

  get allowsNamedStatements(): boolean {
    return !this.isSessionShared || this.#isNeon || this.#isPreparingConfigured;
  }

  /** Whether prepared statements are on, but not used because the pooler may not support them. */
  get isPreparingSuspended(): boolean {
    return this.#settings.preparedStatements !== false && !this.allowsNamedStatements;
  }

  get statementLimitMs(): number {
    return this.isSessionShared ? this.#settings.timeouts.statementMs : 0;
  }

  get idleInTransactionMs(): number {
    return this.isSessionShared ? this.#settings.timeouts.idleInTransactionMs : 0;
  }

  /** Whether the `options` of the URL are not sent because the pooler has refused them. */
  get isUrlOptionsOmitted(): boolean {
    return this.#parameters === 'none' && this.#settings.startupOptions !== undefined;
  }

  /**
   * The options of the next connection. Settings in the startup packet are in force before the first statement, cost no round trip and
   * survive RESET ALL and DISCARD ALL, but a pooler refuses them.
   */
  connectOptions(): Pick<
    ConnectionOptions,
    | 'statement_timeout'
    | 'lock_timeout'
    | 'idle_in_transaction_session_timeout'
    | 'session'
    | 'options'
    | 'statementLimitMs'
    | 'poolerTerms'
  > {
    const { timeouts, session, startupOptions } = this.#settings;
    return {
      poolerTerms: this,
      ...(this.#parameters === 'settings and URL options' && {
        // `pg` does not send a limit of 0, so that the limit of the role stays in force.
        statement_timeout: timeouts.statementMs,
        lock_timeout: timeouts.lockMs,
        idle_in_transaction_session_timeout: timeouts.idleInTransactionMs,
        session,
      }),
      // The client's own limit, longer than the server's, which `applySessionSettings` sets.
      ...(this.mode === 'session' &&
        timeouts.statementMs > 0 && {
          statementLimitMs: timeouts.statementMs + statementGraceMs(timeouts.statementMs),
        }),
      ...(this.#parameters !== 'none' && startupOptions && { options: startupOptions }),
    };
  }

  /**
   * Examines the error of a failed connect.
   * @returns whether a pooler has refused a startup parameter: a connect with fewer of them may succeed
   */
  observeRefusal(error: unknown): boolean {
    const refusal = REFUSAL.exec((error as { message?: string } | undefined)?.message ?? '');
    if (!refusal || this.#settings.pooler === 'none') return false;
    const name = refusal[1] ?? 'options';
    const { startupOptions, pool } = this.#settings;
    // The parameter `options` carries the settings of `session` as well as the options of the URL.
    const isSetting = name in wantedSettings(this.#settings) || (name === 'options' && !startupOptions);
    if (!isSetting && !startupOptions) return false;
    const parameters = isSetting ? 'URL options' : 'none';
    this.#isDetected = true;
    if (STARTUP_PARAMETERS.indexOf(parameters) > STARTUP_PARAMETERS.indexOf(this.#parameters)) {
      this.#parameters = parameters;
      this.#pendingRefusals = pool.size + pool.maxOverflow;
      return true;
    }
    // This connect began before another one was refused. Bounded: a refusal of what is no longer sent would be retried without end.
    return this.#pendingRefusals-- > 0;
  }

  /**
   * Compares the process id of the backend with the one announced at login. They differ behind a pooler or a proxy. A proxy passes the
   * settings of the startup packet on, and the server reports them; a pooler ignores them.
   */
  observeServer({
    announcedPid,
    pid,
    settings,
  }: Pick<ServerInfo, 'announcedPid' | 'pid' | 'settings'>): void {
    if (this.isConfigured || this.#isDetected || typeof announcedPid !== 'number' || announcedPid === pid)
      return;
    const isPassedOn =
      this.#parameters === 'settings and URL options' &&
      Object.values(settings ?? {}).some(({ source }) => source === 'client');
    this.#isDetected = !isPassedOn;
  }

  /** In session mode, sends the settings that the startup packet may not carry in one statement: the session belongs to this client. */
  async applySessionSettings(connection: Pick<Connection, 'query'>): Promise<void> {
    const wanted = Object.entries(wantedSettings(this.#settings));
    if (this.mode !== 'session' || wanted.length === 0) return;
    const calls = wanted.map((_, index) => `set_config($${index * 2 + 1}, $${index * 2 + 2}, false)`);
    await connection.query(`SELECT ${calls.join(', ')}`, wanted.flat());
  }
}
