import { AsyncLocalStorage } from 'node:async_hooks';

/** An acquire that is waiting for a connection. */
export interface PendingAcquire {
  abort(reason: Error): void;
}

/**
 * The scope of one run of a request's handler, or of one transaction. Calls made in it inherit it through AsyncLocalStorage. Sockets,
 * timers and workers keep the scope in which they were created alive, so a scope references nothing large.
 */
export class ExecutionScope {
  /** Pending acquires of this scope and of all scopes inside it. Only the outermost scope has a set. */
  #pendingAcquires: Set<PendingAcquire> | undefined;
  /** Whether the handler or the transaction has settled. Calls that it did not await may still run. */
  isEnded = false;
  /** Returns the name of the request, `GET /users/:id`. Called only when a message is built. Removed when the scope ends. */
  requestName: (() => string) | undefined;

  /**
   * @param parent the scope in which this one began
   * @param isTransaction whether the scope is one transaction and ends with it
   */
  constructor(
    readonly parent?: ExecutionScope,
    readonly isTransaction = false,
  ) {}

  /** @returns a function that removes the acquire again */
  addPendingAcquire(acquire: PendingAcquire): () => void {
    const outermost = this.#outermost;
    const pending = (outermost.#pendingAcquires ??= new Set());
    pending.add(acquire);
    return () => pending.delete(acquire);
  }

  /** Rejects every pending acquire of the request. Leased connections stay leased. */
  cancelAcquires(reason: string): void {
    for (const acquire of [...(this.#outermost.#pendingAcquires ?? [])]) acquire.abort(new Error(reason));
  }

  get #outermost(): ExecutionScope {
    return this.parent ? this.parent.#outermost : this;
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

/** The name of the request around `scope`, `GET /users/:id`; undefined when its handler has settled. */
export function requestNameOf(scope: ExecutionScope): string | undefined {
  for (let at: ExecutionScope | undefined = scope; at; at = at.parent)
    if (at.requestName) return at.requestName();
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
    scope.isEnded = true;
  }
}
