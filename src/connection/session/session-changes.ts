import type { ResetMode } from '../../database.options.js';
import type { PgInternals, SubmittedQuery } from '../wire/pg-internals.js';
import type { PoolerTerms } from './pooler-terms.js';
import {
  isTraceparent,
  onlySetsApplicationName,
  tagChangesSession,
  tagResetsSettings,
  textChangesSession,
} from './statement-effects.js';

const NAME = 'application_name';

/**
 * Records which statements have changed a session, and whether the connect hooks or a borrower has sent them. The statements
 * of the hooks are the setup: a reset sends them again after DISCARD ALL. A change by a borrower is what a reset undoes.
 *
 * A statement belongs to the setup when it was submitted before {@link finishSetup}, even if it is answered later.
 */
export class SessionChanges {
  readonly #pg: PgInternals;
  readonly #poolerTerms: Pick<PoolerTerms, 'isSessionShared'>;
  /** The statements of the connect hooks that have changed the session. */
  readonly setupStatements: SubmittedQuery[] = [];
  /** The first statement of a borrower that has changed the session since the last reset. */
  changedBy: string | undefined;
  /** The first statement of a borrower since the last reset that has set `application_name` and nothing else. */
  #nameSetBy: string | undefined;
  /** Whether a statement that is sent now belongs to the setup. */
  #isSetup = true;
  /** The number of setup statements at the front of the query queue; those of borrowers are behind them. */
  #queuedSetupCount = 0;
  /** The setup statements that `pg` held when the setup ended. */
  readonly #setupQueries = new WeakSet<object>();
  /** The values of the reported settings (ParameterStatus) in a clean session. */
  readonly #cleanSettings = new Map<string, string>();
  /** The reported settings whose current value is another one. */
  readonly #changedSettings = new Map<string, string>();
  readonly #changesSession: (text: string) => boolean;

  /**
   * @param poolerTerms read at each call: a pooler may be detected at any time
   * @param changesSession judges a text; called several times for the same one
   */
  constructor(
    pg: PgInternals,
    poolerTerms: Pick<PoolerTerms, 'isSessionShared'>,
    changesSession: (text: string) => boolean = textChangesSession,
  ) {
    this.#pg = pg;
    this.#poolerTerms = poolerTerms;
    this.#changesSession = changesSession;
  }

  /**
   * Ends the setup. The statements that follow are those of borrowers.
   * @param queuedStatements the number of statements of the hooks that are still in the query queue
   */
  finishSetup(queuedStatements: number): void {
    this.#leaveSetup();
    this.#queuedSetupCount = queuedStatements;
  }

  #leaveSetup(): void {
    for (const query of this.#pg.submittedQueries) this.#setupQueries.add(query);
    this.#isSetup = false;
  }

  /** Whether the next statement from the query queue is one of the connect hooks. */
  get isSetupQueued(): boolean {
    return this.#queuedSetupCount > 0;
  }

  /** Calls `send`, and counts the statement that it hands to `pg` as one of the setup. */
  sendQueuedSetup<T>(send: () => T): T {
    this.#queuedSetupCount -= 1;
    this.#isSetup = true;
    try {
      return send();
    } finally {
      this.#leaveSetup();
    }
  }

  /** Records a change before the statement completes: an advisory lock stays when its statement fails later. */
  onStatementSent(text: string): void {
    if (
      this.changedBy === undefined &&
      this.#changesSession(text) &&
      !this.#belongsToSetup(this.#pg.activeQuery)
    )
      this.changedBy = text;
  }

