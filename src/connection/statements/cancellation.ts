import { ConnectionResetError } from '../../errors/connection.errors.js';

/**
 * The cancel requests of one connection, at most one at a time. The server cancels whichever statement is active when the
 * request arrives. Therefore no other statement may be sent while a request is in flight, and the connection cannot be used
 * again after a request that the server has not confirmed.
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
   * @param send resolves when the request is over: with false when the cancel may still arrive, otherwise with true
   * @param onOver is called when the request is over
   */
  request(send: () => Promise<boolean>, onOver: () => void): Promise<void> {
    this.#inFlight ??= send().then((isConfirmed) => {
      this.#isUnconfirmed ||= !isConfirmed;
      this.#inFlight = undefined;
      onOver();
    });
    return this.#inFlight;
  }

  /** Resolves when no request is in flight. Rejects with {@link unconfirmedCancelError} when a cancel may still arrive. */
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
