import { NOT_EXECUTED, SharedStatement } from '../../connection/shared/shared-statement.js';
import type { NotExecuted } from '../../connection/shared/shared-statement.js';
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
import type { RawResult, Sharing, StatementRunner } from './statements.js';

/** A call of `query`. */
interface Call {
  readonly query: string;
  readonly parameters: unknown[] | undefined;
  readonly isStructured: boolean;
  /** The runner's method that was called. */
  readonly calledIn: Caller;
}

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
  const call = { query, parameters, isStructured, calledIn };
  return runner.runnerConnection.isSharing ? executeInTurn(runner, call) : execute(runner, call, false);
}

/** As on one connection, the statement is accepted now, and completes even if the runner is released meanwhile. */
async function executeInTurn(runner: StatementRunner, call: Call): Promise<unknown> {
  runner.refuseStatement(call.query);
  return runner.runnerConnection.inTurn(() => execute(runner, call, true));
}

function execute(runner: StatementRunner, call: Call, isAccepted: boolean): Promise<unknown> {
  const pool = call.parameters?.length ? runner.runnerConnection.sharingPool : undefined;
  const place = pool?.multiplexer!.choose(call.query);
  if (place instanceof SharedStatement) return executeShared(runner, pool!, place, call, isAccepted);
  const executed = executeAlone(runner, call, { shareable: place, isAccepted });
  if (!place) return executed;
  return executed.catch((error: unknown) => {
    if (!(error instanceof PlaceOnSharedConnection)) throw error;
    return executeShared(runner, pool!, error.statement, call, true);
  });
}

function executeAlone(runner: StatementRunner, call: Call, sharing: Sharing): Promise<unknown> {
  const { query, parameters, isStructured, calledIn } = call;
  return executeStatement(runner, query, parameters, isStructured, calledIn, sharing);
}

async function executeShared(
  runner: StatementRunner,
  pool: DataSourcePool,
  statement: SharedStatement,
  call: Call,
  isAccepted: boolean,
): Promise<unknown> {
  const { settings, runnerConnection } = runner;
  const { dataSource, echo } = settings;
  const { query, parameters } = call;
  const hasSubscribers = dataSource.subscribers.length > 0;
  const isTimed = hasSubscribers || echo !== false || !!dataSource.options.maxQueryExecutionTime;
  let sentAt = 0;
  try {
    if (!isAccepted) runner.refuseStatement(query);
    dataSource.logger.logQuery(query, parameters, runner);
    if (hasSubscribers) await announce(runner, statement, call);
  } catch (error) {
    runnerConnection.endShared(statement);
    statement.cancel();
    throw error;
  }
  if (isTimed) sentAt = performance.now();
  if (hasSubscribers && (runnerConnection.isSharing || !runnerConnection.sharingPool)) {
    // A subscriber has used the runner, and may have changed its session for this statement.
    statement.cancel();
    return runnerConnection.inTurn(() => executeAlone(runner, call, { sentAt, isAccepted: true }));
  }
  runnerConnection.startShared(statement);
  /** It has not run, or had no effect: a connection of its own takes it, with the time and the log line of this attempt. */
  const executeAgain = (isTerminated: boolean) => {
    const executed = executeAlone(runner, call, { sentAt, isTerminated, isAccepted: true });
    // Not before: what waits for this statement comes after it.
    runnerConnection.endShared(statement);
    return executed;
  };
  let raw: RawResult | NotExecuted;
  try {
    raw = await statement.send(parameters!);
  } catch (error) {
    if (settings.retryTerminated && isInterrupt(error) && !statement.isCompleted && !runner.isReleased)
      return executeAgain(true);
    runnerConnection.endShared(statement);
    // The stack of the socket does not show the caller.
    if (error instanceof Error) Error.captureStackTrace(error, executeShared);
    if (isDisconnect(error)) pool.log.lostStatements += 1;
    const failure = statementError(settings, query, parameters, error);
    await announceFailure(runner, query, parameters, failure, sentAt);
    throw withHint(failure);
  }
  if (raw === NOT_EXECUTED) return executeAgain(false);
  runnerConnection.endShared(statement);
  if (isTimed) await announceResult(runner, query, parameters, raw, sentAt);
  return resultOf(raw, call.isStructured);
}

/** Notifies the subscribers before the statement. One that sends a statement on the same runner must not wait for this one. */
async function announce(
  { broadcaster, runnerConnection }: StatementRunner,
  statement: SharedStatement,
  { query, parameters }: Call,
): Promise<void> {
  const announced = broadcaster.broadcast('BeforeQuery', query, parameters);
  runnerConnection.endShared(statement);
  await announced;
}
