import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { ConnectionPool } from '../../src/pool/index.js';
import type { PoolOptions } from '../../src/pool/index.js';
import type { Connection } from '../../src/pool/index.js';
import { startPostgres } from '../support/postgres-server.js';
import type { PostgresServer } from '../support/postgres-server.js';
import { makeShareable as makeStatementShareable, sharingOf } from '../support/shareable.js';
import { startTcpProxy } from '../support/tcp-proxy.js';
import type { TcpProxy } from '../support/tcp-proxy.js';
import { until } from '../support/until.js';

const BY_ID = 'SELECT id, name FROM item WHERE id = $1';
const OTHER = 'SELECT id, at, 1.5::float8 AS half, ARRAY[1, 2] AS numbers FROM other WHERE id = $1';
const DIVISION = 'SELECT 10 / $1::int AS quotient';

let server: PostgresServer;
let proxy: TcpProxy;
let pool: ConnectionPool<Connection>;

beforeAll(async () => {
  server = await startPostgres();
}, 60_000);
afterAll(() => server.dispose());
beforeEach(async () => {
  proxy = await startTcpProxy({ port: server.port });
  await server.sql(`DROP TABLE IF EXISTS item, other;
    CREATE TABLE item (id int PRIMARY KEY, name text);
    CREATE TABLE other (id int PRIMARY KEY, at timestamptz);
    INSERT INTO item SELECT g, 'item ' || g FROM generate_series(1, 100) g;
    INSERT INTO other SELECT g, '2020-01-01Z' FROM generate_series(1, 100) g;
    GRANT ALL ON item, other TO app;`);
});
afterEach(async () => {
  await pool.drain({ timeoutMs: 0 });
  await proxy.close();
});

async function open(options: PoolOptions<Connection> = {}): Promise<void> {
  pool = new ConnectionPool<Connection>({
    connectionString: proxy.through(server.url),
    size: 4,
    maxOverflow: 0,
    multiplex: { connections: 2 },
    onWarning: false,
    ...options,
  });
  pool.on('error', () => undefined);
  for (const text of [BY_ID, OTHER, DIVISION]) await makeShareable(text);
}

const makeShareable = (text: string, parameters: unknown[] = [1]) =>
  makeStatementShareable(pool, () => pool.query(text, parameters));

const sharing = () => sharingOf(pool);
const query = (text: string, ...values: unknown[]) => pool.query(text, values);

/** Resolves with what the promise has rejected with. */
const failure = async (promise: Promise<unknown>): Promise<Error & { code?: string }> =>
  promise.then(
    () => {
      throw new Error('it has not failed');
    },
    (error: unknown) => error as Error,
  );

/** The backends of the pool's connections that are in a statement or have just been. */
const sessions = () =>
  server.sql<{ pid: number; query: string }>(
    "SELECT pid, query FROM pg_stat_activity WHERE usename = 'app' AND backend_type = 'client backend'",
  );

