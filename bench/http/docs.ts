import { writeFileSync } from 'node:fs';
import { writeSections } from '../sections.js';
import { pictures } from './pictures.js';
import type { Report } from './report.js';
import {
  asMarkdown,
  clientsTable,
  cpuText,
  latencyTable,
  latencyText,
  rateText,
  ratioTable,
  routeTable,
  startTable,
} from './tables.js';
import { worseTable } from './worse.js';

const PAGE = 'docs/performance.md';
const IMAGES = 'docs/images';

/** Writes the tables of docs/performance.md between their markers, and its pictures. */
export async function writeDocs(report: Report): Promise<void> {
  await writeSections(PAGE, sections(report));
  for (const [file, svg] of Object.entries(pictures(report))) writeFileSync(`${IMAGES}/${file}`, svg);
}

function sections(report: Report): Record<string, string> {
  const perNode = (...texts: ((node: Report['nodes'][number]) => string)[]) =>
    report.nodes
      .map((node) => [`Node ${node.version}:`, ...texts.map((text) => text(node))].join('\n\n'))
      .join('\n\n');
  return {
    machine: machine(report),
    ratios: asMarkdown(ratioTable(report)),
    worse: worse(report),
    cpu: perNode((node) => asMarkdown(routeTable(node, cpuText))),
    rates: perNode((node) => asMarkdown(routeTable(node, rateText))),
    latencies: perNode((node) => asMarkdown(routeTable(node, latencyText))),
    clients: perNode((node) => asMarkdown(clientsTable(node))),
    network: asMarkdown(latencyTable(report.nodes.at(-1)!)),
    start: perNode((node) => asMarkdown(startTable(node))),
  };
}

function worse(report: Report): string {
  const table = worseTable(report);
  return table.rows.length > 0 ? asMarkdown(table) : 'Nothing in this run.';
}

function machine({ date, cores, processor, postgres, rounds, versions, roundTrips, nodes }: Report): string {
  const packages = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  const trips = Object.entries(roundTrips).map(([ms, trip]) => `${trip.toFixed(2)} ms at ${ms} ms`);
  return [
    `- Measured on ${date}, in ${rounds} rounds, with Node ${nodes.map(({ version }) => version).join(' and ')}.`,
    `- Machine: ${cores} cores (${processor}), shared by the app, the load generator and PostgreSQL ${postgres}.`,
    `- Packages: ${packages.join(', ')}.`,
    `- Round trip of an empty statement by latency in each direction: ${trips.join(', ')}.`,
  ].join('\n');
}
