import type { LeaseInfo, PoolSnapshot } from '../../database.snapshot.js';
import { PoolError } from '../../errors/pool.errors.js';
import { describeLease, describePool } from '../../pool/reporting/describe.js';
import { duration } from '../../text/duration.js';
import type { PoolWarning } from '../../pool/reporting/pool-warning.js';
import type { DatabaseLogger } from './database.logger.js';
import { suppressedNote, LogThrottle } from './log-throttle.js';

/** An incident that begins within this time after the last one is logged only if it lasts; milliseconds. */
const FLAP_MS = 10_000;
/** Duration from which on an incident counts as one that lasts; milliseconds. */
const LASTS_MS = 1_000;

/** When no acquire has failed for this time, the pool is no longer exhausted; milliseconds. */
const CALM_MS = 1_000;

/** Warnings that are logged at most once a minute for each borrower. */
const THROTTLED: ReadonlySet<PoolWarning['code']> = new Set([
  'CONNECTION_LEAK',
  'CONNECTION_LEAK_ENDED',
  'CONNECTION_RECLAIMED',
  'CONNECTION_RESET_FAILED',
  'TRANSACTION_LEFT_OPEN',
  'SELF_DEADLOCK',
  'USED_AFTER_RELEASE',
]);

/** Which failed connects are logged. The start and the replica pool log their own. */
export type ConnectFailureReports = 'always' | 'after-the-first' | 'never';

/** The pool whose warnings are logged. */
interface LoggedPool {
  readonly waitingCount: number;
  snapshot(): PoolSnapshot;
  on(event: 'acquire' | 'release', listener: () => void): unknown;
  off(event: 'acquire' | 'release', listener: () => void): unknown;
}

/** A period in which requests fail. Its begin and its end are logged once each. */
interface Incident {
  readonly since: number;
  /** The count of failed requests at its begin. */
  readonly failedBefore: number;
  /** When the last request failed. */
  lastAt: number;
  isLogged: boolean;
}

/**
 * The log of one pool, for operators. An outage is two lines, its begin and its end; so is an exhausted pool. Repeated warnings are
 * counted. Events of single connections have level debug.
 */
export class PoolLog {
  readonly #logger: DatabaseLogger;
  readonly #connectFailureReports: ConnectFailureReports;
  readonly #now: () => number;
  /** Descriptions of the leases that a drain has forcibly ended, and of the shared connections that it has closed. */
  readonly closedLeases: string[] = [];
  /** Statements that failed because their connection was lost. */
  lostStatements = 0;
  #outage: (Incident & { connectFailed: boolean }) | undefined;
  #exhaustion: Incident | undefined;
  #outageEndedAt = -Infinity;
  #exhaustionEndedAt = -Infinity;
  /** Whether SESSION_STATE_LEFT was logged. */
  #isSessionStateLogged = false;
  readonly #throttle: LogThrottle;

  #pool: LoggedPool | undefined;
  /** Whether failed connects are logged now. */
  #reportsConnects: boolean;

  constructor(
    logger: DatabaseLogger,
    connectFailureReports: ConnectFailureReports,
    now: () => number = () => performance.now(),
  ) {
    this.#logger = logger;
    this.#connectFailureReports = connectFailureReports;
    this.#now = now;
    this.#reportsConnects = connectFailureReports === 'always';
    this.#throttle = new LogThrottle(now);
  }

  /** Sets the pool. Its warnings may be reported before. */
  watch(pool: LoggedPool): void {
    this.#pool = pool;
  }

  report(warning: PoolWarning): void {
    const { code, level, message, lease, error } = warning;
    switch (code) {
      case 'OUTAGE':
        return this.#connectionLost(message);
      case 'CONNECT_FAILED':
        return this.#connectFailed(message);
      case 'POOL_EXHAUSTED':
        return this.#exhausted(error);
      case 'CONNECTION_FORCE_CLOSED':
        this.closedLeases.push(lease ? describeLease(lease) : 'a shared one');
        return this.#logger.debug(message);
      case 'SESSION_STATE_LEFT': {
        // Behind a pooler the same code leaves the same state at each request.
        const isRepeated = this.#isSessionStateLogged;
        this.#isSessionStateLogged = true;
        return this.#logger[isRepeated ? 'debug' : 'warn'](message);
      }
      default:
        return this.#logWarning(code, level, message, lease);
    }
  }

