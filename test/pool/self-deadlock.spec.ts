import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { ConnectionPool } from '../../src/pool/index.js';
import type {
  AcquireOptions,
  Connection,
  LeasedClient,
  PoolOptions,
  WorkUnit,
} from '../../src/pool/index.js';
import { createTestDatabase } from '../support/database.js';
import type { TestDatabase } from '../support/database.js';

type Client = LeasedClient<Connection>;

describe('Self-deadlocks on a real server', () => {
  let database: TestDatabase;
  let pool: ConnectionPool;

  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterAll(() => database.drop());
  afterEach(() => pool.drain({ timeoutMs: 0 }));

  const open = (options: PoolOptions<Connection>, Client?: typeof Connection) => {
    pool = new ConnectionPool({ connectionString: database.url, onWarning: false, ...options }, Client);
  };
  const using = async <T>(request: AcquireOptions, work: (client: Client) => Promise<T>): Promise<T> => {
    const client = await pool.acquire(request);
    try {
      return await work(client);
    } finally {
      client.release();
    }
  };
  const query = (unit: WorkUnit | undefined, sql: string) =>
    using({ unit, heldFor: () => undefined }, (client) => client.query(sql));
  const transaction = (unit: WorkUnit, work: (client: Client) => Promise<unknown>, borrower?: string) =>
    using({ unit, heldFor: () => unit, borrower }, async (client) => {
      await client.query('BEGIN');
      try {
        const result = await work(client);
        await client.query('COMMIT');
        return result;
      } catch (error) {
        await client.query('ROLLBACK');
        throw error;
      }
    });
  /** Returns a function whose promise resolves after `count` calls. */
  const barrier = (count: number) => {
    let calls = 0;
    let open = () => {};
    const opened = new Promise<void>((resolve) => (open = resolve));
    return () => {
      if (++calls === count) open();
      return opened;
    };
  };

  it.each([
    ['of a request', () => ({})],
    ['of no unit', () => undefined],
  ])(
    'are not found among 40 concurrent statements %s on a pool of 5 and 10 connections',
    async (_whose, unitOf) => {
      open({ size: 5, maxOverflow: 10 });
      const unit = unitOf();
      // First with connections that are opened on demand, then with open connections.
      for (let round = 0; round < 2; round += 1)
        await Promise.all(Array.from({ length: 40 }, () => query(unit, 'SELECT pg_sleep(0.05)')));
      expect(pool.snapshot().counters).toMatchObject({ acquired: 80, nestedAcquires: 0, selfDeadlocks: 0 });
    },
  );

  it('do not reject four transactions of one request on two connections, however slow each is', async () => {
    open({ size: 2, maxOverflow: 0 });
    const request = {};
    const calls = Array.from({ length: 4 }, () =>
      transaction({ parent: request }, async (client) => {
        await client.query('SELECT 1');
        // A call to another service.
        await new Promise((resolve) => setTimeout(resolve, 1_600));
      }),
    );
    await Promise.all(calls);
    expect(pool.snapshot().counters).toMatchObject({ acquired: 4, selfDeadlocks: 0 });
  });

  it.each([
    ['connections of the pool', undefined],
    ['plain clients of `pg`', pg.Client as unknown as typeof Connection],
  ])(
    'reject one of five transactions that each acquire a second connection, on five %s, after about a second',
    async (_kind, Client) => {
      open({ size: 5, maxOverflow: 0 }, Client);
      await using({}, (client) => client.query('CREATE TABLE IF NOT EXISTS orders (name text)'));
      await query(undefined, 'TRUNCATE orders');
      const allHoldOne = barrier(5);
      const begun = performance.now();
      const outcomes = await Promise.allSettled(
        [1, 2, 3, 4, 5].map((number) => {
          const unit = { parent: {} };
          const name = `POST /orders/${number}`;
          return transaction(
            unit,
            async (client) => {
              await client.query('INSERT INTO orders VALUES ($1)', [name]);
              await allHoldOne();
              await using({ unit, borrower: name }, (second) => second.query('SELECT 1'));
            },
            name,
          );
        }),
      );
      const tookMs = performance.now() - begun;
      const failed = outcomes.filter(({ status }) => status === 'rejected') as PromiseRejectedResult[];
      expect(failed.map(({ reason }) => (reason as Error).message)).toEqual([
        expect.stringMatching(
          /^Self-deadlock: every connection has an explicit holder .*; (POST \/orders\/\d) acquires a second connection while it holds one \(\1 for/,
        ),
      ]);
      expect(tookMs).toBeGreaterThan(1_000);
      expect(tookMs).toBeLessThan(4_000);
      const { rows } = await query(undefined, 'SELECT count(*)::int AS count FROM orders');
      expect(rows).toEqual([{ count: 4 }]);
    },
  );

  it('do not include a transaction that sends statements while it waits for a second connection', async () => {
    open({ size: 1, maxOverflow: 0 }, pg.Client as unknown as typeof Connection);
    const unit = {};
    let nested: Promise<unknown> | undefined;
    await transaction(unit, async (client) => {
      nested = query(unit, 'SELECT 1');
      for (let round = 0; round < 8; round += 1) {
        await client.query('SELECT 1');
        await new Promise((resolve) => setTimeout(resolve, 300));
      }
    });
    await nested;
    expect(pool.snapshot().counters).toMatchObject({ nestedAcquires: 1, selfDeadlocks: 0 });
  });

  it('reject only one of 100 000 waiters of a unit that holds a connection', async () => {
    open({ size: 2, maxOverflow: 0, acquireTimeoutMs: 0 });
    const unit = {};
    const outcomes: Record<string, number> = {};
    const settled: Promise<void>[] = [];
    const count = (key: string) => void (outcomes[key] = (outcomes[key] ?? 0) + 1);
    const [first, second] = await Promise.all([
      pool.acquire({ unit, heldFor: () => unit }),
      pool.acquire({ unit, heldFor: () => unit }),
    ]);
    let failed!: () => void;
    const oneFailed = new Promise<void>((resolve) => (failed = resolve));
    for (let number = 0; number < 100_000; number += 1)
      settled.push(
        pool.acquire({ unit }).then(
          (client) => {
            client.release();
            count('served');
          },
          ({ code }: { code: string }) => {
            count(code);
            failed();
          },
        ),
      );
    await oneFailed;
    first.release();
    second.release();
    await Promise.all(settled);
    expect(outcomes).toEqual({ served: 99_999, POOL_SELF_DEADLOCK: 1 });
  });
});
