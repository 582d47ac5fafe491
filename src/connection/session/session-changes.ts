import { internalsOf } from '../wire/pg-internals.js';
import type { SubmittedQuery } from '../wire/pg-internals.js';
import {
  isTraceparent,
  tagLeavesState,
  tagUndoesSetup,
  textLeavesState,
  textRenamesOnly,
} from './session-state.js';

const NAME = 'application_name';

/**
 * What has changed a session: the hooks of its dial, whose statements are sent again when it is cleared, and a borrower since it
 * was last clean.
 */
export class SessionChanges {
  readonly #client: object & { readonly queuedStatements: number };
  /** The statements by which the hooks of the dial have changed the session. */
  readonly setup: SubmittedQuery[] = [];
  /** The statement by which the session was seen to change since it was last clean. */
  changedBy: string | undefined;
  /** The statement by which a borrower has set `application_name` since, where that alone is to be undone. */
  renamedBy: string | undefined;
  #inSetup = true;
  /** Statements of the hooks that stand in the line; nobody else's are before them. */
  #setupAhead = 0;
  readonly #setupQueries = new WeakSet<object>();
  /** The settings that the server reports, as a clean session has them. */
  readonly #clean = new Map<string, string>();
  /** Those that are other than that now. */
  readonly #changed = new Map<string, string>();
  #judged = { text: '', leavesState: false };

  constructor(client: object & { readonly queuedStatements: number }) {
    this.#client = client;
  }

  /** The dial and its hooks are over: what is sent from here on is a borrower's. */
  finishSetup(): void {
    this.#endSetup();
    this.#setupAhead = this.#client.queuedStatements;
  }

  #endSetup(): void {
    const { _activeQuery, _queryQueue = [], _sentQueryQueue = [] } = internalsOf(this.#client);
    for (const query of [_activeQuery, ..._queryQueue, ..._sentQueryQueue])
      if (query) this.#setupQueries.add(query);
    this.#inSetup = false;
  }

  /** Hands a statement to `pg`; the hooks' own are still before the borrower's when they had to wait. */
  send<T>(send: () => T): T {
    if (this.#setupAhead === 0) return send();
    this.#setupAhead -= 1;
    this.#inSetup = true;
    try {
      return send();
    } finally {
      this.#endSetup();
    }
  }

  /** A statement goes out. An advisory lock stays when it fails afterwards, so it counts before it completes. */
  onSent(text: string): void {
    if (this.changedBy === undefined && this.#leavesState(text) && !this.#ofSetup(this.#active))
      this.changedBy = text;
  }

  /** The server has completed a command. */
  onCommandComplete(tag: string): void {
    const active = this.#active;
    const changed =
      tagLeavesState(tag, active?.text) ||
      this.#leavesState(active?.text ?? '') ||
      // It takes away what the dial's hooks have set, which is not in the startup packet.
      (this.setup.length > 0 && tagUndoesSetup(tag));
    if (!changed || (tag === 'SET' && this.#renames(active))) return;
    if (!this.#ofSetup(active)) this.changedBy ??= active?.text ?? tag;
    else if (active && !this.setup.includes(active)) this.setup.push(active);
  }

  /**
   * The server reports the value of a setting (ParameterStatus). A statement that changes one without a tag, inside a
   * function say, changes the session; a value that comes back, as at the end of a transaction, undoes it. What changes
   * while nothing runs, or by the hooks of the dial, is what a clean session has.
   */
  onParameterStatus(name: string, value: string): void {
    const active = this.#active;
    // A tracing tool's name for one statement is no clean one, whoever has sent that statement.
    if ((!active || this.#ofSetup(active)) && !(name === NAME && isTraceparent(value)))
      this.#clean.set(name, value);
    else if (this.#clean.get(name) !== value) {
      this.#changed.set(name, value);
      return;
    }
    this.#changed.delete(name);
  }

  /** Whether a setting that the server reports, beside the name, is not what it is in a clean session. */
  get settingsChanged(): boolean {
    return this.#changed.size > (this.renamedFrom === undefined ? 0 : 1);
  }

  /** The `application_name` of a clean session, when it is another one now. */
  get renamedFrom(): string | undefined {
    return this.#changed.size > 0 && this.#changed.has(NAME) ? this.#clean.get(NAME) : undefined;
  }

  /** What is left after a reset is the server's own change, such as a new default: one reset is enough for it. */
  acceptSettings(): void {
    for (const [name, value] of this.#changed) {
      if (name === NAME && isTraceparent(value)) continue;
      this.#clean.set(name, value);
      this.#changed.delete(name);
    }
  }

  /**
   * Whether a statement only sets the name, which is seen by the server's report and undone by one SET. A hook's own name is
   * to be set again after DISCARD ALL; that of a tracing tool is not, and is no wish of a borrower.
   */
  #renames(query: SubmittedQuery | null | undefined): boolean {
    const text = query?.text ?? '';
    if (!this.#clean.has(NAME) || !textRenamesOnly(text)) return false;
    if (isTraceparent(/'([^']*)'/.exec(text)?.[1] ?? '')) return true;
    if (this.#ofSetup(query)) return false;
    this.renamedBy ??= text;
    return true;
  }

  get #active(): SubmittedQuery | null | undefined {
    return internalsOf(this.#client)._activeQuery;
  }

  /** Read once: a script of a thousand statements has as many tags, and each comes with the whole text. */
  #leavesState(text: string): boolean {
    if (text !== this.#judged.text) this.#judged = { text, leavesState: textLeavesState(text) };
    return this.#judged.leavesState;
  }

  #ofSetup(query: SubmittedQuery | null | undefined): boolean {
    // Nothing is in no set.
    return this.#inSetup || this.#setupQueries.has(query as SubmittedQuery);
  }
}
