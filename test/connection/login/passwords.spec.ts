import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { ManagedDataSource, DatabaseModuleOptions, PasswordFunction } from 'nestjs-database';
import { DatabaseMonitor } from 'nestjs-database';
import { NestModule } from '../../support/nest-module.js';
import { startPostgres } from '../../support/postgres-server.js';
import type { PostgresServer } from '../../support/postgres-server.js';
import { TemporaryFolder } from '../../support/temporary-folder.js';
import { until } from '../../support/until.js';

const HOUR = 3_600_000;
let server: PostgresServer;
const nest = new NestModule();
/** Every password that the server or the module has had. */
const passwords: string[] = [];
/** Every text that could show one of them: logs, errors, printed objects. */
const printed: string[] = [];

beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server?.dispose());
beforeEach(() => rotate());
afterEach(async () => {
  printed.push(nest.logger.text);
  await nest.close();
});

/** Changes the password on the server. Open connections stay open. */
async function rotate(): Promise<string> {
  const password = `s3cret-${passwords.length}-of-many`;
  passwords.push(password);
  await server.sql(`ALTER ROLE app PASSWORD '${password}'`);
  return password;
}
const currentPassword = () => passwords.at(-1)!;

/** Starts the module with these environment variables. */
async function startByEnvironment(variables: Record<string, string>): Promise<ManagedDataSource> {
  const before = { ...process.env };
  Object.assign(process.env, variables);
  try {
    return await nest.start({ connectRetry: 0 });
  } finally {
    process.env = before;
  }
}

const urlWithoutPassword = () => server.url.replace(/:[^:@/]*@/, '@');

async function start(
  password: PasswordFunction,
  options: DatabaseModuleOptions = {},
): Promise<ManagedDataSource> {
  const dataSource = await nest.start({
    url: urlWithoutPassword(),
    password,
    pool: { size: 3, maxOverflow: 0 },
    connectRetry: { retries: 0, initialDelayMs: 1 },
    ...options,
  });
  for (const object of [
    dataSource,
    dataSource.settings,
    dataSource.pool?.options,
    nest.get(DatabaseMonitor).options,
  ])
    printed.push(
      inspect(object, { depth: 12, showHidden: true }),
      JSON.stringify(object === dataSource ? {} : object),
    );
  return dataSource;
}

/** The error that `attempt` rejects with. */
async function failure(attempt: Promise<unknown>): Promise<Error & { code?: string }> {
  const error = (await attempt.then(
    () => undefined,
    (reason: unknown) => reason,
  )) as Error;
  expect(error).toBeInstanceOf(Error);
  printed.push(inspect(error, { depth: 12, showHidden: true }), `${error.stack}`, JSON.stringify(error));
  return error;
}

/** Opens this many new connections concurrently, and destroys them. */
async function connect({ pool }: ManagedDataSource, count: number): Promise<void> {
  const leases = await Promise.all(Array.from({ length: count }, () => pool!.acquire({ borrower: 'spec' })));
  for (const lease of leases) lease.release(true);
}

/** The number of connections whose login is not complete. */
async function pendingLogins(): Promise<number> {
  const rows = await server.sql("SELECT FROM pg_stat_activity WHERE state = 'starting'");
  return rows.length;
}

