import type { DataSource, QueryRunner } from 'typeorm';
import { currentScope, ExecutionScope, innermostScope } from '../data-source/execution-scope.js';
import type { PendingAcquire } from '../data-source/execution-scope.js';
import type { RequestBorrower } from '../data-source/query-runner/borrower.js';
import { messageOf, nameOf } from './http/http-request.js';
import type { HttpRequest } from './http/http-request.js';
import { findResponse, hasEnded, isAnswered, onEnd } from './http/response.js';

/** Why acquires of a request are cancelled. */
const CLIENT_DISCONNECTED = 'the client has closed the connection';

/** The part of a unit of work that the lifecycle of its request uses. */
export interface RequestUnitOfWork {
  readonly dataSource: DataSource;
  readonly runner: QueryRunner;
  createQueryRunner(): QueryRunner;
  /** Releases pinned connections. The runners stay usable, for an exception filter or for a handler that still begins. */
  unpin(): void;
  /** Rolls back a transaction that began in this scope. */
  rollBackWithin(scope: ExecutionScope): void;
  /** The client has disconnected while the handler runs. Running statements keep their connection. */
  onClientDisconnected(): void;
  /** The handler has settled and the response has ended. */
  end(): void;
}

/** The property of Node's request that holds its lifecycle. A WeakMap would cost more for each request. */
const LIFECYCLE = Symbol('nestjs-database.lifecycle');

/** The lifecycle of a request; undefined if no runner of the request has been injected, and for anything that is not a request. */
export function lifecycleOf(request: unknown): RequestLifecycle | undefined {
  if (typeof request !== 'object' || request === null) return undefined;
  return (messageOf(request) as { [LIFECYCLE]?: RequestLifecycle })[LIFECYCLE];
}

/** The lifecycle of a request, which begins with the first call. */
export function beginLifecycle(request: HttpRequest): RequestLifecycle {
  const message = messageOf(request) as { [LIFECYCLE]?: RequestLifecycle };
  return (message[LIFECYCLE] ??= new RequestLifecycle(request));
}

/** The scope of a route's interceptors. They may call the method again, or abandon it. */
class InterceptorScope extends ExecutionScope {
  /** The scope of the last call of the method. */
  method: ExecutionScope | undefined;
}

/**
 * The lifecycle of one request, and its units of work by data source. Handler and response end in either order, and an interceptor
 * may run the handler again.
 *
 * | handler      | response open                      | response ended                                     |
 * | ------------ | ---------------------------------- | -------------------------------------------------- |
 * | not begun    | runners may pin a connection       | runners may not pin: unpin()                       |
 * | running      | runners may pin a connection       | if the client disconnected: onClientDisconnected() |
 * | settled      | unpin()                            | end()                                              |
 *
 * A handler that is not tracked, such as that of a static controller, counts as not begun.
 *
 * The lifecycle listens to the response only while its end would release something or cancel something: a connection that is pinned
 * outside of a running handler, an acquire that waits, or a statement with `cancelOnDisconnect`. In all other cases the next use of a
 * runner finds out whether the response has ended.
 */
export class RequestLifecycle implements RequestBorrower {
  readonly #request: HttpRequest;
  #units: readonly RequestUnitOfWork[] | undefined;
  /** The number of runs that have not settled: of the handler's interceptors and of its method. */
  #runs = 0;
  #hasHandlerStarted = false;
  #isResponseEnded = false;
  /** Whether the lifecycle listens to the response. */
  #isObserving = false;
  /** Whether the lifecycle would listen, but the response is not known yet. */
  #isObservationDue = false;
  /** Whether the lifecycle listens from the first use of a runner on: the data source has `cancelOnDisconnect`. */
  #cancelsOnDisconnect = false;
  /** Acquires of the request that are waiting for a connection. */
  #pendingAcquires: Set<PendingAcquire> | undefined;

  constructor(request: HttpRequest) {
    this.#request = request;
  }

