// Measures Nest apps on this package and on others, by HTTP: see bench/README.md.
//   npm run bench:http -- --quick
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { startPostgres } from '../../test/support/postgres-server.js';
import type { PostgresServer } from '../../test/support/postgres-server.js';
import { CANDIDATES, NEST } from './candidates.js';
import type { Candidate } from './candidates.js';
import { writeDocs } from './docs.js';
import { measureMemory, measureStartUp } from './measure-start.js';
import { measureRoute } from './measure.js';
import { MeasuredApp } from './measured-app.js';
import { openNetwork } from './network.js';
import { defaultNodes, nodeBinary, versionOf } from './nodes.js';
import { installPeers } from './peers.js';
import { effortOf, POOL_SIZE, product, standardSteps } from './plan.js';
import type { Step } from './plan.js';
import type { Cell, NodeReport, Report } from './report.js';
import { has, ROUTES, ROW } from './routes.js';
import { createTables } from './schema.js';
import { asText, cellTable, startTable } from './tables.js';

const REPORT = 'reports/bench-http.json';

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    docs: { type: 'boolean', default: false },
    redraw: { type: 'boolean', default: false },
    node: { type: 'string' },
    candidates: { type: 'string' },
    routes: { type: 'string' },
    clients: { type: 'string' },
    latency: { type: 'string' },
  },
});

const list = (text: string | undefined): string[] | undefined => text?.split(',').map((item) => item.trim());
const numbers = (text: string | undefined): number[] | undefined => list(text)?.map(Number);

const report = options.redraw ? (JSON.parse(readFileSync(REPORT, 'utf8')) as Report) : await measure();
mkdirSync('reports', { recursive: true });
writeFileSync(REPORT, JSON.stringify(report, null, 2));
if (options.docs) await writeDocs(report);

async function measure(): Promise<Report> {
  const apps = list(options.candidates);
  const candidates = CANDIDATES.filter(({ app }) => apps?.includes(app) ?? true);
  if (candidates.some(({ installed }) => installed)) installPeers();
  const wanted = list(options.node)?.map(nodeBinary) ?? defaultNodes();
  const nodes = options.quick ? wanted.slice(-1) : wanted;
  const server = await startPostgres({ settings: { max_connections: 200 } });
  await createTables(server);
  const roundTrips: Record<string, number> = {};
  const reports: NodeReport[] = [];
  for (const [index, node] of nodes.entries()) {
    console.log(`\nNode ${versionOf(node)}\n`);
    const steps =
      chosenSteps() ?? standardSteps({ withLatency: index === nodes.length - 1, quick: options.quick });
    const cells = await measureSteps(server, node, candidates, steps, roundTrips);
    const measured = { version: versionOf(node), cells, ...(await measureStart(server, node, candidates)) };
    console.log(`Start and memory\n\n${asText(startTable(measured))}\n`);
    reports.push(measured);
  }
  const [row] = await server.sql<{ version: string }>("SELECT current_setting('server_version') AS version");
  await server.dispose();
  return {
    date: new Date().toISOString().slice(0, 10),
    cores: cpus().length,
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    postgres: row!.version,
    rounds: effortOf({ route: ROW, clients: 10, latencyMs: 0 }, options.quick).rounds,
    versions: versions(candidates),
    roundTrips,
    nodes: reports,
  };
}

/** Every combination of what the options name, else `undefined`. */
function chosenSteps(): Step[] | undefined {
  const [paths, clients, latencies] = [
    list(options.routes),
    numbers(options.clients),
    numbers(options.latency),
  ];
  if (!paths && !clients && !latencies) return undefined;
  const routes = ROUTES.filter(({ path }) => paths?.includes(path.slice(1)) ?? true);
  return product(routes, clients ?? [10], latencies ?? [0]);
}

async function measureSteps(
  server: PostgresServer,
  node: string,
  candidates: readonly Candidate[],
  steps: readonly Step[],
  roundTrips: Record<string, number>,
): Promise<Cell[]> {
  const cells: Cell[] = [];
  for (const latencyMs of new Set(steps.map((step) => step.latencyMs))) {
    const network = await openNetwork(server, latencyMs);
    roundTrips[latencyMs] ??= network.roundTripMs;
    const apps = await Promise.all(
      candidates.map((candidate) =>
        MeasuredApp.start(candidate, { node, url: network.url, poolSize: POOL_SIZE }),
      ),
    );
    for (const step of steps.filter((each) => each.latencyMs === latencyMs)) {
      const { route, clients } = step;
      const measured = apps.filter(({ candidate }) => has(candidate, route));
      const results = await measureRoute(measured, route, effortOf(step, options.quick));
      const cell = {
        route: route.title,
        clients,
        latencyMs,
        results: Object.fromEntries(
          measured.map(({ candidate }, index) => [candidate.title, results[index]!]),
        ),
      };
      console.log(`${route.title}, ${clients} clients, ${latencyMs} ms\n\n${asText(cellTable(cell))}\n`);
      cells.push(cell);
    }
    await Promise.all(apps.map((app) => app.stop()));
    await network.close();
  }
  return cells;
}

async function measureStart(
  server: PostgresServer,
  node: string,
  candidates: readonly Candidate[],
): Promise<Pick<NodeReport, 'startUp' | 'memory'>> {
  const startUp = await measureStartUp(candidates, node, server.url, options.quick ? 1 : 5);
  const withDatabase = options.quick ? [] : candidates.filter((candidate) => candidate !== NEST);
  const memory: NodeReport['memory'] = Object.fromEntries(
    await inTurn(withDatabase, async (candidate) => [
      candidate.title,
      await measureMemory(candidate, node, server),
    ]),
  );
  return {
    startUp: Object.fromEntries(candidates.map(({ title }, index) => [title, startUp[index]!])),
    memory,
  };
}

async function inTurn<Item, Result>(
  items: readonly Item[],
  work: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  for (const item of items) results.push(await work(item));
  return results;
}

/** The versions of the packages that the apps load. */
function versions(candidates: readonly Candidate[]): Record<string, string> {
  const own = ['@nestjs/core', '@nestjs/typeorm', 'typeorm', 'pg'];
  const compared = ['@nestjs-cls/transactional', 'drizzle-orm', '@mikro-orm/core', '@prisma/client'];
  const folders = [
    ...own.map((name) => [name, 'node_modules'] as const),
    ...(candidates.some(({ installed }) => installed)
      ? compared.map((name) => [name, 'bench/node_modules'] as const)
      : []),
  ];
  return Object.fromEntries(
    folders.map(([name, folder]) => {
      const { version } = JSON.parse(readFileSync(`${folder}/${name}/package.json`, 'utf8')) as {
        version: string;
      };
      return [name, version];
    }),
  );
}
