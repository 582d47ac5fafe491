import { isSingleRepeatableStatement } from '../../connection/statements/repeatable-statement.js';
import { DatabaseError } from '../../errors/database.error.js';
import { currentScope, innermostScope, isWithin } from '../execution-scope.js';
import type { ExecutionScope } from '../execution-scope.js';
import type { RequestBorrower } from './borrower.js';

/** An open transaction of a query runner, or a nested one (a savepoint). */
export interface OpenTransaction {
  /** The scope in which it was started. */
  readonly scope: ExecutionScope | undefined;
  /** Whether that scope is this transaction and ends with it; else it is the scope of a handler, which goes on. */
  readonly ownsScope: boolean;
  /** Whether the connection was released while the statement that starts or ends the transaction ran, and the statement succeeded. */
  isSuperseded?: boolean;
}

/**
 * The transactions of one query runner, and which statements they refuse. It sends nothing, and TypeORM's own counters stay with
 * the runner.
 *
 *     none ──start──► open ◄──nested start──► open, one deeper
 *                      │ ▲                        │
 *                      │ └──ROLLBACK, one up──┐   │ a nested start, release or rollback fails
 *                      │                      │   ▼
 *     ended ◄──COMMIT──┴──ROLLBACK─────────── aborted (at the depth that must be rolled back)
 *
 * | state           | entered by                                        | statements that are refused                      |
 * | --------------- | ------------------------------------------------- | ------------------------------------------------ |
 * | none            | a new runner                                      | none                                             |
 * | open            | a start                                           | a second start beside it, from outside its scope |
 * | aborted         | a nested start, release or rollback that failed   | all but a ROLLBACK                               |
 * | rolling back    | a ROLLBACK that is under way                      | all but that ROLLBACK                            |
 * | ended           | COMMIT, ROLLBACK, loss of the connection          | those of the transaction's own scope             |
 * | forcibly ended  | the end of the handler, with a transaction open   | those of its scopes, and writes from elsewhere   |
 *
 * A caller of `startTransaction()` or `commitTransaction()` answers a failure by a rollback. If the failure was that of a nested
 * transaction, this rollback must not end the outer one: it is expected, and does nothing.
 */
export class RunnerTransactions {
  readonly #borrower: RequestBorrower | undefined;
  /** The outermost transaction first. The last one may still be starting. */
  readonly #open: OpenTransaction[] = [];
  #starting: OpenTransaction | undefined;
  #isRollingBack = false;
  #aborted: { readonly depth: number; readonly cause: unknown } | undefined;
  /** Scopes whose rollback in answer to a failed nested start or commit is expected. */
  #expectedRollbacks: (ExecutionScope | undefined)[] | undefined;
  /** Scopes whose transaction has ended. */
  #endedScopes: WeakSet<ExecutionScope> | undefined;
  #isForciblyEnded = false;
  /** Whether a commit has rolled back instead, so that the rollback of its caller has nothing left to do. */
  #isCommitRefused = false;

  constructor(borrower: RequestBorrower | undefined) {
    this.#borrower = borrower;
  }

  get outermost(): OpenTransaction | undefined {
    return this.#open[0];
  }

  get innermost(): OpenTransaction | undefined {
    return this.#open.at(-1);
  }

  get isEmpty(): boolean {
    return this.#open.length === 0;
  }

  includes(transaction: OpenTransaction): boolean {
    return this.#open.includes(transaction);
  }

  // ---- transitions ---------------------------------------------------------------------------------------------------

  /** @param isOutermost whether the transaction is no nested one */
  start(transaction: OpenTransaction, isOutermost: boolean): void {
    if (isOutermost) {
      this.#isForciblyEnded = false;
      this.#isCommitRefused = false;
    }
    this.#starting = transaction;
    this.#open.push(transaction);
  }

