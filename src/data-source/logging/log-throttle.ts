/** A line is logged once in this time; milliseconds. */
const INTERVAL_MS = 60_000;

/** Lines that are remembered: each borrower may have a name of its own. */
const MAX_LINES = 1_000;

/** Logs lines that repeat once a minute, with the number of those that were suppressed in between. */
export class LogThrottle {
  readonly #now: () => number;
  readonly #lines = new Map<string, { loggedAt: number; suppressed: number }>();

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** @returns how many lines of this key were suppressed since the last one; undefined if this one is to be suppressed too */
  admit(key: string): number | undefined {
    const now = this.#now();
    const known = this.#lines.get(key);
    if (known && now - known.loggedAt < INTERVAL_MS) {
      known.suppressed += 1;
      return undefined;
    }
    this.#lines.delete(key);
    // The oldest one: a Map keeps the order in which its keys were set.
    const [oldest] = this.#lines.keys();
    if (oldest !== undefined && this.#lines.size >= MAX_LINES) this.#lines.delete(oldest);
    this.#lines.set(key, { loggedAt: now, suppressed: 0 });
    return known?.suppressed ?? 0;
  }
}

/** The end of a line before which others were suppressed. */
export function suppressedNote(count: number): string {
  return count > 0 ? ` ${count} more like it since the last such line.` : '';
}
