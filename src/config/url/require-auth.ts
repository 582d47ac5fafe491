import type { LoginMethod } from '../../database.options.js';

/** `none` is a server that asks for nothing: `trust`, or a client certificate alone. */
export const LOGIN_METHODS: readonly LoginMethod[] = ['none', 'password', 'md5', 'scram-sha-256'];
/** Methods of libpq that `pg` does not know, so that a server that asks for them is refused in any case. */
const UNKNOWN_TO_PG = ['gss', 'sspi', 'oauth'];

/**
 * `require_auth` of a URL: the methods by which a server may ask for a login, `scram-sha-256,md5`, or those by which it
 * may not, `!password,!none`. Not both in one list, as in libpq.
 */
export function loginMethods(
  text: string | undefined,
  problems: string[],
): readonly LoginMethod[] | undefined {
  if (text === undefined) return undefined;
  const named = text.split(',').map((method) => method.trim());
  const excluded = named.every((method) => method.startsWith('!'));
  const methods = excluded ? named.map((method) => method.slice(1)) : named;
  const known = [...LOGIN_METHODS, ...UNKNOWN_TO_PG] as readonly string[];
  if (!methods.every((method) => known.includes(method))) {
    problems.push(`require_auth is no list of ${known.join(', ')}, either all with a ! before them or none`);
    return undefined;
  }
  return LOGIN_METHODS.filter((method) => methods.includes(method) !== excluded);
}
