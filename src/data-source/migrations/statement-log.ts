import type { ManagedQueryRunner } from '../query-runner/managed-query-runner.js';
import { isTransactionControl } from '../typeorm-internals.js';

/** A statement of a migration. */
interface LoggedStatement {
  readonly text: string;
  /** From 1 on. */
  readonly position: number;
}

interface FailedStatement extends LoggedStatement {
  readonly error: unknown;
}

/** The statements that one migration sends on its query runner: which one has failed, and what stays in effect after a failure. */
export class StatementLog {
  /** How many statements the migration has sent. TypeORM's BEGIN, COMMIT and savepoints do not count. */
  sent = 0;
  /** How many statements a rollback of the migration does not undo: those outside a transaction, and those that the migration has committed itself. */
  inEffect = 0;
  /** The statement that failed last, for another reason than that its transaction was aborted. */
  lastFailed: FailedStatement | undefined;
  /** Statements of the open transaction. */
  #pending = 0;
  readonly #runner: ManagedQueryRunner;

  /** Observes a query runner until `stop()`. The builders and entity managers of TypeORM send by the same method. */
  constructor(runner: ManagedQueryRunner) {
    this.#runner = runner;
    const query = runner.query.bind(runner);
    runner.query = async (text, parameters, useStructuredResult) => {
      const isControl = isTransactionControl(text);
      const position = isControl ? this.sent : (this.sent += 1);
      try {
        // eslint-disable-next-line @typescript-eslint/no-unsafe-assignment -- TypeORM's own signature
        const result = await query(text, parameters, useStructuredResult);
        this.#onCompleted(text, isControl);
        // eslint-disable-next-line @typescript-eslint/no-unsafe-return -- TypeORM's own signature
        return result;
      } catch (error) {
        // After the first error in a transaction, the server refuses every statement: the first one tells the cause.
        if (!isAborted(error) || !this.lastFailed) this.lastFailed = { text, position, error };
        throw error;
      }
    };
  }

  stop(): void {
    // The method of the prototype is visible again.
    Reflect.deleteProperty(this.#runner, 'query');
  }

  #onCompleted(text: string, isControl: boolean): void {
    if (!isControl) this.#pending += 1;
    if (/^\s*(?:ROLLBACK|ABORT)\b(?!\s+(?:(?:WORK|TRANSACTION)\s+)?TO\b)/i.test(text)) this.#pending = 0;
    if (transactionStatus(this.#runner) !== 'I') return;
    this.inEffect += this.#pending;
    this.#pending = 0;
  }
}

/** Whether the server has refused a statement because an earlier one of the transaction had failed. */
export function isAborted(error: unknown): boolean {
  return (error as { code?: unknown } | null | undefined)?.code === '25P02';
}

/** As the server has reported it: `I` outside a transaction, `T` in one, `E` in a failed one; undefined without a usable connection. */
export function transactionStatus({ runnerConnection }: ManagedQueryRunner): string | undefined {
  const connection = runnerConnection.lease?.connection;
  return connection?.isUsable ? (connection.transactionStatus ?? undefined) : undefined;
}
