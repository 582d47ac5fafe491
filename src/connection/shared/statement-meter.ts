import type { StatementFacts } from '../statements/statement-texts.js';
import type { PgInternals } from '../wire/pg-internals.js';
import type { ClockReading } from './answer-clock.js';
import type { StatementTimings } from './statement-timings.js';

/** Measures the prepared statements of one connection on which one statement is active at a time. */
export class StatementMeter {
  readonly #pg: PgInternals;
  readonly #timings: StatementTimings;
  #facts: StatementFacts | undefined;
  #sent: ClockReading | undefined;
  #bytesRead = 0;

  constructor(pg: PgInternals, timings: StatementTimings) {
    this.#pg = pg;
    this.#timings = timings;
  }

  /** A prepared statement is being sent. A statement that is parsed first is not measured. */
  onSent(facts: StatementFacts): void {
    if (!facts.isPlainSelect) return;
    this.#facts = facts;
    this.#sent = this.#timings.clock.read();
    this.#bytesRead = this.#pg.stream?.bytesRead ?? 0;
  }

  /** The active statement has failed: its time says nothing about the text. */
  onError(): void {
    this.#facts = undefined;
  }

  onReadyForQuery(): void {
    this.#timings.clock.onAnswer();
    const facts = this.#facts;
    if (!facts) return;
    this.#facts = undefined;
    const bytes = (this.#pg.stream?.bytesRead ?? 0) - this.#bytesRead;
    this.#timings.recordAlone(facts, this.#sent!, bytes);
  }
}
