import type { Socket } from 'node:net';
import { Client, Connection, Query } from 'pg';
import type { TransactionStatus } from 'pg';

/** A query that was handed to `pg`: a `pg.Query`, or a submittable such as a cursor. */
export interface SubmittedQuery {
  text?: string;
  name?: string;
  values?: unknown[];
  callback?: (error: Error | null, result?: unknown) => void;
}

/** A column of the rows, as the class `Field` of `pg-protocol` describes it. */
export interface Field {
  readonly name: string;
  readonly tableID: number;
  readonly columnID: number;
  readonly dataTypeID: number;
  readonly dataTypeSize: number;
  readonly dataTypeModifier: number;
  readonly format: string;
}

type FieldConstructor = new (
  name: string,
  tableID: number,
  columnID: number,
  dataTypeID: number,
  dataTypeSize: number,
  dataTypeModifier: number,
  format: string,
) => Field;

type TypeParser = (value: string) => unknown;

/** The type parsers of a client. */
interface TypeParsers {
  getTypeParser(oid: number, format: string): TypeParser;
}

/** The `Result` of a `pg.Query`, which builds the rows. */
export interface PgResult {
  fields: Field[];
  rows: unknown[];
  _parsers?: TypeParser[];
  _types: TypeParsers;
  _prebuiltEmptyResultObject: object | null;
  addFields(fields: readonly Field[]): void;
  addCommandComplete(message: { text: string }): void;
  parseRow(values: readonly unknown[]): unknown;
}

/** The properties of a `pg.Query` beyond those of {@link SubmittedQuery}. */
interface PgQuery extends SubmittedQuery {
  rows?: number;
  binary?: boolean;
  portal?: string;
  types?: unknown;
  _result: PgResult;
  _accumulateRows?: unknown;
  listeners(event: 'row'): unknown[];
}

/** The columns of a statement's rows, and what `pg` has derived from them. */
export interface RowDescription {
  readonly fields: readonly Field[];
  /** The type parsers of the last execution. */
  parsers: TypeParser[] | undefined;
  readonly emptyRow: object;
}

/** A statement that is prepared by name. */
interface NamedStatement {
  readonly name: string;
  readonly text: string;
  readonly isParsed: boolean;
  readonly description: RowDescription | undefined;
}

/** How statements are sent. */
export interface StatementHooks {
  /** Called with the text of each statement that is sent. */
  onSent(text: string): void;
  /** Called after `onSent` for a parameterised one. Returns the prepared statement to use; undefined for an unnamed one. */
  prepare(query: SubmittedQuery): NamedStatement | undefined;
  /** The names of prepared statements to close first. */
  takeClosing(): readonly string[];
}

/** The events of {@link PgWire} that this package listens to: messages of the server, and events of the socket. */
export interface WireEvents {
  authenticationOk: unknown;
  authenticationCleartextPassword: unknown;
  authenticationMD5Password: unknown;
  authenticationSASL: { mechanisms: string[] };
  authenticationSASLFinal: unknown;
  commandComplete: { text: string };
  connect: unknown;
  end: unknown;
  error: Error;
  errorMessage: Error;
  parameterStatus: { parameterName: string; parameterValue: string };
  portalSuspended: unknown;
  readyForQuery: { status?: TransactionStatus };
  sslconnect: unknown;
}

/** The part of {@link PgWire} that the login checks need. */
export interface WireEventSource {
  on<E extends keyof WireEvents>(event: E, listener: (message: WireEvents[E]) => void): unknown;
}

/** The class `Connection` of `pg`: the protocol on one socket. `pg` exports it without documentation; its types are incomplete. */
export interface PgWire extends WireEventSource {
  /** The TCP socket, and from `sslconnect` on the TLS socket. */
  stream: Socket;
  ssl?: unknown;
  sslNegotiation?: string;
  upgradeToSSL?(host: string | undefined, report: (error: Error) => void): void;
  /** The texts of the named statements that the server has parsed. */
  parsedStatements: Record<string, string>;
  /** The texts of the named statements that were sent and not parsed yet; from `pg` 8.23 on. */
  submittedNamedStatements?: Record<string, string>;
  connect(port: number | string, host?: string): void;
  requestSsl(): void;
  cancel(processId: number, secretKey: number): void;
  query(text: string): void;
  parse(query: { text: string; name?: string }, more?: boolean): void;
  bind(config: { statement?: string; values?: readonly unknown[] }, more?: boolean): void;
  describe(target: { type: 'P' | 'S'; name?: string }, more?: boolean): void;
  execute(config: { portal?: string; rows?: number }, more?: boolean): void;
  close(target: { type: 'P' | 'S'; name?: string }, more?: boolean): void;
  sync(): void;
  /** Writes a message to the socket, unless the socket has ended. */
  _send(message: Buffer): void;
  once<E extends keyof WireEvents>(event: E, listener: (message: WireEvents[E]) => void): unknown;
  rawListeners(event: keyof WireEvents): object[];
  removeListener(event: keyof WireEvents, listener: (message: never) => void): unknown;
}

