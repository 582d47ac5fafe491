// A row by key for many callers: a few shared connections beside connections of their own, `pg`, postgres.js and TypeORM.
//   npm run bench:multiplexing -- [options]
//
// --round-trips 0,1,5   round trip of the network, in milliseconds
// --callers 1,16,64,256 callers at a time
// --shared 1,2,4        shared connections
// --seconds 1           how long each of three rounds measures
// --only pool           candidates whose names contain the text
// --http 32             also a row by key over HTTP with this number of clients, on each version of Node.js; 0 is off
// --node 20,24          these versions for HTTP, as npm run bench:http has them
// --docs                writes the tables and the picture of docs/multiplexing.md
import 'reflect-metadata';
import { cpus } from 'node:os';
import { performance } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import pg from 'pg';
import { DataSource } from 'typeorm';
import { DatabaseModule } from '../../dist/esm/index.js';
import { ConnectionPool } from '../../dist/esm/pool/index.js';
import { startPostgres } from '../../test/support/postgres-server.ts';
import { openNetwork } from '../http/network.ts';
import { defaultNodes, nodeBinary } from '../http/nodes.ts';
import { median } from '../http/statistics.ts';
import { createTables } from '../http/schema.ts';
import { asText, cellTable } from '../http/tables.ts';
import { writeDocs } from './docs.ts';
import { measureHttp } from './http.ts';

const { values: options } = parseArgs({
  options: {
    'round-trips': { type: 'string', default: '0,1,5' },
    callers: { type: 'string', default: '1,16,64,256' },
    shared: { type: 'string', default: '1,2,4' },
    seconds: { type: 'string', default: '1' },
    only: { type: 'string', default: '' },
    http: { type: 'string', default: '32' },
    node: { type: 'string' },
    docs: { type: 'boolean', default: false },
  },
});
const numbers = (text) => text.split(',').map(Number);

/** Connections of each candidate; those that are shared are part of them. */
const CONNECTIONS = 10;
const ROUNDS = 3;
const ROWS = 1_000;
const TEXT = 'SELECT id, name, created_at FROM item WHERE id = $1';

const server = await startPostgres({ settings: { max_connections: 300 } });
await server.sql(`CREATE TABLE item (id int PRIMARY KEY, name text, created_at timestamptz DEFAULT now());
  INSERT INTO item SELECT g, 'name ' || g FROM generate_series(1, ${ROWS}) g; ANALYZE item; GRANT ALL ON item TO app;`);

/** postgres.js is a package of bench/package.json, which `npm run bench:http` installs. */
const postgres = await import('postgres').then(
  ({ default: module }) => module,
  () => undefined,
);

async function openDataSource(url, multiplex) {
  class App {}
  Module({
    imports: [
      DatabaseModule.forRoot({
        url,
        profile: 'production',
        pool: { size: CONNECTIONS, maxOverflow: 0 },
        multiplex,
      }),
    ],
  })(App);
  const app = await NestFactory.createApplicationContext(App, { logger: ['error'] });
  const source = app.get(DataSource);
  return { call: (id) => source.query(TEXT, [id]), close: () => app.close() };
}

function openPool(url, multiplex) {
  const pool = new ConnectionPool({ connectionString: url, size: CONNECTIONS, maxOverflow: 0, multiplex });
  return { call: (id) => pool.query(TEXT, [id]), close: () => pool.end() };
}

function candidates(url) {
  const shared = numbers(options.shared);
  return {
    'pg.Pool': () => {
      const pool = new pg.Pool({ connectionString: url, max: CONNECTIONS });
      return { call: (id) => pool.query(TEXT, [id]), close: () => pool.end() };
    },
    'pg.Pool, named': () => {
      const pool = new pg.Pool({ connectionString: url, max: CONNECTIONS });
      const call = (id) => pool.query({ name: 'row', text: TEXT, values: [id] });
      return { call, close: () => pool.end() };
    },
    ...(postgres && {
      'postgres.js': () => {
        const sql = postgres(url, { max: CONNECTIONS });
        const call = (id) => sql`SELECT id, name, created_at FROM item WHERE id = ${id}`;
        return { call, close: () => sql.end() };
      },
    }),
    'pool, exclusive': () => openPool(url, false),
    ...Object.fromEntries(
      shared.map((connections) => [`pool, ${connections} shared`, () => openPool(url, { connections })]),
    ),
    TypeORM: async () => {
      const source = await new DataSource({ type: 'postgres', url, poolSize: CONNECTIONS }).initialize();
      return { call: (id) => source.query(TEXT, [id]), close: () => source.destroy() };
    },
    'dataSource, exclusive': () => openDataSource(url, false),
    ...Object.fromEntries(
      shared.map((connections) => [
        `dataSource, ${connections} shared`,
        () => openDataSource(url, { connections }),
      ]),
    ),
  };
}