describe('shared connections', () => {
  it('carry the statements of many callers, and every caller gets its own rows', async () => {
    await open();
    const ids = Array.from({ length: 500 }, (_, index) => (index % 100) + 1);
    const before = sharing().shared;
    const results = await Promise.all(ids.map((id) => query(BY_ID, id)));
    expect(results.map(({ rows }) => rows)).toEqual(ids.map((id) => [{ id, name: `item ${id}` }]));
    expect(sharing().shared).toBeGreaterThan(before);
    expect(pool.totalCount).toBeLessThanOrEqual(4);
  });

  it('return the same results as a connection of their own', async () => {
    await open();
    const client = await pool.acquire();
    try {
      for (const [text, value] of [
        [BY_ID, 7],
        [BY_ID, 1_000],
        [OTHER, 3],
      ] as const) {
        const { shared } = sharing();
        const own = await client.query(text, [value]);
        const sent = await query(text, value);
        expect(sharing().shared).toBe(shared + 1);
        expect(sent.constructor).toBe(own.constructor);
        expect({ ...sent }).toEqual({ ...own });
      }
    } finally {
      client.release();
    }
  });

  it('take only statements that are prepared, measured and plain', async () => {
    await open();
    await server.sql(
      `CREATE OR REPLACE FUNCTION function_of_the_app(n int) RETURNS int LANGUAGE sql AS 'SELECT n'`,
    );
    const { shared } = sharing();
    const statements: [string, unknown[]?][] = [
      ['SELECT id FROM item WHERE id = 1'],
      ['SELECT id FROM item WHERE id = $1 FOR UPDATE', [1]],
      ["SELECT set_config('app.x', $1, false)", ['y']],
      ['SELECT pg_advisory_lock($1)', [1]],
      ['SELECT function_of_the_app($1)', [1]],
      ['UPDATE item SET name = name WHERE id = $1', [1]],
      ['WITH gone AS (DELETE FROM item WHERE id = $1 RETURNING id) SELECT id FROM gone', [-1]],
    ];
    for (const [text, values] of statements)
      for (let call = 0; call < 12; call += 1) await pool.query(text, values);
    expect(sharing().shared).toBe(shared);
    expect(sharing().notShared['not-plain']).toBeGreaterThan(50);
  });

  it('keep an error with its caller', async () => {
    await open();
    const outcomes = await Promise.allSettled(
      [1, 0, 2, 0, 5].map((divisor) =>
        query(DIVISION, divisor).then(({ rows }) => rows[0].quotient as number),
      ),
    );
    expect(
      outcomes.map((outcome) => (outcome.status === 'fulfilled' ? outcome.value : outcome.reason.code)),
    ).toEqual([10, '22012', 5, '22012', 2]);
    const [, first, , second] = outcomes as PromiseRejectedResult[];
    expect(first!.reason).not.toBe(second!.reason);
  });

  it('reject a value that cannot be sent, and a value that the server refuses', async () => {
    await open();
    const unsendable = { toPostgres: () => { throw new Error('no text'); } }; // prettier-ignore
    const before = sharing().shared;
    const [bad, refused, good] = await Promise.allSettled([
      query(BY_ID, unsendable),
      query(BY_ID, 'x'),
      query(BY_ID, 2),
    ]);
    expect((bad as PromiseRejectedResult).reason.message).toBe('no text');
    expect((refused as PromiseRejectedResult).reason.code).toBe('22P02');
    expect((good as PromiseFulfilledResult<any>).value.rows[0].id).toBe(2);
    expect(sharing().shared).toBe(before + 3);
    expect(sharing().inFlight).toBe(0);
  });

  it('parse the statement again after a change of the schema, which no caller notices', async () => {
    await open();
    await server.sql('ALTER TABLE item ADD COLUMN extra int DEFAULT 5');
    const star = 'SELECT * FROM item WHERE id = $1';
    await makeShareable(star);
    await server.sql('ALTER TABLE item DROP COLUMN extra');
    const results = await Promise.all([1, 2, 3].map((id) => query(star, id)));
    expect(results.map(({ rows }) => rows[0])).toEqual([1, 2, 3].map((id) => ({ id, name: `item ${id}` })));
  });

  it('turn idle again, so that others can lease them', async () => {
    await open();
    expect(sharing().connections).toBeGreaterThan(0);
    await until(() => sharing().connections === 0);
    const { total, idle } = pool.snapshot();
    expect(idle).toBe(total);
    const clients = await Promise.all([1, 2, 3, 4].map(() => pool.acquire()));
    for (const client of clients) client.release();
  });

  it('leave one connection of the pool for leases', async () => {
    await open({ size: 2, multiplex: { connections: 5 } });
    await Promise.all(Array.from({ length: 100 }, (_, id) => query(BY_ID, id)));
    expect(sharing().connections).toBe(1);
    const client = await pool.acquire({ deadlineMs: 100 });
    await query(BY_ID, 1);
    client.release();
  });

  it('end their sharing when a statement changes a setting of the session', async () => {
    await open();
    await server.sql(`CREATE OR REPLACE FUNCTION sneaky(zone text) RETURNS text LANGUAGE plpgsql AS
      $$ BEGIN IF zone <> '' THEN PERFORM set_config('TimeZone', zone, false); END IF; RETURN current_setting('TimeZone'); END $$;
      DROP OPERATOR IF EXISTS <@@> (NONE, text);
      CREATE OPERATOR <@@> (FUNCTION = sneaky, RIGHTARG = text)`);
    await makeShareable('SELECT <@@> $1::text AS zone', ['']);
    const { shared } = sharing();
    expect((await query('SELECT <@@> $1::text AS zone', 'Asia/Tokyo')).rows).toEqual([
      { zone: 'Asia/Tokyo' },
    ]);
    expect(sharing().shared).toBe(shared + 1);
    const zones = await Promise.all(
      Array.from({ length: 20 }, () => query('SELECT <@@> $1::text AS zone', '')),
    );
    expect(new Set(zones.map(({ rows }) => rows[0].zone))).toEqual(new Set(['UTC']));
    expect(pool.snapshot().counters.destroyed.reset).toBe(1);
  });

  it('run no statement in the transaction of a borrower that uses one after its release', async () => {
    await open({ size: 2 });
    await until(() => sharing().connections === 0);
    const client = await pool.acquire();
    client.release();
    await query(BY_ID, 1);
    expect(sharing().connections).toBe(1);
    await client.query('BEGIN');
    await failure(client.query('SELECT 1 / 0'));
    expect((await query(BY_ID, 7)).rows).toEqual([{ id: 7, name: 'item 7' }]);
    await until(() => pool.snapshot().counters.destroyed.reset === 1);
  });

  it('are closed at the end of their lifetime, after the statements in flight', async () => {
    await open({ maxLifetimeMs: 400 });
    const until400 = performance.now() + 900;
    while (performance.now() < until400) await Promise.all([1, 2, 3].map((id) => query(BY_ID, id)));
    expect(pool.snapshot().counters.destroyed.lifetime).toBeGreaterThan(0);
  });

  it('answer while the timers are fakes, as in a test of an app', async () => {
    await open();
    jest.useFakeTimers();
    try {
      const { shared } = sharing();
      expect((await query(BY_ID, 1)).rows).toHaveLength(1);
      expect(sharing().shared).toBe(shared + 1);
    } finally {
      jest.useRealTimers();
    }
  });

  it('are closed after `maxUses` statements, although others are always in flight', async () => {
    await open({ size: 2, multiplex: { connections: 1 }, maxUses: 200 });
    const { uses } = pool.snapshot().counters.destroyed;
    let left = 1_500;
    const call = async () => {
      while (left-- > 0) expect((await query(BY_ID, 1)).rows).toHaveLength(1);
    };
    await Promise.all([call(), call(), call()]);
    expect(pool.snapshot().counters.destroyed.uses - uses).toBeGreaterThan(3);
  });
});