/** Undocumented properties of a `pg.Client`. Each is optional: a client of another class may lack it. */
interface UndocumentedClient {
  connection?: PgWire;
  connectionParameters?: {
    options?: string;
    query_timeout?: number | string | false;
    statement_timeout?: number | string | false;
  };
  getTransactionStatus?(): TransactionStatus;
  host?: string;
  port?: number;
  password?: string | null | (() => Promise<string>);
  processID?: number | null;
  readyForQuery?: boolean;
  once?(event: 'end', listener: () => void): unknown;
  removeListener?(event: 'end', listener: () => void): unknown;
  secretKey?: number | null;
  ssl?: unknown;
  sslNegotiation?: string;
  _activeQuery?: SubmittedQuery | null;
  _ended?: boolean;
  _ending?: boolean;
  _queryable?: boolean;
  _queryQueue?: SubmittedQuery[];
  _sentQueryQueue?: SubmittedQuery[];
  pipeline?: boolean;
  binary?: boolean;
  _types?: TypeParsers;
}

/**
 * The only access to undocumented properties of `pg`. `pg-internals.contract.spec.ts` checks each of them against the
 * installed version. A client that lacks one (a fake, a fork) counts as connected and ready.
 */
export class PgInternals {
  readonly #client: UndocumentedClient;

  /** @param client a `pg.Client`, or a client of another class */
  constructor(client: object) {
    this.#client = client;
  }

  get wire(): PgWire | undefined {
    return this.#client.connection;
  }

  get stream(): Socket | undefined {
    return this.#client.connection?.stream;
  }

  /**
   * Whether the server has sent ReadyForQuery and `pg` has no active, queued or pipelined query. `pg` reports an error before
   * ReadyForQuery arrives; until then, the transaction status is that of the time before the statement.
   */
  get isReadyForQuery(): boolean {
    const client = this.#client;
    return (
      client.readyForQuery !== false &&
      !client._activeQuery &&
      !client._queryQueue?.length &&
      !client._sentQueryQueue?.length
    );
  }

