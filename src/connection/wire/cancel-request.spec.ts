import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, Socket } from 'node:net';
import type { AddressInfo, Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TLSSocket } from 'node:tls';
import { afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { createAuthority } from '../../../test/support/certificates.js';
import type { CertificateAuthority, IssuedCertificate } from '../../../test/support/certificates.js';
import { sendCancelRequest } from './cancel-request.js';

/** CancelRequest of process 7 with the key 8. */
const CANCEL = '00000010' + '04d2162e' + '00000007' + '00000008';
const SSL_REQUEST = '00000008' + '04d2162f';

let authority: CertificateAuthority;
let ca: string;
let certificate: IssuedCertificate;
beforeAll(async () => {
  authority = await createAuthority();
  ca = authority.cert;
  certificate = await authority.issueServer();
});

let server: Server | undefined;
const sockets: Socket[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
  server?.close();
  server = undefined;
});

/** Starts a server whose sockets `handle` serves. Returns a client that has connected to it. */
async function listen(handle: (socket: Socket) => void, where: string | number = 0) {
  // Half-open: each side must close its half of a socket.
  server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.push(socket.on('error', () => undefined));
    handle(socket);
  });
  server.listen(typeof where === 'number' ? { port: where, host: '127.0.0.1' } : { path: where });
  await once(server, 'listening');
  const address = server.address() as AddressInfo | string;
  return {
    processID: 7,
    secretKey: 8,
    host: '127.0.0.1',
    port: typeof address === 'string' ? 5432 : address.port,
  };
}
/** Records the first bytes in hex. */
const receive = (socket: Socket, received: string[], then: () => void): void =>
  void socket.once('data', (bytes: Buffer) => {
    received.push(bytes.toString('hex'));
    then();
  });
/** Completes TLS, and records the first bytes in it. */
const receiveEncrypted = (socket: Socket, received: string[], options: object = {}): void => {
  const secure = new TLSSocket(socket, { isServer: true, ...certificate, ...options });
  secure.on('error', () => undefined);
  receive(secure, received, () => secure.end());
};

