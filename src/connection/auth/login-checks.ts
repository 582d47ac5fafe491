import { ConnectionError } from '../../errors/connection.errors.js';
import type { LoginMethod } from '../../database.options.js';
import type { WireEventSource } from '../wire/pg-internals.js';

/**
 * Refuses a login that is not bound to its TLS connection, before the client answers with the password. `pg` accepts what
 * the server offers, and a man in the middle offers no binding. As libpq does for `channel_binding=require`:
 * https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-CHANNEL-BINDING
 * @param refuse is called with a ConnectionError `CHANNEL_BINDING_MISSING`
 */
export function requireChannelBinding(wire: WireEventSource, refuse: (error: Error) => void): void {
  let isBound = false;
  let isProven = false;
  const refuseUnbound = () =>
    refuse(
      new ConnectionError('The server offers no login that is bound to the TLS connection.', {
        code: 'CHANNEL_BINDING_MISSING',
        hint: 'Turn TLS and scram-sha-256 on at the server, or remove channel_binding=require (requireChannelBinding).',
      }),
    );
  wire.on('authenticationSASL', ({ mechanisms }) => {
    isBound = mechanisms.includes('SCRAM-SHA-256-PLUS');
    if (!isBound) refuseUnbound();
  });
  wire.on('authenticationSASLFinal', () => (isProven = isBound));
  // Even after an offer with binding: an impostor that does not know the password then asks for it in plain text.
  wire.on('authenticationCleartextPassword', refuseUnbound);
  wire.on('authenticationMD5Password', refuseUnbound);
  wire.on('authenticationOk', () => {
    if (!isProven) refuseUnbound();
  });
}

/**
 * Refuses a login by a method that is not in `allowed`, before the client answers with the password. Otherwise an impostor
 * could request the password in plain text. As libpq does for `require_auth`:
 * https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-REQUIRE-AUTH
 * @param refuse is called with a ConnectionError `LOGIN_METHOD_REFUSED`
 */
export function requireLoginMethods(
  wire: WireEventSource,
  allowed: readonly LoginMethod[],
  refuse: (error: Error) => void,
): void {
  let completed: LoginMethod = 'none';
  const verify = (method: LoginMethod) => {
    if (allowed.includes(method)) return;
    const found = method === 'none' ? 'requires no login' : `asks for a login by ${method}`;
    refuse(
      new ConnectionError(`The server ${found}, which require_auth does not allow.`, {
        code: 'LOGIN_METHOD_REFUSED',
        hint: 'Change the method of the server (pg_hba.conf), or require_auth (requireAuth).',
      }),
    );
  };
  const complete = (method: LoginMethod) => () => {
    completed = method;
    verify(method);
  };
  wire.on('authenticationCleartextPassword', complete('password'));
  wire.on('authenticationMD5Password', complete('md5'));
  wire.on('authenticationSASL', () => verify('scram-sha-256'));
  // Not earlier: a server that does not know the password could accept the login before SCRAM is complete.
  wire.on('authenticationSASLFinal', complete('scram-sha-256'));
  wire.on('authenticationOk', () => verify(completed));
}
