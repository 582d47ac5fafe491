// Compares the CPU time per request with that of @nestjs/typeorm, and of Nest without a database, in one run. Fails when a ratio
// is more than 30 % above the one in guard.json in each of three tries.
//   npm run bench:guard
//   npm run bench:guard -- --record   records the ratios of this version of Node.js
import { readFileSync, writeFileSync } from 'node:fs';
import { startPostgres } from '../../test/support/postgres-server.js';
import { NEST, OURS, TYPEORM } from './candidates.js';
import { judge, recordedFor } from './guard-decision.js';
import type { Ratios } from './guard-decision.js';
import { measureRoute } from './measure.js';
import { MeasuredApp } from './measured-app.js';
import { CONSTANT, NONE, ROW } from './routes.js';
import { createTables } from './schema.js';
import { median } from './statistics.js';

const record = process.argv.includes('--record');
const TRIES = record ? 5 : 3;
const EFFORT = { clients: 10, rounds: 8, requests: 400 };
const RECORDS = new URL('guard.json', import.meta.url);

const records = JSON.parse(readFileSync(RECORDS, 'utf8')) as Record<string, Ratios>;
const major = Number(process.versions.node.split('.')[0]);

const server = await startPostgres();
await createTables(server);
const start = (candidate: typeof OURS) =>
  MeasuredApp.start(candidate, { node: process.execPath, url: server.url });
const [ours, typeorm, nest] = await Promise.all([start(OURS), start(TYPEORM), start(NEST)]);

const measured: Record<string, number> = {};
for (const { route, peer } of [
  { route: CONSTANT, peer: typeorm },
  { route: ROW, peer: typeorm },
  { route: NONE, peer: nest },
]) {
  // NaN, for a route that is not recorded, fails.
  const recorded = record ? undefined : (recordedFor(records, major)[route.title] ?? Number.NaN);
  const tries: number[] = [];
  while (tries.length < TRIES) {
    const warmUp = tries.length === 0 ? 3_000 : 0;
    const [us, them] = await measureRoute([ours, peer], route, { ...EFFORT, warmUp });
    // The smallest of the rounds: other work on the machine only adds to the CPU time.
    const [micros, theirs] = [us!.cpu.min, them!.cpu.min];
    const ratio = micros / theirs;
    tries.push(ratio);
    console.log(
      `${route.title}: ${micros.toFixed(0)} µs of CPU time per request, ${peer.candidate.title} ` +
        `${theirs.toFixed(0)} µs, ratio ${ratio.toFixed(2)}`,
    );
    if (recorded !== undefined && judge(tries, recorded).passed) break;
  }
  measured[route.title] = Number(median(tries).toFixed(2));
  if (recorded === undefined) continue;
  const { best, limit, passed } = judge(tries, recorded);
  if (passed) continue;
  process.exitCode = 1;
  console.error(
    `${route.title}: the best ratio, ${best.toFixed(2)}, is above ${limit.toFixed(2)}, which is 30 % above the recorded ` +
      `${recorded}. Find out what has become slower: npm run bench:http -- --quick. If the change is intended, record ` +
      'the ratio on each version of Node.js: npm run bench:guard -- --record',
  );
}
if (record) writeFileSync(RECORDS, `${JSON.stringify({ ...records, [major]: measured }, null, 2)}\n`);

await Promise.all([ours, typeorm, nest].map((app) => app.stop()));
await server.dispose();
