import type { PasswordSource } from '../../database.options.js';
import { PgInternals } from '../wire/pg-internals.js';

/** SQLSTATEs of a refused password: by PostgreSQL, and by what PostgreSQL asks (PAM, for the tokens of RDS IAM). */
const REFUSED: readonly unknown[] = ['28P01', '28000'];

/** Clients whose password source has not answered yet. */
const waiting = new WeakSet<object>();

/** Whether a client that is connecting waits for its password source, and not for the server. */
export const isWaitingForPassword = (client: object): boolean => waiting.has(client);

/**
 * Has a client take its password from `source` when the server asks for one. A server that asks for none costs no call.
 * @returns a function for the error of a failed connect: it reports a refused password to the source
 */
export function providePassword(client: object, source: PasswordSource): (failure: unknown) => void {
  let used: string | undefined;
  new PgInternals(client).setPasswordFunction(async () => {
    waiting.add(client);
    try {
      used = await source.ask();
      return used;
    } finally {
      waiting.delete(client);
    }
  });
  return (failure) => {
    if (used !== undefined && REFUSED.includes((failure as { code?: unknown }).code)) source.refused(used);
  };
}
