import { ConnectionError } from '../../errors/connection.errors.js';

/** What tells of the login, message by message. */
export interface LoginMessages {
  on(event: string, listener: (message: never) => void): unknown;
}

/**
 * Ends a login that is not bound to its TLS connection, before the password is answered with: `pg` takes what the server
 * offers, and a man in the middle offers none. What libpq does for `channel_binding=require`.
 * See https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-CHANNEL-BINDING
 */
export function requireChannelBinding(wire: LoginMessages, refuse: (error: Error) => void): void {
  let bound = false;
  let proven = false;
  const refuseUnbound = () =>
    refuse(
      new ConnectionError('The server offers no login that is bound to the TLS connection.', {
        code: 'CHANNEL_BINDING_MISSING',
        hint: 'Turn TLS and scram-sha-256 on at the server, or leave channel_binding=require (requireChannelBinding) out.',
      }),
    );
  wire.on('authenticationSASL', ({ mechanisms }: { mechanisms: string[] }) => {
    bound = mechanisms.includes('SCRAM-SHA-256-PLUS');
    if (!bound) refuseUnbound();
  });
  wire.on('authenticationSASLFinal', () => (proven = bound));
  // Also after an offer that is bound: whoever makes it without knowing the password asks for it in plain next.
  wire.on('authenticationCleartextPassword', refuseUnbound);
  wire.on('authenticationMD5Password', refuseUnbound);
  wire.on('authenticationOk', () => {
    if (!proven) refuseUnbound();
  });
}
