/** Shortest interval between two lines of one key; milliseconds. */
const INTERVAL_MS = 60_000;

/** Bounds the memory: the keys contain the names of borrowers, which may be unlimited in number. */
const MAX_LINES = 1_000;

/** Limits a repeated line to one a minute, and counts the suppressed ones. */
export class LogThrottle {
  readonly #now: () => number;
  readonly #lines = new Map<string, { loggedAt: number; suppressed: number }>();

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** @returns how many lines of this key were suppressed since the last one; undefined if this line must be suppressed, too */
  admit(key: string): number | undefined {
    const now = this.#now();
    const known = this.#lines.get(key);
    if (known && now - known.loggedAt < INTERVAL_MS) {
      known.suppressed += 1;
      return undefined;
    }
    this.#lines.delete(key);
    // A Map iterates in insertion order: the first key is the oldest.
    const [oldest] = this.#lines.keys();
    if (oldest !== undefined && this.#lines.size >= MAX_LINES) this.#lines.delete(oldest);
    this.#lines.set(key, { loggedAt: now, suppressed: 0 });
    return known?.suppressed ?? 0;
  }
}

/** Text to append to a line before which others were suppressed. */
export function suppressedNote(count: number): string {
  return count > 0 ? ` ${count} more like it since the last such line.` : '';
}
