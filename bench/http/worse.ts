import { NEST, OURS, OURS_REQUEST, TYPEORM, TYPEORM_REQUEST } from './candidates.js';
import type { Candidate } from './candidates.js';
import type { NodeReport, Report } from './report.js';
import { NONE } from './routes.js';
import { rounded } from './tables.js';
import type { Table } from './tables.js';

/** By how much a figure has to exceed the peer's to be listed: less is within the ranges of the rounds. */
const MARGIN = 1.1;

/** One figure of both, of which less is better. */
interface Comparison {
  readonly what: string;
  readonly unit: string;
  readonly ours: number | undefined;
  readonly peer: number | undefined;
}

/** What costs more here than with the peer that does the same in the same way: a row for each figure. */
export function worseTable({ nodes }: Report): Table {
  const rows = new Map<string, string[]>();
  for (const [index, node] of nodes.entries())
    for (const { what, unit, ours, peer } of comparisons(node)) {
      if (ours === undefined || peer === undefined || ours <= peer * MARGIN) continue;
      const cells = rows.get(what) ?? nodes.map(() => '-');
      cells[index] = `${rounded(ours)} beside ${rounded(peer)} ${unit}`;
      rows.set(what, cells);
    }
  return {
    header: ['figure', ...nodes.map(({ version }) => `Node ${version}`)],
    rows: [...rows].map(([what, cells]) => [what, ...cells]),
  };
}

function comparisons(node: NodeReport): Comparison[] {
  return [
    ...compare(node, OURS, TYPEORM, ''),
    ...compare(node, OURS_REQUEST, TYPEORM_REQUEST, ', per request'),
  ];
}

function compare(node: NodeReport, us: Candidate, them: Candidate, suffix: string): Comparison[] {
  const figures = <Value>(
    values: Readonly<Record<string, Value>>,
    peer: Candidate,
    what: string,
    unit: string,
    figure: (value: Value) => number,
  ): Comparison => {
    const [ours, theirs] = [values[us.title], values[peer.title]];
    return {
      what: `${what}${suffix}`,
      unit,
      ours: ours && figure(ours),
      peer: theirs && figure(theirs),
    };
  };
  const routes = node.cells.flatMap(({ route, clients, latencyMs, results }) => {
    const peer = route === NONE.title && us === OURS ? NEST : them;
    const where = `${route}, ${clients} ${clients === 1 ? 'client' : 'clients'}, ${latencyMs} ms`;
    return [
      figures(results, peer, `CPU time, ${where}`, 'µs', ({ cpu }) => cpu.median),
      figures(results, peer, `p99, ${where}`, 'ms', ({ p99 }) => p99.median),
    ];
  });
  return [
    ...routes,
    figures(node.startUp, them, 'import', 'ms', ({ importMs }) => importMs.median),
    figures(node.startUp, them, 'boot', 'ms', ({ bootMs }) => bootMs.median),
    figures(node.startUp, them, 'RSS', 'MiB', ({ rssMiB }) => rssMiB.median),
    figures(node.memory, them, 'idle connection', 'KiB', ({ connectionKiB }) => connectionKiB),
    figures(node.memory, them, 'request in flight', 'KiB', ({ requestKiB }) => requestKiB),
  ];
}
