import { createHash } from 'node:crypto';
import { mentionsStatementTimeout, textChangesSession } from '../session/statement-effects.js';
import { isPlainSelect } from '../shared/plain-select.js';
import type { SharingRecord } from '../shared/sharing-record.js';
import { SqlScanner } from '../../text/sql-scanner.js';
import { isSingleRepeatableStatement } from './repeatable-statement.js';

/** The longest text that is remembered and prepared, in characters. */
const MAX_TEXT_LENGTH = 16_384;

/** How many texts one generation holds, and how many characters in all. Two generations are kept. */
const MAX_TEXTS = 1_024;
const MAX_CHARACTERS = 1_048_576;

/** How many more uses than before a statement needs until it is prepared again, after the server has rejected it. */
const REJECTION_FACTOR = 10;

/** The most uses. */
const MOST_USES = 1_000_000;

/** The prefix of the names, which `pg_prepared_statements` shows. */
const NAME_PREFIX = 'ndb_';

/** What the text of a statement shows. It is judged once, since a text is sent many times. */
export class StatementFacts {
  /** The text; without a trailing comment, when {@link StatementTexts} has removed it. */
  readonly text: string;
  readonly mentionsStatementTimeout: boolean;
  readonly changesSession: boolean;
  /** How many uses count towards the threshold. */
  uses = 0;
  /** How long the statements take, in a pool that shares connections. */
  sharing: SharingRecord | undefined;
  #isPreparable: boolean | undefined;
  #isPlainSelect: boolean | undefined;
  #isComplete: boolean | undefined;
  #name: string | undefined;
  #usesAfterRejection = 0;

  constructor(text: string) {
    this.text = text;
    this.mentionsStatementTimeout = mentionsStatementTimeout(text);
    this.changesSession = textChangesSession(text);
  }

  /**
   * Whether the statement may be prepared: one query or one DML statement. Such a statement has had no effect when it fails
   * outside a transaction, so that it can be sent again.
   */
  get isPreparable(): boolean {
    return (this.#isPreparable ??=
      this.text.length <= MAX_TEXT_LENGTH && isSingleRepeatableStatement(this.text));
  }

  /** Whether the statement only reads, so that it may run between the statements of other callers. */
  get isPlainSelect(): boolean {
    return (this.#isPlainSelect ??= !this.changesSession && this.isPreparable && isPlainSelect(this.text));
  }

  /** Whether the text ends outside literals and comments, so that what follows it may be a comment. */
  get isComplete(): boolean {
    if (this.#isComplete === undefined) {
      const scanner = new SqlScanner(this.text);
      while (scanner.next()) continue;
      this.#isComplete = !scanner.isAmbiguous;
    }
    return this.#isComplete;
  }

  /** The name of the prepared statement: the same for the same text in all processes. */
  get name(): string {
    return (this.#name ??=
      NAME_PREFIX + createHash('sha256').update(this.text).digest('base64url').slice(0, 24));
  }

  /**
   * The server has rejected the prepared statement because its result type has changed. The next preparation takes more uses
   * each time: the same text may have another result type for each `search_path`.
   */
  onRejected(): void {
    this.#usesAfterRejection = Math.min(Math.max(this.#usesAfterRejection, 1) * REJECTION_FACTOR, MOST_USES);
    this.uses = -this.#usesAfterRejection;
  }
}

/**
 * The statements that the connections of one pool have sent, and what their texts show. Bounded: texts that are not used again
 * are forgotten. When the young generation is full it becomes the old one, which replaces the former old one.
 */
export class StatementTexts {
  #young = new Map<string, StatementFacts>();
  #old = new Map<string, StatementFacts>();
  #characters = 0;
  /** The last text that was too long to be remembered. A script of many statements is one text with many command tags. */
  #last = new StatementFacts('');
  /** Increases when a connection has changed the schema: the other ones parse their prepared statements again. */
  schemaVersion = 0;
  /**
   * Whether the server has lost a prepared statement. Then a pooler in between assigns other sessions, and does not support
   * prepared statements.
   */
  hasLostStatement = false;

  /** The facts of a text. Texts that differ only in a trailing comment, as tools for tracing add it, share their facts. */
  factsOf(text: string): StatementFacts {
    if (text.length > MAX_TEXT_LENGTH) {
      if (this.#last.text !== text) this.#last = new StatementFacts(text);
      return this.#last;
    }
    const commentStart = startOfTrailingComment(text);
    if (commentStart > 0) {
      const withoutComment = this.#find(text.slice(0, commentStart).trimEnd());
      if (withoutComment.isComplete) return withoutComment;
    }
    return this.#find(text);
  }

  #find(text: string): StatementFacts {
    const known = this.#young.get(text);
    if (known) return known;
    const facts = this.#old.get(text) ?? new StatementFacts(text);
    if (this.#young.size >= MAX_TEXTS || this.#characters + text.length > MAX_CHARACTERS) {
      this.#old = this.#young;
      this.#young = new Map();
      this.#characters = 0;
    }
    this.#young.set(facts.text, facts);
    this.#characters += text.length;
    return facts;
  }
}

/**
 * Where a block comment begins that ends the text, as sqlcommenter adds it; 0 without one. A comment with a line break does not
 * count, since it may begin inside a comment of one line; nor does a hint of pg_hint_plan.
 */
function startOfTrailingComment(text: string): number {
  if (!text.endsWith('*/')) return 0;
  const start = text.lastIndexOf('/*');
  if (start < 0 || text.indexOf('*/', start + 2) !== text.length - 2 || text[start + 2] === '+') return 0;
  return /[\n\r]/.test(text.slice(start)) ? 0 : start;
}
