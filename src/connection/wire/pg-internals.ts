import type { Socket } from 'node:net';
import { Client, Connection } from 'pg';
import type { TransactionStatus } from 'pg';

/** A query that `pg` holds: a `pg.Query`, or a submittable such as a cursor. */
export interface SubmittedQuery {
  text?: string;
  name?: string;
  values?: unknown[];
  callback?: (error: Error | null, result?: unknown) => void;
}

/** The events of {@link PgWire} that this package listens to: messages of the server and the states of the socket. */
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

/** The part of {@link PgWire} that the checks of a login need. */
export interface WireEventSource {
  on<E extends keyof WireEvents>(event: E, listener: (message: WireEvents[E]) => void): unknown;
}

/** The `Connection` class of `pg`: the protocol on one socket. Exported, typed in part, not documented. */
export interface PgWire extends WireEventSource {
  /** The TCP socket, and from `sslconnect` on the TLS socket. */
  stream: Socket;
  ssl?: unknown;
  sslNegotiation?: string;
  upgradeToSSL?(host: string | undefined, report: (error: Error) => void): void;
  /** The texts of the named statements that the server has parsed. */
  parsedStatements: Record<string, string>;
  /** The texts of those for which the server has not answered yet; from `pg` 8.23 on. */
  submittedNamedStatements?: Record<string, string>;
  connect(port: number | string, host?: string): void;
  requestSsl(): void;
  cancel(processId: number, secretKey: number): void;
  query(text: string): void;
  parse(query: { text: string; name?: string }, more?: boolean): void;
  bind(config: { statement?: string }, more?: boolean): void;
  execute(config: { portal?: string; rows?: number }, more?: boolean): void;
  close(target: { type: 'P' | 'S'; name?: string }, more?: boolean): void;
  sync(): void;
  once<E extends keyof WireEvents>(event: E, listener: (message: WireEvents[E]) => void): unknown;
  rawListeners(event: keyof WireEvents): object[];
  removeListener(event: keyof WireEvents, listener: (message: never) => void): unknown;
}

/** What a `pg.Client` has and does not document. Each is optional: a client of another class may lack it. */
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
}

