import { inspect } from 'node:util';
import { Client } from 'pg';
import type { QueryResult, QueryResultRow } from 'pg';
import { ConnectionResetError } from '../errors/connection.errors.js';
import { bounded } from './bounded.js';
import { sendCancel } from './wire/cancel.js';
import { after } from './deadline.js';
import type { ConnectionOptions } from './connection.options.js';
import { serverRequirements } from './auth/server-requirements.js';
import type { ServerRequirements } from './auth/server-requirements.js';
import { connectTimeoutError } from './wire/connect-timeout.js';
import { isFatal, isReadOnlyRefusal } from './wire/disconnect.js';
import { expectPostgres } from './wire/greeting.js';
import { IdleLimit, idleInTransaction } from './session/idle-limit.js';
import {
  bareQuery,
  cutSocket,
  internalsOf,
  isQueryable,
  isReadyForQuery,
  transactionStatusOf,
} from './wire/pg-internals.js';
import type { PgWire } from './wire/pg-internals.js';
import { ReadingStreams } from './statements/reading-streams.js';
import { QueryQueue } from './statements/query-queue.js';
import { refuseFrom } from './statements/refusal.js';
import { refuseStandby, resetSession, whenReadyForQuery } from './session/reset.js';
import type { ResetMode, ResetResult } from './session/reset.js';
import { SessionChanges } from './session/session-changes.js';
import { startupOptions } from './session/session-settings.js';
import { tagDropsStatements, textSetsTimeLimit } from './session/session-state.js';
import { OWN_SESSION, unnamed } from './session/session-terms.js';
import type { SessionTerms } from './session/session-terms.js';
import { statementGraceMs, StatementLimit } from './statements/statement-limit.js';

export type { ConnectionOptions };

/** Longest wait for the server's goodbye; `pg`'s `end()` waits for ever on a frozen network. */
const CLOSE_TIMEOUT_MS = 1_000;

/**
 * One connection to PostgreSQL: a `pg.Client` that bounds its dial and its statements, knows whether it is quiet and
 * whether its session was changed, and can be put back, cancelled and ended without hanging.
 */
export class Connection extends Client {
  readonly #connectTimeoutMs: number;
  readonly #stream: unknown;
  readonly #terms: SessionTerms;
  readonly #limit: StatementLimit;
  readonly #idle: IdleLimit;
  readonly #queue: QueryQueue;
  #streams: ReadingStreams | undefined;
  readonly #changes = new SessionChanges(this);
  #suspectStandby = false;
  #closeReason: Error | undefined;
  #lastSql: string | undefined;
  #commandCompleted = false;
  #statementsSent = 0;
  #cancelling: Promise<void> | undefined;
  /** A cancel was sent that the server has not confirmed: it may still arrive. */
  #cancelUnconfirmed = false;
  #refusedWith: Error | undefined;
  #requirements: ServerRequirements | undefined;
  #connectCalled = false;

  static {
    // Not as a method, which would have to repeat every overload of `pg`; not on the object, where no class that extends
    // this one could have a `query` of its own.
    Object.defineProperty(this.prototype, 'query', {
      value: function (this: Connection, ...request: unknown[]) {
        if (typeof (request[0] as { submit?: unknown } | null | undefined)?.submit === 'function')
          this.#streams?.add(request[0]);
        return this.#queue.send(this.#terms.namedStatements ? request : unnamed(request));
      },
      writable: true,
      configurable: true,
    });
  }

