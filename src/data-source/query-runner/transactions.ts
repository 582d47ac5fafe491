import { isSingleRepeatableStatement } from '../../connection/statements/repeatable-statement.js';
import { DatabaseError } from '../../errors/database.error.js';
import { currentScope, innermostScope, isWithin } from '../execution-scope.js';
import type { ExecutionScope } from '../execution-scope.js';
import type { RequestBorrower } from './borrower.js';

/** What transactions need to know of the request that their runner belongs to. */
type TransactionBorrower = Pick<RequestBorrower, 'name' | 'isHandlerRunning'>;

/** An open transaction of a query runner, or a nested one (a savepoint). */
export interface OpenTransaction {
  /** The scope in which the transaction was started. */
  readonly scope: ExecutionScope | undefined;
  /** Whether the scope belongs to this transaction alone and ends with it. Otherwise it is the scope of a handler, which continues. */
  readonly ownsScope: boolean;
  /**
   * Whether the runner released the connection while the START TRANSACTION, COMMIT or ROLLBACK of this transaction was running. Its
   * success must not change TypeORM's counters, which by then belong to the next transaction.
   */
  isSuperseded?: boolean;
}

/**
 * The transactions of one query runner, and which statements they refuse. This class sends no statements. TypeORM's counters
 * (`isTransactionActive`, `transactionDepth`) stay with the runner.
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
 * Expected rollbacks: a caller of `startTransaction()` or `commitTransaction()` reacts to an error by `rollbackTransaction()`. If the
 * error was that of a nested transaction, the rollback would end the outer transaction instead. The runner therefore records that a
 * rollback of the caller's scope is expected; the next one does not end the outer transaction.
 */
export class RunnerTransactions {
  readonly #borrower: TransactionBorrower | undefined;
  /** The outermost transaction first. The last one may still be starting. */
  readonly #open: OpenTransaction[] = [];
  #starting: OpenTransaction | undefined;
  #isRollingBack = false;
  #aborted: { readonly depth: number; readonly cause: unknown } | undefined;
  /** Scopes that are expected to roll back after the failed start or commit of a nested transaction. */
  #expectedRollbacks: (ExecutionScope | undefined)[] | undefined;
  /** Scopes whose transaction has ended. */
  #endedScopes: WeakSet<ExecutionScope> | undefined;
  #isForciblyEnded = false;
  /** Whether a commit was refused and the transaction rolled back: the caller's own rollback is redundant. */
  #isCommitRefused = false;

