import { NOT_EXECUTED, SharedStatement } from '../../connection/shared/shared-statement.js';
import type { NotExecuted } from '../../connection/shared/shared-statement.js';
import type { StatementFacts } from '../../connection/statements/statement-texts.js';
import type { PgResult } from '../../connection/wire/pg-internals.js';
import { rethrowFromCaller } from '../../text/call-site.js';
import type { LeasedClient, PoolableClient } from '../connections/pooled-connection.js';
import type { Multiplexer } from './multiplexer.js';

/** Where `query` gets its connections from. */
export interface QueryConnections<C extends PoolableClient> {
  acquire(): Promise<LeasedClient<C>>;
  /** Resolves with a place on a shared connection when one is free before a connection of its own. */
  acquireOrShare(text: StatementFacts): Promise<LeasedClient<C> | SharedStatement>;
}

/**
 * Runs a statement on a shared connection if it can be shared, and on a connection of its own otherwise.
 * @param runAlone runs it on a connection, and releases that
 */
export async function queryShareable<C extends PoolableClient>(
  multiplexer: Multiplexer<C>,
  connections: QueryConnections<C>,
  text: unknown,
  values: unknown,
  runAlone: (acquired: LeasedClient<C> | Promise<LeasedClient<C>>) => Promise<unknown>,
): Promise<unknown> {
  // A config may ask for another form of the rows, a name or types of its own.
  const isPlainCall = typeof text === 'string' && Array.isArray(values) && values.length > 0;
  const chosen = isPlainCall ? multiplexer.choose(text) : undefined;
  if (!chosen) return runAlone(connections.acquire());
  const place = chosen instanceof SharedStatement ? chosen : await connections.acquireOrShare(chosen);
  if (!(place instanceof SharedStatement)) return runAlone(place);
  let result: PgResult | NotExecuted;
  try {
    result = await place.send(values as unknown[]);
  } catch (error) {
    rethrowFromCaller(error as Error);
  }
  return result === NOT_EXECUTED ? runAlone(connections.acquire()) : result;
}
