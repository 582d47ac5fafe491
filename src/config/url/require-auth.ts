import type { LoginMethod } from '../../database.options.js';

const SUPPORTED: readonly LoginMethod[] = ['none', 'password', 'md5', 'scram-sha-256'];
/** Methods of libpq that `pg` lacks. They may be listed, but a login by one of them fails. */
const UNSUPPORTED = ['gss', 'sspi', 'oauth'];
const ALL: readonly string[] = [...SUPPORTED, ...UNSUPPORTED];

/**
 * The methods that `require_auth` of a URL allows. It lists either allowed methods (`scram-sha-256,md5`) or excluded ones
 * (`!password,!none`), as in libpq: https://www.postgresql.org/docs/current/libpq-connect.html
 */
export function parseRequireAuth(
  text: string | undefined,
  problems: string[],
): readonly LoginMethod[] | undefined {
  if (text === undefined) return undefined;
  const listed = text.split(',').map((method) => method.trim());
  const isExclusion = listed.every((method) => method.startsWith('!'));
  const methods = isExclusion ? listed.map((method) => method.slice(1)) : listed;
  if (!methods.every((method) => ALL.includes(method))) {
    problems.push(`require_auth is not a list of ${ALL.join(', ')}, all with a ! or all without`);
    return undefined;
  }
  return SUPPORTED.filter((method) => methods.includes(method) !== isExclusion);
}
