import { QueryFailedError } from 'typeorm';
import type { DataSource, QueryRunner } from 'typeorm';
import type { Connection } from '../../connection/connection.js';
import { isInterrupt } from '../../connection/wire/disconnect.js';
import { isSingleRepeatableStatement } from '../../connection/statements/repeatable-statement.js';
import { noteHttpErrors } from '../../errors/http-errors.js';
import type { EchoSettings } from '../../database.options.js';
import { diagnose } from '../../diagnosis/diagnose.js';
import type { LeasedClient } from '../../pool/connections/pooled-connection.js';
import type { Caller } from '../../text/call-site.js';
import { statementText } from '../logging/database.logger.js';
import type { DatabaseLogger } from '../logging/database.logger.js';
import { QueryResult } from '../typeorm-internals.js';
import { createQueryFailedError } from './query-failed-error.js';
import type { RunnerConnection } from './runner-connection.js';
import type { RunnerLease } from './runner-lease.js';

/** What statements need of the data source. One object for all runners of a data source. */
export interface StatementSettings {
  readonly dataSource: DataSource;
  readonly echo: Readonly<Required<EchoSettings>> | false;
  /** Whether a statement whose session the server has terminated is sent once more. */
  readonly retryTerminated: boolean;
  /** Whether HTTP requests are answered by the errors of the data source. */
  readonly httpErrors: boolean;
  readonly queryLogger: DatabaseLogger;
  /** Whether the pools share connections. */
  readonly sharesConnections: boolean;
}

/** The query runner that sends a statement. */
export interface StatementRunner extends QueryRunner {
  readonly settings: StatementSettings;
  readonly runnerConnection: RunnerConnection;
  /** Throws if the runner is released, or if its transaction refuses the statement. */
  refuseStatement(query: string): void;
  alreadyReleasedError(): Error;
}

/** The result of `pg`; an array for several statements in one text. */
export type RawResult = { rows?: unknown[]; rowCount?: number | null; command?: string } | undefined;

/**
 * Sends a statement with TypeORM's events and log lines: `logQuery`, `BeforeQuery`, then `AfterQuery`, `logQuerySlow` or
 * `logQueryError`. Sends it once more if the server has terminated its session and `isRepeatable()` allows it.
 *
 * One function, since each further one that awaits the statement would add a promise to every statement of the app.
 *
 * @param calledIn the runner's method that was called: captured stacks begin at its caller
 * @param attempt what earlier steps have done for the statement
 * @returns the rows, or TypeORM's `QueryResult` if `isStructured`
 * @throws QueryFailedError if the statement fails; an error of the acquire is thrown unchanged
 */
