import { AsyncResource } from 'node:async_hooks';
import { LONGEST_TIMER_MS } from '../../connection/deadline.js';
import type { Clock } from './clock.js';

/**
 * One timer for many due times: it fires at the earliest of them, and the callback finds out what is due. The callback runs in
 * the async context in which the scheduler was created. In the context of the borrower that set the timer, a warning about the
 * lease of another borrower would be logged with the wrong request id.
 */
export class Scheduler {
  readonly #clock: Clock;
  readonly #keepsProcessAlive: boolean;
  readonly #callback: () => void;
  #due = Infinity;
  #cancelTimer: (() => void) | undefined;

  constructor(clock: Clock, callback: () => void, keepsProcessAlive: boolean) {
    this.#clock = clock;
    this.#keepsProcessAlive = keepsProcessAlive;
    this.#callback = AsyncResource.bind(callback);
  }

  /** Runs the callback at `due` or earlier; `Infinity` schedules nothing. */
  schedule(due: number): void {
    if (due >= this.#due) return;
    this.#cancelTimer?.();
    this.#due = due;
    const ms = Math.min(Math.max(Math.ceil(due - this.#clock.now()), 0), LONGEST_TIMER_MS);
    this.#cancelTimer = this.#clock.after(
      ms,
      () => {
        this.#due = Infinity;
        this.#cancelTimer = undefined;
        this.#callback();
      },
      this.#keepsProcessAlive,
    );
  }

  cancel(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    this.#due = Infinity;
  }
}
