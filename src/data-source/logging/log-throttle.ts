/** The same line is told once in this time; milliseconds. */
const REPEAT_MS = 60_000;

/** Lines that are remembered: each borrower may have a name of its own. */
const REMEMBERED = 1_000;

/** Lines of a log that would repeat: each is told once a minute, with the number of those in between. */
export class LogThrottle {
  readonly #now: () => number;
  readonly #lines = new Map<string, { toldAt: number; untold: number }>();

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** How often it came untold since it was told; undefined when it is not to be told yet. */
  admit(key: string): number | undefined {
    const now = this.#now();
    const known = this.#lines.get(key);
    if (known && now - known.toldAt < REPEAT_MS) {
      known.untold += 1;
      return undefined;
    }
    this.#lines.delete(key);
    // The oldest first: a Map keeps the order in which its keys were set.
    const [oldest] = this.#lines.keys();
    if (oldest !== undefined && this.#lines.size >= REMEMBERED) this.#lines.delete(oldest);
    this.#lines.set(key, { toldAt: now, untold: 0 });
    return known?.untold ?? 0;
  }
}

/** The end of a line that was held back before. */
export function suppressedNote(count: number): string {
  return count > 0 ? ` ${count} more like it since the last such line.` : '';
}
