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

/** A server that does as it is told with who comes; what it hears in plain text and in TLS, in hex. */
async function listen(greet: (socket: Socket) => void, where: string | number = 0) {
  // Half-open, so that who hangs up has to do it himself.
  server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.push(socket.on('error', () => undefined));
    greet(socket);
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
const hear = (socket: Socket, heard: string[], then: () => void): void =>
  void socket.once('data', (bytes: Buffer) => {
    heard.push(bytes.toString('hex'));
    then();
  });
const encrypt = (socket: Socket, heard: string[], options: object = {}): void => {
  const secure = new TLSSocket(socket, { isServer: true, ...certificate, ...options });
  secure.on('error', () => undefined);
  hear(secure, heard, () => secure.end());
};

describe('A cancel request', () => {
  it('carries the key of the connection, and is over when the server closes the socket', async () => {
    const heard: string[] = [];
    const client = await listen((socket) => hear(socket, heard, () => socket.end()));
    expect(await sendCancelRequest(client, 60_000)).toBe(true);
    expect(heard).toEqual([CANCEL]);
  });

  it('is sent on a Unix socket too', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'cancel-'));
    try {
      const heard: string[] = [];
      const client = await listen(
        (socket) => hear(socket, heard, () => socket.end()),
        join(folder, '.s.PGSQL.5432'),
      );
      await sendCancelRequest({ ...client, host: folder }, 60_000);
      expect(heard).toEqual([CANCEL]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('is encrypted when the connection is, after the server has accepted TLS', async () => {
    const plain: string[] = [];
    const encrypted: string[] = [];
    const client = await listen((socket) =>
      hear(socket, plain, () => {
        socket.write('S');
        encrypt(socket, encrypted);
      }),
    );
    expect(await sendCancelRequest({ ...client, ssl: { ca } }, 60_000)).toBe(true);
    expect([plain, encrypted]).toEqual([[SSL_REQUEST], [CANCEL]]);
  });

  it('is sent to the address that the connection has reached, and verifies the certificate of the name', async () => {
    for (const servername of [undefined, 'other.invalid']) {
      const own = await authority.issueServer({ hosts: [servername ?? 'db.invalid'] });
      const heard: string[] = [];
      const client = await listen((socket) =>
        encrypt(socket, heard, { ...own, ALPNProtocols: ['postgresql'] }),
      );
      const connection = { stream: { remoteAddress: '127.0.0.1' } };
      const ssl = { ca, ...(servername && { servername }) };
      const dialled = { ...client, host: 'db.invalid', connection, ssl, sslNegotiation: 'direct' };
      await sendCancelRequest(dialled, 60_000);
      expect(heard).toEqual([CANCEL]);
      server!.close();
    }
  });

  it('is sent through the stream of the caller when the connection uses one', async () => {
    const heard: string[] = [];
    const client = await listen((socket) => hear(socket, heard, () => socket.end()));
    const dialled: unknown[] = [];
    const own = () => {
      const socket = new Socket();
      const connect = socket.connect.bind(socket) as (port: number, host: string) => Socket;
      return Object.assign(socket, {
        connect: (_port: number, host: string) => {
          dialled.push(host);
          return connect(client.port, '127.0.0.1');
        },
      });
    };
    const connection = { stream: { remoteAddress: '127.0.0.2' } };
    await sendCancelRequest({ ...client, host: 'db.invalid', connection }, 60_000, own);
    expect([heard, dialled]).toEqual([[CANCEL], ['db.invalid']]);
    const none = () => {
      throw new Error('no way');
    };
    await sendCancelRequest(client, 60_000, none);
    expect(heard).toHaveLength(1);
  });

  it('is sent to an address as it was given, on a socket of its own', async () => {
    const heard: string[] = [];
    const client = await listen((socket) => hear(socket, heard, () => socket.end()));
    const connection = { stream: { remoteAddress: '127.0.0.2' } };
    await sendCancelRequest({ ...client, connection }, 60_000, { once: 'used' });
    expect(heard).toEqual([CANCEL]);
  });

  it('starts with TLS when the connection did', async () => {
    const heard: string[] = [];
    const client = await listen((socket) => encrypt(socket, heard, { ALPNProtocols: ['postgresql'] }));
    await sendCancelRequest({ ...client, ssl: { ca }, sslNegotiation: 'direct' }, 60_000);
    expect(heard).toEqual([CANCEL]);
  });

  describe('does not send its key, and is over at once,', () => {
    it.each(['N', 'E', 'HTTP'])('when the server has no TLS (%s)', async (answer) => {
      const heard: string[] = [];
      const client = await listen((socket) => {
        socket.on('data', (bytes) => {
          heard.push(bytes.toString('hex'));
          socket.write(answer);
        });
      });
      await sendCancelRequest({ ...client, ssl: { ca } }, 60_000);
      expect(heard).toEqual([SSL_REQUEST]);
    });

    it('when another server answers', async () => {
      const heard: string[] = [];
      const other = await (await createAuthority()).issueServer();
      const client = await listen((socket) =>
        socket.once('data', () => {
          socket.write('S');
          encrypt(socket, heard, other);
        }),
      );
      expect(await sendCancelRequest({ ...client, ssl: { ca } }, 60_000)).toBe(true);
      expect(heard).toEqual([]);
    });

    it('when plain text follows the consent to TLS', async () => {
      const heard: string[] = [];
      const client = await listen((socket) =>
        socket.once('data', () => {
          socket.write('SR');
          socket.on('data', (bytes) => heard.push(bytes.toString('hex')));
        }),
      );
      expect(await sendCancelRequest({ ...client, ssl: { ca } }, 60_000)).toBe(true);
      expect(heard).toEqual([]);
    });

    it('when the server does not confirm that it is PostgreSQL', async () => {
      const heard: string[] = [];
      const client = await listen((socket) => encrypt(socket, heard));
      await sendCancelRequest({ ...client, ssl: { ca }, sslNegotiation: 'direct' }, 60_000);
      expect(heard).toEqual([]);
    });

    it('when no server listens', async () => {
      const client = await listen(() => undefined);
      server!.close();
      expect(await sendCancelRequest(client, 60_000)).toBe(true);
    });
  });

  it('is given up when the server does not answer in time', async () => {
    let hungUp: Promise<unknown> | undefined;
    const client = await listen((socket) => {
      hungUp = once(socket.resume(), 'end');
    });
    expect(await sendCancelRequest(client, 20)).toBe(false);
    await hungUp;
  });

  it('may still arrive when the socket has failed after it', async () => {
    const client = await listen((socket) => socket.once('data', () => socket.resetAndDestroy()));
    expect(await sendCancelRequest(client, 60_000)).toBe(false);
  });

  it('is over when the stream of the caller cannot connect', async () => {
    const client = await listen(() => undefined);
    const socket = Object.assign(new Socket(), {
      connect: () => {
        throw new Error('no way');
      },
    });
    expect(await sendCancelRequest(client, 60_000, () => socket)).toBe(true);
    expect(socket.destroyed).toBe(true);
  });

  it('is not sent for a connection that has no key', async () => {
    let dialled = 0;
    const client = await listen((socket) => {
      dialled += 1;
      socket.end();
    });
    for (const key of [{ processID: null }, { processID: 0 }, { secretKey: null }, { secretKey: undefined }])
      await sendCancelRequest({ ...client, ...key }, 60_000);
    expect(dialled).toBe(0);
  });
});
