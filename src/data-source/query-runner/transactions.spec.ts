import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { ExecutionScope, runInScope } from '../execution-scope.js';
import { newTransaction, RunnerTransactions } from './transactions.js';
import type { OpenTransaction } from './transactions.js';

const ABORTED = expect.objectContaining({ code: 'TRANSACTION_ABORTED' });
const ROLLED_BACK = expect.objectContaining({ code: 'TRANSACTION_ROLLED_BACK' });
const IN_PROGRESS = expect.objectContaining({ code: 'TRANSACTION_IN_PROGRESS' });

/** A transaction that has started, at the depth of the ones before it. */
function started(transactions: RunnerTransactions, ownsScope = false): OpenTransaction {
  const transaction = newTransaction(ownsScope);
  transactions.start(transaction, transactions.isEmpty);
  transactions.settleStart(transaction);
  return transaction;
}

function thrownBy(work: () => void): unknown {
  try {
    work();
    return undefined;
  } catch (error) {
    return error;
  }
}

describe('the transactions of a query runner', () => {
  it('are listed with the outermost one first', () => {
    const transactions = new RunnerTransactions(undefined);
    const outer = started(transactions);
    const inner = started(transactions);
    expect(transactions.outermost).toBe(outer);
    expect(transactions.innermost).toBe(inner);
    expect(transactions.end(inner, 1)).toBe(true);
    expect(transactions.end(outer, 0)).toBe(true);
    expect(transactions.isEmpty).toBe(true);
  });

  it('end only once', () => {
    const transactions = new RunnerTransactions(undefined);
    const transaction = started(transactions);
    transactions.clear();
    expect(transactions.end(transaction, 0)).toBe(false);
    expect(transactions.end(undefined, 0)).toBe(false);
  });

  describe('when another one starts', () => {
    it('refuse it during a start', () => {
      const transactions = new RunnerTransactions(undefined);
      transactions.start(newTransaction(false), true);
      expect(thrownBy(() => transactions.refuseParallelStart(undefined))).toEqual(IN_PROGRESS);
    });

    it('refuse it from outside the scope of the innermost one, and accept it from inside', () => {
      const transactions = new RunnerTransactions(undefined);
      const scope = new ExecutionScope(undefined, true);
      runInScope(scope, () => started(transactions, true));
      transactions.refuseParallelStart(new ExecutionScope(scope, true));
      expect(thrownBy(() => transactions.refuseParallelStart(new ExecutionScope()))).toEqual(IN_PROGRESS);
    });
  });

  describe('when a nested one has failed to start or to end', () => {
    it('refuse every statement but a ROLLBACK, with the failure as the cause', () => {
      const transactions = new RunnerTransactions(undefined);
      started(transactions);
      const cause = new Error('savepoint');
      transactions.abort(1, cause);
      transactions.abort(1, new Error('a later failure'));
      expect(thrownBy(() => transactions.refuseStatement('SELECT 1', true))).toEqual(ABORTED);
      expect(thrownBy(() => transactions.refuseStatement('SELECT 1', true))).toMatchObject({ cause });
      transactions.refuseStatement('ROLLBACK', true);
      transactions.refuseStatement('ROLLBACK TO SAVEPOINT typeorm_1', true);
    });

    it('accept statements again when the aborted one has ended, and not before', () => {
      const transactions = new RunnerTransactions(undefined);
      started(transactions);
      const aborted = started(transactions);
      const inner = started(transactions);
      transactions.abort(2, new Error('savepoint'));
      transactions.end(inner, 2);
      expect(transactions.isAbortedAt(2)).toBe(true);
      transactions.end(aborted, 1);
      expect(transactions.isAborted).toBe(false);
      transactions.refuseStatement('SELECT 1', true);
    });

    it('expect one rollback by its scope', () => {
      const transactions = new RunnerTransactions(undefined);
      const scope = new ExecutionScope();
      transactions.abort(1, new Error('savepoint'));
      transactions.expectRollback(scope);
      expect(transactions.takeExpectedRollback(new ExecutionScope())).toBe(false);
      expect(transactions.takeExpectedRollback(scope)).toBe(true);
      expect(transactions.takeExpectedRollback(scope)).toBe(false);
    });

    it('expect that rollback until the end of an aborted transaction, and otherwise only in the same turn', async () => {
      const refused = new RunnerTransactions(undefined);
      refused.expectRollback(undefined);
      const aborted = new RunnerTransactions(undefined);
      aborted.abort(1, new Error('savepoint'));
      aborted.expectRollback(undefined);
      await nextTurn();
      await nextTurn();
      expect(refused.takeExpectedRollback(undefined)).toBe(false);
      expect(aborted.takeExpectedRollback(undefined)).toBe(true);
    });
  });

  it('refuse statements beside a ROLLBACK that is under way', () => {
    const transactions = new RunnerTransactions(undefined);
    started(transactions);
    transactions.startRollback();
    expect(thrownBy(() => transactions.refuseStatement('SELECT 1', true))).toEqual(ROLLED_BACK);
    transactions.refuseStatement('ROLLBACK', true);
    transactions.settleRollback();
    transactions.refuseStatement('SELECT 1', true);
  });

  it('refuse late statements of a transaction that has ended, and no others', () => {
    const transactions = new RunnerTransactions(undefined);
    const scope = new ExecutionScope(undefined, true);
    const transaction = runInScope(scope, () => started(transactions, true));
    transactions.end(transaction, 0);
    scope.isEnded = true;
    expect(thrownBy(() => runInScope(scope, () => transactions.refuseStatement('SELECT 1', false)))).toEqual(
      ROLLED_BACK,
    );
    expect(runInScope(scope, () => transactions.isScopeEnded())).toBe(true);
    transactions.refuseStatement('SELECT 1', false);
    runInScope(new ExecutionScope(), () => transactions.refuseStatement('DELETE FROM t', false));
  });

  it('let a handler continue in autocommit after its COMMIT', () => {
    const transactions = new RunnerTransactions({ name: 'GET /', isHandlerRunning: () => true });
    const scope = new ExecutionScope();
    const transaction = runInScope(scope, () => started(transactions));
    transactions.end(transaction, 0);
    scope.isEnded = true;
    runInScope(scope, () => transactions.refuseStatement('DELETE FROM t', false));
  });

  describe('when the handler has ended with one open', () => {
    const ended = (isHandlerRunning = false) => {
      const transactions = new RunnerTransactions({
        name: 'GET /',
        isHandlerRunning: () => isHandlerRunning,
      });
      started(transactions);
      transactions.endForcibly();
      transactions.clear();
      return transactions;
    };

    it('refuse writes of unknown origin by the name of the request, and accept reads', () => {
      const transactions = ended();
      const error = thrownBy(() => transactions.refuseStatement('DELETE FROM t', false));
      expect(error).toEqual(ROLLED_BACK);
      expect((error as Error).message).toContain('GET /');
      expect(thrownBy(() => transactions.refuseStatement('SELECT 1; DELETE FROM t', false))).toEqual(
        ROLLED_BACK,
      );
      transactions.refuseStatement('SELECT 1', false);
    });

    it('accept writes of the next run of the handler, and of a transaction that has begun since', () => {
      ended(true).refuseStatement('DELETE FROM t', false);
      const transactions = ended();
      transactions.refuseStatement('DELETE FROM t', true);
      started(transactions);
      transactions.clear();
      transactions.refuseStatement('DELETE FROM t', false);
    });

    it('make the rollback that follows redundant', () => {
      expect(ended().takeRedundantRollback()).toBe(true);
    });
  });

  it('make the first rollback after a refused COMMIT redundant', () => {
    const transactions = new RunnerTransactions(undefined);
    expect(transactions.takeRedundantRollback()).toBe(false);
    transactions.refuseCommit();
    expect(transactions.takeRedundantRollback()).toBe(true);
    expect(transactions.takeRedundantRollback()).toBe(false);
  });
});
