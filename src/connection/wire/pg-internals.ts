import type { Socket } from 'node:net';
import { Client } from 'pg';

/** A statement that `pg` holds as running, queued or sent. */
export interface SubmittedQuery {
  text?: string;
  name?: string;
  values?: unknown[];
  callback?: (error: Error | null, result?: unknown) => void;
}

/** The protocol half of a `pg.Client`. */
export interface PgWire {
  stream: Socket;
  ssl?: unknown;
  sslNegotiation?: string;
  upgradeToSSL?(host: string | undefined, report: (error: Error) => void): void;
  parsedStatements: Record<string, string>;
  submittedNamedStatements?: Record<string, string>;
  query(text: string): void;
  parse(query: { text: string; name?: string }, more?: boolean): void;
  bind(config: { statement?: string }, more?: boolean): void;
  execute(config: { portal?: string; rows?: number }, more?: boolean): void;
  close(target: { type: 'P' | 'S'; name?: string }, more?: boolean): void;
  sync(): void;
  on(event: string, listener: (message: never) => void): unknown;
  once(event: string, listener: (message: never) => void): unknown;
  rawListeners(event: string): object[];
  removeListener(event: string, listener: (message: never) => void): unknown;
}

/**
 * The parts of `pg.Client` that it does not document and that are needed to know whether a connection is quiet. They
 * stand here and nowhere else; a client that lacks them (a fake, a fork) is taken at its documented word.
 */
export interface PgInternals {
  connection?: PgWire;
  connectionParameters?: {
    options?: string;
    query_timeout?: number | string | false;
    statement_timeout?: number | string | false;
  };
  readyForQuery?: boolean;
  /** `pg` calls a function when the server asks. */
  password?: string | null | (() => Promise<string>);
  processID?: number | null;
  secretKey?: number | null;
  host?: string;
  port?: number;
  ssl?: unknown;
  sslNegotiation?: string;
  _activeQuery?: SubmittedQuery | null;
  _queryQueue?: SubmittedQuery[];
  /** Those of ours that `pg` has not seen yet. */
  queuedStatements?: number;
  _sentQueryQueue?: SubmittedQuery[];
  _queryable?: boolean;
  _ending?: boolean;
  _ended?: boolean;
}

export function internalsOf(client: object): PgInternals {
  return client;
}

/**
 * Whether the server has said ReadyForQuery and nothing is active, queued or sent. `pg` calls back on an error before
 * ReadyForQuery has come, so the transaction status means something only now.
 */
export function isReadyForQuery(client: object): boolean {
  const c = client as PgInternals;
  return (
    c.readyForQuery !== false &&
    !c._activeQuery &&
    !c._queryQueue?.length &&
    !c._sentQueryQueue?.length &&
    !c.queuedStatements
  );
}

/** Whether `pg` would still take a statement. */
export function isQueryable(client: object): boolean {
  const c = client as PgInternals;
  return c._queryable !== false && !c._ending && !c._ended;
}

/** `I` outside of a transaction, `T` in one, `E` in a failed one, `null` when the client cannot tell. */
export function transactionStatusOf(client: object): 'I' | 'T' | 'E' | null {
  const c = client as Partial<Pick<Client, 'getTransactionStatus'>>;
  return c.getTransactionStatus?.() ?? null;
}

/** Cuts the socket, with a reason that reaches every statement under way. */
export function cutSocket(client: object, reason?: Error): boolean {
  const stream = internalsOf(client).connection?.stream;
  if (!stream) return false;
  stream.destroy(reason);
  return true;
}

type Wrapped<F> = F & { readonly __original?: Wrapped<F> };

/**
 * `pg`'s own `query` without what tracing tools have wrapped around it, which mark what is below them as `__original`
 * (shimmer, OpenTelemetry). For the pool's own statements: they are no borrower's spans, and a tool that sends a SET
 * before each statement would change the session that is being cleaned.
 */
export function bareQuery(): Client['query'] {
  // eslint-disable-next-line @typescript-eslint/unbound-method -- it is called with a client as `this`
  let query: Wrapped<Client['query']> = Client.prototype.query;
  while (query.__original) query = query.__original;
  return query;
}