/** Calls for a time by a number of callers, each of which calls again when it has its row. */
async function measure(call, callers, ms) {
  const times = [];
  const cpu = process.cpuUsage();
  const startedAt = performance.now();
  await Promise.all(
    Array.from({ length: callers }, async (_, caller) => {
      for (let id = caller; performance.now() - startedAt < ms; id += 1) {
        const calledAt = performance.now();
        await call((id % ROWS) + 1);
        times.push(performance.now() - calledAt);
      }
    }),
  );
  const elapsedMs = performance.now() - startedAt;
  const { user, system } = process.cpuUsage(cpu);
  times.sort((a, b) => a - b);
  return {
    perSecond: (times.length * 1_000) / elapsedMs,
    p50: times[Math.floor(times.length / 2)],
    p99: times[Math.floor(times.length * 0.99)],
    cpuUs: (user + system) / times.length,
  };
}

const medians = (rounds) =>
  Object.fromEntries(
    ['perSecond', 'p50', 'p99', 'cpuUs'].map((key) => [key, median(rounds.map((result) => result[key]))]),
  );

const networks = [];
for (const roundTripMs of numbers(options['round-trips'])) {
  const network = await openNetwork(server, roundTripMs / 2);
  console.log(
    `\nNode ${process.version}, round trip ${network.roundTripMs.toFixed(2)} ms, ${CONNECTIONS} connections`,
  );
  console.log('callers  candidate                 calls/s    p50 ms    p99 ms   CPU µs');
  const open = {};
  const byCallers = {};
  for (const [name, start] of Object.entries(candidates(network.url)))
    if (name.includes(options.only)) open[name] = await start();
  for (const callers of numbers(options.callers)) {
    const results = Object.fromEntries(Object.keys(open).map((name) => [name, []]));
    // The first round opens the connections and warms up the compiler.
    for (let round = 0; round <= ROUNDS; round += 1)
      for (const [name, { call }] of Object.entries(open)) {
        const result = await measure(call, callers, round === 0 ? 300 : Number(options.seconds) * 1_000);
        if (round > 0) results[name].push(result);
      }
    byCallers[callers] = Object.fromEntries(
      Object.entries(results).map(([name, rounds]) => [name, medians(rounds)]),
    );
    for (const [name, { perSecond, p50, p99, cpuUs }] of Object.entries(byCallers[callers]))
      console.log(
        String(callers).padEnd(9) +
          name.padEnd(24) +
          perSecond.toFixed(0).padStart(9) +
          p50.toFixed(2).padStart(10) +
          p99.toFixed(2).padStart(10) +
          cpuUs.toFixed(1).padStart(9),
      );
  }
  for (const { close } of Object.values(open)) await close();
  networks.push({ roundTripMs: network.roundTripMs, callers: byCallers });
  await network.close();
}

const http = [];
const clients = Number(options.http);
const nodes = options.node?.split(',').map(nodeBinary) ?? defaultNodes();
if (clients > 0) await createTables(server);
for (const node of clients > 0 ? nodes : []) {
  const measured = await measureHttp(server, {
    node,
    clients,
    poolSize: CONNECTIONS,
    shared: numbers(options.shared),
  });
  for (const report of measured)
    console.log(
      `\nHTTP, row by key, by ${report.rowBy}, ${clients} clients, Node ${report.node}\n\n${asText(cellTable(report))}`,
    );
  http.push(...measured);
}
const [{ version }] = await server.sql("SELECT current_setting('server_version') AS version");
await server.dispose();

if (options.docs)
  await writeDocs({
    date: new Date().toISOString().slice(0, 10),
    node: process.versions.node,
    cores: cpus().length,
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    postgres: version,
    connections: CONNECTIONS,
    rounds: ROUNDS,
    networks,
    http,
  });
