import type { PreparedStatement } from '../statements/prepared-statements.js';
import type { StatementFacts } from '../statements/statement-texts.js';
import type { ClockReading } from './answer-clock.js';
import type { PgResult } from '../wire/pg-internals.js';

/**
 * Instead of a result: the statement is to be sent on a connection of its own. The server has rejected its prepared statement, the
 * connection was closed before the statement was written, or the statement before it has changed the session. Not an error, which
 * tools for tracing would show.
 */
export const NOT_EXECUTED = Symbol('not executed');
export type NotExecuted = typeof NOT_EXECUTED;

/** What a statement needs of its lane. */
export interface Lane {
  write(statement: SharedStatement, values: unknown[]): void;
  /** Gives up a reserved place. */
  giveUp(): void;
  runTraced<R>(text: string, values: unknown[], run: () => Promise<R>): Promise<R>;
}

/** A statement on a shared connection, from the choice of the connection to its answer. */
export class SharedStatement {
  readonly facts: StatementFacts;
  /** Set when it is written. */
  prepared: PreparedStatement | undefined;
  /** The messages to write: a Parse if the server does not have the statement, then Bind, Execute and Sync. */
  messages: readonly Buffer[] = [];
  result: PgResult | undefined;
  /** Whether it has sent the Parse of its prepared statement. */
  sendsParse = false;
  /** Whether no other statement was in flight when it was written. */
  isAlone = false;
  /** When it was written. */
  sent: ClockReading | undefined;
  /** Whether the server has sent CommandComplete. */
  isCompleted = false;
  /** The bytes of its rows. */
  bytes = 0;
  /** The error of the server, or of a type parser. */
  error: Error | undefined;
  /** Whether it is to be sent on a connection of its own. */
  isNotExecuted = false;
  readonly #lane: Lane;
  #resolve!: (result: PgResult | NotExecuted) => void;
  #reject: ((error: Error) => void) | undefined;

  constructor(facts: StatementFacts, lane: Lane) {
    this.facts = facts;
    this.#lane = lane;
  }

  /**
   * Sends the statement.
   * @throws the error of the server, or the error with which the connection has ended
   */
  send(values: unknown[]): Promise<PgResult | NotExecuted> {
    let answer: Promise<PgResult | NotExecuted>;
    try {
      answer = this.#lane.runTraced(this.facts.text, values, () => {
        return new Promise((resolve, reject) => {
          this.#resolve = resolve;
          this.#reject = reject;
          this.#lane.write(this, values);
        });
      });
    } catch (error) {
      this.#giveUpUnlessWritten();
      throw error;
    }
    return this.#reject ? answer : answer.finally(() => this.#giveUpUnlessWritten());
  }

  /** A tool that wraps `query` has refused the statement: without it, its place would be taken for ever. */
  #giveUpUnlessWritten(): void {
    if (!this.#reject) this.#lane.giveUp();
  }

  /** Instead of {@link send}: the statement is not sent. */
  cancel(): void {
    this.#lane.giveUp();
  }

  /** Rejects the caller as a cancel request would, if the statement is in flight. The statement goes on. */
  abort(): void {
    this.#reject?.(
      Object.assign(new Error('canceling statement due to user request'), {
        severity: 'ERROR',
        code: '57014',
      }),
    );
  }

  resolve(result: PgResult | NotExecuted): void {
    this.#resolve(result);
  }

  /** Rejects the caller. A later answer is ignored: a statement in flight goes on. */
  reject(error: Error): void {
    this.#reject?.(error);
  }
}