  /** `GET /users/:id` */
  get name(): string {
    return nameOf(this.#request);
  }

  // ---- units of work -------------------------------------------------------------------------------------------------

  /** The unit of work on this data source; undefined before `addUnit()`. */
  unitOf(dataSource: DataSource): RequestUnitOfWork | undefined {
    return this.#units?.find((unit) => unit.dataSource === dataSource);
  }

  addUnit(unit: RequestUnitOfWork): void {
    this.#units = this.#units ? [...this.#units, unit] : [unit];
    if (this.isOver) unit.end();
  }

  cancelOnDisconnect(): void {
    this.#cancelsOnDisconnect = true;
  }

  // ---- the borrower of the runners -----------------------------------------------------------------------------------

  /** Whether the running code belongs to a run of the handler that has not settled. */
  isHandlerRunning(): boolean {
    for (let scope = innermostScope(); scope; scope = scope.parent) if (scope.request === this) return true;
    return false;
  }

  get isPinningAllowed(): boolean {
    return !this.#isResponseEnded || this.#runs > 0;
  }

  beforeUse(): void {
    if (this.#cancelsOnDisconnect) this.observeResponse();
    // While the handler runs, its runners are usable, whether or not the response has ended.
    if (this.#isObserving || this.#isResponseEnded || this.#runs > 0) return;
    const message = messageOf(this.#request);
    const response = findResponse(message);
    if (response && hasEnded(response, message)) this.#endResponse(isAnswered(response));
  }

  onPinned(): void {
    // The end of the handler releases what it has pinned.
    if (this.#runs === 0) this.observeResponse();
  }

  addPendingAcquire(acquire: PendingAcquire): () => void {
    // First: a wait that begins after the client has disconnected is not cancelled.
    this.observeResponse();
    const pending = (this.#pendingAcquires ??= new Set());
    pending.add(acquire);
    return () => pending.delete(acquire);
  }

  // ---- handler -------------------------------------------------------------------------------------------------------

  /**
   * Reports that a run of the handler begins, at its interceptors.
   * @returns the scope to run them in
   */
  startInterceptors(): ExecutionScope {
    return this.#start(new InterceptorScope(currentScope(), false, this));
  }

  /**
   * Reports that a run of the handler begins, or reaches its method.
   * @returns the scope to run the method in
   */
  startMethod(): ExecutionScope {
    const run = new ExecutionScope(currentScope(), false, this);
    const { parent } = run;
    if (parent instanceof InterceptorScope && parent.request === this) {
      // An interceptor retries: what the earlier call has left open ends, and its late statements are refused.
      if (parent.method) this.#abandon(parent.method);
      parent.method = run;
    }
    return this.#start(run);
  }

  #start(run: ExecutionScope): ExecutionScope {
    this.#runs += 1;
    this.#hasHandlerStarted = true;
    return run;
  }

  /** Reports that a run has settled. Further calls for the same run do nothing. */
  settleHandler(run: ExecutionScope): void {
    if (run.isEnded) return;
    this.#end(run);
    // If an interceptor has abandoned the method, it still runs.
    if (run instanceof InterceptorScope && run.method) this.#end(run.method);
    if (this.#runs > 0) return;
    // What the handler has left waiting runs to its end, as any statement that it has not awaited.
    this.#pendingAcquires?.clear();
    for (const unit of this.#units ?? []) {
      if (this.#isResponseEnded) unit.end();
      else unit.unpin();
    }
  }

  #abandon(run: ExecutionScope): void {
    this.#end(run);
    for (const unit of this.#units ?? []) unit.rollBackWithin(run);
  }

  #end(run: ExecutionScope): void {
    if (run.isEnded) return;
    run.end();
    this.#runs -= 1;
  }

  get isOver(): boolean {
    return this.#isResponseEnded && this.#hasHandlerStarted && this.#runs === 0;
  }

  // ---- response ------------------------------------------------------------------------------------------------------

  /** Listens to the end of the response, once. */
  observeResponse(): void {
    if (this.#isObserving || this.#isResponseEnded) return;
    const message = messageOf(this.#request);
    const response = findResponse(message);
    this.#isObservationDue = response === undefined;
    if (!response) return;
    this.#isObserving = true;
    if (hasEnded(response, message)) this.#endResponse(isAnswered(response));
    else onEnd(response, message, () => this.#endResponse(isAnswered(response)));
  }

  /** Reports that the response of the request is known from now on. */
  onResponseKnown(): void {
    if (this.#isObservationDue) this.observeResponse();
  }

  /** @param isAnswered whether the response was sent completely; otherwise the client has disconnected before */
  #endResponse(isAnswered: boolean): void {
    if (this.#isResponseEnded) return;
    this.#isResponseEnded = true;
    // Includes the acquires of repositories and of the data source, which use no runner of the request.
    if (!isAnswered) this.#cancelAcquires();
    for (const unit of this.#units ?? []) {
      if (this.isOver) unit.end();
      else if (this.#runs === 0) unit.unpin();
      else if (!isAnswered) unit.onClientDisconnected();
    }
  }

  #cancelAcquires(): void {
    for (const acquire of [...(this.#pendingAcquires ?? [])]) acquire.abort(new Error(CLIENT_DISCONNECTED));
  }
}