  /** The start has succeeded or failed. */
  settleStart(transaction: OpenTransaction): void {
    if (this.#starting === transaction) this.#starting = undefined;
  }

  /** @returns whether the transaction was open: the release of the connection removes all of them at once */
  remove(transaction: OpenTransaction): boolean {
    const index = this.#open.indexOf(transaction);
    if (index < 0) return false;
    this.#open.splice(index, 1);
    return true;
  }

  /**
   * The innermost transaction has ended by COMMIT or ROLLBACK.
   * @param depth that of the transaction around it, 0 for none
   * @returns whether it was open
   */
  end(transaction: OpenTransaction | undefined, depth: number): boolean {
    if (!transaction || !this.remove(transaction)) return false;
    this.#endScopeOf(transaction);
    if (this.#aborted && this.#aborted.depth > depth) {
      this.#aborted = undefined;
      this.#expectedRollbacks = undefined;
    }
    return true;
  }

  /** The server has rolled back all transactions: their scopes must not go on in autocommit. */
  endAllScopes(): void {
    for (const transaction of this.#open) this.#endScopeOf(transaction);
  }

  /** The handler has ended with a transaction open, and its code may still be running. */
  endForcibly(): void {
    this.#isForciblyEnded = true;
    this.endAllScopes();
  }

  /** No transaction is open any more. */
  clear(): void {
    this.#open.length = 0;
    this.#starting = undefined;
    this.#aborted = undefined;
    this.#expectedRollbacks = undefined;
  }

  /**
   * Nothing but a ROLLBACK is sent until the transaction at `depth` is rolled back.
   * @param cause the failure of the nested transaction; the first one counts
   */
  abort(depth: number, cause: unknown): void {
    this.#aborted ??= { depth, cause };
  }

  get isAborted(): boolean {
    return this.#aborted !== undefined;
  }

  isAbortedAt(depth: number): boolean {
    return this.#aborted?.depth === depth;
  }

  /** A COMMIT was refused and the transaction rolled back instead. */
  refuseCommit(): void {
    this.#isCommitRefused = true;
  }

  /** @returns whether the rollback that is called while no transaction is open has nothing to do */
  takeSupersededRollback(): boolean {
    if (this.#isForciblyEnded) return true;
    const isRefused = this.#isCommitRefused;
    this.#isCommitRefused = false;
    return isRefused;
  }

  /**
   * Expects that the code of `scope` answers the failure of a nested transaction by a rollback. A caller that goes on beside a
   * start that was refused rolls back its own transaction, and does so later: unless the transaction is aborted, only a rollback in
   * the same turn of the event loop counts as the answer.
   */
  expectRollback(scope: ExecutionScope | undefined): void {
    (this.#expectedRollbacks ??= []).push(scope);
    if (this.#aborted) return;
    setImmediate(() => {
      if (!this.#aborted) this.takeExpectedRollback(scope);
    });
  }

  /** @returns whether a rollback of this scope was expected; from now on it is not */
  takeExpectedRollback(scope: ExecutionScope | undefined): boolean {
    const index = this.#expectedRollbacks?.indexOf(scope) ?? -1;
    if (index >= 0) this.#expectedRollbacks?.splice(index, 1);
    return index >= 0;
  }

  // ---- refusals ------------------------------------------------------------------------------------------------------

  /**
   * Two transactions at once on one connection would nest by chance and commit each other's statements. Code inside the innermost
   * one is known by its scope; where scopes are not known, only a start during another start is seen.
   * @throws DatabaseError `TRANSACTION_IN_PROGRESS`
   */
  refuseParallelStart(scope: ExecutionScope | undefined): void {
    const innermost = this.innermost?.scope;
    if (!this.#starting && (!innermost || !scope || isWithin(scope, innermost))) return;
    throw new DatabaseError('Another transaction is in progress on this query runner.', {
      code: 'TRANSACTION_IN_PROGRESS',
      hint: 'Run the transactions one after the other, or each on a query runner of its own.',
    });
  }

  /**
   * Refuses what must not be sent: the late statements of a transaction that has ended would run in autocommit. Its own calls are
   * known by their scope. After a forced end, code that comes from elsewhere (a queue whose loop began at the start of the app) cannot
   * be distinguished from an exception filter: it may read and begin a transaction, and may not write outside of one.
   * @throws DatabaseError `TRANSACTION_ABORTED`, `TRANSACTION_ROLLED_BACK`
   */
  refuseStatement(query: string, isTransactionActive: boolean): void {
    if (this.#aborted && !query.startsWith('ROLLBACK'))
      throw new DatabaseError(
        'The transaction is aborted: a nested transaction in it did not start, or did not end. It sends nothing more.',
        {
          code: 'TRANSACTION_ABORTED',
          hint: 'Let the error of the nested transaction through, so that the outer transaction is rolled back.',
          cause: this.#aborted.cause,
        },
      );
    if (this.#isRollingBack && query !== 'ROLLBACK') throw this.endedError();
    if (this.#endedScopes) this.refuseEndedScope();
    if (!this.#isForciblyEnded || isTransactionActive || this.#borrower?.isHandlerRunning()) return;
    if (!isRead(query)) throw this.endedError();
  }

  /** @throws DatabaseError `TRANSACTION_ROLLED_BACK` for code of a transaction that has ended */
  refuseEndedScope(): void {
    if (this.isScopeEnded()) throw this.endedError();
  }

  /** Whether the running code belongs to a transaction that has ended, and that transaction's code, or the handler around it, has settled. */
  isScopeEnded(): boolean {
    if (!this.#endedScopes) return false;
    let isEnded = false;
    for (let scope = innermostScope(); scope; scope = scope.parent) {
      isEnded ||= this.#endedScopes.has(scope);
      if (isEnded && scope.isEnded) return true;
    }
    return false;
  }

  /** A COMMIT of an aborted transaction. The server would answer it with a ROLLBACK and no error, and the work would be lost. */
  commitRefusedError(): DatabaseError {
    return new DatabaseError(
      'The transaction was rolled back: a statement in it had failed before the commit.',
      {
        code: 'TRANSACTION_ABORTED',
        hint: 'Let the error of the failed statement through, or put the statement into a nested transaction (a savepoint).',
        cause: this.#aborted?.cause,
      },
    );
  }

  endedError(): DatabaseError {
    const of = this.#borrower ? ` of ${this.#borrower.name}` : '';
    return new DatabaseError(`The transaction${of} has ended, and a statement of it comes too late.`, {
      code: 'TRANSACTION_ROLLED_BACK',
      hint: 'Await everything that works in a transaction before its function or the handler returns or throws (Promise.allSettled). Code that begins something new after that begins a transaction of its own.',
    });
  }

  // ---- statements ----------------------------------------------------------------------------------------------------

  /** A ROLLBACK of the whole transaction is sent. */
  startRollback(): void {
    this.#isRollingBack = true;
  }

  settleRollback(): void {
    this.#isRollingBack = false;
  }

  /** The scope of one transaction ends with it; that of a handler goes on after a commit, and not after a forced end. */
  #endScopeOf({ scope, ownsScope }: OpenTransaction): void {
    if (scope && (ownsScope || this.#isForciblyEnded)) (this.#endedScopes ??= new WeakSet()).add(scope);
  }
}

/** A transaction that the running code starts. */
export function newTransaction(ownsScope: boolean): OpenTransaction {
  return { scope: currentScope(), ownsScope };
}

/** Whether a text is one query that cannot write by itself. In doubt it can. */
function isRead(query: string): boolean {
  return /^\s*(?:select|values|table)\b/i.test(query) && isSingleRepeatableStatement(query);
}