export async function executeStatement(
  runner: StatementRunner,
  query: string,
  parameters: unknown[] | undefined,
  isStructured: boolean,
  calledIn: Caller,
  attempt?: Attempt,
): Promise<unknown> {
  if (!attempt?.isAccepted) runner.refuseStatement(query);
  const { settings, runnerConnection, broadcaster } = runner;
  const { dataSource, echo } = settings;
  const hasSubscribers = dataSource.subscribers.length > 0;
  const isTimed = hasSubscribers || echo !== false || !!dataSource.options.maxQueryExecutionTime;
  let lease = runnerConnection.acquire(calledIn);
  let waitedMs = attempt?.waitedMs ?? 0;
  let sentAt = attempt?.sentAt ?? 0;
  let isAnnounced = attempt?.sentAt !== undefined;
  let raw: RawResult;
  try {
    for (let isRepeated = attempt?.isTerminated === true; ; isRepeated = true) {
      lease.startStatement();
      let connection: LeasedClient<Connection> | undefined;
      let isSent = false;
      try {
        connection = attempt?.hasTurn ? lease.connection : lease.connectionInTurn;
        if (!connection) {
          const startedAt = performance.now();
          connection = await lease.waitInTurn();
          lease.endWaitInTurn();
          waitedMs += performance.now() - startedAt;
        }
        if (!isAnnounced) {
          isAnnounced = true;
          dataSource.logger.logQuery(query, parameters, runner);
          if (hasSubscribers) await broadcaster.broadcast('BeforeQuery', query, parameters);
          // The duration of the statement does not include the wait for a connection.
          if (isTimed) sentAt = performance.now();
        }
        // A release waits for pending statements, but not forever: another borrower may have leased the connection.
        if (lease.connection !== connection) throw runner.alreadyReleasedError();
        isSent = true;
        raw = await send(connection, query, parameters);
        break;
      } catch (error) {
        if (!connection || !isSent) throw error;
        // As `pg` does for its promises: the stack of the socket does not show the caller.
        if (error instanceof Error) Error.captureStackTrace(error, executeStatement);
        const driverError = driverErrorOf(error, connection);
        const isTerminated = isRepeatable(runner, driverError, lease, connection, query);
        if (!connection.isUsable && !isTerminated) lease.isLossReported = true;
        if (!isTerminated || isRepeated) {
          if (!connection.isUsable) lease.countLostStatement();
          throw statementError(settings, query, parameters, driverError);
        }
      } finally {
        lease.settleStatement();
      }
      lease = runnerConnection.replaceLease(lease, waitedMs);
    }
  } catch (error) {
    if (!(error instanceof QueryFailedError)) throw error;
    await announceFailure(runner, query, parameters, error as QueryFailedError, sentAt);
    throw withHint(error as QueryFailedError);
  }
  if (isTimed) await announceResult(runner, query, parameters, raw, sentAt);
  return resultOf(raw, isStructured);
}

/** What earlier steps have done for a statement: accepted it, waited for its connection, sent it on a shared one. */
export interface Attempt {
  /** `performance.now()` of an earlier attempt, which has logged the statement but not completed it. */
  readonly sentAt?: number;
  /** Whether the server has terminated the session of that attempt, so that the statement is now sent for the second time. */
  readonly isTerminated?: boolean;
  /** Whether the runner has accepted the statement already: it may have been released since. */
  readonly isAccepted?: boolean;
  /** How long it has waited for its connection; milliseconds. */
  readonly waitedMs?: number;
  /** Whether it comes before the statements of its runner that wait for the connection. */
  readonly hasTurn?: boolean;
}

/** Logs a failed statement, and notifies the subscribers. */
export async function announceFailure(
  runner: StatementRunner,
  query: string,
  parameters: unknown[] | undefined,
  error: QueryFailedError,
  sentAt: number,
): Promise<void> {
  const { settings, broadcaster } = runner;
  const { dataSource, echo } = settings;
  const driverError = error.driverError;
  dataSource.logger.logQueryError(driverError, query, parameters, runner);
  if (echo) {
    const ms = (performance.now() - sentAt).toFixed(1);
    settings.queryLogger.error(`failed after ${ms} ms: ${statementText(query, parameters, echo)}`);
  }
  if (dataSource.subscribers.length > 0)
    await broadcaster.broadcast('AfterQuery', query, parameters, false, undefined, undefined, driverError);
}

/** Logs a completed statement, and notifies the subscribers. */
export async function announceResult(
  runner: StatementRunner,
  query: string,
  parameters: unknown[] | undefined,
  raw: RawResult,
  sentAt: number,
): Promise<void> {
  const ms = performance.now() - sentAt;
  logCompleted(runner, query, parameters, ms);
  if (runner.settings.dataSource.subscribers.length > 0)
    await runner.broadcaster.broadcast('AfterQuery', query, parameters, true, Math.round(ms), raw, undefined);
}

/** With a callback, `pg` creates neither of the two promises that it creates without one. */
function send(
  connection: LeasedClient<Connection>,
  query: string,
  parameters: unknown[] | undefined,
): Promise<RawResult> {
  return new Promise((resolve, reject) => {
    connection.query(query, parameters as unknown[], (error: Error | null, result: RawResult) =>
      error ? reject(error) : resolve(result),
    );
  });
}

