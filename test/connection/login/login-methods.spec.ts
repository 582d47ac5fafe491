import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { createAuthority } from '../../support/certificates.js';
import type { CertificateAuthority, IssuedCertificate } from '../../support/certificates.js';
import { NestModule } from '../../support/nest-module.js';
import { startPostgres } from '../../support/postgres-server.js';
import type { PostgresServer } from '../../support/postgres-server.js';
import { ManInTheMiddle } from './man-in-the-middle.js';

const HOST = '127.0.0.1';
let authority: CertificateAuthority;
let certificate: IssuedCertificate;
let server: PostgresServer;
const nest = new NestModule();

beforeAll(async () => {
  authority = await createAuthority();
  certificate = await authority.issueServer({ hosts: [HOST] });
  server = await startPostgres({ tls: certificate });
});
afterAll(() => server?.dispose());
afterEach(async () => {
  await nest.close();
});

async function start(url: string, query: string): Promise<void> {
  await nest.start({
    url: `${url}?${query}`,
    ssl: { ca: authority.cert },
    connectRetry: 0,
    pool: { size: 1, maxOverflow: 0 },
  });
}

/** An authentication message: https://www.postgresql.org/docs/current/protocol-message-formats.html */
const authentication = (kind: number, body = '') => {
  const message = Buffer.alloc(9 + body.length);
  message.write('R');
  message.writeInt32BE(8 + body.length, 1);
  message.writeInt32BE(kind, 5);
  message.write(body, 9, 'latin1');
  return message;
};
const OK = authentication(0);
const CLEARTEXT = authentication(3);
const MD5 = authentication(5, 'salt');
const SASL_WITH_BINDING = authentication(10, 'SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0');

/**
 * A server with a trusted certificate that does not know the password. It answers each message of the client with the next
 * message of `script`.
 */
class Impostor {
  received = '';
  private sockets: Socket[] = [];
  private constructor(private readonly server: Server) {}

  static async start(...script: Buffer[]): Promise<Impostor> {
    const listener = createServer();
    const impostor = new Impostor(listener);
    listener.on('connection', (socket) => {
      impostor.sockets.push(socket);
      socket.on('error', () => socket.destroy());
      socket.once('data', () => {
        socket.write('S');
        const secure = new TLSSocket(socket, { isServer: true, ...certificate });
        const answers = [...script];
        secure.on('error', () => socket.destroy());
        secure.on('data', (bytes: Buffer) => {
          impostor.received += bytes.toString('latin1');
          const answer = answers.shift();
          if (answer) secure.write(answer);
        });
      });
    });
    listener.listen(0, HOST);
    await once(listener, 'listening');
    return impostor;
  }

  url(): string {
    return server.url.replace(/:\d+\//, `:${(this.server.address() as AddressInfo).port}/`);
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
    await once(this.server, 'close');
  }
}

describe.each([
  ['channel_binding=require', 'CHANNEL_BINDING_MISSING'],
  ['require_auth=scram-sha-256', 'LOGIN_METHOD_REFUSED'],
])('With %s, a server that does not know the password', (query, code) => {
  it.each<[string, Buffer[]]>([
    ['and asks for it in plain text', [CLEARTEXT]],
    ['and asks for its MD5 hash', [MD5]],
    ['and requires no login', [OK]],
    ['and offers SCRAM, but then asks for it in plain text', [SASL_WITH_BINDING, CLEARTEXT]],
    ['and offers SCRAM, but then asks for its MD5 hash', [SASL_WITH_BINDING, MD5]],
    ['and offers SCRAM, but then accepts the login', [SASL_WITH_BINDING, OK]],
  ])('%s is refused and does not receive the password', async (_how, script) => {
    const impostor = await Impostor.start(...script);
    try {
      await expect(start(impostor.url(), query)).rejects.toMatchObject({ code });
      expect(impostor.received).toContain('user\0app');
      expect(impostor.received).not.toContain(new URL(server.url).password);
      expect(impostor.received).not.toContain('md5');
    } finally {
      await impostor.close();
    }
  });
});

describe('require_auth', () => {
  it.each([
    ['scram-sha-256', 'scram-sha-256'],
    ['md5,scram-sha-256', 'scram-sha-256'],
    ['!none', 'scram-sha-256'],
    ['password', 'password'],
    ['!md5', 'trust'],
  ])('%s accepts a server that requests %s', async (allowed, method) => {
    await server.hba([`hostssl all app all ${method}`]);
    await start(server.url, `require_auth=${allowed}`);
  });

  it.each([
    ['scram-sha-256', 'password', /asks for a login by password/],
    ['!password', 'password', /asks for a login by password/],
    ['md5', 'scram-sha-256', /asks for a login by scram-sha-256/],
    ['scram-sha-256', 'trust', /requires no login/],
    ['gss', 'scram-sha-256', /asks for a login by scram-sha-256/],
  ])(
    '%s refuses a server that requests %s, before the password is sent',
    async (allowed, method, message) => {
      await server.hba([`host all app all ${method}`]);
      const attacker = await ManInTheMiddle.start(server.port, 'impersonate', certificate);
      try {
        await expect(start(attacker.through(server.url), `require_auth=${allowed}`)).rejects.toMatchObject({
          code: 'LOGIN_METHOD_REFUSED',
          message: expect.stringMatching(message),
        });
        expect(attacker.received).not.toContain(new URL(server.url).password);
      } finally {
        await attacker.close();
      }
    },
  );
});
