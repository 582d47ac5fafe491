import { writeFileSync } from 'node:fs';
import { TYPEORM } from '../http/candidates.js';
import { barPicture } from '../http/plot.js';
import type { Panel } from '../http/plot.js';
import { asMarkdown, rounded, whole } from '../http/tables.js';
import { writeSections } from '../sections.js';
import { PG_POOL } from './http.js';
import type { CallResult, HttpReport, MultiplexingReport, NetworkReport } from './report.js';

const PAGE = 'docs/multiplexing.md';
const PICTURE = 'docs/images/multiplexing.svg';
/** The number of callers of the table. */
const CALLERS = '64';

/** Writes the tables of docs/multiplexing.md between their markers, and its picture. */
export async function writeDocs(report: MultiplexingReport): Promise<void> {
  await writeSections(PAGE, {
    machine: machine(report),
    calls: asMarkdown(callsTable(report)),
    http: asMarkdown(httpTable(report.http)),
  });
  writeFileSync(PICTURE, picture(report));
}

function machine({
  date,
  node,
  cores,
  processor,
  postgres,
  connections,
  rounds,
}: MultiplexingReport): string {
  return [
    `Measured on ${date} with Node ${node}: medians of ${rounds} rounds, in which the candidates take turns. Each has`,
    `${connections} connections, shared ones included. The app, the load and PostgreSQL ${postgres} run on one machine`,
    `with ${cores} cores (${processor}).`,
  ].join('\n');
}

const trip = ({ roundTripMs }: NetworkReport) => `${roundTripMs.toFixed(1)} ms`;

function callsTable({ networks }: MultiplexingReport) {
  const names = Object.keys(networks[0]?.callers[CALLERS] ?? {});
  const text = (result: CallResult | undefined) =>
    result ? `${whole(result.perSecond)} / ${rounded(result.p50)} / ${rounded(result.cpuUs)}` : '-';
  return {
    header: [`${CALLERS} callers`, ...networks.map((network) => `round trip ${trip(network)}`)],
    rows: names.map((name) => [name, ...networks.map(({ callers }) => text(callers[CALLERS]?.[name]))]),
  };
}

function httpTable(reports: readonly HttpReport[]) {
  return {
    header: [
      'Node',
      'row by',
      'app on',
      'CPU, µs',
      'to `@nestjs/typeorm`',
      'to `pg.Pool`',
      'requests/s',
      'p99, ms',
    ],
    rows: reports.flatMap(({ node, rowBy, results }) =>
      Object.entries(results).map(([title, { cpu, perSecond, p99 }]) => {
        const ratio = (peer: string) => (cpu.median / (results[peer]?.cpu.median ?? NaN)).toFixed(2);
        return [
          node,
          rowBy,
          title,
          whole(cpu.median),
          ratio(TYPEORM.title),
          ratio(PG_POOL.title),
          whole(perSecond.median),
          rounded(p99.median),
        ];
      }),
    ),
  };
}

/** Calls per second: by round trip for the callers of the table, and over the slowest network by the number of callers. */
function picture({ networks, node, cores }: MultiplexingReport): string {
  const slowest = networks.at(-1)!;
  const otherCounts = Object.keys(slowest.callers).filter((count) => count !== CALLERS);
  return barPicture({
    title: 'Calls per second, a row by its key',
    note: `Blue: this package. Node ${node}, ${cores} cores.`,
    panels: [
      ...networks.map((network) => panelOf(network, CALLERS)),
      ...otherCounts.map((count) => panelOf(slowest, count)),
    ],
  });
}

function panelOf(network: NetworkReport, callers: string): Panel {
  return {
    title: `${callers} ${callers === '1' ? 'caller' : 'callers'}, round trip ${trip(network)}`,
    bars: Object.entries(network.callers[callers] ?? {}).map(([name, { perSecond }]) => ({
      name,
      ours: /^(?:pool|dataSource),/.test(name),
      value: perSecond,
      from: perSecond,
      to: perSecond,
      text: whole(perSecond),
    })),
  };
}
