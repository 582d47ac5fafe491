import { CANDIDATES } from './candidates.js';
import type { Measurement } from './measure.js';
import { CLIENTS, LATENCIES_MS, SWEPT } from './plan.js';
import { barPicture } from './plot.js';
import type { Bar, Panel } from './plot.js';
import type { Cell, NodeReport, Report } from './report.js';
import { ROUTES } from './routes.js';
import type { Range } from './statistics.js';
import { cellOf, latencyText, rounded } from './tables.js';

/** The pictures of docs/performance.md by their file names, of the last version of Node.js that was measured. */
export function pictures(report: Report): Record<string, string> {
  const node = report.nodes.at(-1)!;
  const machine = `Node ${node.version}, ${report.cores} cores.`;
  const range = 'Bar: median; line: smallest to largest round.';
  return {
    'performance-cpu.svg': barPicture({
      title: 'CPU time of the app per request, in µs',
      note: `${range} 10 clients, no latency. ${machine}`,
      panels: ROUTES.flatMap(({ title }) => panelOf(title, cellOf(node, title), ({ cpu }) => ranged(cpu))),
    }),
    'performance-clients.svg': barPicture({
      title: 'Latency by number of clients, on a pool of 10 connections, in ms',
      note: `Bar: median (p50); line: to the 99th percentile (p99). ${machine}`,
      panels: CLIENTS.flatMap((clients) =>
        SWEPT.flatMap(({ title }) =>
          panelOf(
            `${title}, ${clients} ${clients === 1 ? 'client' : 'clients'}`,
            cellOf(node, title, clients),
            (measurement) => ({
              value: measurement.p50.median,
              from: measurement.p50.median,
              to: measurement.p99.median,
              text: latencyText(measurement),
            }),
          ),
        ),
      ),
    }),
    'performance-latency.svg': barPicture({
      title: 'Requests per second by latency of the network in each direction',
      note: `${range} 10 clients. ${machine}`,
      panels: LATENCIES_MS.flatMap((latencyMs) =>
        SWEPT.flatMap(({ title }) =>
          panelOf(`${title}, ${latencyMs} ms`, cellOf(node, title, 10, latencyMs), ({ perSecond }) =>
            ranged(perSecond),
          ),
        ),
      ),
    }),
    'performance-start.svg': barPicture({
      title: 'Start and memory',
      note: `${range} ${machine}`,
      panels: startPanels(node),
    }),
  };
}

type Drawn = Omit<Bar, 'name' | 'ours'>;

const ranged = ({ median, min, max }: Range): Drawn => ({
  value: median,
  from: min,
  to: max,
  text: rounded(median),
});
const single = (value: number): Drawn => ({ value, from: value, to: value, text: rounded(value) });

/** A bar for each candidate that was measured; nothing when none was. */
function panelOf(title: string, cell: Cell | undefined, draw: (measurement: Measurement) => Drawn): Panel[] {
  return cell ? [{ title, bars: barsOf(cell.results, draw) }] : [];
}

function barsOf<Value>(values: Readonly<Record<string, Value>>, draw: (value: Value) => Drawn): Bar[] {
  return CANDIDATES.flatMap(({ title: name, app }) => {
    const value = values[name];
    return value ? [{ name, ours: app === 'nestjs-database', ...draw(value) }] : [];
  });
}

function startPanels({ startUp, memory }: NodeReport): Panel[] {
  return [
    { title: 'import beyond Nest, ms', bars: barsOf(startUp, ({ importMs }) => ranged(importMs)) },
    { title: 'boot, ms', bars: barsOf(startUp, ({ bootMs }) => ranged(bootMs)) },
    { title: 'RSS after one request, MiB', bars: barsOf(startUp, ({ rssMiB }) => ranged(rssMiB)) },
    { title: 'idle connection, KiB', bars: barsOf(memory, ({ connectionKiB }) => single(connectionKiB)) },
    { title: 'request in flight, KiB', bars: barsOf(memory, ({ requestKiB }) => single(requestKiB)) },
  ].filter(({ bars }) => bars.length > 0);
}