describe('A password function', () => {
  it('is called at each connect, so that the password can change while the app runs', async () => {
    let calls = 0;
    const dataSource = await start(async () => {
      calls += 1;
      return currentPassword();
    });
    await connect(dataSource, 1);
    const before = calls;
    await rotate();
    await connect(dataSource, 1);
    expect(calls).toBe(before + 1);
  });

  it('is called once by concurrent connects', async () => {
    const calls: ((password: string) => void)[] = [];
    const dataSource = await start(() =>
      calls.length === 0
        ? (calls.push(() => {}), currentPassword())
        : new Promise((answer) => calls.push(answer)),
    );
    const connected = connect(dataSource, 3);
    // Two more: the connection of the start is one of the three.
    await until(async () => (await pendingLogins()) >= 2);
    expect(calls).toHaveLength(2);
    calls[1]!(currentPassword());
    await connected;
    expect(calls).toHaveLength(2);
  });

  it('is not called again before the password expires', async () => {
    let calls = 0;
    const dataSource = await start(() => {
      calls += 1;
      return { password: currentPassword(), expiresAt: new Date(Date.now() + HOUR) };
    });
    await connect(dataSource, 3);
    await connect(dataSource, 3);
    expect(calls).toBe(1);
  });

  it('is called again after the server has refused a password that had not expired', async () => {
    let calls = 0;
    const dataSource = await start(() => {
      calls += 1;
      return { password: currentPassword(), expiresAt: Date.now() + HOUR };
    });
    await connect(dataSource, 1);
    await rotate();
    expect(await failure(connect(dataSource, 1))).toMatchObject({ cause: { code: '28P01' } });
    await connect(dataSource, 3);
    expect(calls).toBe(2);
  });

  it('is not called when the server requests no password', async () => {
    await server.hba(['host all app all trust']);
    try {
      await start(() => {
        throw new Error('called');
      });
    } finally {
      await server.hba();
    }
  });

  it('is called again by the retries of the start when it fails, and its error is logged', async () => {
    let calls = 0;
    await start(
      () => {
        calls += 1;
        return calls < 3 ? Promise.reject(new Error('the vault is sealed')) : currentPassword();
      },
      { connectRetry: { retries: 5, initialDelayMs: 1 } },
    );
    expect(calls).toBe(3);
    expect(nest.logger.text).toMatch(/The password function failed: the vault is sealed.*Trying again/);
  });

  it('is named as the cause of a failed start when it keeps failing', async () => {
    const error = await failure(
      start(() => {
        throw Object.assign(new Error(`not valid: ${urlWithoutPassword()}`), {
          request: { password: currentPassword() },
        });
      }),
    );
    expect(error).toMatchObject({ code: 'PASSWORD_UNAVAILABLE', cause: { code: 'PASSWORD_UNAVAILABLE' } });
  });

  it('fails the start at the connect timeout when it does not answer, and no connection stays open', async () => {
    const hanging = start(() => new Promise(() => {}), { timeouts: { connectMs: 1_000 } });
    expect(await failure(hanging)).toMatchObject({
      code: 'PASSWORD_UNAVAILABLE',
      message: expect.stringContaining('did not return within 1000 ms'),
    });
    await until(async () => (await pendingLogins()) === 0);
  });

  it.each([
    ['an empty string', ''],
    ['a number', 42],
    ['undefined', undefined],
  ])('fails the start without a retry when it returns %s', async (_what, given) => {
    const error = await failure(start(() => given as never, { connectRetry: 5 }));
    expect(error).toMatchObject({ code: 'PASSWORD_INVALID' });
    expect(nest.logger.text).not.toContain('Trying again');
  });

  it('fails the start without a retry when it returns a wrong password', async () => {
    passwords.unshift('wr0ng-of-many');
    const error = await failure(start(() => 'wr0ng-of-many', { connectRetry: 5 }));
    expect(error).toMatchObject({ code: 'PASSWORD_WRONG' });
    expect(nest.logger.text).not.toContain('Trying again');
  });

  it('is refused together with a password in the URL, which would not be used', async () => {
    const both = urlWithoutPassword().replace('app@', `app:${currentPassword()}@`);
    expect(await failure(start(currentPassword, { url: both }))).toMatchObject({
      code: 'DATABASE_CONFIG_INVALID',
      message: expect.stringContaining('password: contradicts url; give one of them'),
    });
  });
});

it('No password appears in a log, an error or a printed object', () => {
  expect(passwords.length).toBeGreaterThan(10);
  expect(printed.length).toBeGreaterThan(60);
  const text = printed.join('\n');
  for (const password of passwords) expect(text.includes(password)).toBe(false);
});

describe('A password in a file', () => {
  const folder = TemporaryFolder.create('secrets');
  const path = join(folder.path, 'secret');
  afterAll(() => folder.remove());

  it.each([
    ['DB_PASSWORD_FILE', (password: string) => `${password}\n`],
    ['DB_URL_FILE', (password: string) => server.url.replace(/:[^:@/]*@/, `:${password}@`)],
  ])('that %s names is read at each connect', async (variable, content) => {
    writeFileSync(path, content(currentPassword()));
    const dataSource = await startByEnvironment({
      [variable]: path,
      ...(variable === 'DB_PASSWORD_FILE' && { DB_URL: urlWithoutPassword() }),
    });
    writeFileSync(path, content(await rotate()));
    const runner = dataSource.createQueryRunner();
    await runner.connect();
    expect(await dataSource.query('SELECT 1 AS one')).toEqual([{ one: 1 }]);
    await runner.release();
    expect(dataSource.pool?.snapshot().counters.created).toBe(2);
  });
});
