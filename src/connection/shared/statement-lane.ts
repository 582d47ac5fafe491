import { setImmediate } from 'node:timers';
import { QueryTimeoutError } from '../../errors/connection.errors.js';
import { startDeadline } from '../deadline.js';
import { copyOfError } from '../../text/error-copy.js';
import type { PreparedStatements } from '../statements/prepared-statements.js';
import type { StatementFacts } from '../statements/statement-texts.js';
import { isFatal } from '../wire/disconnect.js';
import { routeMessages } from '../wire/message-router.js';
import type { MessageReceiver, StatementMessages } from '../wire/message-router.js';
import { MessageWriter } from '../wire/message-writer.js';
import { sentValues } from '../wire/pg-internals.js';
import type { Field, PgInternals, SentValue } from '../wire/pg-internals.js';
import type { ClockReading } from './answer-clock.js';
import { NOT_EXECUTED, SharedStatement } from './shared-statement.js';
import type { Lane } from './shared-statement.js';
import type { StatementTimings } from './statement-timings.js';

/** A statement in flight is late after this multiple of the mean of its text, */
const LATE_FACTOR = 4;
/** and not before this many milliseconds on the server. */
const LATE_MIN_MS = 5;

/** How many answered statements are kept: to remove each one at once would move those behind it. */
const MAX_ANSWERED = 32;

/** What a lane needs of its connection. */
export interface LaneConnection {
  /** Whether the connection is open, and neither `pg` nor its queue has a statement. */
  readonly isFreeForLane: boolean;
  /** The client's limit for a statement. Milliseconds, 0 is off. */
  readonly statementLimitMs: number;
  readonly statementLimitSetting: string | undefined;
  destroy(reason: Error): void;
  /** The lane has no statement in flight any more. */
  onLaneEmpty(): void;
}

/** The owner of a lane, which chooses the statements. */
export interface LaneOwner {
  /** A statement has ended. */
  onAnswer(): void;
  /** No statement is in flight any more. */
  onEmpty(): void;
}

/**
 * The statements in flight on one shared connection. Each is a prepared statement with a Sync of its own, written without
 * waiting for the answers to those before it; the server answers in order. Between two Syncs the server is outside a
 * transaction, so that an error ends only its own statement.
 *
 * The lane bypasses the client of `pg`, which has one active query: it writes the messages itself, and while statements are
 * in flight it receives the messages of the server instead of the client. The statements of one turn of the event loop are written
 * together: under load most requests of a turn come from different sockets, and a system call for each costs more than the
 * statement.
 *
 * | what happens                                   | what the statements in flight get                                  |
 * | ---------------------------------------------- | ------------------------------------------------------------------ |
 * | the server rejects the prepared statement      | `NOT_EXECUTED`: it is sent again on a connection of its own        |
 * | the server ends the session by its own error   | a copy of that error each                                          |
 * | the socket fails or closes                     | the error of the socket, a copy each: the outcome is unknown       |
 * | the same, and the statement was not written    | `NOT_EXECUTED`                                                     |
 * | the first one exceeds the client's limit       | a QueryTimeoutError; those behind it, that the connection has ended |
 * | a statement changes a setting of the session   | the statement its answer; those behind it `NOT_EXECUTED`           |
 */
export class StatementLane implements MessageReceiver, Lane {
  readonly #connection: LaneConnection;
  readonly #pg: PgInternals;
  readonly #prepared: PreparedStatements;
  readonly #timings: StatementTimings;
  readonly #owner: LaneOwner;
  readonly #writer = new MessageWriter();
  readonly #stopRouting: () => void;
  /** The statements in flight from `#head` on; those before it are answered. */
  #statements: SharedStatement[] = [];
  #head = 0;
  /** Statements that are chosen and not written yet. */
  #reserved = 0;
  /** When the server was free for the first statement in flight. */
  #headSince: ClockReading = { at: 0, idleMs: 0 };
  /** Statements that are written at the end of this turn of the event loop. */
  #unwritten: SharedStatement[] = [];
  #stopLimit: (() => void) | undefined;
  #isEnded = false;
  #isSessionChanged = false;

  constructor(
    connection: LaneConnection,
    pg: PgInternals,
    prepared: PreparedStatements,
    timings: StatementTimings,
    owner: LaneOwner,
  ) {
    this.#connection = connection;
    this.#pg = pg;
    this.#prepared = prepared;
    this.#timings = timings;
    this.#owner = owner;
    this.#stopRouting = routeMessages(pg.wire!, this);
  }

  /** The number of statements that are in flight, or are about to be sent. */
  get length(): number {
    return this.#statements.length - this.#head + this.#reserved;
  }

  /** Whether the connection takes another statement. */
  get isOpen(): boolean {
    return !this.#isEnded && !this.#isSessionChanged && this.#connection.isFreeForLane;
  }

  /** Whether a statement has changed a setting of the session that the server reports. */
  get isSessionChanged(): boolean {
    return this.#isSessionChanged;
  }

