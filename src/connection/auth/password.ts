import type { PasswordSource } from '../../database.options.js';
import { internalsOf } from '../wire/pg-internals.js';

/** SQLSTATEs of a password that is refused: by PostgreSQL itself, and by what it asks (PAM, for tokens of IAM). */
const REFUSALS: readonly unknown[] = ['28P01', '28000'];

/** Clients whose server waits for a password that is not there yet. */
const waiting = new WeakSet<object>();

/** Whether a dial waits for the password, and not for the server. */
export const waitsForPassword = (client: object): boolean => waiting.has(client);

/**
 * Has a client ask `source` when its server wants a password, and not before: one that lets in without needs none.
 * @returns what is to be told of a dial that failed, so that a password that was refused is not used again
 */
export function askForPassword(client: object, source: PasswordSource): (failure: unknown) => void {
  let used: string | undefined;
  internalsOf(client).password = async () => {
    waiting.add(client);
    try {
      used = await source.ask();
      return used;
    } finally {
      waiting.delete(client);
    }
  };
  return (failure) => {
    if (used !== undefined && REFUSALS.includes((failure as { code?: unknown }).code)) source.refused(used);
  };
}
