import type { DataSource } from 'typeorm';
import { WorkUnit, isWithin, unitOfFlow } from '../data-source/unit-of-work.context.js';
import type { RequestUnit } from './foreign-unit-of-work.js';

/** How far one request has come, and its units of work by data source. */
export class RequestState {
  readonly units = new Map<DataSource, RequestUnit>();
  /** Whether something tells of the end of the response. */
  watched = false;
  #ended = false;
  #handled = false;
  /** Runs of the handler that have not settled: an interceptor may retry it. */
  readonly #runs = new Set<WorkUnit>();

  /** Whether the calling code belongs to a run of the handler that has not settled. */
  readonly isCurrent = (): boolean => {
    const unit = unitOfFlow();
    for (const run of this.#runs) if (isWithin(unit, run)) return true;
    return false;
  };

  /** Whether the runners of the request may hold a connection: not when the response ended before its handler began. */
  get mayHold(): boolean {
    return !this.#ended || this.#runs.size > 0;
  }

  /** Whether handler and response are over. */
  get over(): boolean {
    return this.#ended && this.#handled && this.#runs.size === 0;
  }

  /** The handler begins. What it asks the pool for belongs to the unit that this returns. */
  begin(name: () => string): WorkUnit {
    const run = new WorkUnit();
    run.name = name;
    this.#runs.add(run);
    this.#handled = true;
    for (const unit of this.units.values()) unit.handlerStarted();
    return run;
  }

  /** A run of the handler has settled; once for each. */
  settle(run: WorkUnit): void {
    if (!this.#runs.delete(run)) return;
    run.over = true;
    run.name = undefined;
    if (this.#runs.size > 0) return;
    for (const unit of this.units.values()) {
      if (this.#ended) unit.end();
      else unit.handlerSettled();
    }
  }

  /** The response has ended: given in full, or its reader has gone away before. */
  end(answered: boolean): void {
    if (this.#ended) return;
    this.#ended = true;
    // Those of repositories and of the data source too, which are no runners of the request.
    if (!answered) for (const run of this.#runs) run.stopWaiting('the client has closed the connection');
    for (const unit of this.units.values()) {
      if (this.#runs.size > 0) {
        if (!answered) unit.clientGone();
      } else if (this.#handled) unit.end();
      else unit.endedBeforeHandler(answered);
    }
  }
}
