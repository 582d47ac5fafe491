import type { PgInternals, SubmittedQuery } from '../wire/pg-internals.js';
import {
  isTraceparent,
  onlySetsApplicationName,
  tagChangesSession,
  tagResetsSettings,
  textChangesSession,
} from './statement-effects.js';

const NAME = 'application_name';

/**
 * Records what has changed a session: the connect hooks, whose statements are sent again after DISCARD ALL, and the
 * borrowers since the last reset.
 */
export class SessionChanges {
  readonly #pg: PgInternals;
  /** The statements of the connect hooks that have changed the session. */
  readonly setup: SubmittedQuery[] = [];
  /** The first statement that has changed the session since the last reset. */
  changedBy: string | undefined;
  /** The first statement of a borrower since then that has set `application_name` and nothing else. */
  nameSetBy: string | undefined;
  #isSetup = true;
  /** Statements of the hooks that are still in the query queue; no statement of a borrower is before them. */
  #queuedSetup = 0;
  readonly #setupQueries = new WeakSet<object>();
  /** The settings that the server reports (ParameterStatus), as they are in a clean session. */
  readonly #cleanSettings = new Map<string, string>();
  /** Those that have another value now. */
  readonly #changedSettings = new Map<string, string>();
  #lastText = { text: '', changesSession: false };

  constructor(pg: PgInternals) {
    this.#pg = pg;
  }

  /**
   * Ends the setup: the statements that follow are those of borrowers.
   * @param queuedStatements statements of the hooks that are still in the query queue
   */
  finishSetup(queuedStatements: number): void {
    this.#endSetup();
    this.#queuedSetup = queuedStatements;
  }

  #endSetup(): void {
    for (const query of this.#pg.submittedQueries) this.#setupQueries.add(query);
    this.#isSetup = false;
  }

  /** Whether the next statement from the query queue is one of the connect hooks. */
  get isSetupQueued(): boolean {
    return this.#queuedSetup > 0;
  }

  /** Hands a queued statement of the connect hooks to `pg`. */
  sendQueuedSetup<T>(send: () => T): T {
    this.#queuedSetup -= 1;
    this.#isSetup = true;
    try {
      return send();
    } finally {
      this.#endSetup();
    }
  }

  /** Counts before the statement completes: an advisory lock stays when its statement fails later. */
  onStatementSent(text: string): void {
    if (this.changedBy === undefined && this.#changesSession(text) && !this.#isOfSetup(this.#pg.activeQuery))
      this.changedBy = text;
  }

  onCommandComplete(tag: string): void {
    const active = this.#pg.activeQuery;
    const hasChanged =
      tagChangesSession(tag, active?.text) ||
      this.#changesSession(active?.text ?? '') ||
      // The startup packet does not hold what the connect hooks have set: it has to be set again.
      (this.setup.length > 0 && tagResetsSettings(tag));
    if (!hasChanged || (tag === 'SET' && this.#onlySetsName(active))) return;
    if (!this.#isOfSetup(active)) this.changedBy ??= active?.text ?? tag;
    else if (active && !this.setup.includes(active)) this.setup.push(active);
  }

  /**
   * The server reports the new value of a setting. This shows a change without a command tag, inside a function for
   * example, and a value that returns at the end of a transaction. A value that changes while no statement runs, or by a
   * connect hook, is that of a clean session.
   */
  onParameterStatus(name: string, value: string): void {
    const active = this.#pg.activeQuery;
    // A tracing tool sets the name for one statement: it is never the clean one, not even when a hook runs.
    if ((!active || this.#isOfSetup(active)) && !(name === NAME && isTraceparent(value)))
      this.#cleanSettings.set(name, value);
    else if (this.#cleanSettings.get(name) !== value) {
      this.#changedSettings.set(name, value);
      return;
    }
    this.#changedSettings.delete(name);
  }

  /** Whether a reported setting other than `application_name` differs from its clean value. */
  get isAnySettingChanged(): boolean {
    return this.#changedSettings.size > (this.cleanName === undefined ? 0 : 1);
  }

  /** The `application_name` of a clean session; undefined when it has that name. */
  get cleanName(): string | undefined {
    return this.#changedSettings.size > 0 && this.#changedSettings.has(NAME)
      ? this.#cleanSettings.get(NAME)
      : undefined;
  }

  /** Starts anew after a reset. */
  onReset(): void {
    this.changedBy = undefined;
    this.nameSetBy = undefined;
    this.acceptReportedSettings();
  }

  /**
   * Takes the present values for those of a clean session. A value that a reset leaves is the server's own change, such as
   * a new default; without this, each later reset would try to undo it.
   */
  acceptReportedSettings(): void {
    for (const [name, value] of this.#changedSettings) {
      if (name === NAME && isTraceparent(value)) continue;
      this.#cleanSettings.set(name, value);
      this.#changedSettings.delete(name);
    }
  }

  /**
   * Whether a query only sets `application_name`. The server reports the name, and one SET undoes it. The name of a
   * connect hook has to be set again after DISCARD ALL; that of a tracing tool does not, and counts for no borrower.
   */
  #onlySetsName(query: SubmittedQuery | null | undefined): boolean {
    const text = query?.text ?? '';
    if (!this.#cleanSettings.has(NAME) || !onlySetsApplicationName(text)) return false;
    if (isTraceparent(/'([^']*)'/.exec(text)?.[1] ?? '')) return true;
    if (this.#isOfSetup(query)) return false;
    this.nameSetBy ??= text;
    return true;
  }

  /** Remembers the last text: a script of a thousand statements is one text with a thousand command tags. */
  #changesSession(text: string): boolean {
    if (text !== this.#lastText.text) this.#lastText = { text, changesSession: textChangesSession(text) };
    return this.#lastText.changesSession;
  }

  #isOfSetup(query: SubmittedQuery | null | undefined): boolean {
    return this.#isSetup || (!!query && this.#setupQueries.has(query));
  }
}
