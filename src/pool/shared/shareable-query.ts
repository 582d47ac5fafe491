import { NOT_EXECUTED, SharedStatement } from '../../connection/shared/shared-statement.js';
import type { StatementFacts } from '../../connection/statements/statement-texts.js';
import { rethrowFromCaller } from '../../text/call-site.js';
import type { PoolableClient } from '../connections/pooled-connection.js';
import type { Multiplexer } from './multiplexer.js';
import { PlaceOnSharedConnection } from './place-on-shared-connection.js';

/**
 * Runs a statement on a shared connection if it can be shared, and by `runAlone` otherwise.
 * @param runAlone runs it on a connection of its own. With the facts of a text, the wait for that connection may be rejected with
 * a {@link PlaceOnSharedConnection}
 */
export async function queryShareable<C extends PoolableClient>(
  multiplexer: Multiplexer<C>,
  text: unknown,
  values: unknown,
  runAlone: (shareable?: StatementFacts) => Promise<unknown>,
): Promise<unknown> {
  // A config may ask for another form of the rows, a name or types of its own.
  if (typeof text !== 'string' || !Array.isArray(values) || values.length === 0) return runAlone();
  for (let place = multiplexer.choose(text); ;)
    try {
      if (place instanceof SharedStatement) return await place.send(values);
      return await runAlone(place);
    } catch (error) {
      if (error === NOT_EXECUTED) place = undefined;
      else if (error instanceof PlaceOnSharedConnection) place = error.statement;
      else if (place instanceof SharedStatement) rethrowFromCaller(error as Error);
      else throw error;
    }
}
