import type { Clock } from './clock.js';

/** Something that others wait for, with or without a limit. */
export class Moment {
  readonly #waiting = new Set<() => void>();

  constructor(private readonly clock: Clock) {}

  /** Resolves when the moment has come, or when `timeoutMs` is over. */
  wait(timeoutMs = Infinity): Promise<void> {
    return new Promise((resolve) => {
      const go = () => {
        cancel?.();
        this.#waiting.delete(go);
        resolve();
      };
      const cancel = timeoutMs === Infinity ? undefined : this.clock.after(timeoutMs, go, true);
      this.#waiting.add(go);
    });
  }

  hasCome(): void {
    for (const go of this.#waiting) go();
  }
}
