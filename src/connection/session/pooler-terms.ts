/**
 * The restrictions of a pooler between the client and the server, and the limits that the client enforces instead. A
 * connection reads each property when it needs it: a pooler may be detected after the connect.
 */
export interface PoolerTerms {
  /** The client's limit for one statement, when the server enforces none. Milliseconds, 0 is off. */
  readonly statementLimitMs: number;
  /** The client's limit for an idle transaction, when the server enforces none. Milliseconds, 0 is off. */
  readonly idleInTransactionMs: number;
  /**
   * Whether other clients use the session of the server between the transactions of this one. A reset then sends no DISCARD
   * ALL, which would clear the session of another client.
   */
  readonly isSessionShared: boolean;
  /** Whether a named statement can be executed again without being parsed again. */
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
 * The arguments of `query` without the name of the statement: behind a pooler, the next execution may reach a session of the
 * server that has not parsed the statement.
 */
export function withoutStatementName(request: unknown[]): unknown[] {
  const [config, ...rest] = request as [{ name?: unknown; submit?: unknown } | string | null, ...unknown[]];
  if (typeof config !== 'object' || config === null || !config.name) return request;
  // Not a copy: an object of a class, such as a tagged template, may have its text in a getter of the prototype.
  if (typeof config.submit !== 'function') return [Object.create(config, NO_NAME), ...rest];
  config.name = undefined;
  return request;
}
