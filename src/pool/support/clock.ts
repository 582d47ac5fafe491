import { startDeadline, startTimer } from '../../connection/deadline.js';

/** The time and the timers of the pool. Tests use a virtual clock. */
export interface Clock {
  /** Monotonic milliseconds. */
  now(): number;
  /** Milliseconds of the time of day. Unlike `now()`, it goes on while the machine sleeps. */
  wall(): number;
  /**
   * Calls `callback` once after `ms` milliseconds, and returns a function that cancels the timer. Data that has arrived by then
   * is read first: a waiter must not time out while its answer is in the buffer of a socket.
   * @param keepsProcessAlive whether the process stays alive until the timer fires
   */
  after(ms: number, callback: () => void, keepsProcessAlive: boolean): () => void;
}

/** One reading of both clocks. Each reading costs as much as the rest of an acquire: one serves all comparisons of an operation. */
export interface Instant {
  readonly now: number;
  readonly wall: number;
}

export function instantOf(clock: Clock): Instant {
  return { now: clock.now(), wall: clock.wall() };
}

export const systemClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  after: startDeadline,
};

/** The same clock for timers that wait for no answer: they fire without reading the sockets first. */
export function immediateClock(clock: Clock): Clock {
  return clock === systemClock ? { ...clock, after: startTimer } : clock;
}
