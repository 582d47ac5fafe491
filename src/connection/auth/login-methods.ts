import { ConnectionError } from '../../errors/connection.errors.js';
import type { LoginMethod } from '../../database.options.js';
import type { LoginMessages } from './channel-binding.js';

/**
 * Ends a login by a method that is not among `allowed`, before the password is answered with: a server that is not the
 * one that is meant asks for it in plain. What libpq does for `require_auth`.
 * See https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-REQUIRE-AUTH
 */
export function requireLoginMethods(
  wire: LoginMessages,
  allowed: readonly LoginMethod[],
  refuse: (error: Error) => void,
): void {
  let proven: LoginMethod = 'none';
  const judge = (method: LoginMethod) => {
    if (allowed.includes(method)) return;
    const wants = method === 'none' ? 'lets us in without a login' : `asks for a login by ${method}`;
    refuse(
      new ConnectionError(`The server ${wants}, which require_auth does not allow.`, {
        code: 'LOGIN_METHOD_REFUSED',
        hint: 'Have the server ask for one that it allows (pg_hba.conf), or change require_auth (requireAuth).',
      }),
    );
  };
  const answered = (method: LoginMethod) => () => {
    proven = method;
    judge(method);
  };
  wire.on('authenticationCleartextPassword', answered('password'));
  wire.on('authenticationMD5Password', answered('md5'));
  wire.on('authenticationSASL', () => judge('scram-sha-256'));
  // Only now: a server that does not know the password could stop half-way and say that we are in.
  wire.on('authenticationSASLFinal', answered('scram-sha-256'));
  wire.on('authenticationOk', () => judge(proven));
}
