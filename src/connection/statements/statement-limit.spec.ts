import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Query } from 'pg';
import { PgInternals } from '../wire/pg-internals.js';
import { StatementLimit } from './statement-limit.js';

/** A fake of the parts of a connection that the limit uses. */
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

const limitOf = (backupLimitMs: number, clientOnlyLimitMs?: () => number, setting?: string) =>
  new StatementLimit(client, new PgInternals(client), backupLimitMs, clientOnlyLimitMs, setting);

/** Advances the timers in steps of 100 ms, and lets the event loop run its immediates after each step. */
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

describe('StatementLimit', () => {
  it('rejects the statement, cancels it, and closes the socket when the cancel has no effect', async () => {
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

  it('does not close the socket of a statement that was cancelled in time, nor of the next one', async () => {
    const limit = limitOf(1_000);
    client.plain();
    limit.onStatementSent();
    await pass(1_000);
    client.plain();
    await pass(5_000);
    expect(client.destroy).not.toHaveBeenCalled();
  });

  it('does not expire while the answer is in the buffer of the socket, after a blocked event loop', async () => {
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

  it('stops when the server is ready', async () => {
    const limit = limitOf(1_000);
    client.plain();
    limit.onStatementSent();
    limit.onReadyForQuery();
    await pass(10_000);
    expect(client.cancelRunning).not.toHaveBeenCalled();
  });

  it('does nothing when it expires for a connection that is ready', async () => {
    const limit = limitOf(1_000);
    limit.onStatementSent();
    client.ready();
    await pass(1_000);
    expect(client.cancelRunning).not.toHaveBeenCalled();
    expect(jest.getTimerCount()).toBe(0);
  });

  it('accepts a client without a list of pipelined statements', () => {
    const limit = limitOf(1_000);
    Object.assign(client, { _sentQueryQueue: undefined });
    limit.onReadyForQuery();
    expect(jest.getTimerCount()).toBe(0);
  });

  describe('with a client-only limit', () => {
    const cancelled = (): Error & { code: string; hint?: string } =>
      Object.assign(new Error('canceling statement due to user request'), { code: '57014' });

    it('leaves the error to the server, names the setting, and closes the socket when no error arrives', async () => {
      const limit = limitOf(6_000, () => 1_000, 'DB_STATEMENT_TIMEOUT');
      const callback = jest.fn();
      client.plain(callback);
      limit.onStatementSent();
      const early = cancelled();
      limit.rewriteCancelError(early);
      expect(early.hint).toBeUndefined();
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
    ])(
      'with a backup limit of %d ms and a client-only limit of %d ms is %d ms',
      (backupMs, clientOnlyMs, expected) => {
        const timers = jest.spyOn(globalThis, 'setTimeout');
        client.plain();
        limitOf(backupMs, () => clientOnlyMs).onStatementSent();
        expect(timers.mock.calls.map(([, ms]) => ms)).toEqual(expected === 0 ? [] : [expected]);
      },
    );

    it('is off as soon as the client-only limit is 0', async () => {
      let clientOnlyMs = 1_000;
      const limit = limitOf(0, () => clientOnlyMs);
      client._activeQuery = {};
      limit.onStatementSent();
      clientOnlyMs = 0;
      await pass(10_000);
      expect(client.cancelRunning).not.toHaveBeenCalled();
      expect(jest.getTimerCount()).toBe(0);
    });
  });

  it('does not keep the process alive', async () => {
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

  it('starts again for a pipelined statement', async () => {
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

  it('counts from the first of several statements that are sent together', async () => {
    const limit = limitOf(1_000);
    client.plain();
    limit.onStatementSent();
    await pass(600);
    limit.onStatementSent();
    await pass(400);
    expect(client.cancelRunning).toHaveBeenCalledTimes(1);
  });

  it('starts no timer when it is off or suspended', async () => {
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

  describe('for a cursor or a COPY', () => {
    it('does not expire while every request has been answered', async () => {
      const limit = limitOf(1_000);
      client._activeQuery = {};
      limit.onStatementSent();
      client.stream.bytesWritten += 5;
      client.stream.bytesRead += 5;
      limit.onPortalSuspended();
      await pass(10_000);
      expect(client.cancelRunning).not.toHaveBeenCalled();
    });

    it('does not expire while bytes arrive', async () => {
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

    it('does not expire while the reader has paused the socket', async () => {
      const limit = limitOf(1_000);
      client._activeQuery = {};
      limit.onStatementSent();
      client.stream.bytesWritten += 5;
      client.stream.isPaused = () => true;
      await pass(10_000);
      expect(client.cancelRunning).not.toHaveBeenCalled();
    });

    it('expires when a request has had no answer for a whole limit', async () => {
      const limit = limitOf(1_000);
      client._activeQuery = {};
      limit.onStatementSent();
      client.stream.bytesWritten += 5;
      await pass(1_000);
      expect(client.cancelRunning).not.toHaveBeenCalled();
      await pass(1_000);
      expect(client.cancelRunning).toHaveBeenCalledTimes(1);
    });

    it('does not expire while no request was sent since the last answer', async () => {
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

    it('expires when the server has sent an error and no ReadyForQuery', async () => {
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

    it('does not expire for a client without a visible socket', async () => {
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

describe('A client-only StatementLimit', () => {
  const cancelled = () =>
    Object.assign(new Error('canceling statement due to user request'), { code: '57014', hint: undefined });

  it('expires when it is over, if the backup limit is longer or off', async () => {
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

  it('leaves the error to the server, and rewrites it as a statement timeout', async () => {
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

  it('closes the socket when the server stays silent, with an error that names the setting', async () => {
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

  it('rewrites no error of a statement that it has not cancelled', async () => {
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

  it('is read for each statement, since a pooler may be detected at any time', async () => {
    let clientOnlyMs = 0;
    const limit = limitOf(0, () => clientOnlyMs);
    client.plain();
    limit.onStatementSent();
    await pass(5_000);
    expect(client.cancelRunning).not.toHaveBeenCalled();
    limit.onReadyForQuery();
    clientOnlyMs = 1_000;
    limit.onStatementSent();
    await pass(1_000);
    expect(client.cancelRunning).toHaveBeenCalledTimes(1);
  });
});
