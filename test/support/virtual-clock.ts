import type { Clock } from '../../src/pool/index.js';

/** A clock that a test advances; its timers fire in the order of their due times. */
export class VirtualClock implements Clock {
  #now = 1_000;
  /** How far the time of day is ahead of `now()`, as after a sleep of the machine. */
  skewMs = 0;
  readonly #timers = new Set<{ due: number; callback: () => void; keepsProcessAlive: boolean }>();

  now = (): number => this.#now;
  wall = (): number => this.#now + this.skewMs;

  get timerCount(): number {
    return this.#timers.size;
  }

  /** Timers that would keep the process alive. */
  get keepAliveCount(): number {
    return [...this.#timers].filter(({ keepsProcessAlive }) => keepsProcessAlive).length;
  }

  /** Milliseconds until the first timer that keeps the process alive. */
  get msToNextKeepAlive(): number {
    const dues = [...this.#timers].filter(({ keepsProcessAlive }) => keepsProcessAlive).map(({ due }) => due);
    return Math.min(...dues) - this.#now;
  }

  after = (ms: number, callback: () => void, keepsProcessAlive: boolean): (() => void) => {
    const timer = { due: this.#now + ms, callback, keepsProcessAlive };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  };

  /** Advances the time as a blocked event loop does: due timers fire at the next `advance()`. */
  block(ms: number): void {
    this.#now += ms;
  }

  /** Advances the time by `ms`. Promises that a timer settles are handled before the next timer fires. */
  async advance(ms: number): Promise<void> {
    const until = this.#now + ms;
    await flushPromises();
    for (let fired = 0; ; fired += 1) {
      if (fired > 10_000) throw new Error('The timers do not stop firing.');
      let next: { due: number; callback: () => void; keepsProcessAlive: boolean } | undefined;
      for (const timer of this.#timers)
        if (timer.due <= until && (!next || timer.due < next.due)) next = timer;
      if (!next) break;
      this.#timers.delete(next);
      this.#now = Math.max(this.#now, next.due);
      next.callback();
      await flushPromises();
    }
    this.#now = until;
    await flushPromises();
  }
}

/** Resolves when the handlers of all settled promises have run. */
export async function flushPromises(): Promise<void> {
  for (let turn = 0; turn < 25; turn += 1) await Promise.resolve();
}
