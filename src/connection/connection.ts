import { inspect } from 'node:util';
import { Client } from 'pg';
import type {
  QueryArrayConfig,
  QueryArrayResult,
  QueryConfig,
  QueryConfigValues,
  QueryResult,
  QueryResultRow,
  Submittable,
} from 'pg';
import { ConnectionResetError } from '../errors/connection.errors.js';
import type { ResetMode } from '../database.options.js';
import { ServerRequirements } from './auth/server-requirements.js';
import { clientConfig } from './connection.options.js';
import type { ConnectionOptions } from './connection.options.js';
import { CLOSE_TIMEOUT_MS, startDeadline, withTimeout } from './deadline.js';
import { IdleInTransactionLimit, idleInTransactionError } from './session/idle-in-transaction-limit.js';
import { NO_POOLER, withoutStatementName } from './session/pooler-terms.js';
import type { PoolerTerms } from './session/pooler-terms.js';
import { refuseStandby, resetSession } from './session/reset.js';
import type { ResetResult } from './session/reset.js';
import { SessionChanges } from './session/session-changes.js';
import { startupOptions } from './session/session-settings.js';
import { tagDropsPreparedStatements } from './session/statement-effects.js';
import { StatementLane } from './shared/statement-lane.js';
import type { LaneConnection, LaneOwner } from './shared/statement-lane.js';
import { StatementMeter } from './shared/statement-meter.js';
import type { StatementTimings } from './shared/statement-timings.js';
import { Cancellation, unconfirmedCancelError } from './statements/cancellation.js';
import { PreparedStatements } from './statements/prepared-statements.js';
import { QueryQueue } from './statements/query-queue.js';
import { ReadingStreams } from './statements/reading-streams.js';
import { isSubmittable, rejectQuery } from './statements/rejected-query.js';
import { StatementLimit, statementLimitMs } from './statements/statement-limit.js';
import { StatementTexts } from './statements/statement-texts.js';
import type { StatementFacts } from './statements/statement-texts.js';
import { sendCancelRequest } from './wire/cancel-request.js';
import { connectTimeoutError } from './wire/connect-stages.js';
import { keepClosed } from './wire/cursors.js';
import { isFatal, isReadOnlyRefusal } from './wire/disconnect.js';
import { PgInternals } from './wire/pg-internals.js';

export type { ConnectionOptions };

/**
 * One connection to PostgreSQL: a `pg.Client` that limits the time of its connect and of its statements, queues statements
 * while another one is active, knows whether its session has changed, and can be reset, cancelled and closed within a
 * given time.
 * @example
 * const connection = new Connection({ connectionString: process.env.DB_URL, session: { search_path: 'app' } });
 * await connection.connect();
 * const { rows } = await connection.query('SELECT $1::int AS n', [1]);
 * await connection.close();
 */
export class Connection extends Client {
  readonly #pg = new PgInternals(this);
  readonly #connectTimeoutMs: number;
  readonly #stream: unknown;
  readonly #requirements: ServerRequirements | undefined;
  readonly #poolerTerms: PoolerTerms;
  readonly #queue = new QueryQueue();
  readonly #cancellation = new Cancellation();
  readonly #streams = new ReadingStreams(this.#pg);
  readonly #texts: StatementTexts;
  readonly #changes: SessionChanges;
  readonly #preparedStatements: PreparedStatements;
  readonly #statementLimit: StatementLimit;
  readonly #idleLimit: IdleInTransactionLimit;
  readonly #timings: StatementTimings | undefined;
  /** The statements in flight, while the connection is shared. */
  #lane: StatementLane | undefined;
  #hasConnectStarted = false;
  /** The error of the first requirement that the server did not meet. */
  #refusedBy: Error | undefined;
  #closeReason: Error | undefined;
  /** The reason of {@link destroy} or {@link terminate}. Later statements are rejected with it and do not reach `pg`. */
  #terminatedBy: Error | undefined;
  #lastSql: string | undefined;
  /** The text that was last judged, and what it shows. */
  #judgedText = '';
  #facts: StatementFacts;
  #hasCommandCompleted = false;
  #statementCount = 0;
  /** Whether the server has refused a write as read-only: it may be a standby now. */
  #suspectsStandby = false;

