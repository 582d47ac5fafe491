/**
 * What a connection does itself because a pooler stands between it and the server. Read anew at each use: it may become
 * known only after the dial.
 */
export interface SessionTerms {
  /** The client's limit for one statement where the server keeps none. Milliseconds, 0 is off. */
  readonly statementLimitMs: number;
  /** The client's limit for a pause inside a transaction where the server keeps none. Milliseconds, 0 is off. */
  readonly idleInTransactionMs: number;
  /**
   * Whether the server's session is somebody else's after each transaction: it is never cleared then, since DISCARD ALL
   * would clear the stranger's.
   */
  readonly isSessionShared: boolean;
  /** Whether a statement that was prepared by name can be executed by that name later. */
  readonly namedStatements: boolean;
  /**
   * What the two limits are called by whoever has set them, for hints.
   * @defaultValue the names above
   */
  readonly settings?: { readonly statement: string; readonly idleInTransaction: string };
}

/** Without a pooler: the server keeps the limits, and the session is ours. */
export const OWN_SESSION: SessionTerms = {
  statementLimitMs: 0,
  idleInTransactionMs: 0,
  isSessionShared: false,
  namedStatements: true,
};

const UNNAMED = { name: { value: undefined, writable: true, enumerable: true, configurable: true } };

/** The statement without its name, with which it would be looked for where another client had it prepared. */
export function unnamed(request: unknown[]): unknown[] {
  const [config, ...rest] = request as [{ name?: unknown; submit?: unknown } | string | null, ...unknown[]];
  if (typeof config !== 'object' || config === null || !config.name) return request;
  // Not a copy: an object of a class (a tagged template) has its text in a getter of its prototype.
  if (typeof config.submit !== 'function') return [Object.create(config, UNNAMED), ...rest];
  config.name = undefined;
  return request;
}
