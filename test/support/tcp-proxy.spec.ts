import { once } from 'node:events';
import type { Socket, AddressInfo, Server } from 'node:net';
import { connect, createServer } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { startTcpProxy } from './tcp-proxy.js';
import type { TcpProxy } from './tcp-proxy.js';

describe('the TCP fault proxy', () => {
  let echo: Server;
  let atServer: Socket[];
  let clients: Socket[];
  let proxy: TcpProxy;

  beforeEach(async () => {
    atServer = [];
    clients = [];
    echo = createServer((socket) => {
      atServer.push(socket);
      socket.on('error', () => undefined).pipe(socket);
    }).listen(0, '127.0.0.1');
    await once(echo, 'listening');
    proxy = await startTcpProxy({ port: (echo.address() as AddressInfo).port });
  });

  afterEach(async () => {
    for (const socket of [...clients, ...atServer]) socket.destroy();
    await proxy.close();
    echo.close();
  });

  async function connectClient(port = proxy.port): Promise<Socket> {
    const socket = connect(port, '127.0.0.1');
    clients.push(socket);
    await once(socket, 'connect');
    socket.on('error', () => undefined);
    return socket;
  }

  async function ask(socket: Socket, text: string): Promise<string> {
    socket.write(text);
    const [answer] = await once(socket, 'data');
    return String(answer);
  }

  /** When this resolves, bytes that were sent to the server before have arrived. */
  async function roundTripPastTheProxy(): Promise<void> {
    await ask(await connectClient((echo.address() as AddressInfo).port), 'past the proxy');
  }

  async function failure(socket: Socket): Promise<unknown> {
    const [error] = await new Promise<unknown[]>((resolve) => socket.once('error', (...all) => resolve(all)));
    return (error as NodeJS.ErrnoException).code;
  }

  it('passes bytes on in both directions and counts them', async () => {
    const opened = once(proxy, 'connection');
    const client = await connectClient();
    const [connection] = await opened;
    expect(await ask(client, 'hello')).toBe('hello');
    expect(connection.bytes).toEqual({ 'to-server': 5, 'to-client': 5 });
    expect(proxy.connections).toEqual([connection]);
    expect(proxy.total).toBe(1);
  });

  it('passes the end of one side on to the other side', async () => {
    const client = await connectClient();
    await ask(client, 'hello');
    const over = once(proxy, 'close');
    client.end();
    await Promise.all([once(client, 'close'), over]);
    expect(proxy.connections).toEqual([]);
  });

  it('delays each direction', async () => {
    const client = await connectClient();
    await ask(client, 'hello');
    proxy.delay(60);
    const start = performance.now();
    expect(await ask(client, 'late')).toBe('late');
    expect(performance.now() - start).toBeGreaterThanOrEqual(115);
  });

  it('holds the bytes of all connections while frozen, and passes them on afterwards', async () => {
    const old = await connectClient();
    await ask(old, 'hello');
    proxy.freeze();
    const fresh = await connectClient();
    const answers = [once(old, 'data'), once(fresh, 'data')];
    old.write('from the old one');
    fresh.write('from the new one');
    await roundTripPastTheProxy();
    expect([old.bytesRead, fresh.bytesRead]).toEqual([5, 0]);
    expect(atServer[0]?.bytesRead).toBe(5);
    await proxy.pass();
    expect((await Promise.all(answers)).map(String)).toEqual(['from the old one', 'from the new one']);
  });

  it('passes the reset of a client on to the server only after the freeze', async () => {
    const client = await connectClient();
    await ask(client, 'hello');
    proxy.freeze();
    client.resetAndDestroy();
    await roundTripPastTheProxy();
    expect(atServer[0]?.destroyed).toBe(false);
    const gone = new Promise((resolve) => atServer[0]?.once('close', resolve));
    await proxy.pass();
    await gone;
  });

  it('freezes at a chosen chunk', async () => {
    const client = await connectClient();
    await ask(client, 'hello');
    proxy.on('data', (connection, direction) => {
      if (direction === 'to-client') connection.freeze();
    });
    const frozen = once(proxy, 'data');
    client.write('question');
    await frozen;
    await roundTripPastTheProxy();
    expect(client.bytesRead).toBe(5);
    proxy.removeAllListeners('data');
    const answer = once(client, 'data');
    proxy.connections[0]?.pass();
    expect(String(await answer)).toBe('question');
  });

  it('freezes one connection and leaves the others alone', async () => {
    const [frozen, free] = [await connectClient(), await connectClient()];
    await Promise.all([ask(frozen, 'hello'), ask(free, 'hello')]);
    proxy.connections.find((connection) => connection.id === 1)?.freeze();
    frozen.write('held by the proxy');
    expect(await ask(free, 'still there')).toBe('still there');
    expect(frozen.bytesRead).toBe(5);
  });

  it('resets open connections immediately and new ones with their first byte', async () => {
    const client = await connectClient();
    await ask(client, 'hello');
    const lost = failure(client);
    proxy.reset();
    expect(await lost).toBe('ECONNRESET');
    const fresh = await connectClient();
    const refused = failure(fresh);
    fresh.write('hello?');
    expect(await refused).toBe('ECONNRESET');
    await proxy.pass();
    expect(await ask(await connectClient(), 'back')).toBe('back');
  });

  it('forgets open connections, whose next byte is answered by a reset, while new ones work', async () => {
    const client = await connectClient();
    await ask(client, 'hello');
    const gone = new Promise((resolve) => atServer[0]?.once('close', resolve));
    proxy.forget();
    await gone;
    expect(await ask(await connectClient(), 'new')).toBe('new');
    expect(client.readyState).toBe('open');
    const lost = failure(client);
    client.write('still there?');
    expect(await lost).toBe('ECONNRESET');
  });

  it('refuses new connections and keeps the open ones, and listens on the same port again', async () => {
    const client = await connectClient();
    await ask(client, 'hello');
    const { port } = proxy;
    await proxy.refuse();
    await expect(connectClient()).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    expect(await ask(client, 'still here')).toBe('still here');
    await proxy.pass();
    expect(proxy.port).toBe(port);
    expect(await ask(await connectClient(), 'back')).toBe('back');
  });

  it('resets the client when the server does not listen', async () => {
    const unreachable = await startTcpProxy({ port: 1 });
    try {
      const client = connect(unreachable.port, '127.0.0.1');
      clients.push(client);
      expect(await failure(client)).toBe('ECONNRESET');
    } finally {
      await unreachable.close();
    }
  });

  it('stands in front of a PostgreSQL', async () => {
    const url = process.env.TEST_DATABASE_URL ?? '';
    const database = await startTcpProxy({ port: Number(new URL(url).port) });
    const client = new pg.Client(database.through(url));
    try {
      await client.connect();
      expect((await client.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
      database.freeze();
      const pending = client.query('SELECT 2 AS two');
      await roundTripPastTheProxy();
      await database.pass();
      expect((await pending).rows).toEqual([{ two: 2 }]);
    } finally {
      await client.end();
      await database.close();
    }
  });
});
