import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Query } from 'pg';
import { StatementLimit } from './statement-limit.js';

/** The parts of a connection that the limit looks at. */
class Limited {
  readyForQuery = false;
  _activeQuery: unknown;
  _sentQueryQueue: unknown[] = [];
  connection: unknown = { stream: { bytesRead: 10, bytesWritten: 10, isPaused: () => false } };
  readonly cancelRunning = jest.fn(() => Promise.resolve());
  readonly destroy = jest.fn();

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

let client: Limited;
beforeEach(() => {
  jest.useFakeTimers();
  client = new Limited();
});
afterEach(() => {
  jest.useRealTimers();
});

describe('the limit of a statement', () => {
  it('tells the caller first, cancels, and cuts the socket when even that has no answer', () => {
    const limit = new StatementLimit(client, 1_000);
    const callback = jest.fn();
    client.plain(callback);
    limit.start();
    jest.advanceTimersByTime(999);
    expect(callback).not.toHaveBeenCalled();
    jest.advanceTimersByTime(1);
    expect(callback).toHaveBeenCalledWith(expect.objectContaining({ code: 'QUERY_TIMEOUT' }));
    expect(client.cancelRunning).toHaveBeenCalledTimes(1);
    (client._activeQuery as { callback: () => void }).callback();
    expect(callback).toHaveBeenCalledTimes(1);
    jest.advanceTimersByTime(999);
    expect(client.destroy).not.toHaveBeenCalled();
    jest.advanceTimersByTime(1);
    expect(client.destroy).toHaveBeenCalledTimes(1);
  });

  it('does not cut what was cancelled in time, nor the statement after it', () => {
    const limit = new StatementLimit(client, 1_000);
    client.plain();
    limit.start();
    jest.advanceTimersByTime(1_000);
    client.plain();
    jest.advanceTimersByTime(5_000);
    expect(client.destroy).not.toHaveBeenCalled();
  });

  it('is over when the server is ready', () => {
    const limit = new StatementLimit(client, 1_000);
    client.plain();
    limit.start();
    limit.stop();
    jest.advanceTimersByTime(10_000);
    expect(client.cancelRunning).not.toHaveBeenCalled();
  });

  it('finds nothing to do when the server became ready without a word to it', () => {
    const limit = new StatementLimit(client, 1_000);
    limit.start();
    client.ready();
    jest.advanceTimersByTime(1_000);
    expect(client.cancelRunning).not.toHaveBeenCalled();
    expect(jest.getTimerCount()).toBe(0);
  });

  it('begins anew for a statement that was sent ahead', () => {
    const limit = new StatementLimit(client, 1_000);
    client.plain();
    limit.start();
    jest.advanceTimersByTime(900);
    client._sentQueryQueue.push({});
    limit.stop();
    jest.advanceTimersByTime(900);
    expect(client.cancelRunning).not.toHaveBeenCalled();
    jest.advanceTimersByTime(100);
    expect(client.cancelRunning).toHaveBeenCalledTimes(1);
  });

  it('counts from the first of several that are sent at once', () => {
    const limit = new StatementLimit(client, 1_000);
    client.plain();
    limit.start();
    jest.advanceTimersByTime(600);
    limit.start();
    jest.advanceTimersByTime(400);
    expect(client.cancelRunning).toHaveBeenCalledTimes(1);
  });

  it('sets no timer when it is off or left to the borrower', () => {
    new StatementLimit(client, 0).start();
    const limit = new StatementLimit(client, 1_000);
    limit.start();
    limit.suspend();
    limit.start();
    expect(jest.getTimerCount()).toBe(0);
    limit.resume();
    limit.start();
    expect(jest.getTimerCount()).toBe(1);
  });

  describe('whose reader takes its time', () => {
    it('does not come while all that was sent is answered', () => {
      const limit = new StatementLimit(client, 1_000);
      client._activeQuery = {};
      limit.start();
      client.stream.bytesWritten += 5;
      client.stream.bytesRead += 5;
      limit.answered();
      jest.advanceTimersByTime(10_000);
      expect(client.cancelRunning).not.toHaveBeenCalled();
    });

    it('does not come while bytes arrive', () => {
      const limit = new StatementLimit(client, 1_000);
      client._activeQuery = {};
      limit.start();
      client.stream.bytesWritten += 5;
      for (let round = 0; round < 5; round += 1) {
        client.stream.bytesRead += 5;
        jest.advanceTimersByTime(1_000);
      }
      expect(client.cancelRunning).not.toHaveBeenCalled();
    });

    it('does not come while the reader has stopped the socket', () => {
      const limit = new StatementLimit(client, 1_000);
      client._activeQuery = {};
      limit.start();
      client.stream.bytesWritten += 5;
      client.stream.isPaused = () => true;
      jest.advanceTimersByTime(10_000);
      expect(client.cancelRunning).not.toHaveBeenCalled();
    });

    it('comes when something was sent and nothing came back for a whole limit', () => {
      const limit = new StatementLimit(client, 1_000);
      client._activeQuery = {};
      limit.start();
      client.stream.bytesWritten += 5;
      jest.advanceTimersByTime(1_000);
      expect(client.cancelRunning).not.toHaveBeenCalled();
      jest.advanceTimersByTime(1_000);
      expect(client.cancelRunning).toHaveBeenCalledTimes(1);
    });

    it('does not come for a client whose socket cannot be seen', () => {
      client.connection = undefined;
      const limit = new StatementLimit(client, 1_000);
      client._activeQuery = {};
      limit.start();
      limit.answered();
      jest.advanceTimersByTime(10_000);
      expect(client.cancelRunning).not.toHaveBeenCalled();
    });
  });
});