describe('A cancel request', () => {
  it('contains the key of the connection, and is over when the server closes the socket', async () => {
    const received: string[] = [];
    const client = await listen((socket) => receive(socket, received, () => socket.end()));
    expect(await sendCancelRequest(client, 60_000)).toBe(true);
    expect(received).toEqual([CANCEL]);
  });

  it('is sent on a Unix socket too', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'cancel-'));
    try {
      const received: string[] = [];
      const client = await listen(
        (socket) => receive(socket, received, () => socket.end()),
        join(folder, '.s.PGSQL.5432'),
      );
      await sendCancelRequest({ ...client, host: folder }, 60_000);
      expect(received).toEqual([CANCEL]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('is encrypted when the connection is, after the server has accepted TLS', async () => {
    const plain: string[] = [];
    const encrypted: string[] = [];
    const client = await listen((socket) =>
      receive(socket, plain, () => {
        socket.write('S');
        receiveEncrypted(socket, encrypted);
      }),
    );
    expect(await sendCancelRequest({ ...client, ssl: { ca } }, 60_000)).toBe(true);
    expect([plain, encrypted]).toEqual([[SSL_REQUEST], [CANCEL]]);
  });

  it('is sent to the address that the connection has reached, and verifies the certificate of the name', async () => {
    for (const servername of [undefined, 'other.invalid']) {
      const own = await authority.issueServer({ hosts: [servername ?? 'db.invalid'] });
      const received: string[] = [];
      const client = await listen((socket) =>
        receiveEncrypted(socket, received, { ...own, ALPNProtocols: ['postgresql'] }),
      );
      const connection = { stream: { remoteAddress: '127.0.0.1' } };
      const ssl = { ca, ...(servername && { servername }) };
      const connected = { ...client, host: 'db.invalid', connection, ssl, sslNegotiation: 'direct' };
      await sendCancelRequest(connected, 60_000);
      expect(received).toEqual([CANCEL]);
      server!.close();
    }
  });

  it('is sent through the stream of the caller when the connection uses one', async () => {
    const received: string[] = [];
    const client = await listen((socket) => receive(socket, received, () => socket.end()));
    const hosts: unknown[] = [];
    const own = () => {
      const socket = new Socket();
      const connect = socket.connect.bind(socket) as (port: number, host: string) => Socket;
      return Object.assign(socket, {
        connect: (_port: number, host: string) => {
          hosts.push(host);
          return connect(client.port, '127.0.0.1');
        },
      });
    };
    const connection = { stream: { remoteAddress: '127.0.0.2' } };
    await sendCancelRequest({ ...client, host: 'db.invalid', connection }, 60_000, own);
    expect([received, hosts]).toEqual([[CANCEL], ['db.invalid']]);
    const none = () => {
      throw new Error('no stream');
    };
    await sendCancelRequest(client, 60_000, none);
    expect(received).toHaveLength(1);
  });

  it('is sent to the given host when that is an address, and ignores a stream that is no function', async () => {
    const received: string[] = [];
    const client = await listen((socket) => receive(socket, received, () => socket.end()));
    const connection = { stream: { remoteAddress: '127.0.0.2' } };
    await sendCancelRequest({ ...client, connection }, 60_000, { once: 'used' });
    expect(received).toEqual([CANCEL]);
  });

  it('starts with direct TLS when the connection did', async () => {
    const received: string[] = [];
    const client = await listen((socket) =>
      receiveEncrypted(socket, received, { ALPNProtocols: ['postgresql'] }),
    );
    await sendCancelRequest({ ...client, ssl: { ca }, sslNegotiation: 'direct' }, 60_000);
    expect(received).toEqual([CANCEL]);
  });

  describe('does not send its key, and is over immediately,', () => {
    it.each(['N', 'E', 'HTTP'])('when the server has no TLS (%s)', async (answer) => {
      const received: string[] = [];
      const client = await listen((socket) => {
        socket.on('data', (bytes) => {
          received.push(bytes.toString('hex'));
          socket.write(answer);
        });
      });
      await sendCancelRequest({ ...client, ssl: { ca } }, 60_000);
      expect(received).toEqual([SSL_REQUEST]);
    });

    it('when another server answers', async () => {
      const received: string[] = [];
      const other = await (await createAuthority()).issueServer();
      const client = await listen((socket) =>
        socket.once('data', () => {
          socket.write('S');
          receiveEncrypted(socket, received, other);
        }),
      );
      expect(await sendCancelRequest({ ...client, ssl: { ca } }, 60_000)).toBe(true);
      expect(received).toEqual([]);
    });

    it('when plain text follows the consent to TLS', async () => {
      const received: string[] = [];
      const client = await listen((socket) =>
        socket.once('data', () => {
          socket.write('SR');
          socket.on('data', (bytes) => received.push(bytes.toString('hex')));
        }),
      );
      expect(await sendCancelRequest({ ...client, ssl: { ca } }, 60_000)).toBe(true);
      expect(received).toEqual([]);
    });

    it('when the server does not confirm that it is PostgreSQL', async () => {
      const received: string[] = [];
      const client = await listen((socket) => receiveEncrypted(socket, received));
      await sendCancelRequest({ ...client, ssl: { ca }, sslNegotiation: 'direct' }, 60_000);
      expect(received).toEqual([]);
    });

    it('when no server listens', async () => {
      const client = await listen(() => undefined);
      server!.close();
      expect(await sendCancelRequest(client, 60_000)).toBe(true);
    });
  });

  it('is given up when the server does not close the socket in time', async () => {
    let ended: Promise<unknown> | undefined;
    const client = await listen((socket) => {
      ended = once(socket.resume(), 'end');
    });
    expect(await sendCancelRequest(client, 20)).toBe(false);
    await ended;
  });

  it('may still arrive when the socket has failed after it', async () => {
    const client = await listen((socket) => socket.once('data', () => socket.resetAndDestroy()));
    expect(await sendCancelRequest(client, 60_000)).toBe(false);
  });

  it('is over when the stream of the caller cannot connect', async () => {
    const client = await listen(() => undefined);
    const socket = Object.assign(new Socket(), {
      connect: () => {
        throw new Error('no stream');
      },
    });
    expect(await sendCancelRequest(client, 60_000, () => socket)).toBe(true);
    expect(socket.destroyed).toBe(true);
  });

  it('is not sent for a connection that has no key', async () => {
    let connections = 0;
    const client = await listen((socket) => {
      connections += 1;
      socket.end();
    });
    for (const key of [{ processID: null }, { processID: 0 }, { secretKey: null }, { secretKey: undefined }])
      await sendCancelRequest({ ...client, ...key }, 60_000);
    expect(connections).toBe(0);
  });
});
