import type { Connection, ConnectionOptions } from '../../connection/connection.js';
import { statementGraceMs } from '../../connection/statements/statement-limit.js';
import { neonHost } from '../../config/url/neon.js';
import type { PoolerTerms } from '../../connection/session/pooler-terms.js';
import type { PoolerMode, ResolvedDatabaseOptions } from '../../database.options.js';
import { wantedSettings } from '../startup/self-check.js';
import type { PoolerConstraints } from '../startup/self-check.js';
import type { ServerInfo } from '../startup/server-info.js';

/** PgBouncer's words, and those of Amazon's RDS Proxy. The parameter's name is in the first only. */
const REFUSAL = /unsupported startup parameter(?: in options)?: ([\w.$]+)|(command-line options)/i;
/** What the startup packet holds: all; not our settings; not the `options` of the URL either. */
const PACKETS = ['all', 'without ours', 'bare'] as const;

/**
 * What is known of a pooler in between, and what follows: what the next dial may say in its startup packet, and who keeps
 * the limits. One for each data source's pool; a refused dial and the start teach it, and connections that are open
 * already follow, since they ask it each time.
 */
export class PoolerDetector implements PoolerTerms, PoolerConstraints {
  readonly settings = {
    statement: 'timeouts.statementMs (DB_STATEMENT_TIMEOUT)',
    idleInTransaction: 'timeouts.idleInTransactionMs (DB_IDLE_IN_TRANSACTION_TIMEOUT)',
  };
  readonly #settings: ResolvedDatabaseOptions;
  /** PgBouncer in transaction mode that keeps prepared statements: https://neon.com/docs/connect/connection-pooling */
  readonly #neon: boolean;
  #detected: boolean;
  #packet: (typeof PACKETS)[number];
  /** How many dials may still be refused for what the packet has held until lately. */
  #underWay = 0;

  constructor(settings: ResolvedDatabaseOptions) {
    this.#settings = settings;
    const { pooler, server } = settings;
    this.#neon = neonHost(server.host)?.pooled === true;
    this.#detected = pooler === undefined && this.#neon;
    this.#packet = this.#detected || (pooler !== undefined && pooler !== 'none') ? 'without ours' : 'all';
  }

  /** Told, or found: then the mode is not known, and what is right in transaction mode is right in all three. */
  get mode(): PoolerMode {
    return this.#settings.pooler ?? (this.#detected ? 'transaction' : 'none');
  }

  get isConfigured(): boolean {
    return this.#settings.pooler !== undefined;
  }

  get isSessionShared(): boolean {
    return this.mode === 'transaction' || this.mode === 'statement';
  }

  get allowsNamedStatements(): boolean {
    return !this.isSessionShared || this.#neon;
  }

  get statementLimitMs(): number {
    return this.isSessionShared ? this.#settings.timeouts.statementMs : 0;
  }

  get idleInTransactionMs(): number {
    return this.isSessionShared ? this.#settings.timeouts.idleInTransactionMs : 0;
  }

  /** Whether the `options` of the URL are not sent, since they were refused. */
  get isUrlOptionsOmitted(): boolean {
    return this.#packet === 'bare' && this.#settings.startupOptions !== undefined;
  }

  /**
   * What the next connection is made with. Settings in the startup packet are in force before the first query, cost no
   * round trip and survive RESET ALL and DISCARD ALL, but a pooler refuses them.
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
      ...(this.#packet === 'all' && {
        // A limit of 0 is not sent: what the role has stays in force.
        statement_timeout: timeouts.statementMs,
        lock_timeout: timeouts.lockMs,
        idle_in_transaction_session_timeout: timeouts.idleInTransactionMs,
        session,
      }),
      // The server's comes from `setUp` then.
      ...(this.mode === 'session' &&
        timeouts.statementMs > 0 && {
          statementLimitMs: timeouts.statementMs + statementGraceMs(timeouts.statementMs),
        }),
      ...(this.#packet !== 'bare' && startupOptions && { options: startupOptions }),
    };
  }

  /** Whether a failed dial was a pooler's refusal of the startup packet, so that the next one goes with less in it. */
  observeRefusal(error: unknown): boolean {
    const refusal = REFUSAL.exec((error as { message?: string } | undefined)?.message ?? '');
    if (!refusal || this.#settings.pooler === 'none') return false;
    const name = refusal[1] ?? 'options';
    const { startupOptions, pool } = this.#settings;
    // Those of `session` travel in the parameter `options`, as those of the URL do.
    const ours = name in wantedSettings(this.#settings) || (name === 'options' && !startupOptions);
    if (!ours && !startupOptions) return false;
    const packet = ours ? 'without ours' : 'bare';
    this.#detected = true;
    if (PACKETS.indexOf(packet) > PACKETS.indexOf(this.#packet)) {
      this.#packet = packet;
      this.#underWay = pool.size + pool.maxOverflow;
      return true;
    }
    // Dialled before another dial had been refused for the same reason; but a refusal of what is not sent has no end.
    return this.#underWay-- > 0;
  }

  /**
   * What the start has seen. The ids differ behind whatever answers in the server's place. When the server has taken
   * settings from our startup packet all the same, its session began with our connection and is ours: a proxy. Else it is
   * a pooler, which has ignored them. In doubt a pooler: a limit that is kept twice does no harm.
   */
  observeServer({
    announcedPid,
    pid,
    settings,
  }: Pick<ServerInfo, 'announcedPid' | 'pid' | 'settings'>): void {
    if (this.isConfigured || this.#detected || typeof announcedPid !== 'number' || announcedPid === pid)
      return;
    const passed =
      this.#packet === 'all' && Object.values(settings ?? {}).some(({ source }) => source === 'client');
    this.#detected = !passed;
  }

  /** In session mode the server's session is ours until we leave, so that what the packet may not say is said by SET. */
  async applySessionSettings(connection: Pick<Connection, 'query'>): Promise<void> {
    const wanted = Object.entries(wantedSettings(this.#settings));
    if (this.mode !== 'session' || wanted.length === 0) return;
    const calls = wanted.map((_, index) => `set_config($${index * 2 + 1}, $${index * 2 + 2}, false)`);
    await connection.query(`SELECT ${calls.join(', ')}`, wanted.flat());
  }
}
