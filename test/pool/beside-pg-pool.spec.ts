import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { ConnectionPool } from '../../src/pool/index.js';
import type { PoolOptions } from '../../src/pool/index.js';
import { runScript } from '../support/run-script.js';
import { createTestDatabase } from '../support/database.js';
import type { TestDatabase } from '../support/database.js';

/** The API of both pools that these tests use. */
type AnyPool = pg.Pool;

interface Outcome {
  message: string;
  code: unknown;
  cause: boolean;
}

let database: TestDatabase;
const opened: AnyPool[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());
afterEach(async () => {
  for (const pool of opened.splice(0)) if (!pool.ending) await pool.end();
});

const makers: [string, (options: pg.PoolConfig) => AnyPool][] = [
  ['pg.Pool', (options) => new pg.Pool(options)],
  [
    'ConnectionPool',
    (options) => new ConnectionPool({ onWarning: false, ...options } as PoolOptions) as unknown as AnyPool,
  ],
];

function open(make: (options: pg.PoolConfig) => AnyPool, options: pg.PoolConfig = {}): AnyPool {
  const pool = make({ connectionString: database.url, ...options });
  opened.push(pool);
  return pool;
}

const failure = (attempt: Promise<unknown>): Promise<Error & { code?: unknown }> =>
  attempt.then(
    () => {
      throw new Error('The attempt has not failed.');
    },
    (error: Error) => error,
  );
const outcome = ({ message, code, cause }: Error & { code?: unknown }): Outcome => ({
  message,
  code,
  cause: cause !== undefined,
});

/** The errors of connect() and query(), by promise and by callback. */
async function failures(pool: AnyPool): Promise<Outcome[]> {
  const failed = await Promise.all([
    failure(pool.connect()),
    failure(pool.query('SELECT 1')),
    new Promise<Error>((resolve) => pool.connect((error) => resolve(error!))),
    new Promise<Error>((resolve) => pool.query('SELECT 1', (error) => resolve(error))),
  ]);
  return failed.map(outcome);
}

/** Runs `act` with each pool: `pg.Pool`, then `ConnectionPool`. */
async function both<T>(act: (make: (options: pg.PoolConfig) => AnyPool) => Promise<T>): Promise<[T, T]> {
  return [await act(makers[0]![1]), await act(makers[1]![1])];
}

async function refusedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

describe('connect() and query() reject as in pg.Pool', () => {
  const url = () => new URL(database.url);
  const cases: [string, () => Promise<pg.PoolConfig> | pg.PoolConfig, string | undefined][] = [
    [
      'a port that nothing listens on',
      async () => ({ connectionString: `postgres://app@127.0.0.1:${await refusedPort()}/app` }),
      'ECONNREFUSED',
    ],
    [
      'a wrong password',
      () => {
        const wrong = url();
        wrong.password = 'wrong';
        return { connectionString: wrong.href };
      },
      '28P01',
    ],
    ['an unknown database', () => ({ connectionString: `${database.url}_missing` }), '3D000'],
    [
      'an onConnect hook that throws',
      () => ({
        onConnect: () => {
          throw Object.assign(new Error('no such tenant'), { code: 'E_TENANT' });
        },
      }),
      'E_TENANT',
    ],
    [
      'a verify hook that refuses',
      () => ({ verify: (_: unknown, done: (error?: Error) => void) => done(new Error('too old')) }),
      undefined,
    ],
  ];
  it.each(cases)('with %s', async (_name, options, code) => {
    const given = await options();
    const [theirs, ours] = await both((make) => failures(open(make, given)));
    expect(ours).toEqual(theirs);
    expect(ours.map((failed) => failed.code)).toEqual([code, code, code, code]);
  });

  it('with a server that does not answer within connectionTimeoutMillis', async () => {
    const silent = createServer((socket) => void socket.on('error', () => undefined)).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    try {
      const { port } = silent.address() as AddressInfo;
      const [theirs, ours] = await both((make) =>
        failures(
          open(make, {
            connectionString: `postgres://app@127.0.0.1:${port}/app`,
            connectionTimeoutMillis: 100,
          }),
        ),
      );
      expect(ours).toEqual(theirs);
      expect(ours[0]!.message).toBe('Connection terminated due to connection timeout');
    } finally {
      silent.close();
    }
  });

  it('with all connections leased until connectionTimeoutMillis, and name the holders in the cause', async () => {
    const [theirs, ours] = await both(async (make) => {
      const pool = open(make, { max: 1, connectionTimeoutMillis: 1_000 });
      const client = await pool.connect();
      const failed = await failures(pool);
      client.release();
      return failed.map(({ message, code }) => ({ message, code }));
    });
    expect(ours).toEqual(theirs);
    expect(ours[0]).toEqual({ message: 'timeout exceeded when trying to connect', code: undefined });
    const pool = open(makers[1]![1], { max: 1, connectionTimeoutMillis: 1_000 });
    const client = await pool.connect();
    expect(await failure(pool.connect())).toMatchObject({
      cause: { code: 'POOL_ACQUIRE_TIMEOUT', holders: [{ inTransaction: false }] },
    });
    client.release();
  });

  it('with a closed pool, and add a code', async () => {
    const [theirs, ours] = await both(async (make) => {
      const pool = open(make);
      await pool.end();
      return failures(pool);
    });
    expect(ours.map(({ message }) => message)).toEqual(theirs.map(({ message }) => message));
    expect(ours.map(({ code }) => code)).toEqual(Array<string>(4).fill('POOL_CLOSED'));
  });

  it('with a stack that begins at the caller, and a separate error for each caller', async () => {
    const port = await refusedPort();
    await both(async (make) => {
      const pool = open(make, { connectionString: `postgres://app@127.0.0.1:${port}/app`, max: 2 });
      async function usersService() {
        await pool.connect();
      }
      const [first, second, third] = await Promise.all(
        [usersService(), usersService(), usersService()].map(failure),
      );
      expect(first?.stack).toMatch(/^Error: connect ECONNREFUSED[^\n]*\n[^]*usersService/);
      expect(second).not.toBe(first);
      expect(third).not.toBe(first);
      expect(third).toMatchObject({ code: 'ECONNREFUSED', syscall: 'connect', port });
    });
  });

  it('while acquire() rejects with the error of the pool', async () => {
    const pool = open(makers[1]![1], {
      connectionString: `postgres://app@127.0.0.1:${await refusedPort()}/app`,
    }) as unknown as ConnectionPool;
    expect(await failure(pool.acquire())).toMatchObject({
      code: 'POOL_CONNECT_FAILED',
      cause: { code: 'ECONNREFUSED' },
    });
  });
});

