import { escapeLiteral } from 'pg';
import { ConnectionResetError } from '../../errors/connection.errors.js';
import { bounded } from '../bounded.js';
import { internalsOf, isReadyForQuery, transactionStatusOf } from '../wire/pg-internals.js';
import type { SubmittedQuery } from '../wire/pg-internals.js';

/**
 * What is done to a connection that comes back. `smart`: a transaction left open is rolled back, and session state is
 * cleared when the session was seen to change it. `rollback`: the first alone. `discard`: DISCARD ALL each time.
 * `none`: nothing.
 */
export type ResetMode = 'smart' | 'rollback' | 'discard' | 'none';

/** What had to be done. */
export interface ResetResult {
  readonly rolledBack: boolean;
  readonly cleared: boolean;
  /** The statement that changed a session which is not ours to clear. */
  readonly left?: string;
}

/** The client that is restored, and what was learnt about its session. */
export interface ResettableClient {
  query(query: { text: string; values?: unknown[] }): Promise<{ rows: Record<string, unknown>[] }>;
  once(event: 'end', listener: () => void): unknown;
  removeListener(event: 'end', listener: () => void): unknown;
}

type Send = (statement: { text: string; values?: unknown[] }) => Promise<{ rows: Record<string, unknown>[] }>;

export interface ResetPlan {
  /** How the statements go out, where not by the client's `query`. */
  send?: Send;
  /** Whether DISCARD ALL is due; asked once all is in, since until then the session may still change. */
  clear: () => boolean;
  /** The `application_name` to be set again where nothing else is to be cleared. */
  renamedFrom?: () => string | undefined;
  /** Statements that set the session up after the dial; DISCARD ALL undoes them. */
  setup: readonly SubmittedQuery[];
  /** Whether to ask the server if it is a standby. */
  suspectStandby: () => boolean;
  /** Resolves when no cancel of ours is under way. */
  cancelled: () => Promise<void> | undefined;
  timeoutMs: number;
}

/** Resolves at the ReadyForQuery after which the connection is quiet. */
export function whenReadyForQuery(client: object & ResettableClient): Promise<void> {
  const wire = internalsOf(client).connection;
  if (isReadyForQuery(client) || !wire) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const settle = (settled: () => void) => () => {
      wire.removeListener('readyForQuery', ready);
      client.removeListener('end', ended);
      settled();
    };
    // Registered after `pg`'s own listener, which starts the next queued statement, so it judges what is left.
    const ready = () => (isReadyForQuery(client) ? done() : undefined);
    const done = settle(resolve);
    const ended = settle(() => reject(new Error('Connection terminated')));
    wire.on('readyForQuery', ready);
    client.once('end', ended);
  });
}

/**
 * Brings a session back to what it was after the dial, within `timeoutMs`. When it rejects, the connection is in doubt
 * and must be destroyed.
 */
export function resetSession(client: object & ResettableClient, plan: ResetPlan): Promise<ResetResult> {
  const send: Send = plan.send ?? ((statement) => client.query(statement));
  const run = async (): Promise<ResetResult> => {
    await whenReadyForQuery(client);
    // A cancel that arrives late would hit the next borrower's statement; it may have begun since the return.
    await plan.cancelled();
    const status = transactionStatusOf(client);
    const rolledBack = status === 'T' || status === 'E';
    if (rolledBack) await send({ text: 'ROLLBACK' });
    if (plan.suspectStandby()) await refuseStandby(send);
    const cleared = plan.clear();
    if (cleared) {
      await send({ text: 'DISCARD ALL' });
      for (const { text, values } of plan.setup) await send({ text: text ?? '', values });
    }
    const name = plan.renamedFrom?.();
    if (name !== undefined && !cleared) await send({ text: `SET application_name = ${escapeLiteral(name)}` });
    return { rolledBack, cleared };
  };
  return bounded(
    run(),
    plan.timeoutMs,
    () => new ConnectionResetError(`The connection was not clean within ${plan.timeoutMs} ms of its return.`),
  );
}

/** Rejects when the server is a standby. */
export async function refuseStandby(send: Send): Promise<void> {
  const { rows } = await send({ text: 'SELECT pg_is_in_recovery() AS standby' });
  if (rows[0]?.standby === true)
    throw new ConnectionResetError('The server is a standby now; it was a primary before.', {
      code: 'CONNECTION_STANDBY',
    });
}
