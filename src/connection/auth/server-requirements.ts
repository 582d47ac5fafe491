import type { ConnectionOptions } from '../connection.options.js';
import { assertDirectTls, verifyFirstByte, verifyTlsStart } from '../wire/handshake-checks.js';
import type { PgWire } from '../wire/pg-internals.js';
import { requireChannelBinding, requireLoginMethods } from './login-checks.js';
import { providePassword } from './password.js';
import { requireServerKind } from './server-kind.js';
import type { QueryingClient } from './server-kind.js';

/** The requirements of the options on the server, beyond what `pg` verifies. */
export class ServerRequirements {
  readonly #client: QueryingClient;
  readonly #verifyKind: ((client: QueryingClient) => Promise<void>) | undefined;
  readonly #reportPassword: ((failure: Error) => void) | undefined;

  /**
   * @param refuse is called during the connect with the error of a requirement that is not met
   * @throws ConnectionError `TLS_DIRECT_REFUSED` when this version of `pg` cannot start TLS as the options demand
   */
  constructor(
    client: QueryingClient,
    wire: PgWire,
    options: ConnectionOptions,
    refuse: (error: Error) => void,
  ) {
    this.#client = client;
    const { passwords, requireAuth, serverKind, sslnegotiation } = options;
    assertDirectTls(sslnegotiation, wire);
    if (!wire.ssl || wire.sslNegotiation !== 'direct')
      verifyFirstByte(wire.stream, wire.ssl ? 'ssl' : 'startup', refuse);
    verifyTlsStart(wire, refuse);
    this.#reportPassword = passwords && providePassword(client, passwords);
    if (options.requireChannelBinding) requireChannelBinding(wire, refuse);
    if (requireAuth) requireLoginMethods(wire, requireAuth, refuse);
    this.#verifyKind = serverKind && requireServerKind(wire, serverKind);
  }

  /** Reports a refused password to its source, so that the next connection does not use it again. */
  onConnectFailed(failure: Error): void {
    this.#reportPassword?.(failure);
  }

  /** To be called after the login. Rejects when the server is not of the required kind; undefined when none is required. */
  verify(): Promise<void> | undefined {
    return this.#verifyKind?.(this.#client);
  }
}
