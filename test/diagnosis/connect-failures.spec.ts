import { execFileSync, spawn } from 'node:child_process';
import dns from 'node:dns';
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Test } from '@nestjs/testing';
import { DatabaseConnectionError, DatabaseModule } from 'nestjs-database';
import type { DatabaseModuleOptions } from 'nestjs-database';
import { CapturingLogger } from '../support/capturing-logger.js';
import { createAuthority } from '../support/certificates.js';
import type { CertificateAuthority } from '../support/certificates.js';
import { freePort } from '../support/ports.js';
import { startPostgres } from '../support/postgres-server.js';
import type { PostgresServer } from '../support/postgres-server.js';

const PASSWORD = `p@ss%"w'\\rd`;

/** Each test produces a real failure of a connect, and compares the error of the start. */
describe('A failed start reports code, server and hint of', () => {
  let authority: CertificateAuthority;
  let server: PostgresServer;
  const servers: Server[] = [];
  const sockets = new Set<Socket>();
  const { lookup } = dns;

  beforeAll(async () => {
    authority = await createAuthority();
    const { cert, key } = await authority.issueServer({ hosts: ['127.0.0.1'] });
    server = await startPostgres({ tls: { cert, key, ca: authority.cert } });
    await server.sql(`CREATE ROLE nologin PASSWORD 'x'`);
    await server.sql(`CREATE ROLE one_only LOGIN PASSWORD 'x' CONNECTION LIMIT 0`);
    await server.sql('CREATE DATABASE closed ALLOW_CONNECTIONS false', [], 'postgres');
    await server.sql('CREATE DATABASE private', [], 'postgres');
    await server.sql('REVOKE CONNECT ON DATABASE private FROM PUBLIC', [], 'postgres');
  });
  afterEach(async () => {
    dns.lookup = lookup;
    for (const socket of sockets) socket.destroy();
    await Promise.all(servers.splice(0).map((open) => new Promise((done) => open.close(done))));
    await server.hba();
  });
  afterAll(() => server.dispose());

  const listen = async (open: Server) => {
    open.listen(0, '127.0.0.1');
    await once(open, 'listening');
    open.on('connection', (socket: Socket) => sockets.add(socket));
    servers.push(open);
    return (open.address() as AddressInfo).port;
  };
  const expectFailure = async (code: string, options: DatabaseModuleOptions, words: string[] = []) => {
    const logger = new CapturingLogger();
    const error = (await Test.createTestingModule({
      imports: [DatabaseModule.forRoot({ connectRetry: 0, ...options })],
    })
      .setLogger(logger)
      .compile()
      .then(
        () => undefined,
        (reason: unknown) => reason,
      )) as DatabaseConnectionError;
    expect(error).toBeInstanceOf(DatabaseConnectionError);
    expect(error).toMatchObject({ code, hint: expect.any(String) });
    for (const word of words) expect(error.message).toContain(word);
    for (const secret of [PASSWORD, encodeURIComponent(PASSWORD)])
      expect(`${error.message} ${error.stack} ${JSON.stringify(error)} ${logger.text}`).not.toContain(secret);
    return error;
  };
  const at = (port: number): DatabaseModuleOptions => ({
    host: '127.0.0.1',
    port,
    username: 'app',
    password: PASSWORD,
    database: 'orders',
  });
  const changed = (change: (url: URL) => void) => {
    const url = new URL(server.url);
    change(url);
    return { url: url.href };
  };

  it('a refused connection', async () => {
    const port = await freePort();
    await expectFailure('CONNECTION_REFUSED', at(port), ['"orders"', `127.0.0.1:${port}`, 'DB_URL']);
  });

  it('a socket path that does not exist', async () => {
    await expectFailure('CONNECTION_REFUSED', { ...at(5432), host: '/nowhere' }, ['/nowhere', 'socket']);
  });

  it.each([
    ['a host name that does not exist', 'ENOTFOUND', 'HOST_NOT_FOUND'],
    ['a name server that does not answer', 'EAI_AGAIN', 'DNS_TEMPORARY_FAILURE'],
  ])('%s', async (_what, errno, code) => {
    // Replaces the query to a name server.
    dns.lookup = ((host: string, _options: object, done: (error: Error) => void) =>
      process.nextTick(
        done,
        Object.assign(new Error(`getaddrinfo ${errno} ${host}`), { code: errno }),
      )) as never;
    await expectFailure(code, { ...at(5432), host: 'db.example.com' }, ['db.example.com', '"orders"']);
  });

  it('a host without a route, in a network namespace without a network', () => {
    // `npm test` has already built the package.
    execFileSync(process.execPath, ['scripts/build-once.mjs']);
    const namespace = ['--user', '--map-root-user', '--net'];
    const answer = execFileSync('unshare', [
      ...namespace,
      process.execPath,
      'test/diagnosis/connect-nowhere.mjs',
    ]);
    expect(JSON.parse(answer.toString())).toMatchObject({ code: 'HOST_UNREACHABLE', cause: 'ENETUNREACH' });
  });

  it('a server that does not answer because the queue of its listener is full', async () => {
    // A stopped process accepts no connection, and the kernel drops further ones when the queue is full.
    const child = spawn(
      process.execPath,
      [
        '-e',
        `require('net').createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, function () {
           console.log(this.address().port); })`,
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    const [line] = (await once(child.stdout, 'data')) as [Buffer];
    const port = Number(line);
    child.kill('SIGSTOP');
    const fillers = [1, 2, 3, 4].map(() => connect(port, '127.0.0.1').on('error', () => undefined));
    try {
      await once(fillers[1]!, 'connect');
      await expectFailure('CONNECT_TIMEOUT', { ...at(port), timeouts: { connectMs: 1000 } }, [
        `127.0.0.1:${port}`,
        'DB_CONNECT_TIMEOUT',
      ]);
    } finally {
      for (const filler of fillers) filler.destroy();
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
  });

  it.each(['disable', 'require'] as const)(
    'a server that sends nothing during the handshake, with sslmode %s',
    async (mode) => {
      const port = await listen(createServer());
      await expectFailure(
        'HANDSHAKE_TIMEOUT',
        { ...at(port), ssl: { mode }, timeouts: { connectMs: 1000 } },
        ['accepted the connection', 'DB_CONNECT_TIMEOUT'],
      );
    },
  );

  it.each(['disable', 'require'] as const)('another program on the port, with sslmode %s', async (mode) => {
    const port = await listen(createHttpServer());
    await expectFailure('NOT_POSTGRESQL', { ...at(port), ssl: { mode } }, ['not PostgreSQL']);
  });

  it('a server that sends the first message, as MySQL does', async () => {
    const greeting = Buffer.from('\x4a\0\0\0\x0a8.4.0\0', 'latin1');
    const port = await listen(createServer((socket) => socket.end(greeting)));
    await expectFailure('NOT_POSTGRESQL', at(port));
  });

  it('a connection that is reset at its start', async () => {
    const port = await listen(createServer((socket) => socket.once('data', () => socket.resetAndDestroy())));
    await expectFailure('CONNECTION_RESET', at(port));
  });

  it('a server that requires TLS', async () => {
    await server.hba(['hostssl all all all scram-sha-256']);
    await expectFailure('TLS_REQUIRED', { url: server.url }, ['DB_SSL_MODE']);
  });

  it('a server that requires a client certificate', async () => {
    await server.hba(['hostssl all all all cert']);
    const ssl = { ca: authority.cert };
    await expectFailure('TLS_CLIENT_CERTIFICATE_MISSING', { url: server.url, ssl }, ['DB_SSL_CERT']);
  });

  it('a client certificate for another role', async () => {
    await server.hba(['hostssl all all all cert']);
    const ssl = { ca: authority.cert, ...(await authority.issueClient({ commonName: 'other' })) };
    await expectFailure('TLS_CLIENT_CERTIFICATE_REFUSED', { url: server.url, ssl });
  });

  it('a client certificate of an authority that the server does not trust', async () => {
    const other = await createAuthority('Other');
    const ssl = { ca: authority.cert, ...(await other.issueClient({ commonName: 'app' })) };
    await expectFailure('TLS_CLIENT_CERTIFICATE_REFUSED', { url: server.url, ssl });
  });

  it('a wrong password', async () => {
    await expectFailure(
      'PASSWORD_WRONG',
      changed((url) => (url.password = encodeURIComponent(PASSWORD))),
      ['"app"', `127.0.0.1:${server.port}`, 'DB_URL'],
    );
  });

  it('a missing password', async () => {
    await expectFailure(
      'PASSWORD_MISSING',
      changed((url) => (url.password = '')),
    );
  });

  it('an unknown role, if the server reports it', async () => {
    await server.hba(['host all all all trust']);
    await expectFailure(
      'ROLE_UNKNOWN',
      changed((url) => (url.username = 'nobody')),
      ['"nobody"'],
    );
  });

  it('a role without LOGIN', async () => {
    await server.hba(['host all all all trust']);
    await expectFailure(
      'LOGIN_REFUSED',
      changed((url) => (url.username = 'nologin')),
    );
  });

  it('an unknown database', async () => {
    await expectFailure(
      'DATABASE_UNKNOWN',
      changed((url) => (url.pathname = '/nowhere')),
      ['"nowhere"'],
    );
  });

  it('a database that accepts no connections', async () => {
    await expectFailure(
      'DATABASE_CLOSED',
      changed((url) => (url.pathname = '/closed')),
    );
  });

  it('a client without an entry in pg_hba.conf', async () => {
    await server.hba(['host nothing nobody all scram-sha-256']);
    await expectFailure('CLIENT_NOT_ALLOWED', { url: server.url, ssl: { ca: authority.cert } }, [
      'pg_hba.conf',
    ]);
  });

  it('a role without the privilege CONNECT', async () => {
    await expectFailure(
      'PERMISSION_DENIED',
      changed((url) => (url.pathname = '/private')),
      ['GRANT'],
    );
  });

  it('a session setting that does not exist', async () => {
    await expectFailure('SESSION_SETTING_INVALID', { url: server.url, session: { work_men: '8MB' } }, [
      'work_men',
    ]);
  });

  it('too many connections', async () => {
    await expectFailure(
      'TOO_MANY_CONNECTIONS',
      changed((url) => {
        url.username = 'one_only';
        url.password = 'x';
      }),
      ['DB_POOL_SIZE'],
    );
  });

  it('a CA file that does not exist, before a connection is opened', async () => {
    const compiling = Test.createTestingModule({
      imports: [DatabaseModule.forRoot({ url: server.url, ssl: { ca: '/nowhere/ca.pem' } })],
    }).compile();
    await expect(compiling).rejects.toMatchObject({
      code: 'DATABASE_CONFIG_INVALID',
      message: expect.stringContaining('ssl.ca'),
    });
  });
});
