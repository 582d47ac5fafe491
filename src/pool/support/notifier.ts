import type { Clock } from './clock.js';

/** A condition that callers wait for, with or without a timeout. */
export class Notifier {
  readonly #clock: Clock;
  readonly #waiting = new Set<() => void>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Resolves at the next `notifyAll()`, or after `timeoutMs` milliseconds. */
  wait(timeoutMs = Infinity): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        cancelTimer?.();
        this.#waiting.delete(wake);
        resolve();
      };
      const cancelTimer = timeoutMs === Infinity ? undefined : this.#clock.after(timeoutMs, wake, true);
      this.#waiting.add(wake);
    });
  }

  notifyAll(): void {
    for (const wake of this.#waiting) wake();
  }
}
