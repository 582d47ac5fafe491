import { requireChannelBinding } from './channel-binding.js';
import type { ConnectionOptions } from '../connection.options.js';
import { requireLoginMethods } from './login-methods.js';
import { askForPassword } from './password.js';
import type { PgWire } from '../wire/pg-internals.js';
import { requireServerKind } from './server-kind.js';
import { assertDirect, beginTls } from '../wire/tls-start.js';

/** What is demanded of whom a connection dials, beyond what `pg` sees to. */
export interface ServerRequirements {
  /** The dial has failed, so. */
  onFailed(failure: Error): void;
  /** The login is over: rejects when the server is not of the kind that is wanted; undefined when any will do. */
  verify(): Promise<void> | undefined;
}

/** @param refuse ends the dial with an error */
export function serverRequirements(
  client: Parameters<ReturnType<typeof requireServerKind>>[0],
  wire: PgWire,
  given: ConnectionOptions,
  refuse: (error: Error) => void,
): ServerRequirements {
  const { passwords, requireAuth, serverKind } = given;
  assertDirect(given.sslnegotiation, wire);
  beginTls(wire, refuse);
  const passwordFailed = passwords && askForPassword(client, passwords);
  if (given.requireChannelBinding) requireChannelBinding(wire, refuse);
  if (requireAuth) requireLoginMethods(wire, requireAuth, refuse);
  const judge = serverKind && requireServerKind(wire, serverKind);
  return {
    onFailed: (failure) => passwordFailed?.(failure),
    verify: () => judge?.(client),
  };
}
