/**
 * What a pooler between the client and the server takes from a connection, and the client has to do without or itself.
 * A connection reads each property when it needs it: a pooler may be detected after the connect.
 */
export interface PoolerTerms {
  /** The client's limit for one statement, where the server enforces none. Milliseconds, 0 is off. */
  readonly statementLimitMs: number;
  /** The client's limit for an idle transaction, where the server enforces none. Milliseconds, 0 is off. */
  readonly idleInTransactionMs: number;
  /**
   * Whether other clients use the server's session between the transactions of this one. The connection is never cleared
   * then: DISCARD ALL would clear the session of another client.
   */
  readonly isSessionShared: boolean;
  /** Whether a statement that was prepared by a name can be executed by that name later. */
  readonly allowsNamedStatements: boolean;
  /**
   * The names of the settings that the two limits come from, for hints.
   * @defaultValue the names of the properties above
   */
  readonly settings?: { readonly statement: string; readonly idleInTransaction: string };
}

/** Without a pooler, the server enforces the limits, and the session belongs to this client alone. */
export const NO_POOLER: PoolerTerms = {
  statementLimitMs: 0,
  idleInTransactionMs: 0,
  isSessionShared: false,
  allowsNamedStatements: true,
};

const NO_NAME = { name: { value: undefined, writable: true, enumerable: true, configurable: true } };

/**
 * The arguments of `query` without the name of the statement: behind a pooler, another server session may execute the
 * name, and does not know it.
 */
export function withoutStatementName(request: unknown[]): unknown[] {
  const [config, ...rest] = request as [{ name?: unknown; submit?: unknown } | string | null, ...unknown[]];
  if (typeof config !== 'object' || config === null || !config.name) return request;
  // Inherits from the config instead of copying it: a class (a tagged template) has its text in a getter of its prototype.
  if (typeof config.submit !== 'function') return [Object.create(config, NO_NAME), ...rest];
  config.name = undefined;
  return request;
}