  /**
   * Whether the first statement in flight takes much longer than its text usually does. If the server has answered others meanwhile,
   * its text is not shared any more: the next one would delay the statements of another connection.
   */
  checkLate(): boolean {
    const first = this.#statements[this.#head];
    if (!first) return false;
    const { sharing } = first.facts;
    const { clock, roundTripMs, outlierMs } = this.#timings;
    const allowedMs = Math.max(LATE_MIN_MS, LATE_FACTOR * (sharing?.meanMs ?? 0));
    if (clock.missingMs(this.#headSince) <= roundTripMs + allowedMs) return false;
    if (clock.othersAnsweredMs(this.#headSince) > roundTripMs + outlierMs) sharing?.markSlow();
    return true;
  }

  /** Reserves a place for a statement. */
  reserve(facts: StatementFacts): SharedStatement {
    this.#reserved += 1;
    return new SharedStatement(facts, this);
  }

  /** Ends the lane: the messages go to the client again. The lane must be empty. */
  end(): void {
    this.#isEnded = true;
    this.#stopLimit?.();
    this.#stopRouting();
  }

  /** Rejects all statements in flight, each with an error of its own. */
  rejectAll(error: Error): void {
    this.#isEnded = true;
    this.#rejectInFlight((first) => (first ? error : copyOfError(error)));
  }

  // ---- write ---------------------------------------------------------------------------------------------------------

  giveUp(): void {
    this.#reserved -= 1;
    if (this.length === 0) this.#onEmpty();
  }

  runTraced<R>(text: string, values: unknown[], run: () => Promise<R>): Promise<R> {
    return this.#pg.runTraced(text, values, run);
  }

  write(statement: SharedStatement, values: unknown[]): void {
    let sent: SentValue[];
    try {
      // Before anything else: the conversion of a value may send another statement.
      sent = sentValues(values);
    } catch (error) {
      // A value cannot be sent.
      this.giveUp();
      return statement.reject(error as Error);
    }
    const prepared = this.isOpen ? this.#prepared.share(statement.facts) : undefined;
    if (!prepared) {
      this.giveUp();
      return statement.resolve(NOT_EXECUTED);
    }
    const writer = this.#writer;
    for (const name of this.#prepared.takeClosing()) writer.close(name);
    statement.prepared = prepared;
    statement.sendsParse = !prepared.isParsed && !prepared.isParsing;
    if (statement.sendsParse) {
      prepared.isParsing = true;
      writer.parse(prepared.name, prepared.text);
    }
    writer.execute(prepared.name, sent);
    statement.messages = writer.take();
    this.#append(statement);
  }

  #append(statement: SharedStatement): void {
    this.#reserved -= 1;
    if (this.#head === this.#statements.length) {
      this.#statements = [];
      this.#head = 0;
      statement.isAlone = true;
      this.#headSince = this.#timings.clock.read();
      this.#startLimit();
    }
    this.#statements.push(statement);
    // The imported function: tests of an app may replace the global one, and the statement would never be sent.
    if (this.#unwritten.length === 0) setImmediate(this.#flush);
    this.#unwritten.push(statement);
  }

  readonly #flush = (): void => {
    const statements = this.#unwritten;
    // The connection may have ended in this turn.
    if (statements.length === 0) return;
    this.#unwritten = [];
    const now = this.#timings.clock.read();
    // The server was not busy with the first one before.
    if (this.#statements[this.#head] === statements[0]) this.#headSince = now;
    const messages: Buffer[] = [];
    for (const statement of statements) {
      statement.sent = now;
      for (const message of statement.messages) messages.push(message);
      statement.messages = [];
    }
    this.#pg.wire!._send(Buffer.concat(messages));
  };

  // ---- answers -------------------------------------------------------------------------------------------------------

  get isExpectingAnswer(): boolean {
    return this.#head < this.#statements.length;
  }

  onMessage<E extends keyof StatementMessages>(name: E, message: StatementMessages[E]): boolean {
    const statement = this.#statements[this.#head]!;
    switch (name) {
      case 'dataRow':
        this.#onRow(statement, message as StatementMessages['dataRow']);
        return false;
      case 'commandComplete':
        statement.isCompleted = true;
        this.#resultOf(statement).addCommandComplete(message as StatementMessages['commandComplete']);
        return false;
      case 'readyForQuery':
        this.#onReadyForQuery(statement);
        return false;
      case 'parseComplete':
        statement.prepared!.isParsed = true;
        statement.prepared!.isParsing = false;
        return false;
      case 'rowDescription':
        statement.prepared!.description = this.#pg.describeRows(
          (message as StatementMessages['rowDescription']).fields as Field[],
        );
        return false;
      case 'errorMessage':
        return this.#onError(statement, message as Error);
      case 'parameterStatus':
        // The server has been promoted: no statement can change that.
        if ((message as StatementMessages['parameterStatus']).parameterName === 'in_hot_standby') return true;
        this.#onSessionChanged(statement);
        return false;
      default:
        // bindComplete, closeComplete, parameterDescription, noData
        return false;
    }
  }

  /**
   * The statement has changed a setting. The connection is not used for anything else, and the statements behind this one, which
   * the server executes with that setting, are sent again on connections of their own.
   */
  #onSessionChanged(statement: SharedStatement): void {
    this.#isSessionChanged = true;
    statement.facts.sharing?.markSessionChanging();
    for (const behind of this.#statements.slice(this.#head + 1)) behind.isNotExecuted = true;
  }

  #resultOf(statement: SharedStatement) {
    return (statement.result ??= this.#pg.newResult(statement.prepared!.description));
  }

  #onRow(statement: SharedStatement, { length, fields }: StatementMessages['dataRow']): void {
    statement.bytes += length;
    if (statement.error || statement.isNotExecuted) return;
    const result = this.#resultOf(statement);
    try {
      result.rows.push(result.parseRow(fields));
    } catch (error) {
      // A type parser of the app has thrown. As in `pg`, the error is that of the statement.
      statement.error = error as Error;
    }
  }

  /** @returns whether the client receives the error, too: the session has ended */
  #onError(statement: SharedStatement, error: Error): boolean {
    if (isFatal(error)) {
      this.#isEnded = true;
      this.#rejectInFlight((first) => (first ? error : copyOfError(error)));
      return true;
    }
    // The error of a type parser came first.
    statement.error ??= error;
    const prepared = statement.prepared!;
    // Its Parse has failed.
    if (statement.sendsParse && !prepared.isParsed) prepared.isParsing = false;
    if (this.#prepared.onSharedError(error, prepared, statement.facts)) statement.isNotExecuted = true;
    return false;
  }

  #onReadyForQuery(statement: SharedStatement): void {
    const { clock } = this.#timings;
    clock.onAnswer();
    this.#record(statement);
    this.#headSince = clock.read();
    this.#head += 1;
    if (this.#head >= MAX_ANSWERED) {
      this.#statements.splice(0, this.#head);
      this.#head = 0;
    }
    if (statement.isNotExecuted) statement.resolve(NOT_EXECUTED);
    else if (statement.error) statement.reject(statement.error);
    else statement.resolve(this.#resultOf(statement));
    this.#owner.onAnswer();
    if (this.length === 0) this.#onEmpty();
  }

  #record(statement: SharedStatement): void {
    const { facts, isAlone, sendsParse, bytes, error, isNotExecuted, sent } = statement;
    if (error || isNotExecuted || sendsParse || !sent) return;
    if (isAlone) return this.#timings.recordAlone(facts, sent, bytes);
    // The server was busy with the statements before this one, or this one was on its way.
    const { clock, roundTripMs } = this.#timings;
    const wasOnItsWay = sent.at + roundTripMs > this.#headSince.at;
    const since = wasOnItsWay ? sent : this.#headSince;
    const serverMs = clock.missingMs(since) - (wasOnItsWay ? roundTripMs : 0);
    this.#timings.record(facts, serverMs, bytes, since);
  }

  #onEmpty(): void {
    if (this.#isEnded) return;
    this.#connection.onLaneEmpty();
    this.#owner.onEmpty();
  }

  // ---- end -----------------------------------------------------------------------------------------------------------

  onSocketEnd(error: Error | undefined): void {
    this.#isEnded = true;
    this.#stopLimit?.();
    this.#rejectInFlight((first) =>
      error ? (first ? error : copyOfError(error)) : new Error('Connection terminated unexpectedly'),
    );
  }

  #rejectInFlight(errorFor: (first: boolean) => Error): void {
    const statements = this.#statements.slice(this.#head);
    this.#statements = [];
    this.#head = 0;
    this.#unwritten = [];
    let first = true;
    for (const statement of statements) {
      // The server does not know of it.
      if (!statement.sent) {
        statement.resolve(NOT_EXECUTED);
        continue;
      }
      statement.reject(errorFor(first));
      first = false;
    }
  }

  // ---- limit ---------------------------------------------------------------------------------------------------------

  #startLimit(ms = this.#connection.statementLimitMs): void {
    if (ms <= 0 || this.#stopLimit) return;
    this.#stopLimit = startDeadline(ms, () => this.#checkLimit(), false);
  }

  /** One timer serves all statements: most end long before the limit. */
  #checkLimit(): void {
    this.#stopLimit = undefined;
    const first = this.#statements[this.#head];
    if (!first) return;
    const limitMs = this.#connection.statementLimitMs;
    const remainingMs = this.#headSince.at + limitMs - performance.now();
    if (remainingMs > 0) return this.#startLimit(Math.ceil(remainingMs));
    const setting = this.#connection.statementLimitSetting;
    const hint =
      setting && `The limit is ${setting} plus the client's grace; the server did not enforce it in time.`;
    const error = new QueryTimeoutError(limitMs, first.facts.text, hint);
    this.#isEnded = true;
    // A cancel request would hit whichever statement is active when it arrives.
    this.#rejectInFlight((isFirst) =>
      isFirst ? error : new Error('Connection terminated unexpectedly', { cause: error }),
    );
    this.#connection.destroy(error);
  }
}
