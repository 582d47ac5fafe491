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

/** A request for a login, https://www.postgresql.org/docs/current/protocol-message-formats.html */
const request = (kind: number, body = '') => {
  const message = Buffer.alloc(9 + body.length);
  message.write('R');
  message.writeInt32BE(8 + body.length, 1);
  message.writeInt32BE(kind, 5);
  message.write(body, 9, 'latin1');
  return message;
};
const OK = request(0);
const CLEARTEXT = request(3);
const MD5 = request(5, 'salt');
const BOUND_OFFER = request(10, 'SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0');

/** A server whose certificate is right, and that does not know the password: it answers each message with the next of `script`. */
class Impostor {
  heard = '';
  private sockets: Socket[] = [];
  private constructor(private readonly server: Server) {}

  static async saying(...script: Buffer[]): Promise<Impostor> {
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
          impostor.heard += bytes.toString('latin1');
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
])('with %s a server that does not know the password', (query, code) => {
  it.each<[string, Buffer[]]>([
    ['asks for it in plain', [CLEARTEXT]],
    ['asks for its MD5', [MD5]],
    ['lets in without asking', [OK]],
    ['offers SCRAM and then asks for it in plain', [BOUND_OFFER, CLEARTEXT]],
    ['offers SCRAM and then asks for its MD5', [BOUND_OFFER, MD5]],
    ['offers SCRAM and then lets in', [BOUND_OFFER, OK]],
  ])('%s: it is refused and learns nothing', async (_how, script) => {
    const impostor = await Impostor.saying(...script);
    try {
      await expect(start(impostor.url(), query)).rejects.toMatchObject({ code });
      expect(impostor.heard).toContain('user\0app');
      expect(impostor.heard).not.toContain(new URL(server.url).password);
      expect(impostor.heard).not.toContain('md5');
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
      const man = await ManInTheMiddle.before(server.port, 'impersonate', certificate);
      try {
        await expect(start(man.through(server.url), `require_auth=${allowed}`)).rejects.toMatchObject({
          code: 'LOGIN_METHOD_REFUSED',
          message: expect.stringMatching(message),
        });
        expect(man.heard).not.toContain(new URL(server.url).password);
      } finally {
        await man.close();
      }
    },
  );
});
