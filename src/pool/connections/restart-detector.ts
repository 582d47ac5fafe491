import { isTermination } from '../../connection/wire/disconnect.js';
import { findRule } from '../../diagnosis/diagnose.js';
import type { Clock } from '../support/clock.js';

/** For how long after the server has terminated a session a failed connect counts as part of a restart. Milliseconds. */
const RESTART_MS = 5_000;

/** Distinguishes a server that is starting, for which waiters go on waiting, from a server that is down. */
export class RestartDetector {
  readonly #clock: Clock;
  #terminatedAt = -Infinity;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Records the loss of a connection. A server that terminates sessions (57P01) is usually being restarted. */
  recordLoss(error: Error): void {
    if (isTermination(error)) this.#terminatedAt = this.#clock.now();
  }

  /** Whether the server that has refused a connect with this error is expected to accept connections soon. */
  isStarting(connectError: Error): boolean {
    const { isWaking, transient } = findRule(connectError);
    if (isWaking) return true;
    return transient === true && this.#clock.now() - this.#terminatedAt < RESTART_MS;
  }
}
