import type { StatementFacts } from '../statements/statement-texts.js';
import { AnswerClock } from './answer-clock.js';
import type { ClockReading } from './answer-clock.js';
import { OUTLIER, SharingRecord } from './sharing-record.js';
import type { NotShareableReason, SharingLimits } from './sharing-record.js';

/** Largest mean result of a shared statement. Bytes. */
const MAX_MEAN_BYTES = 16_384;

/** A statement without an answer for longer is slow, even if the server has answered no other one meanwhile. Milliseconds. */
const LONGEST_PAUSE_MS = 200;

/** How many samples one generation of the round trip has. */
const GENERATION = 256;

/**
 * How long the statements of one pool take. Only pools that share connections measure it.
 *
 * The time on the server is the time in which the answer was certainly missing, without the round trip. The shortest time from a
 * write to its answer among the last statements stands for the round trip: of two generations, so that it rises when the network
 * becomes slower.
 */
export class StatementTimings {
  readonly clock: AnswerClock;
  readonly #limits: SharingLimits;
  #shortest = Infinity;
  #previousShortest = Infinity;
  #samples = 0;

  /** @param maxMeanMs longest mean time of a shared statement on the server; milliseconds */
  constructor({ maxMeanMs }: { maxMeanMs: number }, clock = new AnswerClock()) {
    this.clock = clock;
    this.#limits = { maxMeanMs, maxMeanBytes: MAX_MEAN_BYTES };
  }

  /** The time on the server from which on one statement ends the sharing of its text. Milliseconds. */
  get outlierMs(): number {
    return OUTLIER * this.#limits.maxMeanMs;
  }

  /** Milliseconds from a write to the answer of a statement that takes no time; 0 before the first sample. */
  get roundTripMs(): number {
    const shortest = Math.min(this.#shortest, this.#previousShortest);
    return shortest === Infinity ? 0 : shortest;
  }

  /** Records a statement that was alone on its connection. */
  recordAlone(facts: StatementFacts, sent: ClockReading, bytes: number): void {
    const elapsedMs = this.clock.read().at - sent.at;
    if (this.#samples >= GENERATION) {
      this.#samples = 0;
      this.#previousShortest = this.#shortest;
      this.#shortest = Infinity;
    }
    this.#samples += 1;
    if (elapsedMs < this.#shortest) this.#shortest = elapsedMs;
    this.record(facts, this.clock.missingMs(sent) - this.roundTripMs, bytes, sent);
  }

  /**
   * Records a statement by its time on the server.
   * @param since when the server was free for it, or when it was sent
   */
  record(facts: StatementFacts, serverMs: number, bytes: number, since: ClockReading): void {
    // A pause of the server, of the network or of the machine says nothing about the text.
    const isPause = serverMs > this.outlierMs && serverMs < LONGEST_PAUSE_MS;
    if (isPause && this.clock.othersAnsweredMs(since) < this.outlierMs) return;
    facts.sharing ??= new SharingRecord();
    facts.sharing.add(Math.max(0, serverMs), bytes, this.#limits);
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
