import { EventEmitter, once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo, Server } from 'node:net';
import { TLSSocket } from 'node:tls';
import { afterEach, describe, expect, it } from '@jest/globals';
import { createAuthority } from '../../../test/support/certificates.js';
import { Connection } from '../connection.js';
import { providePassword } from '../auth/password.js';
import { connectTimeoutError, watchConnect } from './connect-stages.js';
import type { ConnectStage } from './connect-stages.js';

let server: Server | undefined;
afterEach(() => {
  server?.close();
  server = undefined;
});

/** A socket before which nothing stands: what it tells is said by hand. */
function scripted(stream: object = {}) {
  const wire = Object.assign(new EventEmitter(), { stream: Object.assign(new EventEmitter(), stream) });
  const stages: ConnectStage[] = [];
  watchConnect({ connection: wire }, (stage) => stages.push(stage));
  return { wire, stages };
}

function secured(socket: object): ConnectStage[] {
  const { wire, stages } = scripted();
  wire.stream = Object.assign(new EventEmitter(), {
    getProtocol: () => 'TLSv1.3',
    getCipher: () => ({ standardName: 'TLS_AES_256_GCM_SHA384' }),
    getPeerCertificate: () => ({}),
    ...socket,
  });
  wire.emit('sslconnect');
  expect(stages).toEqual([]);
  wire.stream.emit('secureConnect');
  return stages;
}

describe('watchConnect', () => {
  it('reports the name, the address and TLS, in this order', async () => {
    const authority = await createAuthority('An authority');
    const certificate = await authority.issueServer({ commonName: 'the server', hosts: ['localhost'] });
    server = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.once('data', () => {
        socket.write('S');
        const secure = new TLSSocket(socket, { isServer: true, ...certificate });
        secure.on('error', () => undefined);
        secure.once('data', () => secure.destroy());
      });
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const connection = new Connection({ host: 'localhost', port, user: 'u', ssl: { ca: authority.cert } });
    connection.on('error', () => undefined);
    const stages: ConnectStage[] = [];
    watchConnect(connection, (stage) => stages.push(stage));
    await expect(connection.connect()).rejects.toThrow();
    expect(stages).toEqual([
      { stage: 'name', addresses: expect.arrayContaining(['127.0.0.1']) },
      { stage: 'tcp', address: `127.0.0.1:${port}` },
      {
        stage: 'tls',
        protocol: 'TLSv1.3',
        cipher: expect.stringMatching(/^TLS_/),
        issuer: 'An authority',
        subject: 'the server',
        validUntil: expect.any(Date),
      },
    ]);
  });

  it('reports all addresses of a name, each once, and none after a failed lookup', () => {
    const { wire, stages } = scripted();
    wire.stream.emit('lookup', null, '::1');
    wire.stream.emit('lookup', null, '127.0.0.1');
    wire.stream.emit('lookup', null, '127.0.0.1');
    wire.stream.emit('lookup', new Error('ENOTFOUND'), undefined);
    expect(stages).toEqual([]);
    wire.stream.emit('connectionAttempt');
    wire.stream.emit('connectionAttempt');
    expect(stages).toStrictEqual([{ stage: 'name', addresses: ['::1', '127.0.0.1'] }]);
  });

  it.each([
    [{ remoteAddress: '127.0.0.1', remotePort: 5432 }, '127.0.0.1:5432'],
    [{ remoteAddress: '::1', remotePort: 5432 }, '[::1]:5432'],
    [{}, 'the socket'],
  ])('reports no name when an address or a path was given: %j', (stream, address) => {
    const { wire, stages } = scripted(stream);
    wire.stream.emit('connectionAttempt');
    wire.stream.emit('connect');
    expect(stages).toEqual([{ stage: 'tcp', address }]);
  });

  it('reports the names and the end of the certificate', () => {
    const named = { subject: { CN: ['db', 'other'] }, issuer: { CN: 'An authority', O: 'A company' } };
    expect(
      secured({ getPeerCertificate: () => ({ ...named, valid_to: 'Jan  2 03:04:05 2030 GMT' }) }),
    ).toEqual([
      {
        stage: 'tls',
        protocol: 'TLSv1.3',
        cipher: 'TLS_AES_256_GCM_SHA384',
        issuer: 'An authority',
        subject: 'db',
        validUntil: new Date('2030-01-02T03:04:05Z'),
      },
    ]);
    expect(secured({ getPeerCertificate: () => ({ subject: {}, issuer: { O: 'A company' } }) })).toEqual([
      expect.objectContaining({ issuer: 'A company', subject: undefined, validUntil: undefined }),
    ]);
    expect(secured({ getProtocol: () => null })).toEqual([
      expect.objectContaining({ protocol: 'unknown', issuer: undefined, subject: undefined }),
    ]);
  });

  it('reports no stages of a client of another class', () => {
    expect(() => watchConnect({}, () => undefined)).not.toThrow();
  });
});

describe('connectTimeoutError', () => {
  it('distinguishes a server that was not reached from one that did not complete the login', () => {
    const client = (connecting?: boolean) => ({
      host: 'db',
      port: 5433,
      connection: { stream: { connecting } },
    });
    expect(connectTimeoutError(client(true), 70)).toMatchObject({
      code: 'CONNECT_TIMEOUT',
      message: expect.stringContaining('db:5433 did not answer within 70 ms'),
    });
    expect(connectTimeoutError(client(false), 70)).toMatchObject({
      code: 'HANDSHAKE_TIMEOUT',
      message: expect.stringContaining(
        'db:5433 accepted the connection but did not complete the login within 70 ms',
      ),
    });
    expect(connectTimeoutError(client(), 70)).toMatchObject({ code: 'CONNECT_TIMEOUT' });
  });

  it('accepts a client that shows neither its address nor its socket', () => {
    for (const client of [{}, { connection: {} }])
      expect(connectTimeoutError(client, 70)).toMatchObject({
        code: 'CONNECT_TIMEOUT',
        message: expect.stringContaining('the server did not answer within 70 ms'),
      });
  });

  it('names the password source when it has not answered', () => {
    const client: { host: string; password?: () => Promise<string> } = { host: 'db' };
    providePassword(client, { ask: () => new Promise(() => undefined), refused: () => undefined });
    void client.password!();
    expect(connectTimeoutError(client, 70)).toMatchObject({
      code: 'PASSWORD_UNAVAILABLE',
      message: 'The password function did not return within 70 ms.',
    });
  });
});
