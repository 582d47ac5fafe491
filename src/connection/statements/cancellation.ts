import { ConnectionResetError } from '../../errors/connection.errors.js';

/**
 * The cancel requests of one connection, at most one at a time. A cancel stops whatever the server runs for the connection
 * when it arrives: while one is in flight, no other statement may be sent, and after one that the server has not
 * confirmed, none any more.
 */
export class Cancellation {
  #inFlight: Promise<void> | undefined;
  #isUnconfirmed = false;

  get isInFlight(): boolean {
    return this.#inFlight !== undefined;
  }

  /** Whether a cancel request was sent that the server has not confirmed. */
  get isUnconfirmed(): boolean {
    return this.#isUnconfirmed;
  }

  /**
   * Sends a cancel request, unless one is in flight.
   * @param send resolves when the request is over, with whether no cancel can arrive any more
   * @param onOver is called then
   */
  request(send: () => Promise<boolean>, onOver: () => void): Promise<void> {
    this.#inFlight ??= send().then((isConfirmed) => {
      this.#isUnconfirmed ||= !isConfirmed;
      this.#inFlight = undefined;
      onOver();
    });
    return this.#inFlight;
  }

  /** Resolves when no cancel is in flight; rejects when one may still arrive. */
  async settled(): Promise<void> {
    await this.#inFlight;
    if (this.#isUnconfirmed) throw unconfirmedCancelError();
  }
}

export function unconfirmedCancelError(): ConnectionResetError {
  return new ConnectionResetError(
    'The server has not confirmed a cancel request: it may still arrive, and would cancel a later statement.',
  );
}
