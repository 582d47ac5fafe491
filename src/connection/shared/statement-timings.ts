import type { StatementFacts } from '../statements/statement-texts.js';
import { SharingRecord } from './sharing-record.js';
import type { NotShareableReason, SharingLimits } from './sharing-record.js';

/** Largest mean result of a shared statement. Bytes. */
const MAX_MEAN_BYTES = 16_384;

/** How many samples one generation of the round trip has. */
const GENERATION = 256;

/**
 * How long the statements of one pool take. Only pools that share connections measure it.
 *
 * Connections measure from the write to the answer. The time on the server is what exceeds the round trip, for which the
 * shortest time among the last statements stands: of two generations, so that it rises when the network becomes slower.
 */
export class StatementTimings {
  readonly #limits: SharingLimits;
  #shortest = Infinity;
  #previousShortest = Infinity;
  #samples = 0;

  /** @param maxMeanMs longest mean time of a shared statement on the server; milliseconds */
  constructor({ maxMeanMs }: { maxMeanMs: number }) {
    this.#limits = { maxMeanMs, maxMeanBytes: MAX_MEAN_BYTES };
  }

  /** Milliseconds from a write to the answer of a statement that takes no time; 0 before the first sample. */
  get roundTripMs(): number {
    const shortest = Math.min(this.#shortest, this.#previousShortest);
    return shortest === Infinity ? 0 : shortest;
  }

  /** Records a statement that was alone on its connection. */
  recordAlone(facts: StatementFacts, elapsedMs: number, bytes: number): void {
    if (this.#samples >= GENERATION) {
      this.#samples = 0;
      this.#previousShortest = this.#shortest;
      this.#shortest = Infinity;
    }
    this.#samples += 1;
    if (elapsedMs < this.#shortest) this.#shortest = elapsedMs;
    this.record(facts, elapsedMs - this.roundTripMs, bytes);
  }

  /** Records a statement by its time on the server. */
  record(facts: StatementFacts, serverMs: number, bytes: number): void {
    facts.sharing ??= new SharingRecord();
    facts.sharing.add(serverMs, bytes, this.#limits);
  }

  /** Why statements of the text are not shared; undefined when they are. */
  notShareableReason({
    sharing,
    isPlainSelect,
  }: StatementFacts): NotShareableReason | 'not-plain' | undefined {
    // Most texts of an app are not plain, or are already known.
    if (!isPlainSelect) return 'not-plain';
    return sharing ? sharing.notShareableReason : 'unknown';
  }
}
