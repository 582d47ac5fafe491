import type { LeaseInfo, PoolSnapshot } from '../../database.snapshot.js';
import { PoolError } from '../../errors/pool.errors.js';
import { describeLease, describePool } from '../../pool/reporting/describe.js';
import { duration } from '../../text/duration.js';
import type { PoolWarning } from '../../pool/reporting/pool-warning.js';
import type { DatabaseLogger } from './database.logger.js';
import { suppressedNote, LogThrottle } from './log-throttle.js';

/** An outage that begins so soon after the last one is told when it lasts; milliseconds. */
const FLAP_MS = 10_000;
const LASTS_MS = 1_000;

/** No acquire has failed for so long: the pool is not exhausted any more; milliseconds. */
const CALM_MS = 1_000;

const REPEATING: ReadonlySet<PoolWarning['code']> = new Set([
  'CONNECTION_LEAK',
  'CONNECTION_LEAK_ENDED',
  'CONNECTION_RECLAIMED',
  'CONNECTION_RESET_FAILED',
  'TRANSACTION_LEFT_OPEN',
  'SELF_DEADLOCK',
  'USED_AFTER_RELEASE',
]);

/** Which connections that cannot be opened are told: those of a start and of a replica are told by these. */
export type ConnectFailureReports = 'always' | 'after-the-first' | 'never';

/** What the log asks of the pool whose warnings it writes. */
export interface LoggedPool {
  readonly waitingCount: number;
  snapshot(): PoolSnapshot;
  on(event: 'acquire' | 'release', listener: () => void): unknown;
  off(event: 'acquire' | 'release', listener: () => void): unknown;
}

/** Some time in which requests fail: told once at its begin and once at its end. */
interface Incident {
  readonly since: number;
  /** Requests that had failed before. */
  readonly failedBefore: number;
  /** When the last one failed. */
  lastAt: number;
  told: boolean;
}

/**
 * The log of one pool. Each line tells an operator something new: an outage, and a pool without a free connection, are two
 * lines each, and a warning that repeats is counted. What happens to each connection is for debug.
 */
export class PoolLog {
  readonly #logger: DatabaseLogger;
  readonly #dials: ConnectFailureReports;
  readonly #now: () => number;
  /** Descriptions of the connections that the end of a drain has cut. */
  readonly closedLeases: string[] = [];
  /** Statements that failed because their connection was lost. */
  lostStatements = 0;
  #outage: (Incident & { connectFailed: boolean }) | undefined;
  #exhaustion: Incident | undefined;
  #outageEndedAt = -Infinity;
  #exhaustionEndedAt = -Infinity;
  #leftState = false;
  readonly #repeats: LogThrottle;

  #pool: LoggedPool | undefined;
  /** Whether connections that cannot be opened are told. */
  #reportsConnects: boolean;

  constructor(
    logger: DatabaseLogger,
    dials: ConnectFailureReports,
    now: () => number = () => performance.now(),
  ) {
    this.#logger = logger;
    this.#dials = dials;
    this.#now = now;
    this.#reportsConnects = dials === 'always';
    this.#repeats = new LogThrottle(now);
  }

  /** The pool, once it is made: its warnings may come before. */
  watch(pool: LoggedPool): void {
    this.#pool = pool;
  }

  report(warning: PoolWarning): void {
    const { code, level, message, lease, error } = warning;
    switch (code) {
      case 'OUTAGE':
        return this.#lost(message);
      case 'CONNECT_FAILED':
        return this.#connectFailed(message);
      case 'POOL_EXHAUSTED':
        return this.#exhausted(error);
      case 'CONNECTION_FORCE_CLOSED':
        if (lease) this.closedLeases.push(describeLease(lease));
        return this.#logger.debug(message);
      case 'SESSION_STATE_LEFT': {
        // Behind a pooler the same code leaves the same state at each request.
        const again = this.#leftState;
        this.#leftState = true;
        return this.#logger[again ? 'debug' : 'warn'](message);
      }
      default:
        return this.#tell(code, level, message, lease);
    }
  }