  /**
   * @param options the options, or a connection string
   * @throws TypeError for a session setting whose name is invalid, or whose value contains a NUL character
   * @throws ConnectionError `TLS_DIRECT_REFUSED` when this version of `pg` cannot start TLS directly
   */
  constructor(options: ConnectionOptions | string = {}) {
    const given: ConnectionOptions = typeof options === 'string' ? { connectionString: options } : options;
    // Before `super()`: an error after it would leave the socket that `pg` creates open.
    const sessionOptions = startupOptions(given.session ?? {});
    super(clientConfig(given));
    this.#connectTimeoutMs = given.connectTimeoutMs ?? (given.connectionTimeoutMillis || 10_000);
    this.#stream = given.stream;
    const terms = (this.#poolerTerms = given.poolerTerms ?? NO_POOLER);
    const texts = (this.#texts = given.statementTexts ?? new StatementTexts());
    this.#facts = texts.factsOf('');
    this.#timings = given.statementTimings;
    this.#changes = new SessionChanges(this.#pg, terms, (text) => this.#factsOf(text).changesSession);
    this.#preparedStatements = new PreparedStatements(
      this.#pg,
      texts,
      given.preparedStatements,
      () => terms.allowsNamedStatements,
    );
    this.#pg.appendStartupOptions(sessionOptions, given.options === '');
    this.#pg.hideSecrets();
    this.#statementLimit = new StatementLimit(
      this,
      this.#pg,
      statementLimitMs(given, this.#pg.statementTimeoutMs, this.#pg.disableQueryTimeout()),
      () => terms.statementLimitMs,
      terms.settings?.statement,
    );
    this.#idleLimit = new IdleInTransactionLimit(
      () => terms.idleInTransactionMs,
      // The pooler rolls the transaction back when the socket closes.
      (ms) => this.destroy(idleInTransactionError(ms, this.#lastSql, terms.settings?.idleInTransaction)),
    );
    this.#listen();
    const { wire } = this.#pg;
    if (!wire) return;
    try {
      this.#requirements = new ServerRequirements(this, wire, given, (error) => this.#refuseServer(error));
    } catch (error) {
      // Nothing else would destroy the socket that `pg` has created.
      this.#pg.closeSocket();
      throw error;
    }
  }

  // Connect

  /**
   * Connects to the server.
   * @throws ConnectTimeoutError at `connectTimeoutMs`, with the code `CONNECT_TIMEOUT` (the server was not reached) or
   * `HANDSHAKE_TIMEOUT` (it did not complete the login)
   * @throws PasswordError when the source of the password fails or does not answer in time
   * @throws ConnectionError when the server does not meet a requirement: `NOT_POSTGRESQL`, `TLS_TAMPERED`,
   * `TLS_DIRECT_REFUSED`, `CHANNEL_BINDING_MISSING`, `LOGIN_METHOD_REFUSED`, `SERVER_KIND_REFUSED`
   * @throws the error of the server or the socket, as `pg` does
   */
  override connect(): Promise<Client>;
  override connect(callback: ((error: Error) => void) | ((error: null, client: Client) => void)): void;
  override connect(callback?: (error: never, client: never) => void): Promise<Client> | void {
    const connected = this.#connect();
    if (!callback) return connected;
    connected.then(
      () => process.nextTick(callback, null, this as never),
      (error: unknown) => process.nextTick(callback, error as never),
    );
  }

  #connect(): Promise<Client> {
    // `pg` rejects a second connect too, and then never settles the first.
    if (this.#hasConnectStarted)
      return Promise.reject(new Error('Client has already been connected. You cannot reuse a client.'));
    this.#hasConnectStarted = true;
    return new Promise<Client>((resolve, reject) => {
      const ms = this.#connectTimeoutMs;
      const cancelDeadline =
        ms > 0 ? startDeadline(ms, () => this.#pg.closeSocket(connectTimeoutError(this, ms))) : undefined;
      const settle = (error: Error | null) => {
        cancelDeadline?.();
        if (error) reject(error);
        else resolve(this);
      };
      super.connect((error: Error | null) => {
        // `pg` reports no error when the refused server has completed the login in the same packet.
        const failure = this.#refusedBy ?? error;
        if (failure) {
          this.#requirements?.onConnectFailed(failure);
          // `pg` leaves the socket open when the password source fails: the server would wait for the password.
          this.#pg.closeSocket();
          return settle(failure);
        }
        const verified = this.#requirements?.verify();
        if (!verified) return settle(null);
        verified.then(
          () => settle(null),
          (reason: Error) => {
            void this.close();
            settle(reason);
          },
        );
      });
    });
  }

  /** Keeps the first error: the closed socket causes others. */
  #refuseServer(error: Error): void {
    this.#refusedBy ??= error;
    this.#pg.closeSocket(error);
  }

  /** Ends the setup by the connect hooks. The statements that follow are those of borrowers. */
  finishSetup(): void {
    this.#changes.finishSetup(this.queuedStatements);
  }

  // Query

  /**
   * Sends a statement in any form that `pg.Client.query` accepts. Queues it while another statement is active or a cancel
   * request is in flight.
   * @throws the errors of `pg`, or the reason of {@link destroy} or {@link terminate} after either of them
   * @throws QueryTimeoutError `QUERY_TIMEOUT` when the server does not answer within the limit of a statement
   */
  override query<T extends Submittable>(queryStream: T): T;
  /* eslint-disable @typescript-eslint/no-explicit-any -- the overloads of pg.Client, as @types/pg declares them */
  override query<R extends any[] = any[], I = any[]>(
    queryConfig: QueryArrayConfig<I>,
    values?: QueryConfigValues<I>,
  ): Promise<QueryArrayResult<R>>;
  override query<R extends QueryResultRow = any, I = any>(
    queryConfig: QueryConfig<I>,
  ): Promise<QueryResult<R>>;
  override query<R extends QueryResultRow = any, I = any[]>(
    queryTextOrConfig: string | QueryConfig<I>,
    values?: QueryConfigValues<I>,
  ): Promise<QueryResult<R>>;
  override query<R extends any[] = any[], I = any[]>(
    queryConfig: QueryArrayConfig<I>,
    callback: (err: Error, result: QueryArrayResult<R>) => void,
  ): void;
  override query<R extends QueryResultRow = any, I = any[]>(
    queryTextOrConfig: string | QueryConfig<I>,
    callback: (err: Error, result: QueryResult<R>) => void,
  ): void;
  override query<R extends QueryResultRow = any, I = any[]>(
    queryText: string,
    values: QueryConfigValues<I>,
    callback: (err: Error, result: QueryResult<R>) => void,
  ): void;
  /* eslint-enable @typescript-eslint/no-explicit-any */
  override query(...given: unknown[]): unknown {
    if (this.#terminatedBy) return rejectQuery(given, this.#terminatedBy, this.#pg.wire);
    if (isSubmittable(given[0])) {
      keepClosed(given[0]);
      this.#streams.add(given[0]);
    }
    const request = this.#poolerTerms.allowsNamedStatements ? given : withoutStatementName(given);
    const canSend = this.isReadyForQuery && !this.#cancellation.isInFlight;
    // `pg` itself rejects a statement on a client that has ended, and queues those of its pipeline mode.
    if (canSend || this.pipeline || !this.#pg.isQueryable) return this.#send(request);
    return this.#queue.add(request);
  }

  #send(request: unknown[]): unknown {
    // `super.query` is read at each call: a tracing tool may wrap it at any time.
    // eslint-disable-next-line @typescript-eslint/unbound-method -- applied to this
    const query = super.query;
    if (this.#changes.isSetupQueued)
      return this.#changes.sendQueuedSetup(() => Reflect.apply(query, this, request) as unknown);
    return Reflect.apply(query, this, request);
  }

  /** @returns whether there was a queued statement */
  #sendNextQueued(): boolean {
    if (this.#queue.length === 0) return false;
    // The cancel of the last statement would hit the next one.
    if (this.#cancellation.isInFlight) return true;
    return this.#queue.sendNext((request) =>
      this.#terminatedBy ? rejectQuery(request, this.#terminatedBy, this.#pg.wire) : this.#send(request),
    );
  }

  /** `pg` emits `drain` when its own queue is empty. A listener may end the client: queued statements come first. */
  override emit(event: string | symbol, ...details: unknown[]): boolean {
    if (event === 'drain' && this.#sendNextQueued()) return true;
    return super.emit(event, ...details);
  }

  /**
   * Sends a statement of the pool or the module. Tracing tools do not see it: it belongs to no borrower.
   * @internal
   */
  ownQuery<R extends QueryResultRow>(statement: {
    text: string;
    values?: unknown[];
  }): Promise<QueryResult<R>> {
    if (this.#closeReason || !this.isReadyForQuery || this.#cancellation.isInFlight)
      return this.query<R>(statement);
    return this.#pg.queryUntraced(statement) as Promise<QueryResult<R>>;
  }

  /** The number of statements that wait for the active one. */
  get queuedStatements(): number {
    return this.#queue.length;
  }

  /** The number of statements sent so far; a text that holds several counts as one. */
  get statementCount(): number {
    return this.#statementCount;
  }

  /** The text of the last statement that the current borrower has sent; undefined before its first. */
  get lastSql(): string | undefined {
    return this.#lastSql;
  }

  /**
   * Whether the server has sent CommandComplete for the last statement sent. With several statements in one text, whether
   * it has for at least one of them.
   */
  get commandCompleted(): boolean {
    return this.#hasCommandCompleted;
  }

  /** Whether the connection accepts a statement. */
  get isUsable(): boolean {
    return this.#closeReason === undefined && this.#pg.isQueryable;
  }

  /** Whether the server is ready for a query, and no statement is active or queued. */
  get isReadyForQuery(): boolean {
    return (
      this.#queue.length === 0 &&
      this.#pg.isReadyForQuery &&
      (this.#lane === undefined || this.#lane.length === 0)
    );
  }

  /** Resolves when {@link isReadyForQuery} is true; rejects when the connection ends first. */
  whenReadyForQuery(): Promise<void> {
    return this.#pg.whenReadyForQuery(() => this.isReadyForQuery);
  }

  /**
   * The transaction status of the last ReadyForQuery: `I` outside a transaction, `T` in one, `E` in a failed one. Null before
   * the connect. It is out of date while {@link isReadyForQuery} is false.
   */
  get transactionStatus(): 'I' | 'T' | 'E' | null {
    return this.#pg.transactionStatus;
  }

  // Share

  /**
   * Begins to share the connection: statements of several callers are sent without waiting for each other. Meanwhile it has no
   * borrower.
   * @param owner is notified when no statement is in flight
   * @returns undefined when the connection cannot be shared
   * @internal
   */
  startSharing(owner: LaneOwner): StatementLane | undefined {
    const { allowsNamedStatements, isSessionShared } = this.#poolerTerms;
    if (!this.#timings || this.#pg.hasOtherProtocol || !allowsNamedStatements || isSessionShared)
      return undefined;
    if (!this.#isFreeForLane || this.#changes.isChanged) return undefined;
    const connection = this.#laneConnection();
    return (this.#lane = new StatementLane(
      connection,
      this.#pg,
      this.#preparedStatements,
      this.#timings,
      owner,
    ));
  }

  /** Ends the sharing. No statement may be in flight. */
  stopSharing(): void {
    this.#lane?.end();
    this.#lane = undefined;
  }

  #laneConnection(): LaneConnection {
    // eslint-disable-next-line @typescript-eslint/no-this-alias -- for the getters
    const connection = this;
    return {
      get isFreeForLane() {
        return connection.#isFreeForLane;
      },
      statementLimitMs: this.#statementLimit.backupLimitMs,
      statementLimitSetting: this.#statementLimit.setting,
      destroy: (reason) => this.destroy(reason),
      // A listener of the pool may have sent a statement, which was queued.
      onLaneEmpty: () => void this.#sendNextQueued(),
    };
  }

  get #isFreeForLane(): boolean {
    return (
      this.isUsable &&
      this.#queue.length === 0 &&
      this.#pg.isReadyForQuery &&
      // A former borrower may have sent BEGIN after its release: its transaction is not that of the callers.
      this.transactionStatus === 'I' &&
      !this.#cancellation.isInFlight
    );
  }

  // Reset

  /** Whether a borrower has changed the session since the last reset. */
  get isSessionChanged(): boolean {
    return this.#changes.isChanged;
  }

  /** Starts a lease: {@link lastSql} is that of the new borrower from now on. */
  onAcquired(): void {
    this.#lastSql = undefined;
    // A statement_timeout that the last borrower had set with SET LOCAL has ended with its transaction.
    this.#statementLimit.resume();
  }

  /**
   * Prepares the session for the next borrower.
   * @param mode what the reset undoes
   * @param timeoutMs milliseconds
   * @returns undefined when there is nothing to do; otherwise a promise that rejects when the reset fails or takes longer
   * than `timeoutMs`. The connection must be destroyed after a rejection
   */
  reset(mode: ResetMode, timeoutMs: number): Promise<ResetResult> | undefined {
    const cancellation = this.#cancellation;
    if (cancellation.isUnconfirmed) return Promise.reject(unconfirmedCancelError());
    if (mode === 'none')
      return cancellation.isInFlight
        ? cancellation.settled().then(() => ({ rolledBack: false, cleared: false }))
        : undefined;
    const isIdle = this.isReadyForQuery && this.transactionStatus === 'I' && !cancellation.isInFlight;
    if (!isIdle || !this.#changes.isClean(mode) || this.#suspectsStandby) return this.#reset(mode, timeoutMs);
    this.#changes.onNothingToReset();
    return undefined;
  }

  async #reset(mode: ResetMode, timeoutMs: number): Promise<ResetResult> {
    const result = await resetSession(this.#pg, {
      send: (statement) => this.ownQuery(statement),
      whenReadyForQuery: () => this.whenReadyForQuery(),
      needsDiscard: () => this.#changes.needsDiscard(mode),
      nameToRestore: () => this.#changes.nameToRestore(mode),
      setup: this.#changes.setupStatements,
      suspectsStandby: () => this.#suspectsStandby,
      cancelSettled: () => this.#cancellation.settled(),
      timeoutMs,
    });
    const leftBehind = result.cleared ? undefined : this.#changes.leftBehind;
    this.#changes.onReset();
    this.#suspectsStandby = false;
    this.#statementLimit.resume();
    return leftBehind === undefined ? result : { ...result, leftBehind };
  }

  // Validate

  /**
   * Verifies that the server answers.
   * @param timeoutMs milliseconds
   * @param mustBePrimary whether a standby counts as a failure
   * @throws ConnectionResetError `CONNECTION_SILENT` when it does not answer within `timeoutMs`
   * @throws ConnectionResetError `CONNECTION_STANDBY` when it is a standby
   */
  validate(timeoutMs: number, mustBePrimary = false): Promise<void> {
    const wasClean = !this.isSessionChanged;
    const lastSql = this.#lastSql;
    const send = (statement: { text: string }) => this.ownQuery(statement);
    const asked: Promise<unknown> = mustBePrimary ? refuseStandby(send) : send({ text: 'SELECT 1' });
    const answered = asked.then(() => {
      // The validation is no statement of a borrower.
      this.#lastSql = lastSql;
      // With its answer, the server reports the settings that a configuration reload has changed.
      if (wasClean) this.#changes.acceptReportedSettings();
    });
    return withTimeout(
      answered,
      timeoutMs,
      () =>
        new ConnectionResetError(`The connection did not answer within ${timeoutMs} ms.`, {
          code: 'CONNECTION_SILENT',
        }),
    );
  }

  // Cancel

  /**
   * Asks the server to cancel the active statement. Until the request is over, other statements are queued.
   * @param timeoutMs milliseconds that the server has to confirm the request
   * @returns resolves when the request is over, confirmed or not; immediately when no statement is active
   */
  cancelRunning(timeoutMs: number = CLOSE_TIMEOUT_MS): Promise<void> {
    // On a shared connection, the request would cancel the statement of any caller.
    if (this.isReadyForQuery || this.#lane) return Promise.resolve();
    return this.#cancellation.request(
      () => sendCancelRequest(this, timeoutMs, this.#stream),
      () => {
        if (this.#pg.hasNoActiveQuery) this.#sendNextQueued();
      },
    );
  }

  /** Whether a cancel request is in flight. */
  get isCancelling(): boolean {
    return this.#cancellation.isInFlight;
  }

  // Close

  /** The error that ended the connection; undefined while it is open, and after {@link close}. */
  get closeReason(): Error | undefined {
    return this.#closeReason;
  }

  /**
   * Closes the connection without waiting for the active statement.
   * @param timeoutMs milliseconds after which the socket is destroyed
   * @returns resolves when the socket has closed; never rejects
   */
  close(timeoutMs: number = CLOSE_TIMEOUT_MS): Promise<void> {
    const timer = setTimeout(() => this.destroy(), timeoutMs);
    return this.end().finally(() => clearTimeout(timer));
  }

  /** Destroys the socket immediately. Pending and later statements are rejected with `reason`. */
  destroy(reason?: Error): void {
    if (reason) this.#markTerminated(reason);
    this.#pg.closeSocket(reason);
  }

  /**
   * Cancels the active statement, then destroys the socket. Without the cancel request, the server would go on with the
   * statement. Pending and later statements are rejected with `reason`.
   */
  async terminate(reason: Error): Promise<void> {
    const isActive = !this.isReadyForQuery;
    // Before the cancel request: the borrower could send another statement when it sees the active one fail.
    this.#markTerminated(reason);
    if (isActive) await this.cancelRunning();
    this.#pg.closeSocket(reason);
  }

  #markTerminated(reason: Error): void {
    if (this.#closeReason) return;
    this.#lane?.rejectAll(reason);
    this.#terminatedBy = reason;
    this.#markClosed(reason);
  }

  /** Records that the connection has ended or is ending. The first reason counts. */
  #markClosed(reason: Error): void {
    this.#closeReason ??= reason;
    this.#streams.end(this.#closeReason);
  }

  /** Rejects queued statements with the error that `pg` has for statements in its own queue. */
  #rejectQueued(): void {
    const ended = this.#pg.isEnding ? 'Connection terminated' : 'Connection terminated unexpectedly';
    const reason = this.#terminatedBy ?? new Error(ended, { cause: this.#closeReason });
    this.#queue.rejectAll((request) => rejectQuery(request, reason, this.#pg.wire));
  }

  // Events of the wire

  #listen(): void {
    this.on('end', () => this.#rejectQueued());
    const { wire } = this.#pg;
    if (!wire) return;
    const prepared = this.#preparedStatements;
    const meter = this.#timings && new StatementMeter(this.#pg, this.#timings);
    this.#pg.interceptStatements({
      onSent: (text) => this.#onStatementSent(text),
      prepare: meter
        ? (query) => {
            const statement = prepared.use(query, this.#facts);
            if (statement?.isParsed) meter.onSent(this.#facts);
            return statement;
          }
        : (query) => prepared.use(query, this.#facts),
      takeClosing: () => prepared.takeClosing(),
    });
    if (meter) wire.on('readyForQuery', () => meter.onReadyForQuery());
    if (meter) wire.on('errorMessage', () => meter.onError());
    this.#pg.interceptCursors();
    wire.on('commandComplete', ({ text: tag }) => {
      this.#hasCommandCompleted = true;
      prepared.onCommandComplete(tag, this.#facts.changesSession);
      if (tagDropsPreparedStatements(tag)) {
        this.#pg.forgetPreparedStatements();
        prepared.forgetAll();
      }
      this.#changes.onCommandComplete(tag);
    });
    wire.on('parameterStatus', ({ parameterName, parameterValue }) =>
      this.#changes.onParameterStatus(parameterName, parameterValue),
    );
    wire.on('readyForQuery', ({ status }) => {
      // A statement that is sent again goes on, with the time limit of its first attempt.
      if (!prepared.isResending) this.#statementLimit.onReadyForQuery();
      prepared.onReadyForQuery(status);
      this.#idleLimit.onReadyForQuery(status);
      this.#streams.onCompleted(this.#pg.activeQuery);
    });
    wire.on('portalSuspended', () => this.#statementLimit.onPortalSuspended());
    wire.on('errorMessage', (error) => {
      if (prepared.onError(error, this.#canSendAgain)) return;
      this.#statementLimit.rewriteCancelError(error);
      if (isFatal(error)) this.#markClosed(error);
      else this.#streams.onCompleted(this.#pg.activeQuery);
      if (isReadOnlyRefusal(error)) this.#suspectsStandby = true;
    });
    wire.on('error', (error) => this.#markClosed(error));
    wire.on('end', () => {
      this.#statementLimit.stop();
      this.#idleLimit.stop();
      // After `end()` the connection is closed, not lost: it has no close reason.
      if (!this.#pg.isEnding) this.#markClosed(new Error('Connection terminated unexpectedly'));
      else this.#streams.end(this.#closeReason ?? new Error('Connection terminated'));
    });
  }

  /** Whether the active statement may be sent again: it has run outside a transaction, and nothing is about to end it. */
  get #canSendAgain(): boolean {
    return this.transactionStatus === 'I' && !this.#cancellation.isInFlight && this.isUsable;
  }

  #factsOf(text: string): StatementFacts {
    if (this.#judgedText !== text) {
      this.#judgedText = text;
      this.#facts = this.#texts.factsOf(text);
    }
    return this.#facts;
  }

  #onStatementSent(text: string): void {
    if (this.#preparedStatements.isResending) return;
    this.#lastSql = text;
    this.#hasCommandCompleted = false;
    this.#statementCount += 1;
    this.#idleLimit.onStatementSent();
    this.#statementLimit.onStatementSent();
    if (this.#factsOf(text).mentionsStatementTimeout) this.#statementLimit.suspend();
    this.#changes.onStatementSent(text);
  }

  // Display

  /** The address of the connection, without its settings: they contain the password. */
  toJSON(): object {
    return {
      host: this.host,
      port: this.port,
      database: this.database,
      processID: this.#pg.processId,
    };
  }

  [inspect.custom](): string {
    return `Connection ${inspect(this.toJSON())}`;
  }
}