  /** Reports that a connection was opened. */
  connected(): void {
    if (this.#connectFailureReports !== 'never') this.#reportsConnects = true;
    this.#endOutage();
  }

  // ---- warnings that repeat ------------------------------------------------------------------------------------------

  #logWarning(
    code: PoolWarning['code'],
    level: PoolWarning['level'],
    message: string,
    lease?: LeaseInfo,
  ): void {
    const text = lease?.stack ? `${message}\n${lease.stack}` : message;
    if (level === 'info' && code !== 'CONNECTION_LEAK_ENDED') return this.#logger.debug(text);
    const suppressed = THROTTLED.has(code) ? this.#throttle.admit(`${code} ${lease?.borrower}`) : 0;
    if (suppressed === undefined) return this.#logger.debug(text);
    const line = message + suppressedNote(suppressed);
    this.#logger[level === 'warn' ? 'warn' : 'log'](lease?.stack ? `${line}\n${lease.stack}` : line);
  }

  // ---- outages -------------------------------------------------------------------------------------------------------

  #connectionLost(message: string): void {
    if (this.#outage) return this.#logger.debug(message);
    this.#beginOutage(message, false);
  }

  #connectFailed(message: string): void {
    if (!this.#reportsConnects) return this.#logger.debug(message);
    const outage = this.#outage;
    if (!outage) return this.#beginOutage(message, true);
    outage.connectFailed = true;
    if (outage.isLogged || this.#now() - outage.since < LASTS_MS) return this.#logger.debug(message);
    outage.isLogged = true;
    this.#logger.warn(message);
  }

  #beginOutage(message: string, connectFailed: boolean): void {
    const now = this.#now();
    const isLogged = now - this.#outageEndedAt >= FLAP_MS;
    this.#outage = { since: now, failedBefore: this.#failedCount(), lastAt: now, isLogged, connectFailed };
    this.#pool?.on('acquire', this.#acquired);
    this.#logger[isLogged ? 'warn' : 'debug'](message);
  }

  /** A leased connection was opened or validated after the loss: that ends the outage, unless connects fail. */
  readonly #acquired = (): void => {
    if (this.#outage && !this.#outage.connectFailed) this.#endOutage();
  };

  #endOutage(): void {
    const outage = this.#outage;
    if (!outage) return;
    this.#outage = undefined;
    this.#pool?.off('acquire', this.#acquired);
    if (outage.isLogged) this.#outageEndedAt = this.#now();
    const failed = this.#failedCount() - outage.failedBefore;
    const line = `The database is back after ${duration(this.#now() - outage.since)}, ${requests(failed)} failed.`;
    // No outage: the connection was replaced before a request needed it.
    const isReported =
      outage.isLogged && this.#connectFailureReports !== 'never' && (outage.connectFailed || failed > 0);
    this.#logger[isReported ? 'log' : 'debug'](line);
  }

  // ---- exhaustion ----------------------------------------------------------------------------------------------------

  #exhausted(error: Error | undefined): void {
    const now = this.#now();
    // The outage is the cause, and is logged.
    if (this.#outage) return;
    if (this.#exhaustion) {
      const exhaustion = this.#exhaustion;
      exhaustion.lastAt = now;
      if (exhaustion.isLogged || now - exhaustion.since < LASTS_MS) return;
      exhaustion.isLogged = true;
    } else {
      // Acquires that waited through an outage and fail after its end count as part of it.
      const isLogged = now - Math.max(this.#exhaustionEndedAt, this.#outageEndedAt) >= FLAP_MS;
      this.#exhaustion = { since: now, failedBefore: this.#failedCount() - 1, lastAt: now, isLogged };
      this.#pool?.on('release', this.#released);
      if (!isLogged) return;
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
    if (!exhaustion.isLogged) return;
    this.#exhaustionEndedAt = this.#now();
    const failed = this.#failedCount() - exhaustion.failedBefore;
    const lasted = duration(exhaustion.lastAt - exhaustion.since);
    this.#logger.log(
      `The pool has free connections again: it was exhausted for ${lasted}, ${requests(failed)} failed.`,
    );
  };

  #failedCount(): number {
    if (!this.#pool) return 0;
    const { timeouts, refused, failedByConnect } = this.#pool.snapshot().counters;
    return timeouts + refused + failedByConnect + this.lostStatements;
  }
}

function requests(count: number): string {
  return `${count} request${count === 1 ? '' : 's'}`;
}
