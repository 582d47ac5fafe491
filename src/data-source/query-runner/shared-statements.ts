import { NOT_EXECUTED, SharedStatement } from '../../connection/shared/shared-statement.js';
import { isDisconnect, isInterrupt } from '../../connection/wire/disconnect.js';
import { PlaceOnSharedConnection } from '../../pool/shared/place-on-shared-connection.js';
import type { Caller } from '../../text/call-site.js';
import type { DataSourcePool } from '../pools/data-source.pool.js';
import {
  announceFailure,
  announceResult,
  executeStatement,
  resultOf,
  statementError,
  withHint,
} from './statements.js';
import type { RawResult, StatementRunner } from './statements.js';

/**
 * Sends a statement on a shared connection if it can be shared, and by {@link executeStatement} otherwise. Events, log lines,
 * results and errors are the same.
 *
 * A statement is shared only while its runner has no connection: it is outside a transaction, and nothing pins a session.
 * Statements of one runner are sent one after the other, as on one connection.
 */
export function executeShareable(
  runner: StatementRunner,
  query: string,
  parameters: unknown[] | undefined,
  isStructured: boolean,
  calledIn: Caller,
): Promise<unknown> {
  const { runnerConnection } = runner;
  if (runnerConnection.isSharing)
    return runnerConnection.afterShared(() =>
      executeShareable(runner, query, parameters, isStructured, calledIn),
    );
  const pool = parameters?.length ? runnerConnection.sharingPool : undefined;
  if (!pool) return executeStatement(runner, query, parameters, isStructured, calledIn);
  const place = pool.multiplexer!.choose(query);
  if (place instanceof SharedStatement)
    return executeShared(runner, pool, place, query, parameters!, isStructured, calledIn);
  const executed = executeStatement(runner, query, parameters, isStructured, calledIn, { shareable: place });
  if (!place) return executed;
  return executed.catch((error: unknown) => {
    if (!(error instanceof PlaceOnSharedConnection)) throw error;
    return executeShared(runner, pool, error.statement, query, parameters!, isStructured, calledIn);
  });
}

async function executeShared(
  runner: StatementRunner,
  pool: DataSourcePool,
  statement: SharedStatement,
  query: string,
  parameters: unknown[],
  isStructured: boolean,
  calledIn: Caller,
): Promise<unknown> {
  const { settings, broadcaster } = runner;
  const { dataSource, echo } = settings;
  const hasSubscribers = dataSource.subscribers.length > 0;
  const isTimed = hasSubscribers || echo !== false || !!dataSource.options.maxQueryExecutionTime;
  const endSharing = runner.runnerConnection.startShared(statement);
  let sentAt = 0;
  let isSent = false;
  let raw: RawResult;
  try {
    runner.refuseStatement(query);
    dataSource.logger.logQuery(query, parameters, runner);
    if (hasSubscribers) await broadcaster.broadcast('BeforeQuery', query, parameters);
    if (isTimed) sentAt = performance.now();
    isSent = true;
    raw = await statement.send(parameters);
    endSharing();
  } catch (error) {
    endSharing();
    if (!isSent) {
      statement.cancel();
      throw error;
    }
    // It has not run, or had no effect: a connection of its own takes it, with the time and the log line of this attempt.
    const isTerminated =
      settings.retryTerminated && isInterrupt(error) && !statement.isCompleted && !runner.isReleased;
    if (error === NOT_EXECUTED || isTerminated)
      return executeStatement(runner, query, parameters, isStructured, calledIn, { sentAt, isTerminated });
    // The stack of the socket does not show the caller.
    if (error instanceof Error) Error.captureStackTrace(error, executeShared);
    if (isDisconnect(error)) pool.log.lostStatements += 1;
    const failure = statementError(settings, query, parameters, error);
    await announceFailure(runner, query, parameters, failure, sentAt);
    throw withHint(failure);
  }
  if (isTimed) await announceResult(runner, query, parameters, raw, sentAt);
  return resultOf(raw, isStructured);
}