  constructor(borrower: TransactionBorrower | undefined) {
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

  /** @param isOutermost whether no transaction is open around it */
  start(transaction: OpenTransaction, isOutermost: boolean): void {
    if (isOutermost) {
      this.#isForciblyEnded = false;
      this.#isCommitRefused = false;
    }
    this.#starting = transaction;
    this.#open.push(transaction);
  }

  /** Reports that the start has succeeded or failed. */
  settleStart(transaction: OpenTransaction): void {
    if (this.#starting === transaction) this.#starting = undefined;
  }

  /** @returns whether the transaction was open. The release of the connection removes all transactions */
  remove(transaction: OpenTransaction): boolean {
    const index = this.#open.indexOf(transaction);
    if (index < 0) return false;
    this.#open.splice(index, 1);
    return true;
  }

  /**
   * Reports that the innermost transaction has ended by COMMIT or ROLLBACK.
   * @param depth the depth of the transaction around it, 0 for none
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

  /** Reports that the server has rolled back all transactions. Their scopes must not continue in autocommit. */
  endAllScopes(): void {
    for (const transaction of this.#open) this.#endScopeOf(transaction);
  }

  /** Reports that the handler has ended with an open transaction. Its code may still be running. */
  endForcibly(): void {
    this.#isForciblyEnded = true;
    this.endAllScopes();
  }

  /** Removes all transactions: the connection was released. */
  clear(): void {
    if (this.#open.length > 0) this.#open.length = 0;
    this.#starting = undefined;
    this.#aborted = undefined;
    this.#expectedRollbacks = undefined;
  }

  /**
   * Refuses every statement but ROLLBACK until the transaction at `depth` is rolled back.
   * @param cause the error of the nested transaction; later calls do not replace it
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

  /** Reports that a COMMIT was refused and the transaction rolled back. */
  refuseCommit(): void {
    this.#isCommitRefused = true;
  }

  /** @returns whether a rollback that is called while no transaction is open follows a refused commit or a forced end: it does nothing */
  takeRedundantRollback(): boolean {
    if (this.#isForciblyEnded) return true;
    const isRefused = this.#isCommitRefused;
    this.#isCommitRefused = false;
    return isRefused;
  }

  /**
   * Records that the code of `scope` is expected to roll back because a nested transaction has failed.
   *
   * In an aborted transaction, the next rollback of the scope is the expected one, whenever it comes. If a start was merely refused, the
   * caller may continue, and a later rollback is that of its own transaction. Then only a rollback in the same turn of the event loop is
   * the expected one.
   */
  expectRollback(scope: ExecutionScope | undefined): void {
    (this.#expectedRollbacks ??= []).push(scope);
    if (this.#aborted) return;
    setImmediate(() => {
      if (!this.#aborted) this.takeExpectedRollback(scope);
    });
  }

  /** @returns whether a rollback of this scope was expected. A second one is not */
  takeExpectedRollback(scope: ExecutionScope | undefined): boolean {
    const index = this.#expectedRollbacks?.indexOf(scope) ?? -1;
    if (index >= 0) this.#expectedRollbacks?.splice(index, 1);
    return index >= 0;
  }

  // ---- refusals ------------------------------------------------------------------------------------------------------

  /**
   * Refuses a transaction that is started concurrently to another one. On one connection the two would nest by chance and commit each
   * other's statements. Code inside the innermost transaction is recognised by its scope. Without scopes, only a start during another
   * start is recognised.
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
   * Refuses statements of an aborted transaction, and late statements of a transaction that has ended, which would run in autocommit. Late
   * statements are recognised by their scope.
   *
   * After a forced end, a statement may also come from a queue that runs the handler's work outside its scope. Such a statement cannot be
   * distinguished from one of an exception filter. Both may read and begin a transaction, but not write outside of one.
   *
   * @throws DatabaseError `TRANSACTION_ABORTED`, `TRANSACTION_ROLLED_BACK`
   */
  refuseStatement(query: string, isTransactionActive: boolean): void {
    if (this.#aborted && !query.startsWith('ROLLBACK'))
      throw new DatabaseError(
        'The transaction is aborted: a nested transaction failed to start or to end. Statements are refused until the rollback.',
        {
          code: 'TRANSACTION_ABORTED',
          hint: 'Rethrow the error of the nested transaction, so that the outer transaction is rolled back.',
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

  /** Whether the running code belongs to a transaction that has ended, and the function of the transaction, or the handler, has settled. */
  isScopeEnded(): boolean {
    if (!this.#endedScopes) return false;
    let isEnded = false;
    for (let scope = innermostScope(); scope; scope = scope.parent) {
      isEnded ||= this.#endedScopes.has(scope);
      if (isEnded && scope.isEnded) return true;
    }
    return false;
  }

  /** The error of a COMMIT in a failed transaction. The server would answer that COMMIT by a ROLLBACK without an error. */
  commitRefusedError(): DatabaseError {
    return new DatabaseError(
      'The transaction was rolled back: a statement in it had failed before the commit.',
      {
        code: 'TRANSACTION_ABORTED',
        hint: 'Rethrow the error of the failed statement, or run the statement in a nested transaction (a savepoint).',
        cause: this.#aborted?.cause,
      },
    );
  }

  endedError(): DatabaseError {
    const of = this.#borrower ? ` of ${this.#borrower.name}` : '';
    return new DatabaseError(`The transaction${of} has ended; this statement of it came too late.`, {
      code: 'TRANSACTION_ROLLED_BACK',
      hint: 'Await all statements of a transaction before its function or the handler returns or throws (Promise.allSettled). Code that continues after that needs a transaction of its own.',
    });
  }

  // ---- statements ----------------------------------------------------------------------------------------------------

  /** Reports that a ROLLBACK of the whole transaction is being sent. */
  startRollback(): void {
    this.#isRollingBack = true;
  }

  settleRollback(): void {
    this.#isRollingBack = false;
  }

  /** Ends the scope of a transaction. The scope of a handler continues after a commit or rollback; only a forced end ends it. */
  #endScopeOf({ scope, ownsScope }: OpenTransaction): void {
    if (scope && (ownsScope || this.#isForciblyEnded)) (this.#endedScopes ??= new WeakSet()).add(scope);
  }
}

/** A transaction in the scope of the running code. */
export function newTransaction(ownsScope: boolean): OpenTransaction {
  return { scope: currentScope(), ownsScope };
}

/** Whether a text is a single query that cannot write. In doubt, false. */
function isRead(query: string): boolean {
  return /^\s*(?:select|values|table)\b/i.test(query) && isSingleRepeatableStatement(query);
}
