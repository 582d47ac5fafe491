import { performance } from 'node:perf_hooks';
import { setImmediate } from 'node:timers';

/** A point in time, of the clock and of the idle time of the event loop. */
export interface ClockReading {
  /** `performance.now()` */
  readonly at: number;
  /** How long the event loop has waited for events since the start of the process; milliseconds. */
  readonly idleMs: number;
}

/**
 * Measures how long an answer was certainly missing. The time until it is read is longer while the app is busy: the answer lies in
 * the socket until the event loop reads it. An app that computes for 20 ms would make every statement look slow.
 *
 * An answer was missing whenever the event loop waited for events, and whenever it had read its sockets without it.
 */
export class AnswerClock {
  /** When the sockets were last read in an earlier turn of the event loop; `performance.now()`. */
  #readAt = 0;
  #isReading = false;

  read(): ClockReading {
    return { at: performance.now(), idleMs: performance.nodeTiming.idleTime };
  }

  /** An answer was read: sockets are being read in this turn of the event loop. */
  onAnswer(): void {
    if (this.#isReading) return;
    this.#isReading = true;
    // Immediates run when all sockets have been read.
    setImmediate(this.#onTurnRead);
  }

  readonly #onTurnRead = (): void => {
    this.#isReading = false;
    this.#readAt = performance.now();
  };

  /** How long after a reading other answers have arrived. Milliseconds. */
  othersAnsweredMs(since: ClockReading): number {
    return Math.max(0, this.#readAt - since.at);
  }

  /** The part of the time since a reading in which the answer was certainly missing. Milliseconds. */
  missingMs(since: ClockReading): number {
    const waitedMs = performance.nodeTiming.idleTime - since.idleMs;
    return Math.max(waitedMs, this.othersAnsweredMs(since));
  }
}
