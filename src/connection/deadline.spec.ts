import { once } from 'node:events';
import { createServer, connect } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { describe, expect, it, jest } from '@jest/globals';
import { after } from './deadline.js';

describe('a deadline', () => {
  it('rings once, after its time', async () => {
    const started = performance.now();
    let rung = 0;
    await new Promise<void>((resolve) =>
      after(20, () => {
        rung += 1;
        resolve();
      }),
    );
    expect(performance.now() - started).toBeGreaterThanOrEqual(19);
    await new Promise((resolve) => setTimeout(resolve, 40));
    expect(rung).toBe(1);
  });

  it('rings after what came in while the event loop was blocked', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
    const [peer] = (await once(server, 'connection')) as [Socket];
    const order: string[] = [];
    socket.on('data', () => order.push('answer'));
    const rung = new Promise<void>((resolve) =>
      after(20, () => {
        order.push('deadline');
        resolve();
      }),
    );
    peer.write('answer');
    const until = performance.now() + 60;
    while (performance.now() < until);
    await rung;
    socket.destroy();
    server.close();
    expect(order).toEqual(['answer', 'deadline']);
  });

  it('holds the process until then, unless it is told not to', () => {
    const timers = jest.spyOn(globalThis, 'setTimeout');
    const cancels = [after(1_000, () => undefined), after(1_000, () => undefined, false)];
    expect(timers.mock.results.map(({ value }) => (value as NodeJS.Timeout).hasRef())).toEqual([true, false]);
    timers.mockRestore();
    for (const cancel of cancels) cancel();
  });

  it('is taken back at any moment, the turn between timer and ring included', async () => {
    let rung = 0;
    const cancel = after(5, () => (rung += 1));
    const inTheTurn = after(10, () => (rung += 1));
    // The same due time, registered later: it runs between that timer and its turn.
    setTimeout(() => inTheTurn(), 10);
    cancel();
    await new Promise((resolve) => setTimeout(resolve, 40));
    expect(rung).toBe(0);
  });
});
