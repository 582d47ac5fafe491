import type { Clock } from '../../src/pool/index.js';

/** Time that passes when a test says so; its timers ring in the order of their due times. */
export class VirtualClock implements Clock {
  #now = 1_000;
  /** What the time of day is ahead of `now`: a machine that slept. */
  skewMs = 0;
  readonly #timers = new Set<{ due: number; ring: () => void; holdsProcess: boolean }>();

  now = (): number => this.#now;
  wall = (): number => this.#now + this.skewMs;

  get timerCount(): number {
    return this.#timers.size;
  }

  /** Those for which a process would stay alive. */
  get keepAliveCount(): number {
    return [...this.#timers].filter(({ holdsProcess }) => holdsProcess).length;
  }

  /** Milliseconds until the first of those rings. */
  get msToNextKeepAlive(): number {
    const dues = [...this.#timers].filter(({ holdsProcess }) => holdsProcess).map(({ due }) => due);
    return Math.min(...dues) - this.#now;
  }

  after = (ms: number, ring: () => void, holdsProcess: boolean): (() => void) => {
    const timer = { due: this.#now + ms, ring, holdsProcess };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  };

  /** Time passes in which nothing can run: the event loop is blocked. What is due by then rings at the next `pass`. */
  block(ms: number): void {
    this.#now += ms;
  }

  /** Lets `ms` pass; what a timer starts by promises is done before the next timer rings. */
  async advance(ms: number): Promise<void> {
    const until = this.#now + ms;
    await flushPromises();
    for (let rings = 0; ; rings += 1) {
      if (rings > 10_000) throw new Error('Timers ring on and on.');
      let next: { due: number; ring: () => void; holdsProcess: boolean } | undefined;
      for (const timer of this.#timers)
        if (timer.due <= until && (!next || timer.due < next.due)) next = timer;
      if (!next) break;
      this.#timers.delete(next);
      this.#now = Math.max(this.#now, next.due);
      next.ring();
      await flushPromises();
    }
    this.#now = until;
    await flushPromises();
  }
}

/** Until every promise that can go on has gone on. */
export async function flushPromises(): Promise<void> {
  for (let turn = 0; turn < 25; turn += 1) await Promise.resolve();
}
