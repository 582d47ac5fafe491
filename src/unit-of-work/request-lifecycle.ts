import type { DataSource, QueryRunner } from 'typeorm';
import { ExecutionScope, innermostScope, isWithin } from '../data-source/execution-scope.js';

/** Why acquires of a request are cancelled. */
export const CLIENT_DISCONNECTED = 'the client has closed the connection';

/** The part of a unit of work that the lifecycle of its request uses. */
export interface RequestUnitOfWork {
  readonly runner: QueryRunner;
  createQueryRunner(): QueryRunner;
  /** The guards have passed: the handler may pin connections, even if the client has disconnected. */
  onHandlerStarted(): void;
  /** The handler has settled and the response is open: pinned connections are released, and an exception filter may use the runners. */
  onHandlerSettled(): void;
  /** The client has disconnected while the handler runs. Running statements keep their connection. */
  onClientDisconnected(): void;
  /** The response has ended before the handler began. The handler may still begin, once a slow guard lets the request pass. */
  onEndedBeforeHandler(isAnswered: boolean): void;
  /** The handler has settled and the response has ended. */
  end(): void;
}

/**
 * The lifecycle of one request, and its units of work by data source. Handler and response end in either order, and an interceptor
 * may run the handler again.
 *
 * | handler      | response open                      | response ended                                   |
 * | ------------ | ---------------------------------- | ------------------------------------------------ |
 * | not begun    | runners may pin a connection       | runners may not pin: onEndedBeforeHandler()      |
 * | running      | onHandlerStarted()                 | if the client disconnected: onClientDisconnected() |
 * | settled      | onHandlerSettled()                 | end()                                            |
 */
export class RequestLifecycle {
  readonly units = new Map<DataSource, RequestUnitOfWork>();
  /** Whether `endResponse()` is registered as a listener of the response. */
  isResponseObserved = false;
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
   * Reports that a run of the handler begins.
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

  /** Reports that a run of the handler has settled. Further calls for the same run do nothing. */
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
   * Reports that the response has ended. Further calls do nothing.
   * @param isAnswered whether the response was sent completely; otherwise the client has disconnected before
   */
  endResponse(isAnswered: boolean): void {
    if (this.#isResponseEnded) return;
    this.#isResponseEnded = true;
    // Includes the acquires of repositories and of the data source, which use no runner of the request.
    if (!isAnswered) for (const run of this.#runs) run.cancelAcquires(CLIENT_DISCONNECTED);
    for (const unit of this.units.values()) {
      if (this.#runs.size > 0) {
        if (!isAnswered) unit.onClientDisconnected();
      } else if (this.#hasHandlerStarted) unit.end();
      else unit.onEndedBeforeHandler(isAnswered);
    }
  }
}
