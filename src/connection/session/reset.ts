import { escapeLiteral } from 'pg';
import { ConnectionResetError } from '../../errors/connection.errors.js';
import { withTimeout } from '../deadline.js';
import type { PgInternals, SubmittedQuery } from '../wire/pg-internals.js';

/** What a reset has done. */
export interface ResetResult {
  /** Whether it rolled back an open transaction. */
  readonly rolledBack: boolean;
  /** Whether it cleared the session with DISCARD ALL. */
  readonly cleared: boolean;
  /** The statement whose change it has left in the session, because a pooler shares the session among clients. */
  readonly leftBehind?: string;
}

type Send = (statement: { text: string; values?: unknown[] }) => Promise<{ rows: Record<string, unknown>[] }>;

/** What {@link resetSession} needs to know of a connection. */
export interface ResetPlan {
  send: Send;
  /** Whether to send DISCARD ALL. Called after all statements have completed, since each of them may change the session. */
  needsDiscard(): boolean;
  /** The `application_name` to set again without DISCARD ALL. */
  nameToRestore?(): string | undefined;
  /** The statements of the connect hooks, which are sent again after DISCARD ALL. */
  readonly setup: readonly SubmittedQuery[];
  /** Whether to verify that the server is not a standby. */
  suspectsStandby(): boolean;
  /** Resolves when no statement is active or queued. */
  whenReadyForQuery(): Promise<void>;
  /** Resolves when no cancel request is in flight. */
  cancelSettled(): Promise<void> | undefined;
  /** The limit for the whole reset. Milliseconds. */
  readonly timeoutMs: number;
}

/**
 * Brings the session back to its state after the connect.
 * @throws ConnectionResetError `CONNECTION_RESET_FAILED` after `timeoutMs`, `CONNECTION_STANDBY` at a standby, or the error of
 * a statement. The caller must destroy the connection then
 */
export function resetSession(pg: PgInternals, plan: ResetPlan): Promise<ResetResult> {
  const { send } = plan;
  const run = async (): Promise<ResetResult> => {
    await plan.whenReadyForQuery();
    // A cancel request that arrives later could cancel a statement of the next borrower.
    await plan.cancelSettled();
    const status = pg.transactionStatus;
    const rolledBack = status === 'T' || status === 'E';
    if (rolledBack) await send({ text: 'ROLLBACK' });
    if (plan.suspectsStandby()) await refuseStandby(send);
    const cleared = plan.needsDiscard();
    if (cleared) {
      await send({ text: 'DISCARD ALL' });
      for (const { text, values } of plan.setup) await send({ text: text ?? '', values });
    }
    const name = plan.nameToRestore?.();
    if (name !== undefined && !cleared) await send({ text: `SET application_name = ${escapeLiteral(name)}` });
    return { rolledBack, cleared };
  };
  return withTimeout(
    run(),
    plan.timeoutMs,
    () => new ConnectionResetError(`The reset of the connection took longer than ${plan.timeoutMs} ms.`),
  );
}

/** Rejects with a ConnectionResetError `CONNECTION_STANDBY` when the server is a standby. */
export async function refuseStandby(send: Send): Promise<void> {
  const { rows } = await send({ text: 'SELECT pg_is_in_recovery() AS standby' });
  if (rows[0]?.standby === true)
    throw new ConnectionResetError('The server is a standby now; it was a primary before.', {
      code: 'CONNECTION_STANDBY',
    });
}