  constructor(options: ConnectionOptions | string = {}) {
    const given: ConnectionOptions = typeof options === 'string' ? { connectionString: options } : options;
    // Before `pg` makes a socket: it throws.
    const session = startupOptions(given.session ?? {});
    super({
      keepAlive: true,
      keepAliveInitialDelayMillis: 30_000,
      ...given,
      // Ours; both at once would report the same deadline in two ways.
      connectionTimeoutMillis: 0,
      // `pg` marks the key of the object that it is given, which is the caller's.
      ...(typeof given.ssl === 'object' ? { ssl: copyOf(given.ssl) } : undefined),
    });
    this.#stream = given.stream;
    this.#connectTimeoutMs = given.connectTimeoutMs ?? (given.connectionTimeoutMillis || 10_000);
    const parameters = internalsOf(this).connectionParameters ?? {};
    // `pg` looks into the environment for what is empty.
    if (given.options === '') parameters.options = '';
    parameters.options = [parameters.options, session].filter(Boolean).join(' ');
    this.#terms = given.terms ?? OWN_SESSION;
    this.#limit = new StatementLimit(
      this,
      limitOf(given, parameters),
      () => this.#terms.statementLimitMs,
      this.#terms.settings?.statement,
    );
    this.#idle = new IdleLimit(
      () => this.#terms.idleInTransactionMs,
      // The pooler rolls the transaction back when our socket has closed.
      (ms) => this.destroy(idleInTransaction(ms, this.#lastSql, this.#terms.settings?.idleInTransaction)),
    );
    // `pg`'s own limit calls back and leaves the statement running on a connection that looks free.
    parameters.query_timeout = 0;
    // `inspect` would walk into the TLS options and the parameters.
    for (const name of ['ssl', 'connection', 'connectionParameters'])
      Object.defineProperty(this, name, { enumerable: false });
    const query = super.query.bind(this) as (...request: unknown[]) => unknown;
    this.#queue = new QueryQueue(this, (...request: unknown[]) =>
      this.#changes.send(() => query(...request)),
    );
    this.#listen();
    const { connection: wire, ssl, sslNegotiation } = internalsOf(this);
    if (!wire) return;
    const refuse = (error: Error) => {
      // The first one: what comes of the cut socket is not the reason.
      this.#refusedWith ??= error;
      cutSocket(this, error);
    };
    if (!ssl || sslNegotiation !== 'direct') expectPostgres(wire.stream, ssl ? 'ssl' : 'startup', refuse);
    try {
      this.#requirements = serverRequirements(this, wire, given, refuse);
    } catch (error) {
      // Nothing else would ever destroy the socket that `pg` has made.
      cutSocket(this);
      throw error;
    }
  }

  /** `drain` is for when nothing waits; somebody may end the client at it. */
  override emit(event: string | symbol, ...details: unknown[]): boolean {
    if (event === 'drain' && this.#queue.advance()) return true;
    return super.emit(event, ...details);
  }

  /** Opens the connection; rejects with a ConnectTimeoutError at the deadline and leaves no socket. */
  override connect(): Promise<Client>;
  override connect(callback: ((error: Error) => void) | ((error: null, client: Client) => void)): void;
  override connect(callback?: (error: never, client: never) => void): Promise<Client> | void {
    const opened = new Promise<Client>((resolve, reject) => {
      // `pg` says so too, and forgets whom it was to tell of the first dial.
      if (this.#connectCalled)
        return reject(new Error('Client has already been connected. You cannot reuse a client.'));
      this.#connectCalled = true;
      const ms = this.#connectTimeoutMs;
      const cancel = ms > 0 ? after(ms, () => cutSocket(this, connectTimeoutError(this, ms))) : undefined;
      const settle = (error: Error | null) => {
        cancel?.();
        if (error) reject(error);
        else resolve(this);
      };
      super.connect((error: Error | null) => {
        // The server's welcome may have come in the same packet as what we refuse.
        const failure = this.#refusedWith ?? error;
        if (failure) {
          this.#requirements?.onFailed(failure);
          // A password that did not come leaves the server waiting.
          cutSocket(this);
          return settle(failure);
        }
        const judged = this.#requirements?.verify();
        if (!judged) return settle(null);
        judged.then(
          () => settle(null),
          (reason: Error) => {
            void this.close();
            settle(reason);
          },
        );
      });
    });
    if (!callback) return opened;
    opened.then(
      () => process.nextTick(callback, null, this as never),
      (error: unknown) => process.nextTick(callback, error as never),
    );
  }

  /** Statements that wait for the one that runs. */
  get queuedStatements(): number {
    return this.#queue.length;
  }

  /** The dial and its hooks are over: what is sent from here on is a borrower's. */
  finishSetup(): void {
    this.#changes.finishSetup();
  }

  /** Whether a statement can be sent at all. */
  get isUsable(): boolean {
    return this.#closeReason === undefined && isQueryable(this);
  }

  /** Whether nothing is active, queued or sent, and the server is ready. */
  get isReadyForQuery(): boolean {
    return isReadyForQuery(this);
  }

  /** Resolves when it is; rejects when the connection ends first. */
  whenReadyForQuery(): Promise<void> {
    return whenReadyForQuery(this);
  }

  /** A new borrower has it: what was sent before is not his. */
  onAcquired(): void {
    this.#lastSql = undefined;
    // A limit that somebody set for his transaction alone is over; ours stands again.
    this.#limit.resume();
  }

  /** Whether the session was seen to change since it was last clean. */
  get isSessionChanged(): boolean {
    if (this.#changes.changedBy !== undefined || this.#changes.renamedBy !== undefined) return true;
    // A pooler reports the settings of whichever session it takes.
    return this.#changes.settingsChanged && !this.#terms.isSessionShared;
  }

  /** The text of the last statement sent. */
  get lastSql(): string | undefined {
    return this.#lastSql;
  }

  /**
   * Whether the server has sent CommandComplete for the statement that runs or was the last to run; false from when the
   * next one is sent. Of a text with several statements, for any of them.
   */
  get commandCompleted(): boolean {
    return this.#commandCompleted;
  }

  /** Grows with each statement that is sent. */
  get statementCount(): number {
    return this.#statementsSent;
  }

  /** `I`, `T` or `E` as of the last ReadyForQuery; a promise only while {@link isReadyForQuery}. */
  get transactionStatus(): 'I' | 'T' | 'E' | null {
    return transactionStatusOf(this);
  }

  /** Why the connection is gone, once it is. */
  get closeReason(): Error | undefined {
    return this.#closeReason;
  }

  /**
   * Makes the session fit for the next borrower. `undefined` at once when there is nothing to do; else rejects when it
   * cannot be done within `timeoutMs`, and then the connection must be destroyed.
   */
  reset(mode: ResetMode, timeoutMs: number): Promise<ResetResult> | undefined {
    if (this.#cancelUnconfirmed) return Promise.reject(cancelAstray());
    if (mode === 'none')
      return this.#cancelling && this.#cancelSettled().then(() => ({ rolledBack: false, cleared: false }));
    const settled =
      isReadyForQuery(this) && this.transactionStatus === 'I' && !this.#cancelling && !this.#suspectStandby;
    const renamed = mode === 'smart' && this.#renamedFrom !== undefined;
    if (
      settled &&
      !renamed &&
      !this.#needsDiscard(mode) &&
      !(this.#terms.isSessionShared && this.isSessionChanged)
    ) {
      // Set to what it was.
      this.#changes.renamedBy = undefined;
      return undefined;
    }
    return this.#reset(mode, timeoutMs);
  }

  async #reset(mode: ResetMode, timeoutMs: number): Promise<ResetResult> {
    const restored = await resetSession(this, {
      send: (statement) => this.ownQuery(statement),
      clear: () => this.#needsDiscard(mode),
      renamedFrom: () => (mode === 'smart' ? this.#renamedFrom : undefined),
      setup: this.#changes.setup,
      suspectStandby: () => this.#suspectStandby,
      cancelled: () => this.#cancelSettled(),
      timeoutMs,
    });
    const left = restored.cleared ? undefined : (this.#changes.changedBy ?? this.#changes.renamedBy);
    this.#changes.changedBy = undefined;
    this.#changes.renamedBy = undefined;
    this.#changes.acceptSettings();
    this.#suspectStandby = false;
    this.#limit.resume();
    return this.#terms.isSessionShared && left !== undefined ? { ...restored, left } : restored;
  }

  /** Behind a pooler never: what was changed is in a session that is somebody else's by now. */
  #needsDiscard(mode: ResetMode): boolean {
    if (this.#terms.isSessionShared) return false;
    const { changedBy, settingsChanged } = this.#changes;
    return mode === 'discard' || (mode === 'smart' && (changedBy !== undefined || settingsChanged));
  }

  /** A pooler keeps the name of each client itself, and gives it to whichever session it takes. */
  get #renamedFrom(): string | undefined {
    return this.#terms.isSessionShared ? undefined : this.#changes.renamedFrom;
  }

  /** @internal A statement of the pool or the module and of no borrower: tracing tools do not see it. */
  ownQuery<R extends QueryResultRow>(statement: {
    text: string;
    values?: unknown[];
  }): Promise<QueryResult<R>> {
    // In its turn, which is rare, or refused.
    if (this.#closeReason || !isReadyForQuery(this) || this.#cancelling) return this.query<R>(statement);
    const send = bareQuery() as (this: Client, statement: object) => Promise<QueryResult<R>>;
    return send.call(this, statement);
  }

  /** Resolves when the server answers within `timeoutMs`; with `primary`, only when it is no standby. */
  validate(timeoutMs: number, primary = false): Promise<void> {
    const clean = !this.isSessionChanged;
    const last = this.#lastSql;
    const send = (statement: { text: string }) => this.ownQuery(statement);
    const asked: Promise<unknown> = primary ? refuseStandby(send) : send({ text: 'SELECT 1' });
    const answered = asked.then(() => {
      // The question is no borrower's, and with its answer the server reports what it has changed by itself.
      this.#lastSql = last;
      if (clean) this.#changes.acceptSettings();
    });
    return bounded(
      answered,
      timeoutMs,
      () =>
        new ConnectionResetError(`The connection did not answer within ${timeoutMs} ms.`, {
          code: 'CONNECTION_SILENT',
        }),
    );
  }

  /** Asks the server to stop what this connection runs; resolves when it was told, or could not be told in time. */
  cancelRunning(timeoutMs: number = CLOSE_TIMEOUT_MS): Promise<void> {
    if (isReadyForQuery(this)) return Promise.resolve();
    this.#cancelling ??= sendCancel(this, timeoutMs, this.#stream).then((over) => {
      this.#cancelUnconfirmed ||= !over;
      this.#cancelling = undefined;
      this.#queue.resume();
    });
    return this.#cancelling;
  }

  /** Resolves when no cancel is under way; rejects when one may still arrive: it would stop the next borrower's statement. */
  async #cancelSettled(): Promise<void> {
    await this.#cancelling;
    if (this.#cancelUnconfirmed) throw cancelAstray();
  }

  /** Whether a cancel is on its way to the server. */
  get isCancelling(): boolean {
    return this.#cancelling !== undefined;
  }

  /** Says goodbye and resolves when the socket has closed; cuts it when that takes longer than `timeoutMs`. */
  close(timeoutMs: number = CLOSE_TIMEOUT_MS): Promise<void> {
    const timer = setTimeout(() => this.destroy(), timeoutMs);
    return this.end().finally(() => clearTimeout(timer));
  }

  /** Cuts the socket now. Statements under way, and every later one, fail with `reason`. */
  destroy(reason?: Error): void {
    if (reason) this.#refuse(reason);
    cutSocket(this, reason);
  }

  /** Stops what is running on the server, then cuts the socket: a socket cut alone leaves the statement running. */
  async terminate(reason: Error): Promise<void> {
    const running = !isReadyForQuery(this);
    // At once: the owner learns of the cancel before the socket is cut, and could send the next statement.
    this.#refuse(reason);
    if (running) await this.cancelRunning();
    cutSocket(this, reason);
  }

  /** The connection has ended, or the server has said so. The first reason counts. */
  #markClosed(reason: Error): void {
    this.#closeReason ??= reason;
    this.#streams?.end(this.#closeReason);
  }

  #refuse(reason: Error): void {
    if (this.#closeReason) return;
    refuseFrom(this, reason);
    this.#markClosed(reason);
  }

  /** Without settings: they hold the password. */
  toJSON(): object {
    return {
      host: this.host,
      port: this.port,
      database: this.database,
      processID: internalsOf(this).processID,
    };
  }

  [inspect.custom](): string {
    return `Connection ${inspect(this.toJSON())}`;
  }

  #listen(): void {
    const wire = internalsOf(this).connection;
    if (!wire) return;
    const streams = (this.#streams = new ReadingStreams(wire));
    const query = wire.query.bind(wire);
    const parse = wire.parse.bind(wire);
    const bind = wire.bind.bind(wire);
    // Every statement passes here, cursors and COPY streams too, which no override of `query()` would see into.
    wire.query = (text) => {
      this.#onStatementSent(text);
      return query(text);
    };
    wire.parse = (parsed, more) => {
      this.#onStatementSent(parsed.text);
      return parse(parsed, more);
    };
    wire.bind = (config, more) => {
      const named = config.statement ? wire.parsedStatements[config.statement] : undefined;
      if (named !== undefined) this.#onStatementSent(named);
      return bind(config, more);
    };
    this.#refuseClosedPortals(wire);
    wire.on('commandComplete', ({ text: tag }: { text: string }) => {
      this.#commandCompleted = true;
      if (tagDropsStatements(tag)) this.#forgetPreparedStatements();
      this.#changes.onCommandComplete(tag);
    });
    wire.on('parameterStatus', (status: { parameterName: string; parameterValue: string }) =>
      this.#changes.onParameterStatus(status.parameterName, status.parameterValue),
    );
    wire.on('readyForQuery', ({ status }: { status?: string }) => {
      this.#limit.stop();
      this.#idle.ready(status);
      streams.done(internalsOf(this)._activeQuery);
    });
    wire.on('portalSuspended', () => this.#limit.answered());
    wire.on('errorMessage', (error: Error) => {
      this.#limit.explain(error);
      if (isFatal(error)) this.#markClosed(error);
      else streams.done(internalsOf(this)._activeQuery);
      if (isReadOnlyRefusal(error)) this.#suspectStandby = true;
    });
    wire.on('error', (error: Error) => this.#markClosed(error));
    wire.on('end', () => {
      this.#limit.stop();
      this.#idle.stop();
      // After a goodbye of ours it is not lost; `usable` says that it is over.
      if (!internalsOf(this)._ending) this.#markClosed(new Error('Connection terminated unexpectedly'));
      else streams.end(this.#closeReason ?? new Error('Connection terminated'));
    });
  }

  /**
   * A cursor that is read while it waits for its turn, and closed before its first answer, executes its portal at that answer
   * (pg-cursor). The error would hit the next statement, and the server would then skip all that follows up to a Sync that is
   * never sent: the connection would wait for ever.
   */
  #refuseClosedPortals(wire: PgWire): void {
    const close = wire.close.bind(wire);
    const execute = wire.execute.bind(wire);
    let closed: string | undefined;
    wire.close = (target, more) => {
      if (target.type === 'P') closed = target.name;
      close(target, more);
    };
    wire.execute = (config, more) => {
      if (!config.portal || config.portal !== closed) execute(config, more);
    };
  }

  /** @param given nothing is an empty statement for `pg` */
  #onStatementSent(given: string | null | undefined): void {
    const text = given ?? '';
    this.#lastSql = text;
    this.#commandCompleted = false;
    this.#statementsSent += 1;
    this.#idle.sent();
    this.#limit.start();
    if (textSetsTimeLimit(text)) this.#limit.suspend();
    this.#changes.onSent(text);
  }

  /** `pg` would go on naming statements that the server has dropped: "prepared statement does not exist". */
  #forgetPreparedStatements(): void {
    const wire = internalsOf(this).connection;
    if (!wire) return;
    wire.parsedStatements = {};
    wire.submittedNamedStatements = {};
  }
}

function cancelAstray(): ConnectionResetError {
  return new ConnectionResetError(
    'A cancel was sent to the server, which has not confirmed it: it may still arrive, and would stop a later statement.',
  );
}

/** With what is not enumerable, too: `pg` hides the key of an object that it was given once. */
function copyOf<T extends object>(settings: T): T {
  return Object.create(
    Object.getPrototypeOf(settings) as object,
    Object.getOwnPropertyDescriptors(settings),
  ) as T;
}

/** The shorter of what the caller asks of `pg` (`query_timeout`) and the server's limit with its grace; 0 is none. */
function limitOf(
  given: ConnectionOptions,
  parameters: { query_timeout?: unknown; statement_timeout?: unknown },
): number {
  const server = Number(parameters.statement_timeout) || 0;
  const limits = [
    given.statementLimitMs ??
      (server > 0 ? server + (given.statementGraceMs ?? statementGraceMs(server)) : 0),
    Number(parameters.query_timeout) || 0,
  ].filter((ms) => ms > 0);
  return limits.length > 0 ? Math.min(...limits) : 0;
}
