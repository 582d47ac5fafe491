import type { DataSource, QueryRunner } from 'typeorm';
import { ExecutionScope, innermostScope, isWithin } from '../data-source/execution-scope.js';

/** A unit of work as the lifecycle of its request sees it. */
export interface RequestUnitOfWork {
  readonly runner: QueryRunner;
  createQueryRunner(): QueryRunner;
  /** The guards have passed: the handler may pin connections, whether or not the client is still there. */
  onHandlerStarted(): void;
  /** The handler has settled and the response is open: an exception filter may use the runners, unpinned. */
  onHandlerSettled(): void;
  /** The client has gone while the handler runs. Statements that run keep their connection. */
  onClientGone(): void;
  /** The response has ended before the handler began. The handler may begin yet, when a slow guard lets it pass. */
  onEndedBeforeHandler(isAnswered: boolean): void;
  /** The handler has settled and the response has ended. */
  end(): void;
}

/**
 * The lifecycle of one request, and its units of work by data source. Handler and response end in either order, and an interceptor
 * may run the handler again.
 *
 * | handler      | response open                      | response ended                              |
 * | ------------ | ---------------------------------- | ------------------------------------------- |
 * | not begun    | runners may pin a connection       | runners may not pin: onEndedBeforeHandler() |
 * | running      | onHandlerStarted()                 | if the client has gone: onClientGone()      |
 * | settled      | onHandlerSettled()                 | end()                                       |
 */
export class RequestLifecycle {
  readonly units = new Map<DataSource, RequestUnitOfWork>();
  /** Whether `endResponse()` is registered with the response. */
  isWatched = false;
  #isResponseEnded = false;
  #hasHandlerStarted = false;
  /** Runs of the handler that have not settled. */
  readonly #runs = new Set<ExecutionScope>();

  /** Whether the running code belongs to a run of the handler that has not settled. */
  readonly isHandlerRunning = (): boolean => {
    const scope = innermostScope();
    for (const run of this.#runs) if (isWithin(scope, run)) return true;
    return false;
  };

  /** Whether the runners of the request may pin a connection. */
  get isPinningAllowed(): boolean {
    return !this.#isResponseEnded || this.#runs.size > 0;
  }

  /** Whether handler and response have ended. */
  get isOver(): boolean {
    return this.#isResponseEnded && this.#hasHandlerStarted && this.#runs.size === 0;
  }

  /**
   * A run of the handler begins.
   * @param requestName returns `GET /users/:id`; called only when a message is built
   * @returns the scope to run the handler in
   */
  startHandler(requestName: () => string): ExecutionScope {
    const run = new ExecutionScope();
    run.requestName = requestName;
    this.#runs.add(run);
    this.#hasHandlerStarted = true;
    for (const unit of this.units.values()) unit.onHandlerStarted();
    return run;
  }

  /** A run of the handler has settled. Further calls for the same run do nothing. */
  settleHandler(run: ExecutionScope): void {
    if (!this.#runs.delete(run)) return;
    run.isEnded = true;
    run.requestName = undefined;
    if (this.#runs.size > 0) return;
    for (const unit of this.units.values()) {
      if (this.#isResponseEnded) unit.end();
      else unit.onHandlerSettled();
    }
  }

  /**
   * The response has ended. Further calls do nothing.
   * @param isAnswered whether it was sent completely; else the client has gone before
   */
  endResponse(isAnswered: boolean): void {
    if (this.#isResponseEnded) return;
    this.#isResponseEnded = true;
    // Acquires of repositories and of the data source too, which use no runner of the request.
    if (!isAnswered) for (const run of this.#runs) run.cancelAcquires('the client has closed the connection');
    for (const unit of this.units.values()) {
      if (this.#runs.size > 0) {
        if (!isAnswered) unit.onClientGone();
      } else if (this.#hasHandlerStarted) unit.end();
      else unit.onEndedBeforeHandler(isAnswered);
    }
  }
}