describe('a statement on a shared connection that is late', () => {
  /**
   * Calls another statement for a time, by eight callers from now on and four that begin when the shared connections are late.
   * @returns how many statements of each caller were slow
   */
  async function callOthers(ms: number): Promise<{ atOnce: number[]; later: number[] }> {
    const call = async (startAfterMs: number) => {
      let slow = 0;
      await sleep(startAfterMs);
      const end = performance.now() + ms - startAfterMs;
      while (performance.now() < end) {
        const startedAt = performance.now();
        await query(OTHER, 1);
        if (performance.now() - startedAt > 200) slow += 1;
        await sleep(1);
      }
      return slow;
    };
    const [atOnce, later] = await Promise.all([
      Promise.all(Array.from({ length: 8 }, () => call(0))),
      Promise.all(Array.from({ length: 4 }, () => call(100))),
    ]);
    return { atOnce, later };
  }

  it('delays each caller of other statements by one statement at most, while a table is locked for five seconds', async () => {
    await open({ size: 6 });
    const locker = await pool.acquire();
    await locker.query('BEGIN');
    await locker.query('LOCK TABLE item IN ACCESS EXCLUSIVE MODE');
    const blocked = [1, 2].map((id) => query(BY_ID, id));
    const called = callOthers(5_300);
    await sleep(5_000);
    await locker.query('COMMIT');
    locker.release();
    await Promise.all(blocked);
    const { atOnce, later } = await called;
    expect(Math.max(...atOnce)).toBe(1);
    expect(later).toEqual([0, 0, 0, 0]);
    expect(sharing().notShared.late).toBeGreaterThan(0);
  });

  it('delays each caller of other statements by one statement at most, when a fast text takes seconds', async () => {
    const SUM = 'SELECT sum(n) AS sum FROM generate_series(1, $1::int) AS n';
    await open({ size: 6 });
    await makeShareable(SUM);
    const { shared } = sharing();
    const startedAt = performance.now();
    const slow = query(SUM, 20_000_000).then(() => performance.now() - startedAt);
    expect(sharing().shared).toBe(shared + 1);
    const { atOnce, later } = await callOthers(4_000);
    expect(await slow).toBeGreaterThan(1_000);
    expect(Math.max(...atOnce)).toBeLessThanOrEqual(1);
    expect(later).toEqual([0, 0, 0, 0]);
    const { notShared } = sharing();
    await query(SUM, 1);
    expect(sharing().notShared.slow).toBe(notShared.slow + 1);
  });

  it('is not shared any more, until it was fast often enough', async () => {
    await open({ size: 6 });
    const locker = await pool.acquire();
    await locker.query('BEGIN');
    await locker.query('LOCK TABLE item IN ACCESS EXCLUSIVE MODE');
    const blocked = query(BY_ID, 1);
    await sleep(60);
    // Finds the first statement late; the sockets have been read.
    await query(OTHER, 1);
    await sleep(10);
    await locker.query('COMMIT');
    locker.release();
    await blocked;
    const { shared, notShared } = sharing();
    await query(BY_ID, 1);
    expect(sharing().shared).toBe(shared);
    expect(sharing().notShared.slow).toBe(notShared.slow + 1);
    await makeShareable(BY_ID);
  });

  it('ends with a QueryTimeoutError at the limit of the client, and the connection is destroyed', async () => {
    await open({ statementLimitMs: 300 });
    proxy.freeze();
    const outcomes = await Promise.allSettled([1, 2].map((id) => query(BY_ID, id)));
    const reasons = outcomes.map((outcome) => (outcome as PromiseRejectedResult).reason);
    expect(reasons.some(({ code }) => code === 'QUERY_TIMEOUT')).toBe(true);
    await proxy.pass();
    expect((await query(BY_ID, 3)).rows[0].id).toBe(3);
  });

  it("ends at the server's statement_timeout, and nothing else does", async () => {
    await open({ statement_timeout: 200 });
    const locker = await pool.acquire();
    await locker.query('BEGIN');
    await locker.query('LOCK TABLE item IN ACCESS EXCLUSIVE MODE');
    const blocked = failure(query(BY_ID, 1));
    const others = Promise.all([1, 2, 3].map((id) => query(OTHER, id)));
    expect((await blocked).code).toBe('57014');
    expect(await others).toHaveLength(3);
    await locker.query('ROLLBACK');
    locker.release();
  });
});

