// Compares the pool with pg-pool. The runs of both are interleaved. The connections are simulated, so that only the pools are
// measured.
// Prints the figures, and draws the waits as docs/images/pool-waits.svg.
//   npm run bench
import { EventEmitter } from 'node:events';
import { writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { performance } from 'node:perf_hooks';
import { setTimeout } from 'node:timers';
import { setTimeout as sleep } from 'node:timers/promises';
import Pool from 'pg-pool';
import { ConnectionPool } from '../dist/esm/pool/index.js';
import { waitsPlot } from './waits-plot.mjs';

const sorted = (values) => [...values].sort((a, b) => a - b);
const percentile = (values, part) =>
  sorted(values)[Math.min(values.length - 1, Math.floor(values.length * part))];
const median = (values) => percentile(values, 0.5);

/** A connection that takes `connectMs` to open and is always clean. */
function clientClass(connectMs) {
  return class FakeClient extends EventEmitter {
    _queryable = true;
    _ending = false;
    isUsable = true;
    isReadyForQuery = true;
    transactionStatus = 'I';
    connect(callback) {
      if (connectMs === 0) process.nextTick(callback, null);
      else setTimeout(() => callback(null), connectMs);
    }
    end(callback) {
      process.nextTick(() => callback?.());
    }
    reset() {
      return undefined;
    }
    async validate() {}
    async close() {}
    destroy() {}
    async cancelRunning() {}
    async terminate() {}
    ref() {}
    unref() {}
  };
}

async function loop(pool, rounds) {
  const started = performance.now();
  for (let round = 0; round < rounds; round += 1) (await pool.connect()).release();
  return ((performance.now() - started) * 1_000) / rounds;
}

async function idleAndFresh() {
  const Client = clientClass(0);
  const pools = {
    ours: new ConnectionPool({ size: 5, maxOverflow: 10, onWarning: false }, Client),
    theirs: new Pool({ max: 15, Client }),
  };
  const times = { ours: [], theirs: [] };
  for (let round = 0; round < 33; round += 1)
    for (const [name, pool] of Object.entries(pools)) {
      const micros = await loop(pool, 10_000);
      // The first rounds warm up the compiler.
      if (round >= 3) times[name].push(micros);
    }
  const [ours, theirs] = [median(times.ours), median(times.theirs)];
  console.log(
    `acquire and release of an idle, fresh connection: ours ${ours.toFixed(2)} µs, pg-pool ${theirs.toFixed(2)} µs, ratio ${(theirs / ours).toFixed(2)}`,
  );
  for (const pool of Object.values(pools)) await pool.end();
}

async function burst(pool, count, useMs) {
  const waits = await Promise.all(
    Array.from({ length: count }, async () => {
      const started = performance.now();
      const client = await pool.connect();
      const waited = performance.now() - started;
      await sleep(useMs);
      client.release();
      return waited;
    }),
  );
  return { median: median(waits), p95: percentile(waits, 0.95) };
}

/**
 * Measures `count` concurrent acquires on a pool of 15, while `open` connections are leased. Each lease lasts `useMs`. The pools
 * take turns in going first.
 */
async function bursts({ count = 50, connectMs = 300, open, useMs }) {
  const Client = clientClass(connectMs);
  const make = {
    ours: () => new ConnectionPool({ size: 5, maxOverflow: 10, onWarning: false }, Client),
    theirs: () => new Pool({ max: 15, Client }),
  };
  const seen = { ours: [], theirs: [] };
  for (let round = 0; round < 6; round += 1)
    for (const name of round % 2 === 0 ? ['ours', 'theirs'] : ['theirs', 'ours']) {
      const pool = make[name]();
      const clients = await Promise.all(Array.from({ length: open }, () => pool.connect()));
      for (const client of clients) setTimeout(() => client.release(), useMs);
      seen[name].push(await burst(pool, count, useMs));
      await pool.end();
    }
  const part = (name, figure) => median(seen[name].map((result) => result[figure]));
  const [ours, theirs] = ['ours', 'theirs'].map((name) => ({
    median: part(name, 'median'),
    p95: part(name, 'p95'),
  }));
  const figures = ['median', 'p95'].map((figure) => {
    const ratio = (theirs[figure] / ours[figure]).toFixed(2);
    return `${figure} ours ${ours[figure].toFixed(0)} ms, pg-pool ${theirs[figure].toFixed(0)} ms, ratio ${ratio}`;
  });
  console.log(
    `burst of ${count}, connect ${connectMs} ms, ${open} of 15 open and leased, lease ${useMs} ms: ${figures.join('; ')}`,
  );
  return { count, connectMs, open, useMs, ours, theirs };
}

await idleAndFresh();
const measured = [
  await bursts({ open: 0, useMs: 20 }),
  await bursts({ open: 1, useMs: 20 }),
  await bursts({ open: 1, useMs: 2 }),
  await bursts({ open: 5, useMs: 20 }),
  await bursts({ open: 5, useMs: 2 }),
  // A slow connect, with many acquires, and with so few that each has its own connect.
  await bursts({ connectMs: 1_000, open: 5, useMs: 20 }),
  await bursts({ connectMs: 1_000, open: 5, useMs: 20, count: 10 }),
];
const machine = `Node ${process.versions.node}, ${availableParallelism()} cores.`;
writeFileSync(new URL('../docs/images/pool-waits.svg', import.meta.url), waitsPlot(measured, machine));
