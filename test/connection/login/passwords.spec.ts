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
/** Every password that was ever right or given, and all that was ever printed. */
const passwords: string[] = [];
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

/** The right password from now on; connections that are open stay. */
async function rotate(): Promise<string> {
  const password = `s3cret-${passwords.length}-of-many`;
  passwords.push(password);
  await server.sql(`ALTER ROLE app PASSWORD '${password}'`);
  return password;
}
const current = () => passwords.at(-1)!;

/** What the environment sets, for as long as the test. */
async function startByEnvironment(variables: Record<string, string>): Promise<ManagedDataSource> {
  const before = { ...process.env };
  Object.assign(process.env, variables);
  try {
    return await nest.start({ connectRetry: 0 });
  } finally {
    process.env = before;
  }
}

const url = () => server.url.replace(/:[^:@/]*@/, '@');

async function start(
  give: PasswordFunction,
  options: DatabaseModuleOptions = {},
): Promise<ManagedDataSource> {
  const dataSource = await nest.start({
    url: url(),
    password: give,
    pool: { size: 3, maxOverflow: 0 },
    connectRetry: { retries: 0, initialDelayMs: 1 },
    ...options,
  });
  for (const thing of [
    dataSource,
    dataSource.settings,
    dataSource.pool?.options,
    nest.get(DatabaseMonitor).options,
  ])
    printed.push(
      inspect(thing, { depth: 12, showHidden: true }),
      JSON.stringify(thing === dataSource ? {} : thing),
    );
  return dataSource;
}

/** What a start, or a query, fails with. */
async function failure(attempt: Promise<unknown>): Promise<Error & { code?: string }> {
  const error = (await attempt.then(
    () => undefined,
    (reason: unknown) => reason,
  )) as Error;
  expect(error).toBeInstanceOf(Error);
  printed.push(inspect(error, { depth: 12, showHidden: true }), `${error.stack}`, JSON.stringify(error));
  return error;
}

/** Takes so many connections at one time, all of them new. */
async function dial({ pool }: ManagedDataSource, count: number): Promise<void> {
  const leases = await Promise.all(Array.from({ length: count }, () => pool!.acquire({ borrower: 'spec' })));
  // Destroyed, so that the next ones are new again.
  for (const lease of leases) lease.release(true);
}

/** Connections that the server knows and that have not said who they are yet. */
async function waitingForPassword(): Promise<number> {
  const rows = await server.sql("SELECT FROM pg_stat_activity WHERE state = 'starting'");
  return rows.length;
}

