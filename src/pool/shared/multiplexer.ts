import type { SharedStatement } from '../../connection/shared/shared-statement.js';
import type { StatementTimings } from '../../connection/shared/statement-timings.js';
import type { StatementFacts, StatementTexts } from '../../connection/statements/statement-texts.js';
import type { MultiplexSnapshot, NotSharedReason } from '../../database.snapshot.js';
import type { PoolableClient } from '../connections/pooled-connection.js';
import type { SharedConnections } from './shared-connections.js';

/**
 * Decides which statements of a pool are shared: SELECTs that only read, are prepared, and are known to be fast and to return
 * little, while a shared connection takes them at once. Every other statement has a connection of its own.
 */
export class Multiplexer<C extends PoolableClient> {
  readonly #connections: SharedConnections<C>;
  readonly #texts: StatementTexts;
  readonly #timings: StatementTimings;
  #sharedCount = 0;
  readonly #turnedAway: Record<NotSharedReason, number> = {
    'not-plain': 0,
    unknown: 0,
    slow: 0,
    large: 0,
    session: 0,
    unavailable: 0,
    full: 0,
    late: 0,
  };

  constructor(connections: SharedConnections<C>, texts: StatementTexts, timings: StatementTimings) {
    this.#connections = connections;
    this.#texts = texts;
    this.#timings = timings;
  }

  /**
   * Chooses the connection for a statement and reserves a place on it.
   * @returns the place; the facts of the text when the statement can be shared, but no place is free now; undefined when it needs a
   * connection of its own
   */
  choose(text: string): SharedStatement | StatementFacts | undefined {
    const facts = this.#texts.factsOf(text);
    const reason = this.#timings.notShareableReason(facts);
    if (reason) {
      this.#turnedAway[reason] += 1;
      return undefined;
    }
    const lane = this.#connections.choose();
    if (typeof lane === 'string') {
      this.#turnedAway[lane] += 1;
      return facts;
    }
    this.#sharedCount += 1;
    return lane.reserve(facts);
  }

  snapshot(): MultiplexSnapshot {
    return {
      connections: this.#connections.count,
      inFlight: this.#connections.inFlight,
      shared: this.#sharedCount + this.#connections.movedCount,
      notShared: { ...this.#turnedAway },
    };
  }
}
