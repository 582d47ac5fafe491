import type { PasswordSource } from '../../database.options.js';
import { PgInternals } from '../wire/pg-internals.js';

/** SQLSTATEs of a refused password: by PostgreSQL itself, and by PAM, which checks the tokens of RDS IAM. */
const REFUSED: readonly unknown[] = ['28P01', '28000'];

/** Clients whose password source has not answered yet. */
const waitingClients = new WeakSet<object>();

/** Whether a client that is connecting waits for its password source, and not for the server. */
export const isWaitingForPassword = (client: object): boolean => waitingClients.has(client);

/**
 * Makes a client get its password from `source`, which is called only when the server requests a password.
 * @returns a function for the error of a failed connect: it reports a refused password to the source
 */
export function providePassword(client: object, source: PasswordSource): (failure: unknown) => void {
  let used: string | undefined;
  new PgInternals(client).setPasswordFunction(async () => {
    waitingClients.add(client);
    try {
      used = await source.ask();
      return used;
    } finally {
      waitingClients.delete(client);
    }
  });
  return (failure) => {
    if (used !== undefined && REFUSED.includes((failure as { code?: unknown }).code)) source.refused(used);
  };
}