describe('the end of a shared connection', () => {
  async function blockFour(): Promise<{
    blocked: Promise<PromiseSettledResult<unknown>[]>;
    unlock(): Promise<void>;
  }> {
    // A pause of the machine may have made it look slow meanwhile.
    await makeShareable(BY_ID);
    const locker = await pool.acquire();
    await locker.query('BEGIN');
    await locker.query('LOCK TABLE item IN ACCESS EXCLUSIVE MODE');
    const { shared } = sharing();
    const blocked = Promise.allSettled([query(BY_ID, 1), query(BY_ID, 2), query(BY_ID, 3), query(BY_ID, 4)]);
    expect(sharing().shared).toBe(shared + 4);
    await until(async () => (await sessions()).some(({ query: text }) => text === BY_ID));
    const unlock = async () => {
      await locker.query('ROLLBACK');
      locker.release();
    };
    return { blocked, unlock };
  }

  it('by the server fails each statement in flight with its own copy of the error of the server', async () => {
    await open({ multiplex: { connections: 1 } });
    const { blocked, unlock } = await blockFour();
    await server.sql(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = '${BY_ID}'`);
    const reasons = (await blocked).map((outcome) => (outcome as PromiseRejectedResult).reason);
    expect(reasons.map(({ code }) => code as string)).toEqual(Array(4).fill('57P01'));
    expect(new Set(reasons).size).toBe(4);
    await unlock();
    expect((await query(BY_ID, 3)).rows[0].id).toBe(3);
    expect(pool.snapshot().counters.outages).toBe(1);
  });

  it('by a reset of the network fails each statement in flight once', async () => {
    await open({ multiplex: { connections: 1 } });
    const { blocked, unlock } = await blockFour();
    proxy.reset();
    const reasons = (await blocked).map((outcome) => (outcome as PromiseRejectedResult).reason);
    expect(new Set(reasons).size).toBe(4);
    for (const reason of reasons) expect(reason.message).toMatch(/ECONNRESET|Connection terminated/);
    await unlock().catch(() => undefined);
    await proxy.pass();
    expect((await query(BY_ID, 3)).rows[0].id).toBe(3);
  });

  it('by a drain waits for the statements in flight', async () => {
    await open();
    const answers = Promise.all(Array.from({ length: 50 }, (_, id) => query(BY_ID, id)));
    const report = await pool.drain({ timeoutMs: 5_000 });
    expect(report.destroyed).toBe(0);
    expect(await answers).toHaveLength(50);
    expect(pool.totalCount).toBe(0);
    expect((await failure(query(BY_ID, 1))).message).toMatch(/after calling end/);
  });

  it('by a drain never hangs: it destroys a connection that does not answer', async () => {
    await open();
    const { blocked, unlock } = await blockFour();
    const drained = pool.drain({ timeoutMs: 100 });
    const reasons = (await blocked).map((outcome) => (outcome as PromiseRejectedResult).reason);
    expect(reasons.map(({ code }) => code as string)).toEqual(Array(4).fill('POOL_CLOSED'));
    await unlock().catch(() => undefined);
    await drained;
    expect(pool.totalCount).toBe(0);
  });
});

describe('the snapshot and messages', () => {
  it('name the shared connections and their statements', async () => {
    await open({ size: 2, multiplex: { connections: 1 } });
    const locker = await pool.acquire();
    await locker.query('BEGIN');
    await locker.query('LOCK TABLE item IN ACCESS EXCLUSIVE MODE');
    const blocked = query(BY_ID, 1);
    const error = await failure(pool.acquire({ deadlineMs: 50 }));
    expect(error.message).toContain('1 of 2 connections in use, 1 shared by 1 statement, 1 waiting');
    expect(sharing()).toMatchObject({ connections: 1, inFlight: 1 });
    await locker.query('COMMIT');
    locker.release();
    await blocked;
  });

  it('have no part on sharing while it is off', async () => {
    pool = new ConnectionPool<Connection>({ connectionString: server.url, multiplex: false });
    expect(pool.snapshot()).not.toHaveProperty('multiplex');
    expect(pool.multiplexer).toBeUndefined();
  });
});
