import { NOT_EXECUTED, SharedStatement } from '../../connection/shared/shared-statement.js';
import type { NotExecuted } from '../../connection/shared/shared-statement.js';
import type { StatementFacts } from '../../connection/statements/statement-texts.js';
import { isDisconnect, isInterrupt } from '../../connection/wire/disconnect.js';
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
import type { Attempt, RawResult, StatementRunner } from './statements.js';

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
  return runner.runnerConnection.isSharing ? executeInTurn(runner, call) : execute(runner, call);
}

/** As on one connection, the statement is accepted now, and completes even if the runner is released meanwhile. */
async function executeInTurn(runner: StatementRunner, call: Call): Promise<unknown> {
  runner.refuseStatement(call.query);
  return runner.runnerConnection.inTurn(() => execute(runner, call, { isAccepted: true }));
}

function execute(runner: StatementRunner, call: Call, attempt?: Attempt): Promise<unknown> {
  const pool = call.parameters?.length ? runner.runnerConnection.sharingPool : undefined;
  const chosen = pool?.multiplexer!.choose(call.query);
  if (!chosen) return executeAlone(runner, call, attempt);
  return chosen instanceof SharedStatement
    ? executeShared(runner, pool!, chosen, call, attempt)
    : executeWhenFree(runner, pool!, chosen, call, attempt);
}

function executeAlone(runner: StatementRunner, call: Call, attempt?: Attempt): Promise<unknown> {
  const { query, parameters, isStructured, calledIn } = call;
  return executeStatement(runner, query, parameters, isStructured, calledIn, attempt);
}

/** Waits for a connection of its own or for a place on a shared one, whichever is free first. */
async function executeWhenFree(
  runner: StatementRunner,
  pool: DataSourcePool,
  facts: StatementFacts,
  call: Call,
  attempt?: Attempt,
): Promise<unknown> {
  if (!attempt?.isAccepted) runner.refuseStatement(call.query);
  const lease = runner.runnerConnection.acquireOrShare(call.calledIn, pool, facts);
  if (lease.connection) return executeAlone(runner, call, { ...attempt, isAccepted: true });
  const startedAt = performance.now();
  let executed: Promise<unknown>;
  // Until the statement has its connection: otherwise the lease would be released.
  lease.startStatement();
  try {
    const acquired = await lease.waitForPlaceInTurn();
    lease.endWaitInTurn();
    executed =
      acquired instanceof SharedStatement
        ? executeShared(runner, pool, acquired, call, { ...attempt, isAccepted: true })
        : executeAlone(runner, call, {
            ...attempt,
            isAccepted: true,
            waitedMs: performance.now() - startedAt,
            hasTurn: true,
          });
  } finally {
    lease.settleStatement();
  }
  return await executed;
}

async function executeShared(
  runner: StatementRunner,
  pool: DataSourcePool,
  statement: SharedStatement,
  call: Call,
  attempt?: Attempt,
): Promise<unknown> {
  const { settings, runnerConnection } = runner;
  const { dataSource, echo } = settings;
  const { query, parameters } = call;
  const hasSubscribers = dataSource.subscribers.length > 0;
  const isTimed = hasSubscribers || echo !== false || !!dataSource.options.maxQueryExecutionTime;
  let sentAt = attempt?.sentAt;
  if (sentAt === undefined) {
    try {
      if (!attempt?.isAccepted) runner.refuseStatement(query);
      dataSource.logger.logQuery(query, parameters, runner);
      if (hasSubscribers) await announce(runner, statement, call);
    } catch (error) {
      runnerConnection.endShared(statement);
      statement.cancel();
      throw error;
    }
    sentAt = isTimed ? performance.now() : 0;
    if (hasSubscribers && (runnerConnection.isSharing || !runnerConnection.sharingPool)) {
      // A subscriber has used the runner, and may have changed its session for this statement.
      statement.cancel();
      const announced = { sentAt, isAccepted: true };
      return runnerConnection.inTurn(() => executeAlone(runner, call, announced));
    }
  }
  runnerConnection.startShared(statement);
  let raw: RawResult | NotExecuted;
  try {
    raw = await statement.send(parameters!);
  } catch (error) {
    const isRepeatable =
      settings.retryTerminated && isInterrupt(error) && !statement.isCompleted && !runner.isReleased;
    if (isRepeatable && !attempt?.isTerminated) {
      const again = execute(runner, call, { sentAt, isTerminated: true, isAccepted: true });
      // Not before: what waits for this statement comes after it.
      runnerConnection.endShared(statement);
      return again;
    }
    runnerConnection.endShared(statement);
    // The stack of the socket does not show the caller.
    if (error instanceof Error) Error.captureStackTrace(error, executeShared);
    if (isDisconnect(error)) pool.log.lostStatements += 1;
    const failure = statementError(settings, query, parameters, error);
    await announceFailure(runner, query, parameters, failure, sentAt);
    throw withHint(failure);
  }
  if (raw === NOT_EXECUTED) {
    // On a connection of its own: a shared one could give it back again and again.
    const alone = executeAlone(runner, call, { ...attempt, sentAt, isAccepted: true });
    runnerConnection.endShared(statement);
    return alone;
  }
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
