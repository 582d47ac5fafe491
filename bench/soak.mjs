// Runs mixed work under faults on a real server behind a proxy: `npm run soak -- 5` for five minutes.
// No borrower may see the session of another one, no connection may remain, and memory must not grow.
import { performance } from 'node:perf_hooks';
import { setTimeout } from 'node:timers';
import { setTimeout as sleep } from 'node:timers/promises';
import { ConnectionPool } from '../dist/esm/pool/index.js';
import { startPostgres } from '../test/support/postgres-server.ts';
import { startTcpProxy } from '../test/support/tcp-proxy.ts';

const minutes = Number(process.argv[2] ?? 5);
const server = await startPostgres();
const proxy = await startTcpProxy({ port: server.port });
const warnings = {};
const pool = new ConnectionPool({
  connectionString: proxy.through(server.url),
  size: 5,
  maxOverflow: 10,
  acquireTimeoutMs: 2_000,
  connectTimeoutMs: 1_000,
  maxLifetimeMs: 20_000,
  overflowIdleMs: 1_000,
  validationTimeoutMs: 500,
  resetTimeoutMs: 1_000,
  reclaimAfterMs: 5_000,
  statement_timeout: 1_500,
  statementGraceMs: 500,
  application_name: 'soak',
  onWarning: ({ code }) => {
    warnings[code] = (warnings[code] ?? 0) + 1;
  },
});

await server.sql('CREATE TABLE IF NOT EXISTS soak (id serial PRIMARY KEY, worker int)');
await server.sql('ALTER TABLE soak OWNER TO app').catch(() => undefined);
const outcomes = {};
const count = (outcome) => {
  outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
};
let dirtySessions = 0;
let maxConnections = 0;
let running = true;
const chance = (probability) => Math.random() < probability;

/** One borrower: checks that the session is clean, works, and often leaves the session changed. */
async function borrow(worker) {
  const abort = new AbortController();
  if (chance(0.1)) setTimeout(() => abort.abort(), Math.random() * 20);
  const client = await pool.acquire({ signal: abort.signal, borrower: `worker ${worker}` });
  let failed = false;
  try {
    const { rows } = await client.query(
      "SELECT current_setting('app.owner', true) AS owner, now() = statement_timestamp() AS alone",
    );
    if (rows[0].owner || client.transactionStatus !== 'I') dirtySessions += 1;
    if (chance(0.2)) await client.query(`SET app.owner = '${worker}'`);
    if (chance(0.2)) await client.query('BEGIN');
    if (chance(0.3)) await client.query('SELECT pg_sleep($1)', [Math.random() * 0.05]);
    if (chance(0.02)) await client.query('SELECT pg_sleep(10)');
    if (chance(0.1)) await client.query('SELECT nothing');
    if (chance(0.02)) void client.query('SELECT pg_sleep(0.1)').catch(() => undefined);
  } catch (error) {
    failed = true;
    throw error;
  } finally {
    client.release(failed && chance(0.1) ? true : undefined);
  }
}

async function work(worker) {
  while (running) {
    try {
      await borrow(worker);
      count('ok');
    } catch (error) {
      count(error.code ?? error.message);
    }
    maxConnections = Math.max(maxConnections, pool.totalCount);
    if (chance(0.3)) await sleep(Math.random() * 20);
  }
}

async function disturb() {
  while (running) {
    await sleep(500 + Math.random() * 1_500);
    const kind = Math.floor(Math.random() * 6);
    if (kind === 0)
      await server.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'soak' ORDER BY random() LIMIT 2",
      );
    if (kind === 1) proxy.forget();
    if (kind === 2) proxy.freeze();
    if (kind === 3) proxy.delay(30);
    if (kind === 4) await proxy.refuse();
    if (kind === 5) proxy.reset();
    await sleep(Math.random() * 1_500);
    await proxy.pass();
  }
}

const heap = () => {
  globalThis.gc?.();
  return process.memoryUsage().heapUsed / 2 ** 20;
};
const workers = Array.from({ length: 40 }, (_, worker) => work(worker));
const disturbance = disturb();
await sleep(20_000);
const before = heap();
const until = performance.now() + minutes * 60_000;
while (performance.now() < until) await sleep(1_000);
running = false;
await Promise.all([...workers, disturbance]);
await proxy.pass();
const after = heap();
const { counters, generation, wait } = pool.snapshot();
const idleInTransaction = await server.sql(
  "SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name = 'soak' AND state LIKE 'idle in transaction%'",
);
const report = await pool.drain();
await sleep(500);
const left = await server.sql(
  "SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name = 'soak'",
);
console.log(
  JSON.stringify(
    {
      minutes,
      outcomes,
      dirtySessions,
      maxConnections,
      generation,
      counters,
      meanWaitMs: wait.sumMs / wait.count,
      idleInTransaction: idleInTransaction[0].n,
      leftOnTheServer: left[0].n,
      drain: report,
      heapMiB: { after20s: Number(before.toFixed(1)), atTheEnd: Number(after.toFixed(1)) },
      warnings,
    },
    null,
    2,
  ),
);
await proxy.close();
await server.dispose();
const bad =
  dirtySessions + idleInTransaction[0].n + left[0].n + report.destroyed + Math.max(0, maxConnections - 15);
process.exitCode = bad === 0 ? 0 : 1;
