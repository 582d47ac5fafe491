import { AsyncResource } from 'node:async_hooks';
import { LONGEST_TIMER_MS, startDeadline, startTimer } from '../../connection/deadline.js';

/** Where the pool has its time from; tests bring their own. */
export interface Clock {
  /** Milliseconds that never go back. */
  now(): number;
  /** The time of day. It goes on while a machine sleeps, which `now` does not. */
  wall(): number;
  /**
   * Calls `ring` once after `ms`, when what has come in meanwhile is read: who waits is not failed while his connection
   * lies in the buffer of a socket. `holdsProcess` keeps the process alive until then. The answer takes it back.
   */
  after(ms: number, ring: () => void, holdsProcess: boolean): () => void;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  after: startDeadline,
};

/** The same time for what waits for no answer: its timers ring at once, not only when sockets have been read. */
export function immediateClock(clock: Clock): Clock {
  return clock === systemClock ? { ...clock, after: startTimer } : clock;
}

/**
 * One timer for many due times: it is set to the earliest, and who is woken looks what is due. It rings in the flow of calls in
 * which it was made: who has set it is some borrower, whose request id a warning of another one's leak must not carry.
 */
export class Scheduler {
  readonly #clock: Clock;
  readonly #holdsProcess: boolean;
  readonly #run: () => void;
  #due = Infinity;
  #cancelTimer: (() => void) | undefined;

  constructor(clock: Clock, ring: () => void, holdsProcess: boolean) {
    this.#clock = clock;
    this.#holdsProcess = holdsProcess;
    this.#run = AsyncResource.bind(ring);
  }

  /** Rings at `due` or earlier; `Infinity` is never. */
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
        this.#run();
      },
      this.#holdsProcess,
    );
  }

  cancel(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    this.#due = Infinity;
  }
}
