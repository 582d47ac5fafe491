import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { REQUIRED_SAMPLES } from '../../src/connection/shared/sharing-record.js';
import { ConnectionPool } from '../../src/pool/index.js';
import type { Connection } from '../../src/pool/index.js';
import { startPostgres } from '../support/postgres-server.js';
import type { PostgresServer } from '../support/postgres-server.js';
import { startTcpProxy } from '../support/tcp-proxy.js';
import type { TcpProxy } from '../support/tcp-proxy.js';
import { until } from '../support/until.js';

/**
 * Statements that can be shared. `tag` is unique: no other caller may get its row. An operator hides the function that it calls; by its
 * name, the function would not be shared.
 */
const TEXTS = {
  read: 'SELECT id, name, $2::int AS tag FROM item WHERE id = $1',
  all: 'SELECT *, $2::int AS tag FROM changing WHERE id = $1',
  locked: 'SELECT id, $2::int AS tag FROM locked WHERE id = $1',
  fail: 'SELECT 100 / $1::int AS quotient, $2::int AS tag',
  slow: 'SELECT <~> $1::int AS ms, $2::int AS tag',
  zone: 'SELECT <@@> $1::int AS zone, $2::int AS tag',
};

type Step =
  | { kind: keyof typeof TEXTS; value: number }
  | { kind: 'transaction' | 'setting' | 'unsendable' | 'pause'; value: number };
type Fault = { kind: 'kill' | 'freeze' | 'reset' | 'ddl' | 'lock'; afterMs: number };
interface Program {
  callers: Step[][];
  faults: Fault[];
}

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({ kind: fc.constant('read' as const), value: fc.integer({ min: 1, max: 20 }) }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom('all' as const, 'locked' as const), value: fc.integer({ min: 1, max: 5 }) }) }, // prettier-ignore
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('fail' as const), value: fc.integer({ min: 0, max: 3 }) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('slow' as const), value: fc.constantFrom(0, 0, 0, 60) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('zone' as const), value: fc.constantFrom(0, 0, 0, 1) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('transaction' as const, 'setting' as const, 'unsendable' as const, 'pause' as const), value: fc.integer({ min: 1, max: 20 }) }) }, // prettier-ignore
);
const fault = (...kinds: Fault['kind'][]): fc.Arbitrary<Fault> =>
  fc.record({ kind: fc.constantFrom(...kinds), afterMs: fc.integer({ min: 0, max: 80 }) });
const programs = (faults: fc.Arbitrary<Fault[]>): fc.Arbitrary<Program> =>
  fc.record({
    callers: fc.array(fc.array(step, { minLength: 20, maxLength: 120 }), { minLength: 4, maxLength: 12 }),
    faults,
  });

/** What a caller may get when a connection is lost or does not answer. */
const LOSS =
  /^(57P01|POOL_CONNECT_FAILED|ECONNRESET|EPIPE|QUERY_TIMEOUT|57014|Connection terminated|Client (was|has))/;

let server: PostgresServer;
let proxy: TcpProxy;
let lastTag = 0;

beforeAll(async () => {
  // One sample is enough, so that most statements of a program are shared.
  REQUIRED_SAMPLES.first = 1;
  REQUIRED_SAMPLES.afterEnd = 2;
  server = await startPostgres();
  await server.sql(`
    CREATE TABLE item (id int PRIMARY KEY, name text);
    CREATE TABLE changing (id int PRIMARY KEY);
    CREATE TABLE locked (id int PRIMARY KEY);
    CREATE TABLE counter (n int);
    INSERT INTO item SELECT g, 'item ' || g FROM generate_series(1, 20) g;
    INSERT INTO changing SELECT g FROM generate_series(1, 5) g;
    INSERT INTO locked SELECT g FROM generate_series(1, 5) g;
    INSERT INTO counter VALUES (0);
    CREATE FUNCTION slowly(ms int) RETURNS int LANGUAGE plpgsql AS
      $$ BEGIN IF ms > 0 THEN PERFORM pg_sleep(ms / 1000.0); END IF; RETURN ms; END $$;
    CREATE FUNCTION zone_of(change int) RETURNS text LANGUAGE plpgsql AS
      $$ BEGIN IF change > 0 THEN PERFORM set_config('TimeZone', 'Asia/Tokyo', false); END IF; RETURN current_setting('TimeZone'); END $$;
    CREATE OPERATOR <~> (FUNCTION = slowly, RIGHTARG = int);
    CREATE OPERATOR <@@> (FUNCTION = zone_of, RIGHTARG = int);
    GRANT ALL ON item, changing, locked, counter TO app;`);
}, 60_000);
afterAll(() => server.dispose());
beforeEach(async () => {
  proxy = await startTcpProxy({ port: server.port });
});
afterEach(() => proxy.close());

/** Runs the steps of one caller in order; each outcome is the answer, or what names the error. */
async function runCaller(pool: ConnectionPool<Connection>, steps: Step[]): Promise<unknown[]> {
  const outcomes: unknown[] = [];
  for (const { kind, value } of steps)
    outcomes.push(
      await runStep(pool, kind, value).catch(
        (error: Error & { code?: string }) => `failed: ${error.code ?? error.message}`,
      ),
    );
  return outcomes;
}

