import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Query } from 'pg';
import { PgInternals } from '../wire/pg-internals.js';
import { StatementLimit } from './statement-limit.js';

/** The parts of a connection that the limit looks at. */
class LimitedClient {
  readyForQuery = false;
  _activeQuery: unknown;
  _sentQueryQueue: unknown[] = [];
  connection: unknown = { stream: { bytesRead: 10, bytesWritten: 10, isPaused: () => false } };
  readonly cancelRunning = jest.fn(() => Promise.resolve());
  readonly destroy = jest.fn();

  get isReadyForQuery(): boolean {
    return new PgInternals(this).isReadyForQuery;
  }
  get stream(): { bytesRead: number; bytesWritten: number; isPaused: () => boolean } {
    return (this.connection as { stream: never }).stream;
  }
  plain(callback?: (error: Error) => void): void {
    this._activeQuery = Object.assign(new Query('SELECT 1'), { callback });
  }
  ready(): void {
    this.readyForQuery = true;
    this._activeQuery = null;
  }
}

let client: LimitedClient;

const limitOf = (limitMs: number, clientOnlyLimitMs?: () => number, setting?: string) =>
  new StatementLimit(client, new PgInternals(client), limitMs, clientOnlyLimitMs, setting);

/** Lets time pass; often enough the event loop has a turn, in which what has come in is read. */
async function pass(ms: number): Promise<void> {
  for (let left = ms; left >= 0; left -= 100) {
    jest.advanceTimersByTime(Math.min(left, 100));
    await new Promise((resolve) => setImmediate(resolve));
  }
}

beforeEach(() => {
  jest.useFakeTimers({ doNotFake: ['setImmediate', 'clearImmediate'] });
  client = new LimitedClient();
});
afterEach(() => {
  jest.useRealTimers();
});

