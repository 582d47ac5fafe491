import dns from 'node:dns';
import { once } from 'node:events';
import { Socket, createServer } from 'node:net';
import type { Server } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Connection } from '../../src/pool/index.js';
import type { ConnectionOptions } from '../../src/pool/index.js';
import { createAuthority } from '../support/certificates.js';
import { startPostgres } from '../support/postgres-server.js';
import type { PostgresServer } from '../support/postgres-server.js';

let server: PostgresServer;
let ca: string;
/** A server on the same port of another address, which no cancel request must reach. */
let otherServer: Server;
let otherConnections: number;
let connection: Connection;

beforeAll(async () => {
  const authority = await createAuthority();
  ca = authority.cert;
  server = await startPostgres({ tls: await authority.issueServer() });
}, 60_000);
afterAll(() => server.dispose());
beforeEach(async () => {
  otherConnections = 0;
  otherServer = createServer((socket) => {
    otherConnections += 1;
    socket.destroy();
  }).listen(server.port, '127.0.0.2');
  await once(otherServer, 'listening');
});
afterEach(() => {
  jest.restoreAllMocks();
  connection.destroy();
  otherServer.close();
});

async function open(options: ConnectionOptions): Promise<void> {
  const { username, password } = new URL(server.url);
  connection = new Connection({
    host: 'localhost',
    port: server.port,
    user: username,
    password,
    database: 'app',
    ...options,
  });
  connection.on('error', () => undefined);
  await connection.connect();
}

async function cancelRunningStatement(): Promise<void> {
  const { processID } = connection as unknown as { processID: number };
  const cancelled = expect(connection.query('SELECT pg_sleep(60)')).rejects.toMatchObject({ code: '57014' });
  const sleeping = "SELECT 1 FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'";
  while ((await server.sql(sleeping, [processID])).length === 0);
  await connection.cancelRunning();
  expect(otherConnections).toBe(0);
  await cancelled;
  await connection.whenReadyForQuery();
  // The server has confirmed the cancel, over TLS too: the connection can be leased again.
  expect(connection.reset('smart', 1_000)).toBeUndefined();
}

describe('A cancel request', () => {
  it.each([
    ['in plain text', () => ({ ssl: false })],
    ['with TLS, and verifies the certificate for the name', () => ({ ssl: { ca } })],
  ])(
    'is sent to the address that the connection has reached, even if its name resolves to another one now, %s',
    async (_how, connectionOptions) => {
      let address = '127.0.0.1';
      jest.spyOn(dns, 'lookup').mockImplementation(((
        _name: string,
        options: dns.LookupOptions,
        done: unknown,
      ) => {
        const found = options.all ? [[{ address, family: 4 }]] : [address, 4];
        process.nextTick(done as () => void, null, ...found);
      }) as never);
      await open(connectionOptions());
      address = '127.0.0.2';
      await cancelRunningStatement();
    },
  );

  it('is sent through the stream of the caller when the connection uses one', async () => {
    const tunnel = () => {
      const socket = new Socket();
      const connect = socket.connect.bind(socket) as (port: number, host: string) => Socket;
      return Object.assign(socket, { connect: () => connect(server.port, '127.0.0.1') });
    };
    await open({ host: '127.0.0.2', stream: tunnel });
    await cancelRunningStatement();
  });

  it('is not sent when the stream function of the caller throws, and the statement goes on', async () => {
    let calls = 0;
    await open({
      host: '127.0.0.1',
      stream: () => {
        calls += 1;
        if (calls > 1) throw new Error('no second stream');
        return new Socket();
      },
    });
    const slow = connection.query('SELECT pg_sleep(0.1)');
    await connection.cancelRunning();
    await slow;
    expect(calls).toBe(2);
  });
});
