import { once } from 'node:events';
import { createServer, connect } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { describe, expect, it, jest } from '@jest/globals';
import { LONGEST_TIMER_MS, startDeadline, withTimeout } from './deadline.js';

function blockEventLoop(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until);
}

describe('startDeadline', () => {
  it('expires once, after its time', async () => {
    const started = performance.now();
    let expired = 0;
    await new Promise<void>((resolve) =>
      startDeadline(20, () => {
        expired += 1;
        resolve();
      }),
    );
    expect(performance.now() - started).toBeGreaterThanOrEqual(19);
    await new Promise((resolve) => setTimeout(resolve, 40));
    expect(expired).toBe(1);
  });

  it('expires after the data that arrived while the event loop was blocked has been read', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
    const [peer] = (await once(server, 'connection')) as [Socket];
    const order: string[] = [];
    socket.on('data', () => order.push('answer'));
    const expired = new Promise<void>((resolve) =>
      startDeadline(20, () => {
        order.push('deadline');
        resolve();
      }),
    );
    peer.write('answer');
    blockEventLoop(60);
    await expired;
    socket.destroy();
    server.close();
    expect(order).toEqual(['answer', 'deadline']);
  });

  it('keeps the process alive only when keepsProcessAlive is true', () => {
    const timers = jest.spyOn(globalThis, 'setTimeout');
    const cancels = [startDeadline(1_000, () => undefined), startDeadline(1_000, () => undefined, false)];
    expect(timers.mock.results.map(({ value }) => (value as NodeJS.Timeout).hasRef())).toEqual([true, false]);
    timers.mockRestore();
    for (const cancel of cancels) cancel();
  });

  it('can be cancelled at any time, even between its timer and the read of the sockets', async () => {
    let expired = 0;
    const cancel = startDeadline(5, () => (expired += 1));
    const cancelAfterTimer = startDeadline(10, () => (expired += 1));
    // Due at the same time and registered later: it runs between that timer and its immediate.
    setTimeout(() => cancelAfterTimer(), 10);
    cancel();
    await new Promise((resolve) => setTimeout(resolve, 40));
    expect(expired).toBe(0);
  });

  it.each([Infinity, Number.MAX_SAFE_INTEGER, LONGEST_TIMER_MS + 5_000])(
    'does not expire immediately when %d ms is longer than a timer accepts',
    (ms) => {
      jest.useFakeTimers();
      try {
        const onExpired = jest.fn();
        const cancel = startDeadline(ms, onExpired);
        jest.advanceTimersByTime(LONGEST_TIMER_MS - 1);
        expect(onExpired).not.toHaveBeenCalled();
        cancel();
        expect(jest.getTimerCount()).toBe(0);
      } finally {
        jest.useRealTimers();
      }
    },
  );
});

describe('withTimeout', () => {
  const timeoutError = () => new Error('timed out');

  it('settles as the work does', async () => {
    expect(await withTimeout(Promise.resolve(1), 1_000, timeoutError)).toBe(1);
    await expect(
      withTimeout(Promise.reject(new Error('its own error')), 1_000, timeoutError),
    ).rejects.toThrow('its own error');
  });

  it('rejects with the given error when the time is over', async () => {
    await expect(withTimeout(new Promise(() => undefined), 5, timeoutError)).rejects.toThrow('timed out');
  });

  it('resolves with a result that arrived in time while the event loop was blocked', async () => {
    const answered = new Promise((resolve) => setTimeout(() => setImmediate(resolve, 'in time'), 10));
    const work = withTimeout(answered, 10, timeoutError);
    blockEventLoop(50);
    expect(await work).toBe('in time');
  });
});