describe('a password function', () => {
  it('is called at each connect, so that a password may change while the app runs', async () => {
    let calls = 0;
    const dataSource = await start(async () => {
      calls += 1;
      return current();
    });
    await dial(dataSource, 1);
    const before = calls;
    await rotate();
    await dial(dataSource, 1);
    expect(calls).toBe(before + 1);
  });

  it('is called once by concurrent connects', async () => {
    const asked: ((password: string) => void)[] = [];
    const dataSource = await start(() =>
      asked.length === 0 ? (asked.push(() => {}), current()) : new Promise((give) => asked.push(give)),
    );
    const dialled = dial(dataSource, 3);
    // Two more: the first connection of the start is one of the three.
    await until(async () => (await waitingForPassword()) >= 2);
    expect(asked).toHaveLength(2);
    asked[1]!(current());
    await dialled;
    expect(asked).toHaveLength(2);
  });

  it('is not called again before the password expires', async () => {
    let calls = 0;
    const dataSource = await start(() => {
      calls += 1;
      return { password: current(), expiresAt: new Date(Date.now() + HOUR) };
    });
    await dial(dataSource, 3);
    await dial(dataSource, 3);
    expect(calls).toBe(1);
  });

  it('is called again after the server has refused a password that had not expired', async () => {
    let calls = 0;
    const dataSource = await start(() => {
      calls += 1;
      return { password: current(), expiresAt: Date.now() + HOUR };
    });
    await dial(dataSource, 1);
    await rotate();
    expect(await failure(dial(dataSource, 1))).toMatchObject({ cause: { code: '28P01' } });
    await dial(dataSource, 3);
    expect(calls).toBe(2);
  });

  it('is not called when the server requests no password', async () => {
    await server.hba(['host all app all trust']);
    try {
      await start(() => {
        throw new Error('asked');
      });
    } finally {
      await server.hba();
    }
  });

  it('that fails is retried at start, with its error in the log', async () => {
    let calls = 0;
    await start(
      () => {
        calls += 1;
        return calls < 3 ? Promise.reject(new Error('the vault is sealed')) : current();
      },
      { connectRetry: { retries: 5, initialDelayMs: 1 } },
    );
    expect(calls).toBe(3);
    expect(nest.logger.text).toMatch(/The password function failed: the vault is sealed.*Trying again/);
  });

  it('that keeps failing is the cause of the failed start', async () => {
    const error = await failure(
      start(() => {
        throw Object.assign(new Error(`not valid: ${url()}`), { request: { password: current() } });
      }),
    );
    expect(error).toMatchObject({ code: 'PASSWORD_UNAVAILABLE', cause: { code: 'PASSWORD_UNAVAILABLE' } });
  });

  it('that hangs ends with the connect timeout and leaves no connection behind', async () => {
    const hanging = start(() => new Promise(() => {}), { timeouts: { connectMs: 1_000 } });
    expect(await failure(hanging)).toMatchObject({
      code: 'PASSWORD_UNAVAILABLE',
      message: expect.stringContaining('did not return within 1000 ms'),
    });
    await until(async () => (await waitingForPassword()) === 0);
  });

  it.each([
    ['an empty text', ''],
    ['no text', 42],
    ['nothing', undefined],
  ])('that returns %s fails the start at once', async (_what, given) => {
    const error = await failure(start(() => given as never, { connectRetry: 5 }));
    expect(error).toMatchObject({ code: 'PASSWORD_INVALID' });
    expect(nest.logger.text).not.toContain('Trying again');
  });

  it('that returns a wrong password fails the start at once', async () => {
    passwords.unshift('wr0ng-of-many');
    const error = await failure(start(() => 'wr0ng-of-many', { connectRetry: 5 }));
    expect(error).toMatchObject({ code: 'PASSWORD_WRONG' });
    expect(nest.logger.text).not.toContain('Trying again');
  });

  it('beside a password in the URL is refused, since one of them would never be used', async () => {
    const both = url().replace('app@', `app:${current()}@`);
    expect(await failure(start(current, { url: both }))).toMatchObject({
      code: 'DATABASE_CONFIG_INVALID',
      message: expect.stringContaining('password: contradicts url; give one of them'),
    });
  });
});

it('no password is in anything that was printed', () => {
  expect(passwords.length).toBeGreaterThan(10);
  expect(printed.length).toBeGreaterThan(60);
  const text = printed.join('\n');
  for (const password of passwords) expect(text.includes(password)).toBe(false);
});

describe('a password in a file', () => {
  const folder = TemporaryFolder.create('secrets');
  const path = join(folder.path, 'secret');
  afterAll(() => folder.remove());

  it.each([
    ['DB_PASSWORD_FILE', (password: string) => `${password}\n`],
    ['DB_URL_FILE', (password: string) => server.url.replace(/:[^:@/]*@/, `:${password}@`)],
  ])('named by %s is read at each connect', async (variable, content) => {
    writeFileSync(path, content(current()));
    const dataSource = await startByEnvironment({
      [variable]: path,
      ...(variable === 'DB_PASSWORD_FILE' && { DB_URL: url() }),
    });
    writeFileSync(path, content(await rotate()));
    const runner = dataSource.createQueryRunner();
    await runner.connect();
    expect(await dataSource.query('SELECT 1 AS one')).toEqual([{ one: 1 }]);
    await runner.release();
    expect(dataSource.pool?.snapshot().counters.created).toBe(2);
  });
});
