import { EventEmitter } from 'node:events';
import { beforeEach, describe, expect, it, jest } from '@jest/globals';
import { FakeClient, FakeServer } from '../../../test/support/fake-client.js';
import { VirtualClock, flushPromises } from '../../../test/support/virtual-clock.js';
import { connectClient } from './connect.js';

let clock: VirtualClock;
beforeEach(() => {
  clock = new VirtualClock();
});

describe('connectClient()', () => {
  let server: FakeServer;
  let client: FakeClient;
  beforeEach(() => {
    server = new FakeServer();
    client = new FakeClient(server, {});
  });

  type Hooks = Omit<Parameters<typeof connectClient<FakeClient>>[2], 'connectTimeoutMs'>;
  const start = (hooks: Hooks = {}, connectTimeoutMs = 1_000) =>
    connectClient(client, client, { ...hooks, connectTimeoutMs }, clock);

  it('connects, then runs onConnect, then verify, and leaves no timer', async () => {
    const order: string[] = [];
    await start({
      onConnect: async (opened) => {
        order.push(`onConnect ${String(opened === client && opened.isOpen)}`);
        await flushPromises();
        order.push('onConnect done');
      },
      verify: (opened, done) => {
        order.push(`verify ${String(opened === client)}`);
        done();
      },
    });
    expect(order).toEqual(['onConnect true', 'onConnect done', 'verify true']);
    expect(clock.timerCount).toBe(0);
    expect(client.isClosed).toBe(false);
  });

  it('rejects with the error of the connect, closes the client, and leaves no timer', async () => {
    server.connectError = new Error('refused');
    await expect(start()).rejects.toBe(server.connectError);
    expect(client.isClosed).toBe(true);
    expect(clock.timerCount).toBe(0);
  });

  it.each([
    ['onConnect', { onConnect: () => Promise.reject(new Error('no')) }],
    [
      'onConnect, thrown',
      {
        onConnect: () => {
          throw new Error('no');
        },
      },
    ],
    ['verify', { verify: (_: unknown, done: (error?: Error) => void) => done(new Error('no')) }],
    [
      'verify, by a release with an error',
      { verify: (opened: FakeClient) => opened.release(new Error('no')) },
    ],
  ])('rejects with the error of %s, and closes the client', async (_name, hooks) => {
    await expect(start(hooks)).rejects.toThrow('no');
    expect(client.isClosed).toBe(true);
  });

  it.each([undefined, true])('takes release(%s) in verify for success', async (value) => {
    await start({ verify: (opened) => opened.release(value) });
    expect(client.isClosed).toBe(false);
  });

  it('times out in each of its steps, with the address of the server in the error', async () => {
    for (const hooks of [
      {},
      { onConnect: () => new Promise(() => undefined) },
      { verify: () => undefined },
    ]) {
      client = new FakeClient(server, {});
      server.isConnectManual = hooks.onConnect === undefined && hooks.verify === undefined;
      Object.assign(client, { host: 'db.example', port: 6432 });
      const failed = jest.fn();
      start(hooks).catch(failed);
      await clock.advance(999);
      expect(failed).not.toHaveBeenCalled();
      await clock.advance(1);
      expect(failed).toHaveBeenCalledWith(
        expect.objectContaining({
          code: 'CONNECT_TIMEOUT',
          message: expect.stringMatching(/db\.example:6432.*1000|1000.*db\.example:6432/),
        }),
      );
      expect(client.isClosed).toBe(true);
    }
  });

  it('names "the server" in the error when the client does not know its address', async () => {
    server.isConnectManual = true;
    const failed = jest.fn();
    start().catch(failed);
    await clock.advance(1_000);
    expect(failed).toHaveBeenCalledWith(
      expect.objectContaining({ message: expect.stringContaining('the server') }),
    );
  });

  it('sets no timer without a timeout', async () => {
    server.isConnectManual = true;
    const connected = start({}, Infinity);
    expect(clock.timerCount).toBe(0);
    client.completeConnect();
    await connected;
    client = new FakeClient(server, {});
    const failed = start({}, Infinity);
    client.completeConnect(new Error('refused'));
    await expect(failed).rejects.toThrow('refused');
  });

  it('names the host in the error when the client knows no port', async () => {
    const odd = Object.assign(new EventEmitter(), {
      host: '/run/postgresql',
      connect: () => undefined,
      query: () => undefined,
      end: () => undefined,
    });
    const failed = jest.fn();
    connectClient(odd, client, { connectTimeoutMs: 10 }, clock).catch(failed);
    await clock.advance(10);
    expect(failed).toHaveBeenCalledWith(
      expect.objectContaining({ message: expect.stringContaining('/run/postgresql') }),
    );
  });
});