/**
 * The adapter for what `pg` does not document. Only this folder uses such properties; `pg-internals.contract.spec.ts`
 * checks each of them against the installed version. For a client that lacks one (a fake, a fork), the documented state
 * counts.
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
   * Whether the server has sent ReadyForQuery and `pg` has no active, queued or sent query. `pg` reports an error before
   * ReadyForQuery arrives, and until then the transaction status is that of the time before the statement.
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
   * Resolves when `isReady` returns true at a ReadyForQuery, or does so already; rejects when the client ends first.
   * @param isReady whether the client also has no queries that `pg` does not know of
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
      // Registered after `pg`'s own listener, which sends the next queued query: then the client is not ready yet.
      const onReady = () => (isReady() ? done() : undefined);
      const done = settle(resolve);
      const onEnd = settle(() => reject(new Error('Connection terminated')));
      wire.on('readyForQuery', onReady);
      client.once?.('end', onEnd);
    });
  }

  /** Whether the server is ready and `pg` has no active query; others may be queued. */
  get hasNoActiveQuery(): boolean {
    return this.#client.readyForQuery === true && !this.#client._activeQuery;
  }

  /** Whether `pg` still accepts a query. */
  get isQueryable(): boolean {
    const client = this.#client;
    return client._queryable !== false && !client._ending && !client._ended;
  }

  /** Whether the caller has ended the client by `end()`. */
  get isEnding(): boolean {
    return this.#client._ending === true;
  }

  /** `I` outside a transaction, `T` in one, `E` in a failed one; null when the client does not report it. */
  get transactionStatus(): TransactionStatus {
    return this.#client.getTransactionStatus?.() ?? null;
  }

  get activeQuery(): SubmittedQuery | null | undefined {
    return this.#client._activeQuery;
  }

  /** All queries that `pg` holds: active, queued and sent ahead. */
  get submittedQueries(): SubmittedQuery[] {
    const { _activeQuery, _queryQueue = [], _sentQueryQueue = [] } = this.#client;
    return [...(_activeQuery ? [_activeQuery] : []), ..._queryQueue, ..._sentQueryQueue];
  }

  /** Whether queries were sent ahead of the answer to the active one, as with `pg`'s option `pipeline`. */
  get hasPipelinedQueries(): boolean {
    return !!this.#client._sentQueryQueue?.length;
  }

  /** The process id that the server announced at the login. */
  get processId(): number | null | undefined {
    return this.#client.processID;
  }

  /** What a cancel request needs; undefined before the login. */
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
   * Turns `pg`'s own `query_timeout` off: it rejects the query and leaves it running on a client that looks ready.
   * @returns what it was, in milliseconds; 0 when it was not set
   */
  disableQueryTimeout(): number {
    const parameters = this.#client.connectionParameters;
    if (!parameters) return 0;
    const timeoutMs = Number(parameters.query_timeout) || 0;
    parameters.query_timeout = 0;
    return timeoutMs;
  }

  /**
   * Appends to `options` of the startup packet. `pg` has filled it from the configuration, the URL or PGOPTIONS.
   * @param ignoresEnvironment whether an empty `options` in the configuration means none, and not PGOPTIONS
   */
  appendStartupOptions(options: string, ignoresEnvironment: boolean): void {
    const parameters = this.#client.connectionParameters;
    if (!parameters) return;
    if (ignoresEnvironment) parameters.options = '';
    parameters.options = [parameters.options, options].filter(Boolean).join(' ');
  }

  /** Has the client call `getPassword` when the server asks for a password. */
  setPasswordFunction(getPassword: () => Promise<string>): void {
    this.#client.password = getPassword;
  }

  /** Keeps `inspect` and `{...client}` out of the properties that hold the password and the TLS options. */
  hideSecrets(): void {
    for (const name of ['ssl', 'connection', 'connectionParameters'])
      Object.defineProperty(this.#client, name, { enumerable: false });
  }

  /**
   * Destroys the socket at once; pending queries fail with `reason`.
   * @returns false when the client shows no socket
   */
  closeSocket(reason?: Error): boolean {
    const { stream } = this;
    stream?.destroy(reason);
    return stream !== undefined;
  }

  /** Without this, `pg` executes a name that the server has dropped: "prepared statement does not exist". */
  forgetPreparedStatements(): void {
    const { wire } = this;
    if (!wire) return;
    wire.parsedStatements = {};
    wire.submittedNamedStatements = {};
  }

  /**
   * Calls `listener` with the text of each statement that is sent; of a named statement also when only its name is.
   * Cursors and COPY streams, which write to the wire themselves, are included: no override of `query` sees those.
   */
  onStatementSent(listener: (text: string) => void): void {
    const { wire } = this;
    if (!wire) return;
    const query = wire.query.bind(wire);
    const parse = wire.parse.bind(wire);
    const bind = wire.bind.bind(wire);
    wire.query = (text) => {
      // `pg` sends a missing text as an empty statement.
      listener(text ?? '');
      return query(text);
    };
    wire.parse = (statement, more) => {
      listener(statement.text ?? '');
      return parse(statement, more);
    };
    wire.bind = (config, more) => {
      const parsed = config.statement ? wire.parsedStatements[config.statement] : undefined;
      if (parsed !== undefined) listener(parsed);
      return bind(config, more);
    };
  }

  /**
   * Drops an Execute for a portal that was closed before. pg-cursor sends it when a queued cursor is read and then closed
   * before its first answer. The server would answer with an error, which would fail the next statement, and then skip all
   * messages up to a Sync that is never sent: the connection would wait for ever.
   */
  dropExecuteOfClosedPortal(): void {
    const { wire } = this;
    if (!wire) return;
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

  /**
   * Answers every wait for ReadyForQuery, present and later, on a connection that has ended. pg-cursor waits for it before
   * its `close()` calls back, and would wait for ever. Close and Sync are no longer sent: a write to the ended socket would
   * fail, and hide why the connection ended.
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
      // A listener of `once` is wrapped, and the wrapper names it.
      if (!('listener' in waiting)) continue;
      wire.removeListener('readyForQuery', waiting as never);
      process.nextTick(waiting.listener as () => void);
    }
  }

  /** Sends a statement by `pg`'s own `query`, past the wrappers of tracing tools: {@link untracedQuery}. */
  queryUntraced(statement: { text: string; values?: unknown[] }): Promise<unknown> {
    return Reflect.apply(untracedQuery(), this.#client, [statement]) as Promise<unknown>;
  }
}

type Wrapped<F> = F & { readonly __original?: Wrapped<F> };

/**
 * `Client.prototype.query` without the wrappers of tracing tools. shimmer and OpenTelemetry store what they wrap as
 * `__original`. A span of the pool's own statements would belong to no borrower, and a tool that sends a SET before each
 * statement would change the session that is being reset.
 */
function untracedQuery(): Client['query'] {
  // eslint-disable-next-line @typescript-eslint/unbound-method -- called with a client as `this`
  let query: Wrapped<Client['query']> = Client.prototype.query;
  while (query.__original) query = query.__original;
  return query;
}

/** Creates the protocol half of a client alone, which is not connected yet. */
export function createWire(config: { ssl?: unknown; sslNegotiation?: string; stream?: unknown }): PgWire {
  return new Connection(config as object) as unknown as PgWire;
}