describe('A difference from pg.Pool', () => {
  it('is that connect and acquire are emitted when verify has passed', async () => {
    const [theirs, ours] = await both(async (make) => {
      const seen: string[] = [];
      const verify = (_: unknown, done: () => void) => {
        seen.push('verify');
        done();
      };
      const pool = open(make, { verify });
      for (const event of ['connect', 'acquire'] as const) pool.on(event, () => seen.push(event));
      (await pool.connect()).release();
      return seen;
    });
    expect(theirs).toEqual(['connect', 'acquire', 'verify']);
    expect(ours).toEqual(['verify', 'connect', 'acquire']);
  });

  it('is that a failed statement leaves its connection open', async () => {
    const counts = await both(async (make) => {
      const pool = open(make);
      await failure(pool.query('SELECT nothing'));
      return pool.totalCount;
    });
    expect(counts).toEqual([0, 1]);
  });
});

describe('Idle connections', () => {
  it.each([
    ['a client after maxUses leases', { maxUses: 1 }, 'remove expended client'],
    ['a client after its idle timeout', { idleTimeoutMillis: 1 }, 'remove idle client'],
  ])('are closed with the log message of pg.Pool: %s', async (_name, options, message) => {
    await both(async (make) => {
      const logged: string[] = [];
      const pool = open(make, { ...options, max: 1, log: (text: string) => logged.push(text) });
      const removed = once(pool, 'remove');
      await pool.query('SELECT 1');
      await removed;
      expect(logged).toContain(message);
    });
  });

  it('are closed within 2 ms with idleTimeoutMillis: 1', async () => {
    await both(async (make) => {
      const pool = open(make, { idleTimeoutMillis: 1 });
      for (let round = 0; round < 50; round += 1) {
        await pool.query('SELECT 1');
        expect(pool.idleCount).toBe(1);
        await pause(2);
        expect([pool.idleCount, pool.totalCount]).toEqual([0, 0]);
      }
    });
  });

  const script = (type: string, options: string) => `
    import pg from 'pg';
    import { ConnectionPool } from ${JSON.stringify(new URL('../../src/pool/index.ts', import.meta.url).href)};
    const pool = new ${type}({ connectionString: process.env.POOL_URL, max: 3, ${options} });
    await Promise.all([1, 2, 3].map((n) => pool.query('SELECT $1::int', [n])));
    const since = performance.now();
    process.on('exit', () => console.log(Math.round(performance.now() - since)));
  `;
  const lifetimeMs = async (type: string, options: string): Promise<number> => {
    const { output, exitCode } = await runScript(script(type, options), { POOL_URL: database.url });
    expect(exitCode).toBe(0);
    return Number(output);
  };

  it.each([
    ['idleTimeoutMillis: 500', 500],
    ['', 10_000],
  ])(
    'let a script without end() exit when they are closed (%s)',
    async (options, ms) => {
      const [theirs, ours] = await Promise.all([
        lifetimeMs('pg.Pool', options),
        lifetimeMs('ConnectionPool', options),
      ]);
      for (const ranMs of [theirs, ours]) {
        expect(ranMs).toBeGreaterThanOrEqual(ms - 5);
        expect(ranMs).toBeLessThan(ms + 1_500);
      }
    },
    40_000,
  );
});
