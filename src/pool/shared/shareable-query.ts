import { NOT_EXECUTED, SharedStatement } from '../../connection/shared/shared-statement.js';
import type { NotExecuted } from '../../connection/shared/shared-statement.js';
import type { StatementFacts } from '../../connection/statements/statement-texts.js';
import type { PgResult } from '../../connection/wire/pg-internals.js';
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
  let place = multiplexer.choose(text);
  if (!(place instanceof SharedStatement))
    try {
      return await runAlone(place);
    } catch (error) {
      if (!(error instanceof PlaceOnSharedConnection)) throw error;
      place = error.statement;
    }
  let result: PgResult | NotExecuted;
  try {
    result = await place.send(values);
  } catch (error) {
    rethrowFromCaller(error as Error);
  }
  return result === NOT_EXECUTED ? runAlone() : result;
}