  /**
   * Resolves when `isReady` returns true: immediately, or at a later ReadyForQuery. Rejects when the client ends first.
   * @param isReady covers queries that `pg` does not know of, too
   */
  whenReadyForQuery(isReady: () => boolean): Promise<void> {
    const client = this.#client;
    const { wire } = this;
    if (isReady() || !wire) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const settle = (settled: () => void) => () => {
        wire.removeListener('readyForQuery', onReady);
        client.removeListener?.('end', onEnd);
        settled();
      };
      // Called after the listener of `pg`, which sends the next queued query: then the client is not ready yet.
      const onReady = () => (isReady() ? done() : undefined);
      const done = settle(resolve);
      const onEnd = settle(() => reject(new Error('Connection terminated')));
      wire.on('readyForQuery', onReady);
      client.once?.('end', onEnd);
    });
  }

  /** Whether the server is ready and `pg` has no active query; `pg` may have queued ones. */
  get hasNoActiveQuery(): boolean {
    return this.#client.readyForQuery === true && !this.#client._activeQuery;
  }

  /** Whether `pg` still accepts a query. */
  get isQueryable(): boolean {
    const client = this.#client;
    return client._queryable !== false && !client._ending && !client._ended;
  }

  /** Whether a message that is written now may reach the server: neither side has begun to close the connection. */
  get isWritable(): boolean {
    return this.isQueryable && this.stream?.writable === true;
  }

  /** Whether `end()` was called on the client. */
  get isEnding(): boolean {
    return this.#client._ending === true;
  }

  /** `I` outside a transaction, `T` in one, `E` in a failed one; null when the client does not report its status. */
  get transactionStatus(): TransactionStatus {
    return this.#client.getTransactionStatus?.() ?? null;
  }

  get activeQuery(): SubmittedQuery | null | undefined {
    return this.#client._activeQuery;
  }

  /** The queries of `pg`: the active one, then the queued and the pipelined ones. */
  get submittedQueries(): SubmittedQuery[] {
    const { _activeQuery, _queryQueue = [], _sentQueryQueue = [] } = this.#client;
    return [...(_activeQuery ? [_activeQuery] : []), ..._queryQueue, ..._sentQueryQueue];
  }

  /** Whether queries were sent before the answer to the active one, as the option `pipeline` of `pg` does. */
  get hasPipelinedQueries(): boolean {
    return !!this.#client._sentQueryQueue?.length;
  }

  /** The process id of the backend, which the server reports at the login. */
  get processId(): number | null | undefined {
    return this.#client.processID;
  }

  /** The key for a cancel request; undefined before the login. */
  get cancelKey(): { processId: number; secretKey: number } | undefined {
    const { processID, secretKey } = this.#client;
    return processID && secretKey !== null && secretKey !== undefined
      ? { processId: processID, secretKey }
      : undefined;
  }

  /** Where the client connects to, and how TLS starts there. */
  get target(): Pick<UndocumentedClient, 'host' | 'port' | 'ssl' | 'sslNegotiation'> {
    const { host, port, ssl, sslNegotiation } = this.#client;
    return { host, port, ssl, sslNegotiation };
  }

  /** `statement_timeout` of the startup packet, in milliseconds; 0 when it is not set. */
  get statementTimeoutMs(): number {
    return Number(this.#client.connectionParameters?.statement_timeout) || 0;
  }

  /**
   * Turns `query_timeout` of `pg` off: it rejects a query that goes on running, on a client that looks ready.
   * @returns its value in milliseconds; 0 when it was not set
   */
  disableQueryTimeout(): number {
    const parameters = this.#client.connectionParameters;
    if (!parameters) return 0;
    const timeoutMs = Number(parameters.query_timeout) || 0;
    parameters.query_timeout = 0;
    return timeoutMs;
  }

  /**
   * Appends to `options` of the startup packet, which `pg` takes from the configuration, the URL or PGOPTIONS.
   * @param ignoresEnvironment whether to drop what `pg` has taken: for an empty `options` in the configuration, it takes PGOPTIONS
   */
  appendStartupOptions(options: string, ignoresEnvironment: boolean): void {
    const parameters = this.#client.connectionParameters;
    if (!parameters) return;
    if (ignoresEnvironment) parameters.options = '';
    parameters.options = [parameters.options, options].filter(Boolean).join(' ');
  }

  /** Makes the client call `getPassword` when the server requests a password. */
  setPasswordFunction(getPassword: () => Promise<string>): void {
    this.#client.password = getPassword;
  }

  /** Makes the properties that contain the password and the TLS options non-enumerable: `inspect` and `{...client}` omit them. */
  hideSecrets(): void {
    for (const name of ['ssl', 'connection', 'connectionParameters'])
      Object.defineProperty(this.#client, name, { enumerable: false });
  }

  /**
   * Destroys the socket immediately; pending queries are rejected with `reason`.
   * @returns false when the client has no visible socket
   */
  closeSocket(reason?: Error): boolean {
    const { stream } = this;
    stream?.destroy(reason);
    return stream !== undefined;
  }

  /** Makes `pg` parse named statements again. Call it when the server has dropped them: executing one would fail. */
  forgetPreparedStatements(): void {
    const { wire } = this;
    if (!wire) return;
    wire.parsedStatements = {};
    wire.submittedNamedStatements = {};
  }

  /**
   * Calls the hooks for each statement that is sent, also when only the name of a named statement is sent. The wire is the only
   * place that sees all of them: cursors and COPY streams write to it themselves.
   *
   * A `pg.Query` with values is sent as one buffer. If it is a prepared statement that is parsed, Parse and Describe are left out.
   */
  interceptStatements(hooks: StatementHooks): void {
    const { wire } = this;
    if (!wire) return;
    const query = wire.query.bind(wire);
    const parse = wire.parse.bind(wire);
    const bind = wire.bind.bind(wire);
    const describe = wire.describe.bind(wire);
    const sync = wire.sync.bind(wire);
    const send = wire._send.bind(wire);
    /** The messages of the statement that is being written; undefined between statements. */
    let messages: Buffer[] | undefined;
    let statement: NamedStatement | undefined;
    let isDescribed = false;

    wire.query = (text) => {
      // `pg` sends a missing text as an empty statement.
      hooks.onSent(text ?? '');
      return query(text);
    };
    wire.parse = (parsed, more) => {
      hooks.onSent(parsed.text ?? '');
      const active = this.#writtenAtOnce(parsed);
      if (!active) {
        this.#corkUntilNextTick();
        return parse(parsed, more);
      }
      messages = [];
      statement = hooks.prepare(active);
      isDescribed = false;
      for (const name of hooks.takeClosing()) wire.close({ type: 'S', name });
      if (!statement) return parse(parsed, more);
      if (!statement.isParsed) return parse({ text: statement.text, name: statement.name });
      isDescribed = describeRows(active, statement.description);
    };
    wire.bind = (config, more) => {
      const named = config.statement ? wire.parsedStatements[config.statement] : undefined;
      if (named !== undefined) hooks.onSent(named);
      // `pg` creates the object for this call.
      if (statement) config.statement = statement.name;
      try {
        // The conversion of a value may send a statement on another connection. `pg` has one buffer for all messages.
        if (config.values?.some(mayRunCode)) config.values = sentValues(config.values);
        return bind(config, more);
      } catch (error) {
        // A value cannot be sent. `pg` before 8.23 sends no Sync then, and would never be ready again.
        process.nextTick(() => messages && wire.sync());
        throw error;
      }
    };
    wire.describe = (target, more) => (isDescribed ? undefined : describe(target, more));
    wire._send = (message) => (messages ? void messages.push(message) : send(message));
    wire.sync = () => {
      sync();
      if (!messages) return;
      const written = messages;
      messages = statement = undefined;
      isDescribed = false;
      sendTogether(written, send);
    };
  }

  /** The active query, if it is a plain `pg.Query` that writes all messages up to Sync in one call, without a name. */
  #writtenAtOnce({ name }: { name?: string }): PgQuery | undefined {
    const client = this.#client;
    const query = client._activeQuery as PgQuery | null | undefined;
    if (!query || !isPlainQuery(query) || name || client.pipeline) return undefined;
    const { rows, binary, portal, values, types } = query;
    if (rows || binary || portal || !values?.length) return undefined;
    // A list of `types` has the types of the parameters; any other value has the type parsers.
    return Array.isArray(types) ? undefined : query;
  }

  /** The description of the rows of the active query; undefined when the server has sent none. */
  get rowDescription(): RowDescription | undefined {
    const result = (this.#client._activeQuery as PgQuery | null | undefined)?._result;
    return result && descriptionOf(result);
  }

  /** The description of rows with these columns, which the server has sent in RowDescription. */
  describeRows(fields: readonly Field[]): RowDescription {
    const result = new Result(undefined, this.#client._types!);
    result.addFields(fields);
    return descriptionOf(result)!;
  }

  /** The result of a statement that `pg` does not know of, as `pg` would build it. */
  newResult(description: RowDescription | undefined): PgResult {
    const result = new Result(undefined, this.#client._types!);
    if (description) setDescription(result, description);
    return result;
  }

  /** Whether the client takes results in the binary format, or sends statements before the active one is answered. */
  get hasOtherProtocol(): boolean {
    return this.#client.binary === true || this.#client.pipeline === true;
  }

  /**
   * Makes `pg` send the active query again when the server is ready, instead of reporting the error that the server has just sent.
   * Call it in a listener that comes before that of `pg`.
   * @returns false when rows have arrived
   */
  sendAgain(query: SubmittedQuery): boolean {
    const { _result: result } = query as PgQuery;
    const { _queryQueue: queue } = this.#client;
    if (!queue || result.rows.length > 0) return false;
    result.fields = [];
    result._parsers = undefined;
    result._prebuiltEmptyResultObject = null;
    queue.unshift(query);
    // `pg` reports the error to the active query.
    this.#client._activeQuery = IGNORES_ERROR;
    return true;
  }

  /**
   * Sends the messages that are written in one tick with one system call, as `pg` does for its own queries. With a system call for
   * each, the second one fails with EPIPE when the server has just ended the session, and Node.js destroys the socket before the
   * server's error is read.
   */
  #corkUntilNextTick(): void {
    const { stream } = this;
    // `pg` has corked the stream for its own queries.
    if (!stream || stream.writableCorked !== 0) return;
    stream.cork();
    process.nextTick(() => stream.uncork());
  }

  /**
   * Handles the Execute messages of cursors. Each is sent together with the Flush that follows it. One for a portal that was closed
   * is dropped: pg-cursor sends one when a queued cursor is read, and is closed before its first answer. The
   * server would answer with an error, which `pg` would attribute to the next statement. Then it would skip all messages up to
   * the next Sync, which pg-cursor does not send: the connection would hang.
   */
  interceptCursors(): void {
    const { wire } = this;
    if (!wire) return;
    const close = wire.close.bind(wire);
    const execute = wire.execute.bind(wire);
    let closedPortal: string | undefined;
    wire.close = (target, more) => {
      if (target.type === 'P') closedPortal = target.name;
      close(target, more);
    };
    wire.execute = (config, more) => {
      // A query of `pg` that reads all rows at once.
      if (!config.portal && !config.rows) return execute(config, more);
      if (config.portal && config.portal === closedPortal) return;
      this.#corkUntilNextTick();
      execute(config, more);
    };
  }

  /**
   * Calls all listeners that wait for ReadyForQuery with `once`, and every later one: the connection has ended, and
   * ReadyForQuery will not arrive. Without this call, `close()` of pg-cursor would wait for ever.
   *
   * From now on, Close and Sync are not sent: a write to the ended socket would fail, and its error would replace the reason
   * for which the connection has ended.
   */
  releaseReadyForQueryWaits(): void {
    const { wire } = this;
    if (!wire) return;
    wire.close = wire.sync = () => undefined;
    const once = wire.once.bind(wire);
    wire.once = (event, listener) => {
      if (event !== 'readyForQuery') return once(event, listener);
      process.nextTick(listener, {});
      return wire;
    };
    for (const waiting of wire.rawListeners('readyForQuery')) {
      // `once` registers a wrapper with the property `listener`.
      if (!('listener' in waiting)) continue;
      wire.removeListener('readyForQuery', waiting as never);
      process.nextTick(waiting.listener as () => void);
    }
  }

  /**
   * Runs a statement that `pg` does not send, within the wrappers of tracing tools, so that it has the same span as the others.
   * The `query` of `pg` is called for a client whose queue sends nothing.
   */
  runTraced<R>(text: string, values: unknown[], run: () => Promise<R>): Promise<R> {
    // eslint-disable-next-line @typescript-eslint/unbound-method -- called with a client as `this`
    const query: Wrapped<Client['query']> = Client.prototype.query;
    if (!query.__original) return run();
    const queue: SubmittedQuery[] = [];
    const send = () => {
      const submitted = queue.shift()!;
      const answer = (error: Error | null, result?: unknown) => submitted.callback?.(error, result);
      // A tool may send a statement of its own first, such as a SET. On a shared connection it would be that of all callers.
      if (submitted.text !== text) process.nextTick(answer, null, this.newResult(undefined));
      else run().then((result) => answer(null, result), answer);
    };
    const client = Object.create(this.#client, {
      _queryQueue: { value: queue },
      _pulseQueryQueue: { value: send },
    }) as object;
    return Reflect.apply(query as (...request: unknown[]) => Promise<R>, client, [text, values]);
  }

  /** Sends a statement with the `query` of `pg`, without the wrappers of tracing tools. */
  queryUntraced(statement: { text: string; values?: unknown[] }): Promise<unknown> {
    return Reflect.apply(untracedQuery(), this.#client, [statement]) as Promise<unknown>;
  }
}

/** Not an instance of a derived class, which may handle messages itself. */
function isPlainQuery(query: object): boolean {
  return query.constructor === Query;
}

/** Takes the place of the active query for the error that is not reported. */
const IGNORES_ERROR: SubmittedQuery & { handleError(): void } = { handleError: () => undefined };

/** Messages of more bytes are not copied into one buffer. */
const LONGEST_COPIED = 16_384;

/** Writes the messages with one system call. */
function sendTogether(messages: readonly Buffer[], send: (message: Buffer) => void): void {
  let length = 0;
  for (const message of messages) length += message.length;
  if (length <= LONGEST_COPIED) send(Buffer.concat(messages, length));
  // `pg` has corked the stream.
  else for (const message of messages) send(message);
}

/**
 * Gives a query the description of its rows, as the listener of `pg` for RowDescription does.
 * @returns false when that listener has to do it: without a callback, it looks for listeners of `row`, which may come later
 */
function describeRows(query: PgQuery, description: RowDescription | undefined): boolean {
  if (!query.callback) return false;
  if (!description) return true;
  setDescription(query._result, description);
  query._accumulateRows = query.callback;
  return true;
}

/** The class of results, with the constructor that a `pg.Query` calls. */
const Result = (new Query('') as unknown as PgQuery)._result.constructor as new (
  rowMode: undefined,
  types: TypeParsers,
) => PgResult;

function setDescription(result: PgResult, description: RowDescription): void {
  result.fields = copyOf(description.fields);
  result._parsers = description.parsers = currentParsers(description, result._types);
  result._prebuiltEmptyResultObject = description.emptyRow;
}

function descriptionOf(result: PgResult): RowDescription | undefined {
  return result._prebuiltEmptyResultObject
    ? {
        fields: copyOf(result.fields),
        parsers: result._parsers,
        emptyRow: result._prebuiltEmptyResultObject,
      }
    : undefined;
}

/** The type parsers of the columns. They may have changed: `setTypeParser` may be called at any time. */
function currentParsers(
  { fields, parsers }: RowDescription,
  types: PgResult['_types'],
): TypeParser[] | undefined {
  let current = parsers;
  for (let index = 0; index < fields.length; index += 1) {
    const { dataTypeID, format } = fields[index]!;
    const parser = types.getTypeParser(dataTypeID, format || 'text');
    if (current?.[index] === parser) continue;
    // A copy: an earlier result may still build rows.
    if (current === parsers) current = [...(parsers ?? [])];
    current![index] = parser;
  }
  return current;
}

/** A copy, since the caller of an earlier execution may have changed its fields. */
function copyOf(fields: readonly Field[]): Field[] {
  const copies = new Array<Field>(fields.length);
  for (let index = 0; index < fields.length; index += 1) {
    const field = fields[index]!;
    const { name, tableID, columnID, dataTypeID, dataTypeSize, dataTypeModifier, format } = field;
    copies[index] = new (field.constructor as FieldConstructor)(
      name,
      tableID,
      columnID,
      dataTypeID,
      dataTypeSize,
      dataTypeModifier,
      format,
    );
  }
  return copies;
}

type Wrapped<F> = F & { readonly __original?: Wrapped<F> };

/**
 * `Client.prototype.query` without the wrappers of tracing tools. shimmer and OpenTelemetry store the wrapped function as
 * `__original`. A statement of the pool belongs to no borrower and gets no span. A tool that sends a SET before each
 * statement would change the session during its reset.
 */
function untracedQuery(): Client['query'] {
  // eslint-disable-next-line @typescript-eslint/unbound-method -- called with a client as `this`
  let query: Wrapped<Client['query']> = Client.prototype.query;
  while (query.__original) query = query.__original;
  return query;
}

/** Creates the `Connection` of `pg` without a client. It is not connected yet. */
export function createWire(config: { ssl?: unknown; sslNegotiation?: string; stream?: unknown }): PgWire {
  return new Connection(config as object) as unknown as PgWire;
}

/** The values of a statement as `pg` sends them: as texts, buffers in the binary format, or null. */
export type SentValue = string | Buffer | null;

/** `pg` does not export its conversion of values, but passes it to `bind`. */
const toSentValue = captureValueMapper();

/**
 * The values of a statement as `pg` sends them.
 * @throws what the conversion of a value throws, its `toPostgres()` for one
 */
export function sentValues(values: readonly unknown[]): SentValue[] {
  return values.map((value) => toSentValue(value));
}

/** Whether the conversion of a value may call a function of the app: its `toPostgres()` or `toJSON()`. */
function mayRunCode(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !(value instanceof Date) && !Buffer.isBuffer(value);
}

function captureValueMapper(): (value: unknown) => SentValue {
  let captured: (value: unknown) => SentValue = () => null;
  const ignore = () => undefined;
  const wire = {
    ...{ parsedStatements: {}, submittedNamedStatements: {}, stream: {} },
    ...{ parse: ignore, describe: ignore, execute: ignore, flush: ignore, sync: ignore },
    bind: (config: { valueMapper: typeof captured }) => {
      captured = config.valueMapper;
    },
  };
  const query = new Query({ text: '', values: [] }) as unknown as { prepare(connection: typeof wire): void };
  query.prepare(wire);
  return captured;
}