export function statementError(
  { echo, httpErrors }: StatementSettings,
  query: string,
  parameters: unknown[] | undefined,
  driverError: unknown,
): QueryFailedError {
  const showParameters = echo !== false && echo.parameters;
  const error = createQueryFailedError(query, parameters, driverError, showParameters);
  noteHttpErrors(error, httpErrors);
  return error;
}

function logCompleted(
  runner: StatementRunner,
  query: string,
  parameters: unknown[] | undefined,
  ms: number,
): void {
  const { dataSource, echo, queryLogger } = runner.settings;
  if (echo) queryLogger.log(`${ms.toFixed(1)} ms: ${statementText(query, parameters, echo)}`);
  const { maxQueryExecutionTime } = dataSource.options;
  if (maxQueryExecutionTime && ms > maxQueryExecutionTime)
    dataSource.logger.logQuerySlow(Math.round(ms), query, parameters, runner);
}

/**
 * Whether a failed statement may be sent once more. All of these must hold:
 *
 * - The server has terminated the session before the statement completed, outside a transaction: the statement had no effect.
 * - The session had no state that another session lacks.
 * - No earlier statement has failed with the same session. A statement queued behind a BEGIN or a SET would run without its effect.
 */
function isRepeatable(
  { settings, isReleased, isTransactionActive, runnerConnection }: StatementRunner,
  error: unknown,
  lease: RunnerLease,
  connection: LeasedClient<Connection>,
  query: string,
): boolean {
  return (
    settings.retryTerminated &&
    isInterrupt(error) &&
    !lease.isLossReported &&
    !isReleased &&
    !isTransactionActive &&
    !runnerConnection.isSessionPinned(connection) &&
    // The status of the last ReadyForQuery, before this statement.
    connection.transactionStatus === 'I' &&
    !connection.commandCompleted &&
    isSingleRepeatableStatement(query)
  );
}

/**
 * The error to report for a failed statement. If the connection was lost before, `pg` rejects with a message about its client, without
 * SQLSTATE: the reason of the loss says more.
 */
function driverErrorOf(error: unknown, { closeReason }: LeasedClient<Connection>): unknown {
  return closeReason && (error as { code?: unknown } | undefined)?.code === undefined ? closeReason : error;
}

/** Converts the result of `pg` to that of TypeORM. */
export function resultOf(raw: RawResult, isStructured: boolean): unknown {
  const result = new QueryResult();
  if (!raw) return result;
  if (Object.hasOwn(raw, 'rows')) result.records = raw.rows as unknown[];
  if (Object.hasOwn(raw, 'rowCount')) result.affected = raw.rowCount ?? undefined;
  result.raw =
    raw.command === 'DELETE' || raw.command === 'UPDATE' ? [raw.rows, raw.rowCount] : (raw.rows as unknown);
  return isStructured ? result : (result.raw as unknown);
}

/** Errors of a single statement for which a hint helps: a setting or an operator can prevent them. */
const WITH_HINT: ReadonlySet<string> = new Set([
  'STATEMENT_TIMEOUT',
  'STATEMENT_CANCELLED',
  'LOCK_TIMEOUT',
  'LOCK_NOT_AVAILABLE',
  'PERMISSION_DENIED',
  'ROW_SECURITY_VIOLATION',
  'SERVER_READ_ONLY',
  'SERVER_OVERLOADED',
]);

/** Adds the hint of the diagnosis, unless the server has sent a hint. */
export function withHint(error: QueryFailedError): QueryFailedError {
  const { driverError } = error as {
    driverError: { code?: unknown; hint?: unknown; severity?: unknown };
  };
  if (driverError.hint !== undefined) return error;
  const { code, hint } = diagnose(driverError);
  if (code === 'UNKNOWN') return error;
  // After severity ERROR the connection stays usable: hints about connection settings do not apply.
  if (driverError.severity === 'ERROR' && !WITH_HINT.has(code)) return error;
  Object.assign(driverError, { hint });
  return Object.assign(error, { hint });
}
