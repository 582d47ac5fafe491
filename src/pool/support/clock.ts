import { startDeadline, startTimer } from '../../connection/deadline.js';

/** Where the pool reads the time and sets its timers; tests pass a clock of their own. */
export interface Clock {
  /** Monotonic milliseconds. */
  now(): number;
  /** Milliseconds of the time of day. Unlike `now()`, it goes on while the machine sleeps. */
  wall(): number;
  /**
   * Calls `callback` once after `ms` milliseconds, and returns a function that cancels the timer. Data that has arrived by then
   * is read first: a waiter must not time out while its answer lies in the buffer of a socket.
   * @param keepsProcessAlive whether the process may not exit before the timer fires
   */
  after(ms: number, callback: () => void, keepsProcessAlive: boolean): () => void;
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