  /** A connection was opened. */
  connected(): void {
    if (this.#dials !== 'never') this.#reportsConnects = true;
    this.#endOutage();
  }

  // ---- warnings that repeat ------------------------------------------------------------------------------------------

  #tell(code: PoolWarning['code'], level: PoolWarning['level'], message: string, lease?: LeaseInfo): void {
    const text = lease?.stack ? `${message}\n${lease.stack}` : message;
    if (level === 'info' && code !== 'CONNECTION_LEAK_ENDED') return this.#logger.debug(text);
    const more = REPEATING.has(code) ? this.#repeats.admit(`${code} ${lease?.borrower}`) : 0;
    if (more === undefined) return this.#logger.debug(text);
    const line = message + suppressedNote(more);
    this.#logger[level === 'warn' ? 'warn' : 'log'](lease?.stack ? `${line}\n${lease.stack}` : line);
  }

  // ---- outages -------------------------------------------------------------------------------------------------------

  #lost(message: string): void {
    if (this.#outage) return this.#logger.debug(message);
    this.#beginOutage(message, false);
  }

  #connectFailed(message: string): void {
    if (!this.#reportsConnects) return this.#logger.debug(message);
    const outage = this.#outage;
    if (!outage) return this.#beginOutage(message, true);
    outage.connectFailed = true;
    if (outage.told || this.#now() - outage.since < LASTS_MS) return this.#logger.debug(message);
    outage.told = true;
    this.#logger.warn(message);
  }

  #beginOutage(message: string, connectFailed: boolean): void {
    const now = this.#now();
    const told = now - this.#outageEndedAt >= FLAP_MS;
    this.#outage = { since: now, failedBefore: this.#failed(), lastAt: now, told, connectFailed };
    this.#pool?.on('acquire', this.#acquired);
    this.#logger[told ? 'warn' : 'debug'](message);
  }

  /** A connection that is lent was opened or validated since. While some cannot be opened that is not the end of it. */
  readonly #acquired = (): void => {
    if (this.#outage && !this.#outage.connectFailed) this.#endOutage();
  };

  #endOutage(): void {
    const outage = this.#outage;
    if (!outage) return;
    this.#outage = undefined;
    this.#pool?.off('acquire', this.#acquired);
    if (outage.told) this.#outageEndedAt = this.#now();
    const failed = this.#failed() - outage.failedBefore;
    const line = `The database is back after ${duration(this.#now() - outage.since)}, ${requests(failed)} failed.`;
    // A connection that was replaced before it was needed is no outage.
    const isTold = outage.told && this.#dials !== 'never' && (outage.connectFailed || failed > 0);
    this.#logger[isTold ? 'log' : 'debug'](line);
  }

  // ---- exhaustion ----------------------------------------------------------------------------------------------------

  #exhausted(error: Error | undefined): void {
    const now = this.#now();
    // It has no connections to give, and that is told.
    if (this.#outage) return;
    if (this.#exhaustion) {
      const exhaustion = this.#exhaustion;
      exhaustion.lastAt = now;
      if (exhaustion.told || now - exhaustion.since < LASTS_MS) return;
      exhaustion.told = true;
    } else {
      // Those that have waited through an outage are part of it.
      const told = now - Math.max(this.#exhaustionEndedAt, this.#outageEndedAt) >= FLAP_MS;
      this.#exhaustion = { since: now, failedBefore: this.#failed() - 1, lastAt: now, told };
      this.#pool?.on('release', this.#released);
      if (!told) return;
    }
    if (!(error instanceof PoolError) || !error.snapshot) return;
    this.#logger.warn(`The pool is exhausted: ${describePool(error.snapshot, error.holders)}.`);
  }

  readonly #released = (): void => {
    const exhaustion = this.#exhaustion;
    if (!exhaustion || (this.#pool?.waitingCount ?? 0) > 0 || this.#now() - exhaustion.lastAt < CALM_MS)
      return;
    this.#exhaustion = undefined;
    this.#pool?.off('release', this.#released);
    if (!exhaustion.told) return;
    this.#exhaustionEndedAt = this.#now();
    const failed = this.#failed() - exhaustion.failedBefore;
    const lasted = duration(exhaustion.lastAt - exhaustion.since);
    this.#logger.log(
      `The pool has free connections again: for ${lasted} it was exhausted, ${requests(failed)} failed.`,
    );
  };

  #failed(): number {
    if (!this.#pool) return 0;
    const { timeouts, refused, failedByConnect } = this.#pool.snapshot().counters;
    return timeouts + refused + failedByConnect + this.lostStatements;
  }
}

function requests(count: number): string {
  return `${count} request${count === 1 ? '' : 's'}`;
}
