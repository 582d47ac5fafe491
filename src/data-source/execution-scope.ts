import { AsyncLocalStorage } from 'node:async_hooks';

/** An acquire that is waiting for a connection. */
export interface PendingAcquire {
  abort(reason: Error): void;
}

/** The request whose handler runs in a scope. */
export interface ScopeRequest {
  /** `GET /users/:id` */
  readonly name: string;
  /**
   * The acquire is cancelled when the client disconnects.
   * @returns a function that removes the acquire again
   */
  addPendingAcquire(acquire: PendingAcquire): () => void;
}

/**
 * The scope of one run of a request's handler, or of one transaction. Calls made in it inherit it through AsyncLocalStorage. Sockets,
 * timers and workers keep the scope in which they were created alive, so a scope references nothing large.
 */
export class ExecutionScope {
  /** Whether the handler or the transaction has settled. Calls that it did not await may still run. */
  isEnded = false;

  /**
   * @param parent the scope in which this one began
   * @param isTransaction whether the scope is one transaction and ends with it
   * @param request the request, if the scope is a run of its handler; removed when the scope ends
   */
  constructor(
    readonly parent?: ExecutionScope,
    readonly isTransaction = false,
    public request?: ScopeRequest,
  ) {}

  /** Reports that the handler or the transaction has settled. */
  end(): void {
    this.isEnded = true;
    this.request = undefined;
  }
}

/** The innermost scope of the running code. The pool compares scopes to detect transactions that wait for each other. */
const scopes = new AsyncLocalStorage<ExecutionScope>();
let hasTransactionScopes = false;

/** Runs `work` inside `scope`. */
export function runInScope<T>(scope: ExecutionScope, work: () => T): T {
  return scopes.run(scope, work);
}

/** The innermost scope of the running code, whether or not it has ended. */
export function innermostScope(): ExecutionScope | undefined {
  return scopes.getStore();
}

/** The innermost scope of the running code that has not ended. */
export function currentScope(): ExecutionScope | undefined {
  let scope = scopes.getStore();
  while (scope?.isEnded) scope = scope.parent;
  return scope;
}

/** The request around `scope`; undefined when its handler has settled. */
export function requestOf(scope: ExecutionScope | undefined): ScopeRequest | undefined {
  for (let at = scope; at; at = at.parent) if (at.request) return at.request;
  return undefined;
}

/** Whether `scope` is `ancestor`, or inside it. */
export function isWithin(scope: ExecutionScope | undefined, ancestor: ExecutionScope): boolean {
  for (let at = scope; at; at = at.parent) if (at === ancestor) return true;
  return false;
}

/**
 * Gives each transaction that starts from now on a scope of its own. Off by default: the first use of AsyncLocalStorage slows down every
 * promise of the process (on Node 20 a query by an eighth). An app that serves requests has that cost anyway.
 */
export function trackTransactionScopes(): void {
  hasTransactionScopes = true;
}

/** Runs a transaction in a scope of its own, inside the current one. */
export async function runInTransactionScope<T>(work: () => Promise<T>): Promise<T> {
  if (!hasTransactionScopes) return work();
  const scope = new ExecutionScope(currentScope(), true);
  try {
    return await runInScope(scope, work);
  } finally {
    scope.end();
  }
}
