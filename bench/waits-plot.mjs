// Draws the waits that `bench/pool.mjs` has measured as an SVG picture.
import { SVG_STYLE } from './svg-style.ts';

const COLUMN = { label: 20, plot: 290, end: 790, width: 940 };
const ROW_HEIGHT = 58;
const TOP = 108;
/** Ticks of the logarithmic axis. */
const TICKS_MS = [10, 20, 50, 100, 200, 500, 1_000];
const AXIS_MS = { from: 8, to: 1_300 };

/** Position of a wait on the axis. */
function x(ms) {
  const part = Math.log(Math.max(ms, AXIS_MS.from) / AXIS_MS.from) / Math.log(AXIS_MS.to / AXIS_MS.from);
  return Math.round(COLUMN.plot + part * (COLUMN.end - COLUMN.plot));
}

const milliseconds = (ms) => `${Math.round(ms).toLocaleString('en').replace(',', ' ')} ms`;

/** A circle for our pool and a square for pg-pool: filled at the median, empty at the 95th percentile. */
function mark(pool, at, y, part) {
  const classes = part === 'p95' ? `class="${pool} p95"` : `class="${pool}"`;
  if (pool === 'ours') return `<circle ${classes} cx="${at}" cy="${y}" r="5"/>`;
  return `<rect ${classes} x="${at - 4.5}" y="${y - 4.5}" width="9" height="9"/>`;
}

function waits(pool, { median, p95 }, y) {
  const [from, to] = [x(median), x(p95)];
  return [
    `<line class="${pool} range" x1="${from}" y1="${y}" x2="${to}" y2="${y}"/>`,
    mark(pool, to, y, 'p95'),
    mark(pool, from, y, 'median'),
    `<text class="value" x="${to + 12}" y="${y + 4}">${milliseconds(median)}, ${milliseconds(p95)}</text>`,
  ];
}

function row({ count, connectMs, open, useMs, ours, theirs }, index) {
  const y = TOP + index * ROW_HEIGHT;
  return [
    `<text x="${COLUMN.label}" y="${y + 22}">${count} acquires, ${open} of 15 connections open</text>`,
    `<text class="note" x="${COLUMN.label}" y="${y + 40}">connect ${milliseconds(connectMs)}, lease ${milliseconds(useMs)}</text>`,
    ...waits('ours', ours, y + 18),
    ...waits('theirs', theirs, y + 38),
  ];
}

function legend(pool, name, at) {
  return [mark(pool, at, 73, 'median'), `<text x="${at + 12}" y="77">${name}</text>`];
}

/**
 * Draws one row for each burst.
 * @param bursts the scenario, and the median and the 95th percentile of the waits, for both pools
 * @param machine the machine on which they were measured, as a sentence
 */
export function waitsPlot(bursts, machine) {
  const bottom = TOP + bursts.length * ROW_HEIGHT;
  const height = bottom + 44;
  const ticks = TICKS_MS.flatMap((ms) => [
    `<line class="grid" x1="${x(ms)}" y1="${TOP}" x2="${x(ms)}" y2="${bottom}"/>`,
    `<text class="note" text-anchor="middle" x="${x(ms)}" y="${bottom + 22}">${milliseconds(ms)}</text>`,
  ]);
  const description = bursts
    .map(
      ({ count, connectMs, open, useMs, ours, theirs }) =>
        `${count} acquires, ${open} open, connect ${connectMs} ms, lease ${useMs} ms: ` +
        `${milliseconds(ours.median)} and ${milliseconds(ours.p95)} beside ` +
        `${milliseconds(theirs.median)} and ${milliseconds(theirs.p95)}.`,
    )
    .join(' ');
  const body = [
    `<rect class="card" x="0.5" y="0.5" width="${COLUMN.width - 1}" height="${height - 1}" rx="6"/>`,
    `<text class="title" x="${COLUMN.label}" y="32">How long a burst of acquires waits for its connections</text>`,
    `<text class="note" x="${COLUMN.label}" y="53">Median (filled) and 95th percentile (empty) on a logarithmic axis; at most 15 simulated connections. ${machine}</text>`,
    ...legend('ours', 'nestjs-database/pool', COLUMN.plot + 5),
    ...legend('theirs', 'pg-pool', COLUMN.plot + 190),
    ...ticks,
    ...bursts.flatMap(row),
  ];
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${COLUMN.width} ${height}" width="${COLUMN.width}" height="${height}" role="img" aria-labelledby="title description">
  <title id="title">Waits of nestjs-database/pool and pg-pool</title>
  <desc id="description">${description}</desc>
  <style>${SVG_STYLE}
  </style>
  ${body.join('\n  ')}
</svg>
`;
}
