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
let stranger: Server;
let strangers: number;
let connection: Connection;

beforeAll(async () => {
  const authority = await createAuthority();
  ca = authority.cert;
  server = await startPostgres({ tls: await authority.issueServer() });
}, 60_000);
afterAll(() => server.dispose());
// On the same port of another address, where a cancel has no business.
beforeEach(async () => {
  strangers = 0;
  stranger = createServer((socket) => {
    strangers += 1;
    socket.destroy();
  }).listen(server.port, '127.0.0.2');
  await once(stranger, 'listening');
});
afterEach(() => {
  jest.restoreAllMocks();
  connection.destroy();
  stranger.close();
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

async function cancelsWhatRuns(): Promise<void> {
  const { processID } = connection as unknown as { processID: number };
  const cancelled = expect(connection.query('SELECT pg_sleep(60)')).rejects.toMatchObject({ code: '57014' });
  const asleep = "SELECT 1 FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'";
  while ((await server.sql(asleep, [processID])).length === 0);
  await connection.cancelRunning();
  expect(strangers).toBe(0);
  await cancelled;
  await connection.whenReadyForQuery();
  // The server has confirmed the cancel, over TLS too: the connection may be lent again.
  expect(connection.reset('smart', 1_000)).toBeUndefined();
}

describe('a cancel', () => {
  it.each([
    ['in plain text', () => ({ ssl: false })],
    ['with TLS, whose certificate is for the name', () => ({ ssl: { ca } })],
  ])(
    'goes to the server that the connection has reached, though its name leads elsewhere by now, %s',
    async (_how, options) => {
      let address = '127.0.0.1';
      jest.spyOn(dns, 'lookup').mockImplementation(((
        _name: string,
        how: dns.LookupOptions,
        done: unknown,
      ) => {
        const found = how.all ? [[{ address, family: 4 }]] : [address, 4];
        process.nextTick(done as () => void, null, ...found);
      }) as never);
      await open(options());
      address = '127.0.0.2';
      await cancelsWhatRuns();
    },
  );

  it('goes by the stream of the caller, as the connection did', async () => {
    const tunnel = () => {
      const socket = new Socket();
      const dial = socket.connect.bind(socket) as (port: number, host: string) => Socket;
      return Object.assign(socket, { connect: () => dial(server.port, '127.0.0.1') });
    };
    await open({ host: '127.0.0.2', stream: tunnel });
    await cancelsWhatRuns();
  });

  it('that gets no stream from the caller changes nothing', async () => {
    let asked = 0;
    await open({
      host: '127.0.0.1',
      stream: () => {
        asked += 1;
        if (asked > 1) throw new Error('no more of them');
        return new Socket();
      },
    });
    const slow = connection.query('SELECT pg_sleep(0.1)');
    await connection.cancelRunning();
    await slow;
    expect(asked).toBe(2);
  });
});
