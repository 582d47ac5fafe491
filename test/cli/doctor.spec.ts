import { spawnSync } from 'node:child_process';
import dns from 'node:dns';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { run } from '../../src/cli/commands.js';
import { createAuthority } from '../support/certificates.js';
import type { CertificateAuthority } from '../support/certificates.js';
import { describeWithPgBouncer } from '../support/describe-with-pgbouncer.js';
import { startPgBouncer } from '../support/pgbouncer.js';
import { freePort } from '../support/ports.js';
import { startTcpProxy } from '../support/tcp-proxy.js';
import { startPostgres } from '../support/postgres-server.js';
import type { PostgresServer } from '../support/postgres-server.js';

const PASSWORD = `p@ss%"w'\\rd`;

describe('The doctor', () => {
  let authority: CertificateAuthority;
  let server: PostgresServer;
  let folder: string;
  const environment = { ...process.env };
  const { lookup } = dns;

  /** Runs the doctor; returns what it prints and its exit code. */
  const examine = async (args: string[], terminal = false) => {
    let out = '';
    let err = '';
    const terminalOrPipe = { isTTY: terminal, hasColors: () => terminal };
    const code = await run(
      args,
      { write: (text) => (out += text), ...terminalOrPipe },
      { write: (text) => (err += text), ...terminalOrPipe },
    );
    for (const secret of [PASSWORD, encodeURIComponent(PASSWORD), new URL(server.url).password])
      expect(out + err).not.toContain(secret);
    return {
      code,
      out,
      err,
      names: [...out.matchAll(/^([✔!✖]) ([A-Za-z ]+?) {2,}/gm)].map(([, , name]) => name),
    };
  };

  beforeAll(async () => {
    authority = await createAuthority();
    const { cert, key } = await authority.issueServer({ hosts: ['localhost', '127.0.0.1'] });
    server = await startPostgres({ tls: { cert, key }, settings: { max_connections: 20 } });
    folder = await mkdtemp(join(tmpdir(), 'nestjs-database-doctor-'));
    await writeFile(join(folder, 'ca.pem'), authority.cert);
  });
  afterEach(async () => {
    process.env = { ...environment };
    dns.lookup = lookup;
    await server.hba();
  });
  afterAll(async () => {
    await server.dispose();
    await rm(folder, { recursive: true });
  });

  const STEPS = [
    'settings',
    'name resolution',
    'TCP',
    'TLS',
    'login',
    'server',
    'settings in force',
    'round trips',
  ];
  const encrypted = () => {
    process.env.DB_SSL_CA = join(folder, 'ca.pem');
    return server.url.replace('127.0.0.1', 'localhost');
  };
  const withPassword = (password: string) => {
    const url = new URL(server.url);
    url.password = encodeURIComponent(password);
    return url.href;
  };

  it('checks name, TCP, TLS, login, server, settings and round trips in this order, and reports what it found', async () => {
    const { code, out, names } = await examine(['doctor', encrypted()]);
    expect(names).toEqual(STEPS);
    expect(code).toBe(0);
    expect(out).toMatch(/name resolution .* localhost is (127\.0\.0\.1|::1)/);
    expect(out).toMatch(
      /TLSv1\.3, \w+, certificate of "localhost" by "Test authority" until [\d-]+, verified: chain and host name/,
    );
    expect(out).toMatch(
      /PostgreSQL 18[\d.]*, primary, no pooler, max_connections 20: \d+ in use by others, \d+ left; this app may open 7/,
    );
    expect(out).toContain('statement_timeout 30s, idle_in_transaction_session_timeout 1min');
    expect(out).toMatch(/minimum [\d.]+ ms, median [\d.]+ ms/);
    expect(out).not.toContain('\u001B[');
  });

  it('omits the checks of a name and of TLS where the connection has none', async () => {
    const { names, code } = await examine(['doctor', server.url]);
    expect(names).toEqual(STEPS.filter((name) => name !== 'name resolution' && name !== 'TLS'));
    expect(code).toBe(0);
  });

  it('reads the environment when the arguments have no URL', async () => {
    process.env.DB_URL = server.url;
    expect((await examine(['doctor'])).code).toBe(0);
  });

  it('is a program that reads a file of variables and ends with the exit code', async () => {
    const file = join(folder, '.env');
    await writeFile(file, `DB_URL=${server.url}\nDB_STATEMENT_TIMEOUT=7s\n`);
    const program = ['--import', './test/support/typescript.mjs', 'src/cli/main.ts'];
    const start = (...args: string[]) =>
      spawnSync(process.execPath, [...program, ...args], {
        encoding: 'utf8',
        env: { PATH: process.env.PATH },
      });
    const well = start('doctor', '--env-file', file);
    expect(well).toMatchObject({
      status: 0,
      stdout: expect.stringContaining('statement_timeout 7s'),
      stderr: '',
    });
    expect(start('doctor', withPassword(PASSWORD)).status).toBe(5);
  });

  describe('reads variables', () => {
    const program = [
      '--import',
      join(process.cwd(), 'test/support/typescript.mjs'),
      join(process.cwd(), 'src/cli/main.ts'),
    ];
    const start = (cwd: string, ...args: string[]) =>
      spawnSync(process.execPath, [...program, ...args], {
        encoding: 'utf8',
        cwd,
        env: { PATH: process.env.PATH },
      });

    it('from .env in the current folder by default', async () => {
      const own = await mkdtemp(join(folder, 'app-'));
      await writeFile(join(own, '.env'), `DB_URL=${server.url}\n`);
      expect(start(own, 'doctor')).toMatchObject({
        status: 0,
        stdout: expect.stringMatching(/^✔ settings .*, with \.env$/m),
      });
    });

    it('and suggests --env-file when there is no .env', async () => {
      const empty = await mkdtemp(join(folder, 'empty-'));
      expect(start(empty, 'doctor')).toMatchObject({
        status: 2,
        stdout: expect.stringContaining(
          'There is no .env file in this folder; --env-file names another one.',
        ),
      });
    });

    it('and ends with exit code 7 when the file of --env-file does not exist', async () => {
      const { code, err, out } = await examine(['doctor', '--env-file', '/nowhere/.env']);
      expect({ code, err, out }).toEqual({
        code: 7,
        err: '--env-file: the file /nowhere/.env does not exist.\n',
        out: '',
      });
    });
  });

  it('prints its version', async () => {
    const { version } = JSON.parse(await readFile('package.json', 'utf8')) as { version: string };
    expect(await examine(['--version'])).toMatchObject({ code: 0, out: `${version}\n` });
  });

  it('prints the same checks as JSON', async () => {
    const { code, out } = await examine(['doctor', encrypted(), '--json']);
    const report = JSON.parse(out) as { healthy: boolean; exitCode: number; checks: { name: string }[] };
    expect(code).toBe(0);
    expect(report).toMatchObject({ healthy: true, exitCode: 0 });
    expect(report.checks.map(({ name }) => name)).toEqual(STEPS);
    for (const check of report.checks)
      expect(check).toMatchObject({ status: 'ok', ms: expect.any(Number), summary: expect.any(String) });
    expect(report.checks[3]).toMatchObject({ facts: { protocol: 'TLSv1.3', issuer: 'Test authority' } });
  });

  it('uses colours only on a terminal', async () => {
    expect((await examine(['doctor', server.url], true)).out).toContain('\u001B[32m✔');
  });

  it('leaves no connection open', async () => {
    await examine(['doctor', withPassword(PASSWORD)]);
    await examine(['doctor', server.url]);
    expect(await server.sql(`SELECT 1 FROM pg_stat_activity WHERE usename = 'app'`)).toEqual([]);
  });

  describe('stops at the first failure, with its meaning, a hint and the exit code of its category:', () => {
    const expectFailure = async (args: string[], code: number, name: string, words: RegExp) => {
      const { code: found, names, out } = await examine(['doctor', ...args]);
      expect({ code: found, last: names.at(-1), out }).toEqual({
        code,
        last: name,
        out: expect.stringMatching(words),
      });
      expect(out.trimEnd().split('\n').at(-1)).toMatch(/^ {2}→ \S/);
    };

    it('wrong settings', async () => {
      process.env.DB_POOL_SIZE = '0';
      process.env.DB_SSL_MODE = 'maybe';
      await expectFailure([server.url], 2, 'settings', /DB_POOL_SIZE: .*DB_SSL_MODE: /);
    });

    it('a missing URL', async () => {
      delete process.env.DB_URL;
      delete process.env.DATABASE_URL;
      await expectFailure([], 2, 'settings', /DB_URL: is not set/);
    });

    it('an unknown host name', async () => {
      // Replaces the query to a name server.
      dns.lookup = ((host: string, _options: object, done: (error: Error) => void) =>
        process.nextTick(
          done,
          Object.assign(new Error(`getaddrinfo ENOTFOUND ${host}`), { code: 'ENOTFOUND' }),
        )) as never;
      await expectFailure(['postgres://a:b@db.example.com/x'], 3, 'name resolution', /HOST_NOT_FOUND/);
    });

    it('a refused TCP connection', async () => {
      const port = await freePort();
      await expectFailure([`postgres://a:b@127.0.0.1:${port}/x`], 3, 'TCP', /CONNECTION_REFUSED/);
    });

    it('a refused TCP connection to a name that resolves', async () => {
      const port = await freePort();
      await expectFailure([`postgres://a:b@localhost:${port}/x`], 3, 'TCP', /name resolution.*\n.*REFUSED/);
    });

    it('a server that sends nothing', async () => {
      const silent = createServer().listen(0, '127.0.0.1');
      await once(silent, 'listening');
      process.env.DB_CONNECT_TIMEOUT = '1s';
      const { port } = silent.address() as AddressInfo;
      await expectFailure([`postgres://a:b@127.0.0.1:${port}/x`], 3, 'login', /HANDSHAKE_TIMEOUT/);
      silent.close();
    });

    it('an untrusted certificate', async () => {
      await expectFailure([`${server.url}?sslmode=require`], 4, 'TLS', /TLS_CERTIFICATE_UNTRUSTED/);
    });

    it('a server that requires TLS', async () => {
      await server.hba(['hostssl all all all scram-sha-256']);
      await expectFailure([server.url], 4, 'login', /TLS_REQUIRED/);
    });

    it('a wrong password', async () => {
      await expectFailure([withPassword(PASSWORD)], 5, 'login', /PASSWORD_WRONG/);
    });

    it('a server without a free connection', async () => {
      await server.sql('ALTER ROLE app CONNECTION LIMIT 0');
      try {
        await expectFailure([server.url], 6, 'login', /TOO_MANY_CONNECTIONS/);
      } finally {
        await server.sql('ALTER ROLE app CONNECTION LIMIT -1');
      }
    });

    it('an authentication method that the URL does not allow', async () => {
      const { names, out, code } = await examine(['doctor', `${server.url}?require_auth=none`]);
      expect([names.at(-1), code]).toEqual(['login', 5]);
      expect(out).toContain('LOGIN_METHOD_REFUSED');
    });

    it.each([
      ['server', /server_version/],
      ['round trips', /SELECT 1\0/],
    ])('a network that freezes after the login, in the check "%s"', async (check, statement) => {
      const proxy = await startTcpProxy({ port: server.port });
      proxy.on('data', (_connection, direction, bytes) => {
        if (direction === 'to-server' && statement.test(bytes.toString('latin1'))) proxy.freeze();
      });
      try {
        // Without a statement timeout, the doctor would wait for ever.
        process.env.DB_STATEMENT_TIMEOUT = '0';
        process.env.DB_CONNECT_TIMEOUT = '1';
        const { names, out, code } = await examine(['doctor', proxy.through(server.url)]);
        expect([names.at(-1), code]).toEqual([check, 6]);
        expect(out).toContain('CONNECTION_SILENT');
      } finally {
        await proxy.close();
      }
    });

    it('a failure in the JSON output', async () => {
      const { code, out } = await examine(['doctor', withPassword(PASSWORD), '--json']);
      expect(code).toBe(5);
      const report = JSON.parse(out) as { checks: object[] };
      expect(report).toMatchObject({ healthy: false, exitCode: 5 });
      expect(report.checks.at(-1)).toMatchObject({
        name: 'login',
        status: 'failed',
        diagnosis: { code: 'PASSWORD_WRONG', hint: expect.any(String) },
      });
    });
  });

  describe('warns and ends with exit code 0', () => {
    it('when the connection budget is exceeded', async () => {
      process.env.DB_INSTANCES = '4';
      const { code, out } = await examine(['doctor', server.url]);
      expect(code).toBe(0);
      expect(out).toMatch(/^! server .*this app may open 28\n {2}! This app may open 28 connections/m);
    });

    it('when the certificate expires soon', async () => {
      const soon = await authority.issueServer({ hosts: ['127.0.0.1'], validForDays: 5 });
      const other = await startPostgres({ tls: soon });
      process.env.DB_SSL_CA = authority.cert;
      expect((await examine(['doctor', other.url])).out).toMatch(
        /! The server's certificate expires on [\d-]+\./,
      );
      await other.dispose();
    });

    it('but only reports a standby', async () => {
      const standby = await startPostgres();
      await standby.stop();
      await standby.setRecovery('standby');
      await standby.start();
      expect((await examine(['doctor', standby.url])).out).toMatch(/PostgreSQL [\d.]+, standby, no pooler/);
      await standby.dispose();
    });
  });

  describeWithPgBouncer('behind PgBouncer', () => {
    it('detects the pooler, and reports which side enforces each setting', async () => {
      const bouncer = await startPgBouncer({ url: server.url, mode: 'transaction' });
      process.env.DB_LOCK_TIMEOUT = '5s';
      const { code, out } = await examine(['doctor', bouncer.url]);
      expect(code).toBe(0);
      expect(out).toContain('pooler (detected, transaction mode assumed)');
      expect(out).toMatch(
        /^! settings in force .*statement_timeout enforced by the client.*lock_timeout not in force/m,
      );
      expect(out.match(/^. login/gm)).toHaveLength(1);
      await bouncer.dispose();
    });
  });

  it('prints its usage for --help, and rejects unknown arguments without printing them', async () => {
    expect(await examine(['--help'])).toMatchObject({
      code: 0,
      out: expect.stringContaining('doctor [url]'),
    });
    for (const args of [
      [],
      [withPassword(PASSWORD)],
      ['doctor', 'a', withPassword(PASSWORD)],
      ['doctor', '--wat'],
    ]) {
      const { code, err, out } = await examine(args);
      expect({ code, out }).toEqual({ code: 1, out: '' });
      expect(err).not.toBe('');
    }
  });
});
