import type { PreparedStatementSettings } from '../../database.options.js';
import { tagChangesSchema, tagMayExpireStatements } from '../session/statement-effects.js';
import type { PgInternals, RowDescription, SubmittedQuery } from '../wire/pg-internals.js';
import type { StatementFacts, StatementTexts } from './statement-texts.js';

/** The defaults of `preparedStatements`. */
export const PREPARED_STATEMENTS = { threshold: 5, max: 256 };

/** A statement that the server has parsed, or is about to parse, under a name. */
export class PreparedStatement {
  readonly name: string;
  readonly text: string;
  /** Whether the server has it. */
  isParsed = false;
  /** Whether a shared connection has sent its Parse, and the server has not answered yet. */
  isParsing = false;
  /** The columns of its rows; undefined when it returns no rows. */
  description: RowDescription | undefined;
  /** The version of the schema when it was parsed. */
  schemaVersion = -1;
  /** The number of its last use, for the choice of the one to close. */
  lastUse = 0;

  constructor({ name, text }: StatementFacts) {
    this.name = name;
    this.text = text;
  }
}

const HINT_CHANGED =
  'The result type of a prepared statement has changed: another session has changed the schema. Retry the transaction; the statement is parsed again.';
const HINT_LOST =
  'The session of the server does not have the prepared statements of this connection: a pooler may be in between that does not support them. Retry the transaction, and set preparedStatements to false behind such a pooler.';

/**
 * The prepared statements of one connection. Statements are prepared by the protocol, not by SQL: Parse, Describe, and Close in
 * the packet of the next statement. They belong to the session: a transaction that is rolled back leaves them.
 */
export class PreparedStatements {
  readonly #pg: PgInternals;
  readonly #texts: StatementTexts;
  readonly #isAllowed: () => boolean;
  readonly #threshold: number;
  readonly #max: number;
  readonly #statements = new Map<string, PreparedStatement>();
  /** Names of statements that the next packet closes. */
  #closing: string[] = [];
  #uses = 0;
  /** The facts of the active statement, when it counts towards the threshold. */
  #facts: StatementFacts | undefined;
  /** The active statement, when it is a prepared one. */
  #current: PreparedStatement | undefined;
  /** The statement that is sent a second time, unprepared. */
  #resent: SubmittedQuery | undefined;
  /** Which connections see a change of the schema that was made since the last ReadyForQuery outside a transaction. */
  #schemaChangedFor: 'none' | 'session' | 'pool' = 'none';

  /** @param isAllowed is read for each statement: a pooler may be detected at any time */
  constructor(
    pg: PgInternals,
    texts: StatementTexts,
    settings: PreparedStatementSettings | boolean | undefined,
    isAllowed: () => boolean,
  ) {
    const { threshold, max } = { ...PREPARED_STATEMENTS, ...(typeof settings === 'object' && settings) };
    this.#pg = pg;
    this.#texts = texts;
    this.#threshold = threshold;
    this.#max = max;
    this.#isAllowed = settings === false ? () => false : isAllowed;
  }