describe('the limit of a statement', () => {
  it('tells the caller first, cancels, and cuts the socket when even that has no answer', async () => {
    const limit = limitOf(1_000);
    const callback = jest.fn();
    client.plain(callback);
    limit.onStatementSent();
    await pass(999);
    expect(callback).not.toHaveBeenCalled();
    await pass(1);
    expect(callback).toHaveBeenCalledWith(expect.objectContaining({ code: 'QUERY_TIMEOUT' }));
    expect(client.cancelRunning).toHaveBeenCalledTimes(1);
    (client._activeQuery as { callback: () => void }).callback();
    expect(callback).toHaveBeenCalledTimes(1);
    await pass(999);
    expect(client.destroy).not.toHaveBeenCalled();
    await pass(1);
    expect(client.destroy).toHaveBeenCalledTimes(1);
  });

  it('does not cut what was cancelled in time, nor the statement after it', async () => {
    const limit = limitOf(1_000);
    client.plain();
    limit.onStatementSent();
    await pass(1_000);
    client.plain();
    await pass(5_000);
    expect(client.destroy).not.toHaveBeenCalled();
  });

  it('is not over while the answer lies in the buffer of the socket, after a blocked event loop', async () => {
    const limit = limitOf(1_000);
    client.plain();
    limit.onStatementSent();
    jest.advanceTimersByTime(1_000);
    client.ready();
    limit.onReadyForQuery();
    await pass(10_000);
    expect(client.cancelRunning).not.toHaveBeenCalled();
    client.readyForQuery = false;
    client.plain();
    limit.onStatementSent();
    await pass(1_000);
    jest.advanceTimersByTime(1_000);
    client.ready();
    await pass(0);
    expect(client.cancelRunning).toHaveBeenCalledTimes(1);
    expect(client.destroy).not.toHaveBeenCalled();
  });

  it('is over when the server is ready', async () => {
    const limit = limitOf(1_000);
    client.plain();
    limit.onStatementSent();
    limit.onReadyForQuery();
    await pass(10_000);
    expect(client.cancelRunning).not.toHaveBeenCalled();
  });

  it('finds nothing to do when the server became ready without a word to it', async () => {
    const limit = limitOf(1_000);
    limit.onStatementSent();
    client.ready();
    await pass(1_000);
    expect(client.cancelRunning).not.toHaveBeenCalled();
    expect(jest.getTimerCount()).toBe(0);
  });

  it('is nothing for a client that cannot tell what was sent ahead', () => {
    const limit = limitOf(1_000);
    Object.assign(client, { _sentQueryQueue: undefined });
    limit.onReadyForQuery();
    expect(jest.getTimerCount()).toBe(0);
  });

  describe('that the client keeps alone', () => {
    const cancelled = (): Error & { code: string; hint?: string } =>
      Object.assign(new Error('canceling statement due to user request'), { code: '57014' });

    it('leaves the word to the server, says whose limit it was, and cuts the socket when no word comes', async () => {
      const limit = limitOf(6_000, () => 1_000, 'DB_STATEMENT_TIMEOUT');
      const callback = jest.fn();
      client.plain(callback);
      limit.onStatementSent();
      const stranger = cancelled();
      limit.rewriteCancelError(stranger);
      expect(stranger.hint).toBeUndefined();
      await pass(1_000);
      expect(client.cancelRunning).toHaveBeenCalledTimes(1);
      expect(callback).not.toHaveBeenCalled();
      const error = cancelled();
      limit.rewriteCancelError(error);
      expect(error.hint).toContain('DB_STATEMENT_TIMEOUT');
      const other = Object.assign(cancelled(), { code: '42601' });
      limit.rewriteCancelError(other);
      expect(other.hint).toBeUndefined();
      await pass(1_000);
      expect(client.destroy).toHaveBeenCalledTimes(1);
      limit.onReadyForQuery();
      const later = cancelled();
      limit.rewriteCancelError(later);
      expect(later.hint).toBeUndefined();
    });

    it.each([
      [0, 0, 0],
      [0, 700, 700],
      [500, 700, 500],
      [700, 500, 500],
    ])('beside %d ms of its own, alone %d ms: %d ms', (own, alone, expected) => {
      const timers = jest.spyOn(globalThis, 'setTimeout');
      client.plain();
      limitOf(own, () => alone).onStatementSent();
      expect(timers.mock.calls.map(([, ms]) => ms)).toEqual(expected === 0 ? [] : [expected]);
    });

    it('is off as soon as the server is known to keep one', async () => {
      let alone = 1_000;
      const limit = limitOf(0, () => alone);
      client._activeQuery = {};
      limit.onStatementSent();
      alone = 0;
      await pass(10_000);
      expect(client.cancelRunning).not.toHaveBeenCalled();
      expect(jest.getTimerCount()).toBe(0);
    });
  });

  it('keeps no process alive', async () => {
    const timers = jest.spyOn(globalThis, 'setTimeout');
    const limit = limitOf(1_000);
    client.plain();
    limit.onStatementSent();
    await pass(1_000);
    expect(timers.mock.results.map(({ value }) => (value as NodeJS.Timeout).hasRef())).toEqual([
      false,
      false,
    ]);
  });

  it('begins anew for a statement that was sent ahead', async () => {
    const limit = limitOf(1_000);
    client.plain();
    limit.onStatementSent();
    await pass(900);
    client._sentQueryQueue.push({});
    limit.onReadyForQuery();
    await pass(900);
    expect(client.cancelRunning).not.toHaveBeenCalled();
    await pass(100);
    expect(client.cancelRunning).toHaveBeenCalledTimes(1);
  });

  it('counts from the first of several that are sent at once', async () => {
    const limit = limitOf(1_000);
    client.plain();
    limit.onStatementSent();
    await pass(600);
    limit.onStatementSent();
    await pass(400);
    expect(client.cancelRunning).toHaveBeenCalledTimes(1);
  });

  it('sets no timer when it is off or left to the borrower', async () => {
    const off = limitOf(0);
    off.onStatementSent();
    off.suspend();
    const limit = limitOf(1_000);
    limit.onStatementSent();
    limit.suspend();
    limit.onStatementSent();
    expect(jest.getTimerCount()).toBe(0);
    limit.resume();
    limit.onStatementSent();
    expect(jest.getTimerCount()).toBe(1);
    limit.suspend();
    expect(jest.getTimerCount()).toBe(0);
  });

  describe('whose reader takes its time', () => {
    it('does not come while all that was sent is answered', async () => {
      const limit = limitOf(1_000);
      client._activeQuery = {};
      limit.onStatementSent();
      client.stream.bytesWritten += 5;
      client.stream.bytesRead += 5;
      limit.onPortalSuspended();
      await pass(10_000);
      expect(client.cancelRunning).not.toHaveBeenCalled();
    });

    it('does not come while bytes arrive', async () => {
      const limit = limitOf(1_000);
      client._activeQuery = {};
      limit.onStatementSent();
      client.stream.bytesWritten += 5;
      for (let round = 0; round < 5; round += 1) {
        client.stream.bytesRead += 5;
        await pass(1_000);
      }
      expect(client.cancelRunning).not.toHaveBeenCalled();
    });

    it('does not come while the reader has stopped the socket', async () => {
      const limit = limitOf(1_000);
      client._activeQuery = {};
      limit.onStatementSent();
      client.stream.bytesWritten += 5;
      client.stream.isPaused = () => true;
      await pass(10_000);
      expect(client.cancelRunning).not.toHaveBeenCalled();
    });

    it('comes when something was sent and nothing came back for a whole limit', async () => {
      const limit = limitOf(1_000);
      client._activeQuery = {};
      limit.onStatementSent();
      client.stream.bytesWritten += 5;
      await pass(1_000);
      expect(client.cancelRunning).not.toHaveBeenCalled();
      await pass(1_000);
      expect(client.cancelRunning).toHaveBeenCalledTimes(1);
    });

    it('does not come while nothing was sent since the last answer, whatever had been sent before', async () => {
      const limit = limitOf(1_000);
      client._activeQuery = {};
      limit.onStatementSent();
      await pass(10_000);
      expect(client.cancelRunning).not.toHaveBeenCalled();
      client.stream.bytesWritten += 5;
      limit.onPortalSuspended();
      await pass(10_000);
      expect(client.cancelRunning).not.toHaveBeenCalled();
      client.stream.bytesWritten += 5;
      await pass(2_000);
      expect(client.cancelRunning).toHaveBeenCalledTimes(1);
    });

    it('comes when the server has said an error and never that it is ready', async () => {
      const limit = limitOf(1_000);
      client.plain();
      limit.onStatementSent();
      client.stream.bytesWritten += 5;
      client._activeQuery = null;
      await pass(2_000);
      expect(client.cancelRunning).toHaveBeenCalledTimes(1);
      await pass(1_000);
      expect(client.destroy).toHaveBeenCalledWith(expect.objectContaining({ code: 'QUERY_TIMEOUT' }));
    });

    it('does not come for a client whose socket cannot be seen', async () => {
      client.connection = undefined;
      const limit = limitOf(1_000);
      client._activeQuery = {};
      limit.onStatementSent();
      limit.onPortalSuspended();
      await pass(10_000);
      expect(client.cancelRunning).not.toHaveBeenCalled();
    });
  });
});

