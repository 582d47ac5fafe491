import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { PostgresServer } from '../../test/support/postgres-server.js';
import type { Candidate } from './candidates.js';
import { NEST } from './candidates.js';
import { Load } from './load.js';
import { MeasuredApp } from './measured-app.js';
import { BLOCKED, NONE, ROW } from './routes.js';
import { rangeOf } from './statistics.js';
import type { Range } from './statistics.js';

export interface StartUp {
  /** Import of the packages beyond those of Nest, in milliseconds. */
  readonly importMs: Range;
  /** From there until the app listens. */
  readonly bootMs: Range;
  /** Resident memory after the first request, in MiB. */
  readonly rssMiB: Range;
}

export interface Memory {
  /** Of an idle connection, in KiB. */
  readonly connectionKiB: number;
  /** Of a request in flight, with its HTTP connection, in KiB. */
  readonly requestKiB: number;
}

const MANY_CONNECTIONS = 40;
const MANY_REQUESTS = 300;

/** Starts every app several times, in turn. */
export async function measureStartUp(
  candidates: readonly Candidate[],
  node: string,
  url: string,
  rounds: number,
): Promise<StartUp[]> {
  const seen = candidates.map((): Record<keyof StartUp, number[]> => ({
    importMs: [],
    bootMs: [],
    rssMiB: [],
  }));
  for (let round = 0; round < rounds; round += 1)
    for (const [index, candidate] of candidates.entries()) {
      const app = await MeasuredApp.start(candidate, { node, url });
      await send(app, 1, candidate === NEST ? NONE : ROW, 1);
      const { importMs, bootMs, rssMiB } = seen[index]!;
      importMs.push(app.started.importMs);
      bootMs.push(app.started.bootMs);
      rssMiB.push((await app.ask('memory')).rss / 2 ** 20);
      await app.stop();
    }
  return seen.map(({ importMs, bootMs, rssMiB }) => ({
    importMs: rangeOf(importMs),
    bootMs: rangeOf(bootMs),
    rssMiB: rangeOf(rssMiB),
  }));
}

export async function measureMemory(
  candidate: Candidate,
  node: string,
  server: PostgresServer,
): Promise<Memory> {
  return {
    connectionKiB: await perConnection(candidate, node, server),
    requestKiB: await perRequest(candidate, node, server),
  };
}

/** The memory with many idle connections beside that with one. Each has been used for the same statements. */
async function perConnection(candidate: Candidate, node: string, server: PostgresServer): Promise<number> {
  const app = await MeasuredApp.start(candidate, { node, url: server.url, poolSize: MANY_CONNECTIONS });
  await send(app, 1, ROW, 1_000);
  const [few, usedWithFew] = [await connections(server), await idleMemory(app)];
  await inFlight(app, server, MANY_CONNECTIONS, () => untilConnected(server, MANY_CONNECTIONS));
  await send(app, MANY_CONNECTIONS, ROW, 40 * MANY_CONNECTIONS);
  const [many, usedWithMany] = [await connections(server), await idleMemory(app)];
  await app.stop();
  return (usedWithMany - usedWithFew) / (many - few) / 1_024;
}

/** The memory while many requests wait for a statement or for one of ten connections, beside that without requests. */
async function perRequest(candidate: Candidate, node: string, server: PostgresServer): Promise<number> {
  const app = await MeasuredApp.start(candidate, { node, url: server.url });
  const used = async () => {
    // Nothing tells when the app has read all requests.
    await sleep(500);
    return (await app.ask('memory')).used;
  };
  // The first time, queues and tables grow, and code is compiled.
  await inFlight(app, server, MANY_REQUESTS, used);
  const before = await idleMemory(app);
  const during = await inFlight(app, server, MANY_REQUESTS, used);
  await app.stop();
  return (during - before) / MANY_REQUESTS / 1_024;
}

/** Runs `work` while requests wait for a lock. */
async function inFlight<Result>(
  app: MeasuredApp,
  server: PostgresServer,
  requests: number,
  work: () => Promise<Result>,
): Promise<Result> {
  const lock = new pg.Client({ host: server.folder, port: server.port, user: 'postgres', database: 'app' });
  await lock.connect();
  await lock.query('SELECT pg_advisory_lock(1)');
  const load = await Load.connect(app.started.port, requests);
  const answered = load.run(BLOCKED, requests);
  const result = await work();
  await lock.end();
  await answered;
  load.close();
  return result;
}

async function send(app: MeasuredApp, clients: number, route: typeof ROW, requests: number): Promise<void> {
  const load = await Load.connect(app.started.port, clients);
  await load.run(route, requests);
  load.close();
}

async function idleMemory(app: MeasuredApp): Promise<number> {
  while ((await app.ask('clients')).count > 0) await sleep(10);
  return (await app.ask('memory')).used;
}

async function connections(server: PostgresServer): Promise<number> {
  const [row] = await server.sql<{ count: number }>(
    "SELECT count(*)::int AS count FROM pg_stat_activity WHERE usename = 'app'",
  );
  return row!.count;
}

async function untilConnected(server: PostgresServer, count: number): Promise<void> {
  while ((await connections(server)) < count) await sleep(10);
}
