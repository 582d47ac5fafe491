import type { Clock } from './clock.js';

/** Something that others wait for, with or without a limit. */
export class Notifier {
  readonly #clock: Clock;
  readonly #waiting = new Set<() => void>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Resolves when the moment has come, or when `timeoutMs` is over. */
  wait(timeoutMs = Infinity): Promise<void> {
    return new Promise((resolve) => {
      const go = () => {
        cancel?.();
        this.#waiting.delete(go);
        resolve();
      };
      const cancel = timeoutMs === Infinity ? undefined : this.#clock.after(timeoutMs, go, true);
      this.#waiting.add(go);
    });
  }

  notifyAll(): void {
    for (const go of this.#waiting) go();
  }
}