describe('the limit of a statement that the client keeps alone', () => {
  const cancelled = () =>
    Object.assign(new Error('canceling statement due to user request'), { code: '57014', hint: undefined });

  it('comes at its own time, where the other one is later or there is none', async () => {
    for (const other of [0, 6_000]) {
      client = new LimitedClient();
      const limit = limitOf(other, () => 1_000);
      client.plain();
      limit.onStatementSent();
      await pass(999);
      expect(client.cancelRunning).not.toHaveBeenCalled();
      await pass(1);
      expect(client.cancelRunning).toHaveBeenCalledTimes(1);
    }
  });

  it("leaves the answer to the server, in the words of the server's own limit", async () => {
    const limit = limitOf(0, () => 1_000);
    const callback = jest.fn();
    client.plain(callback);
    limit.onStatementSent();
    await pass(1_000);
    expect(callback).not.toHaveBeenCalled();
    const error = cancelled();
    limit.rewriteCancelError(error);
    expect(error).toMatchObject({
      message: 'canceling statement due to statement timeout',
      hint: expect.stringContaining('poolerTerms.statementLimitMs'),
    });
    client.ready();
    limit.onReadyForQuery();
    await pass(1_000);
    expect(client.destroy).not.toHaveBeenCalled();
  });

  it('cuts the socket when the server keeps silent, with an error that names the setting', async () => {
    const limit = limitOf(0, () => 1_000);
    client.plain(jest.fn());
    limit.onStatementSent();
    await pass(2_000);
    expect(client.destroy).toHaveBeenCalledWith(
      expect.objectContaining({
        code: 'QUERY_TIMEOUT',
        hint: expect.stringContaining('poolerTerms.statementLimitMs'),
      }),
    );
  });

  it('explains nothing that it has not cancelled itself', async () => {
    const limit = limitOf(0, () => 1_000);
    client.plain();
    limit.onStatementSent();
    const early = cancelled();
    limit.rewriteCancelError(early);
    expect(early.message).toBe('canceling statement due to user request');
    await pass(1_000);
    const other = Object.assign(new Error('division by zero'), { code: '22012' });
    limit.rewriteCancelError(other);
    expect(other.message).toBe('division by zero');
    client.ready();
    limit.onReadyForQuery();
    const late = cancelled();
    limit.rewriteCancelError(late);
    expect(late.hint).toBeUndefined();
  });

  it('is asked for anew with each statement, since a pooler may be found meanwhile', async () => {
    let alone = 0;
    const limit = limitOf(0, () => alone);
    client.plain();
    limit.onStatementSent();
    await pass(5_000);
    expect(client.cancelRunning).not.toHaveBeenCalled();
    limit.onReadyForQuery();
    alone = 1_000;
    limit.onStatementSent();
    await pass(1_000);
    expect(client.cancelRunning).toHaveBeenCalledTimes(1);
  });
});
