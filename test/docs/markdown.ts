import { readdirSync, readFileSync } from 'node:fs';

/** All pages, by their paths from the root of the repository, where the tests run. */
export const PAGES: readonly string[] = [
  'README.md',
  'CONTRIBUTING.md',
  'CHANGELOG.md',
  'SECURITY.md',
  ...readdirSync('docs')
    .filter((file) => file.endsWith('.md'))
    .map((file) => `docs/${file}`),
];

/** A fenced block. */
export interface Block {
  readonly page: string;
  /** The line number of its first line of text, from 1. */
  readonly line: number;
  readonly language: string;
  /** The comment before it: `<!-- answer: up -->`. */
  readonly comment: string | undefined;
  readonly text: string;
}

export const textOf = (page: string): string => readFileSync(page, 'utf8');

export function blocksOf(page: string, ...languages: string[]): Block[] {
  const lines = textOf(page).split('\n');
  const blocks: Block[] = [];
  for (let at = 0; at < lines.length; at++) {
    const language = /^```(\w+)/.exec(lines[at]!)?.[1];
    if (language === undefined) continue;
    const start = at + 1;
    for (at = start; lines[at] !== '```'; at++)
      if (at === lines.length) throw new Error(`${page}:${start}: the block has no end`);
    const comment = /^<!-- (.*) -->$/.exec(lines[start - 3] ?? '')?.[1];
    const text = lines.slice(start, at).join('\n');
    blocks.push({ page, line: start + 1, language, comment, text });
  }
  return blocks.filter(({ language }) => languages.includes(language));
}

/** The blocks below the heading `## …` of this name. */
export function blocksUnder(page: string, heading: string, ...languages: string[]): Block[] {
  const lines = textOf(page).split('\n');
  const start = lines.indexOf(`## ${heading}`);
  if (start < 0) throw new Error(`${page} has no heading "${heading}"`);
  const next = lines.findIndex((line, at) => at > start && line.startsWith('## '));
  const end = next < 0 ? lines.length : next;
  return blocksOf(page, ...languages).filter(({ line }) => line > start && line <= end);
}

/** The one block of a page with this comment before it. */
export function blockNamed(page: string, comment: string, language: string): Block {
  const [block, ...others] = blocksOf(page, language).filter((candidate) => candidate.comment === comment);
  if (!block || others.length > 0) throw new Error(`${page} has not exactly one block <!-- ${comment} -->`);
  return block;
}

/** The text without fenced blocks, whose lines could look like headings or tables. */
export const proseOf = (page: string): string => textOf(page).replace(/^```[^]*?^```$/gm, '');

/** The rows of every table with these words in its header, with the source text of their cells. */
export function tableOf(page: string, ...header: string[]): string[][] {
  const rows: string[][] = [];
  let inside = false;
  for (const line of proseOf(page).split('\n')) {
    const cells = line.startsWith('|')
      ? line
          .slice(1, -1)
          .split('|')
          .map((cell) => cell.trim())
      : [];
    if (cells.length === 0) inside = false;
    else if (inside && !/^-+$/.test(cells[0]!)) rows.push(cells);
    else if (cells.join() === header.join()) inside = true;
  }
  if (rows.length === 0) throw new Error(`${page} has no table | ${header.join(' | ')} |`);
  return rows;
}

/** The text of each `code` in a cell. */
export const codesIn = (cell: string): string[] => [...cell.matchAll(/`([^`]+)`/g)].map(([, code]) => code!);

/** The anchors that GitHub generates for the headings. */
export function anchorsOf(page: string): string[] {
  return [...proseOf(page).matchAll(/^#+ (.+)$/gm)].map(([, heading]) =>
    heading!
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replace(/ /g, '-'),
  );
}
