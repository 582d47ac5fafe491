import type { Clock } from '../support/clock.js';

const FIRST_DELAY_MS = 10;
/** Short enough for acquires to succeed within two seconds after the database is back. */
const MAX_DELAY_MS = 1_000;

/**
 * The delay between failed connects. It doubles with each failure, from 10 ms to 1 s. Until a connect succeeds, the pool runs one
 * at a time, or starts another when the last one takes longer than the longest delay.
 */
export class ConnectBackoff {
  readonly #clock: Clock;
  #failures = 0;
  #delayedUntil = -Infinity;
  #startedAt = -Infinity;
  #failedAt = -Infinity;
  /** Why the last connect or validation failed; undefined after a success. */
  lastError: Error | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  recordStart(): void {
    this.#startedAt = this.#clock.now();
  }

  recordFailure(error: Error, startedAt: number): void {
    this.lastError = error;
    // Connects that were running at the last failure fail for the same reason: 15 of them must not double the delay 15 times.
    if (startedAt <= this.#failedAt) return;
    this.#failedAt = this.#clock.now();
    this.#delayedUntil = this.#failedAt + Math.min(FIRST_DELAY_MS * 2 ** this.#failures, MAX_DELAY_MS);
    this.#failures += 1;
  }

  recordSuccess(): void {
    this.#failures = 0;
    this.#failedAt = -Infinity;
    this.lastError = undefined;
  }

  /** When the next connect may start while `connecting` others run. */
  nextConnectAt(connecting: number): number {
    if (this.#failures === 0) return -Infinity;
    return connecting > 0 ? Math.max(this.#delayedUntil, this.#startedAt + MAX_DELAY_MS) : this.#delayedUntil;
  }
}