async function runStep(
  pool: ConnectionPool<Connection>,
  kind: Step['kind'],
  value: number,
): Promise<unknown> {
  if (kind === 'pause') return sleep(value);
  if (kind === 'unsendable') return pool.query(TEXTS.read, [{ toPostgres: () => { throw new Error('no text'); } }, 0]); // prettier-ignore
  if (kind === 'transaction' || kind === 'setting') {
    const client = await pool.acquire();
    try {
      if (kind === 'setting') return void (await client.query("SET TimeZone = 'Asia/Tokyo'"));
      await client.query('BEGIN');
      await client.query('UPDATE counter SET n = n + 1');
      await client.query(TEXTS.read, [value, 0]);
      return void (await client.query('COMMIT'));
    } finally {
      client.release();
    }
  }
  const tag = (lastTag += 1);
  const { rows } = await pool.query(TEXTS[kind], [value, tag]);
  const [{ tag: received, ...row }] = rows as [Record<string, unknown>];
  // Another caller's row would have another tag.
  expect(received).toBe(tag);
  delete row['extra'];
  return row;
}

async function cause({ kind, afterMs }: Fault): Promise<void> {
  await sleep(afterMs);
  if (kind === 'kill')
    await server.sql(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app' ORDER BY random() LIMIT 2",
    );
  else if (kind === 'ddl') {
    await server.sql('ALTER TABLE changing ADD extra int DEFAULT 1');
    await server.sql('ALTER TABLE changing DROP extra');
  } else if (kind === 'lock')
    await server.sql('BEGIN; LOCK TABLE locked IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(0.05); COMMIT');
  else if (kind === 'freeze') {
    proxy.freeze();
    await sleep(30);
    await proxy.pass();
  } else {
    proxy.reset();
    await proxy.pass();
  }
}

async function run({ callers, faults }: Program, isShared: boolean): Promise<unknown[][]> {
  const pool = new ConnectionPool<Connection>({
    connectionString: proxy.through(server.url),
    size: 4,
    maxOverflow: 2,
    multiplex: isShared && { connections: 2, maxInFlight: 3, maxMeanMs: 5 },
    preparedStatements: { threshold: 1, max: 5 },
    statementLimitMs: 1_500,
    onWarning: false,
  });
  pool.on('error', () => undefined);
  try {
    const running = Promise.all(callers.map((steps) => runCaller(pool, steps)));
    await Promise.all(faults.map((each) => cause(each).catch(() => undefined)));
    const outcomes = await running;
    const { leased, waiting, multiplex } = pool.snapshot();
    expect({ leased, waiting, inFlight: multiplex?.inFlight ?? 0 }).toEqual({
      leased: 0,
      waiting: 0,
      inFlight: 0,
    });
    await expectCleanSessions(pool);
    return outcomes;
  } finally {
    await pool.drain({ timeoutMs: 1_000 });
    expect(pool.totalCount).toBe(0);
  }
}

/** Leases all connections, and looks for what an earlier statement has left in their sessions. */
async function expectCleanSessions(pool: ConnectionPool<Connection>): Promise<void> {
  await until(() => (pool.snapshot().multiplex?.connections ?? 0) === 0);
  const clients = await Promise.all(Array.from({ length: 6 }, () => pool.acquire()));
  for (const client of clients) {
    const { rows } = await client.query('SHOW TimeZone');
    client.release();
    expect(rows).toEqual([{ TimeZone: 'UTC' }]);
  }
}

const numRuns = Number(process.env['MULTIPLEX_RUNS'] ?? 6);
const TIMEOUT_MS = 90_000 + numRuns * 5_000;

it(
  'without faults, callers get the same answers with and without shared connections',
  async () => {
    await fc.assert(
      fc.asyncProperty(programs(fc.array(fault('ddl', 'lock'), { maxLength: 2 })), async (program) => {
        const alone = await run(program, false);
        expect(await run(program, true)).toEqual(alone);
      }),
      { numRuns, endOnFailure: true },
    );
  },
  TIMEOUT_MS,
);

it(
  'under kills, freezes, resets and changes of the schema, every call settles, with its own row or the loss of its connection',
  async () => {
    const anyFault = fault('kill', 'freeze', 'reset', 'ddl', 'lock');
    await fc.assert(
      fc.asyncProperty(programs(fc.array(anyFault, { minLength: 1, maxLength: 4 })), async (program) => {
        const expected = await run({ ...program, faults: [] }, false);
        const outcomes = await run(program, true);
        outcomes.flat().forEach((outcome, index) => {
          if (typeof outcome === 'string' && LOSS.test(outcome.replace('failed: ', ''))) return;
          expect(outcome).toEqual(expected.flat()[index]);
        });
      }),
      { numRuns, endOnFailure: true },
    );
  },
  TIMEOUT_MS,
);