  /**
   * Chooses how a parameterised statement is sent.
   * @returns the prepared statement to use, which the caller parses first unless it is parsed; undefined for an unnamed one
   */
  use(query: SubmittedQuery, facts: StatementFacts): PreparedStatement | undefined {
    this.#facts = this.#current = undefined;
    if (query === this.#resent) {
      this.#resent = undefined;
      return undefined;
    }
    if (this.#texts.hasLostStatement || !this.#isAllowed()) return undefined;
    facts.uses += 1;
    this.#facts = facts;
    if (facts.uses < this.#threshold || !facts.isPreparable) return undefined;
    return (this.#current = this.#find(facts));
  }

  /** The prepared statement for a shared connection, on which several are active; undefined when none may be used. */
  share(facts: StatementFacts): PreparedStatement | undefined {
    if (facts.uses < this.#threshold || this.#texts.hasLostStatement || !this.#isAllowed()) return undefined;
    return this.#find(facts);
  }

  /** The statement of a text. A schema that has changed since it was parsed makes it be parsed again. */
  #find(facts: StatementFacts): PreparedStatement {
    const statement = this.#statements.get(facts.name) ?? this.#add(facts);
    const { schemaVersion } = this.#texts;
    if (statement.schemaVersion !== schemaVersion) {
      if (statement.isParsed || statement.isParsing) this.#closing.push(statement.name);
      statement.isParsed = statement.isParsing = false;
      statement.schemaVersion = schemaVersion;
    }
    statement.lastUse = this.#uses += 1;
    return statement;
  }

  /** The names of statements to close before the next one is sent. Empties the list. */
  takeClosing(): readonly string[] {
    const closing = this.#closing;
    if (closing.length > 0) this.#closing = [];
    return closing;
  }

  /** Whether the active statement is sent again when the server is ready: it goes on. */
  get isResending(): boolean {
    return this.#resent !== undefined;
  }

  onCommandComplete(tag: string, changesSession: boolean): void {
    const current = this.#current;
    if (current && !current.isParsed) {
      current.isParsed = true;
      current.description = this.#pg.rowDescription;
    }
    if (changesSession || tagMayExpireStatements(tag)) {
      // The names in statements may now mean other objects. The server does not notice a new table that hides another one, and
      // rejects a statement whose result type has changed.
      this.#expireAll();
      if (tagChangesSchema(tag) && !changesSession) this.#schemaChangedFor = 'pool';
      else if (this.#schemaChangedFor === 'none') this.#schemaChangedFor = 'session';
    }
    // A ROLLBACK to a savepoint may bring the former schema back.
    else if (tag === 'ROLLBACK' && this.#schemaChangedFor !== 'none') this.#expireAll();
  }

  /**
   * Examines an error of the active statement. A prepared statement that the server has rejected is not used again.
   * @param canSendAgain whether the statement has had no effect and its caller still waits for it
   * @returns whether the statement is sent again, unprepared. The error does not reach its caller then
   */
  onError(error: ServerError, canSendAgain: boolean): boolean {
    const { activeQuery: query } = this.#pg;
    const statement = this.#current;
    const facts = this.#facts;
    this.#current = this.#facts = undefined;
    // A text that the server rejects is not prepared: it would be parsed by name each time.
    if (facts && !statement?.isParsed) facts.uses = Math.min(facts.uses - 1, this.#threshold - 1);
    if (!statement || !facts) return false;
    const hint = this.#rejectionHint(error, statement, facts);
    if (hint === undefined && statement.isParsed) return false;
    // Whether the server has it is unknown when an error came first: closing a name that does not exist is no error.
    this.#drop(statement);
    if (hint === undefined) return false;
    if (query && canSendAgain && this.#pg.sendAgain(query)) {
      this.#resent = query;
      return true;
    }
    error.hint ??= hint;
    return false;
  }

  /**
   * Examines an error of a statement on a shared connection. A prepared statement that the server has rejected is not used
   * again.
   * @returns whether the server has rejected the prepared statement, so that the statement has not run
   */
  onSharedError(error: ServerError, statement: PreparedStatement, facts: StatementFacts): boolean {
    // The Parse of a statement before this one has failed.
    const isMissing = !statement.isParsed && error.code === '26000';
    const isRejected = isMissing || this.#rejectionHint(error, statement, facts) !== undefined;
    if (isRejected || !statement.isParsed) this.#drop(statement);
    return isRejected;
  }

  /** The hint for an error by which the server rejects a prepared statement; undefined for any other error. */
  #rejectionHint(
    error: ServerError,
    { name, schemaVersion }: PreparedStatement,
    facts: StatementFacts,
  ): string | undefined {
    const { code, routine, where, message } = error;
    // An error with a context comes from a function, which uses prepared statements of its own.
    if (code === '0A000' && routine === 'RevalidateCachedQuery' && where === undefined) {
      // One change of the schema counts once, although several connections notice it.
      if (schemaVersion === this.#texts.schemaVersion) {
        facts.onRejected();
        this.#texts.schemaVersion += 1;
      }
      return HINT_CHANGED;
    }
    if ((code !== '26000' && code !== '42P05') || !message.includes(name)) return undefined;
    this.#texts.hasLostStatement = true;
    return HINT_LOST;
  }

  onReadyForQuery(status: string | null | undefined): void {
    // An error in the values of a statement, which `pg` finds after Parse, arrives as no message.
    if (this.#current && !this.#current.isParsed) this.#drop(this.#current);
    this.#current = this.#facts = undefined;
    if (status !== 'I' || this.#schemaChangedFor === 'none') return;
    // The change is committed or undone.
    if (this.#schemaChangedFor === 'pool') this.#texts.schemaVersion += 1;
    else this.#expireAll();
    this.#schemaChangedFor = 'none';
  }

  /** The server has dropped all prepared statements. */
  forgetAll(): void {
    this.#statements.clear();
    this.#closing = [];
  }

  /** Makes each statement be parsed again at its next use. */
  #expireAll(): void {
    for (const statement of this.#statements.values()) statement.schemaVersion = -1;
  }

  #add(facts: StatementFacts): PreparedStatement {
    if (this.#statements.size >= this.#max) this.#drop(this.#leastRecentlyUsed());
    const statement = new PreparedStatement(facts);
    this.#statements.set(facts.name, statement);
    return statement;
  }

  #drop(statement: PreparedStatement): void {
    const { name } = statement;
    // On a shared connection, another one of the name may have been sent before the error of this one has arrived.
    if (this.#statements.get(name) !== statement) return;
    this.#statements.delete(name);
    this.#closing.push(name);
  }

  #leastRecentlyUsed(): PreparedStatement {
    let oldest: PreparedStatement | undefined;
    for (const statement of this.#statements.values())
      if (!oldest || statement.lastUse < oldest.lastUse) oldest = statement;
    return oldest!;
  }
}

/** An error of the server, as `pg` reports it. */
interface ServerError extends Error {
  code?: string;
  routine?: string;
  where?: string;
  hint?: string;
}
