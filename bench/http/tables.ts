import { CANDIDATES, NEST, OURS, OURS_REQUEST, TYPEORM, TYPEORM_REQUEST } from './candidates.js';
import type { Measurement } from './measure.js';
import { CLIENTS, LATENCIES_MS, SWEPT } from './plan.js';
import type { Cell, NodeReport, Report } from './report.js';
import { CONSTANT, NONE, ROUTES, ROW, TENANT } from './routes.js';
import type { Range } from './statistics.js';

/** A table of Markdown; the first cell of each row is its name. */
export interface Table {
  readonly header: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

export const whole = (value: number): string =>
  Math.round(value)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, ' ');
export const rounded = (value: number): string => (value < 10 ? value.toFixed(1) : whole(value));
const withRange = ({ median, min, max }: Range): string =>
  `${rounded(median)} (${rounded(min)}–${rounded(max)})`;

/** The cells of a candidate under a condition; a dash where nothing was measured. */
function row(
  candidate: string,
  cells: readonly (Cell | undefined)[],
  text: (measurement: Measurement) => string,
): string[] {
  return [
    candidate,
    ...cells.map((cell) => {
      const measurement = cell?.results[candidate];
      return measurement ? text(measurement) : '-';
    }),
  ];
}

const titlesIn = (cells: readonly (Cell | undefined)[]): string[] =>
  CANDIDATES.map(({ title }) => title).filter((title) => cells.some((cell) => cell?.results[title]));

/** The comparisons that decide: each with the peer that does the same in the same way. */
const PAIRS = [
  { route: NONE, ours: OURS, peer: NEST },
  { route: CONSTANT, ours: OURS, peer: TYPEORM },
  { route: ROW, ours: OURS, peer: TYPEORM },
  { route: CONSTANT, ours: OURS_REQUEST, peer: TYPEORM_REQUEST },
  { route: ROW, ours: OURS_REQUEST, peer: TYPEORM_REQUEST },
  { route: TENANT, ours: OURS, peer: TYPEORM },
];

export function ratioTable({ nodes }: Report): Table {
  return {
    header: ['route', 'beside', ...nodes.map(({ version }) => `Node ${version}`)],
    rows: PAIRS.map(({ route, ours, peer }) => [
      ours === OURS ? route.title : `${route.title}, per request`,
      peer.title,
      ...nodes.map((node) => {
        const { results } = cellOf(node, route.title) ?? {};
        const [us, them] = [results?.[ours.title], results?.[peer.title]];
        if (!us || !them) return '-';
        const ratio = us.cpu.median / them.cpu.median;
        return `${whole(us.cpu.median)} µs, ${whole(them.cpu.median)} µs, ${ratio.toFixed(2)}`;
      }),
    ]),
  };
}

/** A column for each route. */
export function routeTable(node: NodeReport, text: (measurement: Measurement) => string): Table {
  const cells = ROUTES.map(({ title }) => cellOf(node, title));
  return {
    header: ['app on', ...ROUTES.map(({ title }) => title)],
    rows: titlesIn(cells).map((title) => row(title, cells, text)),
  };
}

export const cpuText = ({ cpu }: Measurement): string => withRange(cpu);
export const rateText = ({ perSecond }: Measurement): string => withRange(perSecond);
export const latencyText = ({ p50, p99 }: Measurement): string =>
  `${rounded(p50.median)}, ${rounded(p99.median)}`;
const loadText = (measurement: Measurement): string =>
  `${whole(measurement.perSecond.median)}/s, ${latencyText(measurement)} ms`;

/** A column for each of the swept routes and each number of clients. */
export const clientsTable = (node: NodeReport): Table =>
  sweepTable(
    node,
    CLIENTS.map((clients) => ({
      clients,
      latencyMs: 0,
      label: clients === 1 ? '1 client' : `${clients} clients`,
    })),
  );

/** A column for each of the swept routes and each latency. */
export const latencyTable = (node: NodeReport): Table =>
  sweepTable(
    node,
    LATENCIES_MS.map((latencyMs) => ({ clients: 10, latencyMs, label: `${latencyMs} ms` })),
  );

function sweepTable(
  node: NodeReport,
  conditions: readonly { clients: number; latencyMs: number; label: string }[],
): Table {
  const columns = SWEPT.flatMap(({ title }) => conditions.map((condition) => ({ title, ...condition })));
  const cells = columns.map(({ title, clients, latencyMs }) => cellOf(node, title, clients, latencyMs));
  return {
    header: ['app on', ...columns.map(({ title, label }) => `${title}, ${label}`)],
    rows: titlesIn(cells).map((title) => row(title, cells, loadText)),
  };
}

export function startTable({ startUp, memory }: NodeReport): Table {
  return {
    header: [
      'app on',
      'import, ms',
      'boot, ms',
      'RSS, MiB',
      'idle connection, KiB',
      'request in flight, KiB',
    ],
    rows: Object.entries(startUp).map(([title, { importMs, bootMs, rssMiB }]) => {
      const used = memory[title];
      return [
        title,
        ...[importMs, bootMs, rssMiB].map(withRange),
        used ? rounded(used.connectionKiB) : '-',
        used ? rounded(used.requestKiB) : '-',
      ];
    }),
  };
}

export function cellOf({ cells }: NodeReport, route: string, clients = 10, latencyMs = 0): Cell | undefined {
  return cells.find(
    (cell) => cell.route === route && cell.clients === clients && cell.latencyMs === latencyMs,
  );
}

/** One cell as text for a terminal, with the ratio of the CPU time to that of @nestjs/typeorm. */
export function cellTable({ results }: Cell): Table {
  const base = results[TYPEORM.title]?.cpu.median;
  return {
    header: ['app on', 'CPU, µs', `to ${TYPEORM.title}`, 'requests/s', 'p50, ms', 'p99, ms'],
    rows: Object.entries(results).map(([title, { cpu, perSecond, p50, p99 }]) => [
      title,
      withRange(cpu),
      base === undefined ? '-' : (cpu.median / base).toFixed(2),
      ...[perSecond, p50, p99].map(withRange),
    ]),
  };
}

/** In columns that begin at the same place in each line. */
export function asText({ header, rows }: Table): string {
  const lines = [header, ...rows];
  const widths = header.map((_, column) => Math.max(...lines.map((cells) => cells[column]!.length)));
  return lines
    .map((cells) =>
      cells
        .map((cell, column) => cell.padEnd(widths[column]! + 2))
        .join('')
        .trimEnd(),
    )
    .join('\n');
}

export const asMarkdown = ({ header, rows }: Table): string =>
  [header, header.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
