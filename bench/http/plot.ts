import { SVG_STYLE } from '../svg-style.js';

export interface Bar {
  readonly name: string;
  readonly ours: boolean;
  readonly value: number;
  /** Ends of the line over the bar. */
  readonly from: number;
  readonly to: number;
  readonly text: string;
}

/** A group of bars with a scale of its own. */
export interface Panel {
  readonly title: string;
  readonly bars: readonly Bar[];
}

export interface Picture {
  readonly title: string;
  /** What bars and lines show, and the machine. */
  readonly note: string;
  readonly panels: readonly Panel[];
}

const WIDTH = 940;
const TOP = 78;
const PANEL = { width: 460, name: 20, bar: 250, length: 130, head: 34, row: 18, gap: 20 };

/** Draws the panels in two columns. */
export function barPicture({ title, note, panels }: Picture): string {
  const heights = panels.map(({ bars }) => PANEL.head + bars.length * PANEL.row + PANEL.gap);
  const body: string[] = [];
  let y = TOP;
  for (let at = 0; at < panels.length; at += 2) {
    for (const column of [0, 1])
      if (panels[at + column]) body.push(...drawPanel(panels[at + column]!, column * PANEL.width, y));
    y += Math.max(heights[at]!, heights[at + 1] ?? 0);
  }
  const description = panels
    .map(({ title, bars }) => `${title}: ${bars.map(({ name, text }) => `${name} ${text}`).join(', ')}.`)
    .join(' ');
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y}" width="${WIDTH}" height="${y}" role="img" aria-labelledby="title description">
  <title id="title">${escaped(title)}</title>
  <desc id="description">${escaped(description)}</desc>
  <style>${SVG_STYLE}
  </style>
  <rect class="card" x="0.5" y="0.5" width="${WIDTH - 1}" height="${y - 1}" rx="6"/>
  <text class="title" x="${PANEL.name}" y="32">${escaped(title)}</text>
  <text class="note" x="${PANEL.name}" y="53">${escaped(note)}</text>
  ${body.join('\n  ')}
</svg>
`;
}

function drawPanel({ title, bars }: Panel, left: number, top: number): string[] {
  const largest = Math.max(...bars.map(({ value, to }) => Math.max(value, to)));
  const x = (value: number) => Math.round(left + PANEL.bar + (value / largest) * PANEL.length);
  const rows = bars.flatMap(({ name, ours, value, from, to, text }, index) => {
    const y = top + PANEL.head + index * PANEL.row;
    const colour = ours ? 'ours' : 'theirs';
    return [
      `<text class="note" text-anchor="end" x="${left + PANEL.bar - 8}" y="${y + 4}">${escaped(name)}</text>`,
      `<rect class="${colour}" fill-opacity="0.4" x="${x(0)}" y="${y - 5}" width="${Math.max(x(value) - x(0), 1)}" height="10"/>`,
      `<line class="${colour} range" x1="${x(from)}" y1="${y}" x2="${x(to)}" y2="${y}"/>`,
      `<text class="note" x="${Math.max(x(value), x(to)) + 8}" y="${y + 4}">${escaped(text)}</text>`,
    ];
  });
  return [`<text x="${left + PANEL.name}" y="${top + 12}">${escaped(title)}</text>`, ...rows];
}

const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