  onCommandComplete(tag: string): void {
    const active = this.#pg.activeQuery;
    const hasChanged =
      tagChangesSession(tag, active?.text) ||
      this.#changesSession(active?.text ?? '') ||
      // RESET returns to the settings of the startup packet, which does not contain those of the connect hooks.
      (this.setupStatements.length > 0 && tagResetsSettings(tag));
    if (!hasChanged || (tag === 'SET' && this.#onlySetsName(active))) return;
    if (!this.#belongsToSetup(active)) this.changedBy ??= active?.text ?? tag;
    else if (active && !this.setupStatements.includes(active)) this.setupStatements.push(active);
  }

  /**
   * Compares a setting that the server reports with its value in a clean session. The server reports every change: that of
   * a function, which no command tag shows, and the return to the old value at the end of a transaction. A value that is
   * reported while no statement is active, or while one of the setup is, becomes the value of a clean session.
   */
  onParameterStatus(name: string, value: string): void {
    const active = this.#pg.activeQuery;
    // A tracing tool sets the name for one statement, also for one of a hook: it is never the clean name.
    if ((!active || this.#belongsToSetup(active)) && !(name === NAME && isTraceparent(value)))
      this.#cleanSettings.set(name, value);
    else if (this.#cleanSettings.get(name) !== value) {
      this.#changedSettings.set(name, value);
      return;
    }
    this.#changedSettings.delete(name);
  }

  /** Whether a borrower has changed the session since the last reset. */
  get isChanged(): boolean {
    if (this.changedBy !== undefined || this.#nameSetBy !== undefined) return true;
    // A pooler reports the settings of whichever session it assigns.
    return this.#isAnySettingChanged && !this.#poolerTerms.isSessionShared;
  }

  /** Whether a reset in the mode `mode` has nothing to undo and nothing to report. */
  isClean(mode: ResetMode): boolean {
    return (
      !this.needsDiscard(mode) &&
      this.nameToRestore(mode) === undefined &&
      !(this.#poolerTerms.isSessionShared && this.isChanged)
    );
  }

  /** Whether a reset sends DISCARD ALL. In a session that a pooler shares, it would clear the session of another client. */
  needsDiscard(mode: ResetMode): boolean {
    if (this.#poolerTerms.isSessionShared) return false;
    return (
      mode === 'discard' || (mode === 'smart' && (this.changedBy !== undefined || this.#isAnySettingChanged))
    );
  }

  /**
   * The `application_name` that a reset sets again. None in a session that a pooler shares: the pooler stores the name of
   * each client and applies it to whichever session it assigns.
   */
  nameToRestore(mode: ResetMode): string | undefined {
    return mode === 'smart' && !this.#poolerTerms.isSessionShared ? this.#cleanName : undefined;
  }

  /** The statement whose change stays in a session that a pooler shares. */
  get leftBehind(): string | undefined {
    return this.#poolerTerms.isSessionShared ? (this.changedBy ?? this.#nameSetBy) : undefined;
  }

  /** Whether a reported setting other than `application_name` differs from its clean value. */
  get #isAnySettingChanged(): boolean {
    return this.#changedSettings.size > (this.#cleanName === undefined ? 0 : 1);
  }

  /** The `application_name` of a clean session; undefined when the session has that name. */
  get #cleanName(): string | undefined {
    return this.#changedSettings.size > 0 && this.#changedSettings.has(NAME)
      ? this.#cleanSettings.get(NAME)
      : undefined;
  }

  /** A reset has undone every change. */
  onReset(): void {
    this.changedBy = undefined;
    this.#nameSetBy = undefined;
    this.acceptReportedSettings();
  }

  /** A reset had nothing to undo: the borrower may have set `application_name` to the value that it had. */
  onNothingToReset(): void {
    this.#nameSetBy = undefined;
  }

  /**
   * Accepts the current values of the reported settings as those of a clean session. A change that outlasts a reset is the
   * server's own, such as a new default: otherwise every later reset would try to undo it.
   */
  acceptReportedSettings(): void {
    for (const [name, value] of this.#changedSettings) {
      if (name === NAME && isTraceparent(value)) continue;
      this.#cleanSettings.set(name, value);
      this.#changedSettings.delete(name);
    }
  }

  /**
   * Whether a query sets only `application_name`, and one SET can undo it. Records the query as that of a borrower, unless a
   * tracing tool has sent it. False for a query of the setup, which a reset has to send again after DISCARD ALL.
   */
  #onlySetsName(query: SubmittedQuery | null | undefined): boolean {
    const text = query?.text ?? '';
    if (!this.#cleanSettings.has(NAME) || !onlySetsApplicationName(text)) return false;
    if (isTraceparent(/'([^']*)'/.exec(text)?.[1] ?? '')) return true;
    if (this.#belongsToSetup(query)) return false;
    this.#nameSetBy ??= text;
    return true;
  }

  #belongsToSetup(query: SubmittedQuery | null | undefined): boolean {
    return this.#isSetup || (!!query && this.#setupQueries.has(query));
  }
}
