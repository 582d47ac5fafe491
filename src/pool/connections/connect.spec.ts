import { EventEmitter } from 'node:events';
import { beforeEach, describe, expect, it, jest } from '@jest/globals';
import { FakeClient, FakeServer } from '../../../test/support/fake-client.js';
import { VirtualClock, settled } from '../../../test/support/virtual-clock.js';
import { ConnectBackoff, connectClient, isWaking } from './connect.js';

let clock: VirtualClock;
beforeEach(() => {
  clock = new VirtualClock();
});

describe('a dial', () => {
  let server: FakeServer;
  let client: FakeClient;
  beforeEach(() => {
    server = new FakeServer();
    client = new FakeClient(server, {});
  });

  const start = (hooks: Parameters<typeof connectClient<FakeClient>>[2] = {}, timeoutMs = 1_000) =>
    connectClient(client, client, hooks, clock, timeoutMs);

  it('connects, then runs onConnect, then verify, and leaves no timer', async () => {
    const order: string[] = [];
    await start({
      onConnect: async (opened) => {
        order.push(`onConnect ${String(opened === client && opened.opened)}`);
        await settled();
        order.push('onConnect done');
      },
      verify: (opened, done) => {
        order.push(`verify ${String(opened === client)}`);
        done();
      },
    });
    expect(order).toEqual(['onConnect true', 'onConnect done', 'verify true']);
    expect(clock.timers).toBe(0);
    expect(client.closed).toBe(false);
  });

  it('fails with the error of the connect, closes the client, and leaves no timer', async () => {
    server.connectError = new Error('refused');
    await expect(start()).rejects.toBe(server.connectError);
    expect(client.closed).toBe(true);
    expect(clock.timers).toBe(0);
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
  ])('fails with the error of %s, and closes the client', async (_name, hooks) => {
    await expect(start(hooks)).rejects.toThrow('no');
    expect(client.closed).toBe(true);
  });

  it.each([undefined, true])('takes a release(%s) in verify for a yes', async (value) => {
    await start({ verify: (opened) => opened.release(value) });
    expect(client.closed).toBe(false);
  });

  it('is over at its deadline, in whatever step it is, with the address in the error', async () => {
    for (const hooks of [
      {},
      { onConnect: () => new Promise(() => undefined) },
      { verify: () => undefined },
    ]) {
      client = new FakeClient(server, {});
      server.slow = hooks.onConnect === undefined && hooks.verify === undefined;
      Object.assign(client, { host: 'db.example', port: 6432 });
      const failed = jest.fn();
      start(hooks).catch(failed);
      await clock.pass(999);
      expect(failed).not.toHaveBeenCalled();
      await clock.pass(1);
      expect(failed).toHaveBeenCalledWith(
        expect.objectContaining({
          code: 'CONNECT_TIMEOUT',
          message: expect.stringMatching(/db\.example:6432.*1000|1000.*db\.example:6432/),
        }),
      );
      expect(client.closed).toBe(true);
    }
  });

  it('names the server when the client does not know its address', async () => {
    server.slow = true;
    const failed = jest.fn();
    start().catch(failed);
    await clock.pass(1_000);
    expect(failed).toHaveBeenCalledWith(
      expect.objectContaining({ message: expect.stringContaining('the server') }),
    );
  });

  it('has no deadline when it is given none', async () => {
    server.slow = true;
    const opened = start({}, Infinity);
    expect(clock.timers).toBe(0);
    client.answer();
    await opened;
    client = new FakeClient(server, {});
    const failed = start({}, Infinity);
    client.answer(new Error('refused'));
    await expect(failed).rejects.toThrow('refused');
  });

  it('with clients that know no port still says where it went', async () => {
    const odd = Object.assign(new EventEmitter(), {
      host: '/run/postgresql',
      connect: () => undefined,
      query: () => undefined,
      end: () => undefined,
    });
    const failed = jest.fn();
    connectClient(odd, client, {}, clock, 10).catch(failed);
    await clock.pass(10);
    expect(failed).toHaveBeenCalledWith(
      expect.objectContaining({ message: expect.stringContaining('/run/postgresql') }),
    );
  });
});

it.each([
  ['the database system is starting up', '57P03', true],
  ['Control plane request failed', 'XX000', true],
  ['Too many connections attempts', 'XX000', true],
  ['sorry, too many clients already', '53300', false],
  ['password authentication failed for user "app"', '28P01', false],
])('a server that says "%s" (%s) is about to serve: %s', (message, code, waking) => {
  expect(isWaking(Object.assign(new Error(message), { code }))).toBe(waking);
});

describe('the pauses between dials that fail', () => {
  it('are none before the first failure, however many dials are under way', () => {
    const backoff = new ConnectBackoff(clock);
    expect([backoff.nextAttempt(0), backoff.nextAttempt(7)]).toEqual([-Infinity, -Infinity]);
  });

  it('begin with 10 ms and double up to a second', async () => {
    const backoff = new ConnectBackoff(clock);
    const pauses: number[] = [];
    for (let failure = 0; failure < 9; failure += 1) {
      backoff.recordFailure(new Error(`failure ${failure}`), Infinity);
      pauses.push(backoff.nextAttempt(0) - clock.now());
      await clock.pass(5_000);
    }
    expect(pauses).toEqual([10, 20, 40, 80, 160, 320, 640, 1_000, 1_000]);
    expect(backoff.lastError?.message).toBe('failure 8');
  });

  it('let one dial be under way at a time, and a further one for each second that it hangs', () => {
    const backoff = new ConnectBackoff(clock);
    backoff.recordFailure(new Error('refused'), Infinity);
    backoff.recordStart();
    expect(backoff.nextAttempt(1)).toBe(clock.now() + 1_000);
    expect(backoff.nextAttempt(0)).toBe(clock.now() + 10);
  });

  it('are forgotten with the first success: the next failure begins anew', () => {
    const backoff = new ConnectBackoff(clock);
    for (let failure = 0; failure < 5; failure += 1) backoff.recordFailure(new Error('refused'), Infinity);
    backoff.recordSuccess();
    expect(backoff.lastError).toBeUndefined();
    expect([backoff.nextAttempt(0), backoff.nextAttempt(3)]).toEqual([-Infinity, -Infinity]);
    backoff.recordFailure(new Error('refused'), Infinity);
    expect(backoff.nextAttempt(0)).toBe(clock.now() + 10);
  });
});
