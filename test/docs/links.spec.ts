import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { COMMANDS } from '../../src/cli/commands.js';
import { anchorsOf, blocksOf, codesIn, PAGES, proseOf, tableOf } from './markdown.js';

describe.each(PAGES)('%s', (page) => {
  it('links to files and headings that exist', () => {
    const links = [...proseOf(page).matchAll(/\]\(([^)\s]+)\)/g)].map(([, link]) => link!);
    const broken = links
      .filter((link) => !/^https?:/.test(link))
      .filter((link) => {
        const [path = '', anchor] = link.split('#');
        const target = path === '' ? page : normalize(join(dirname(page), path));
        if (!existsSync(target)) return true;
        return anchor !== undefined && !anchorsOf(target).includes(anchor);
      });
    expect(broken).toEqual([]);
  });

  it('has commands that exist', () => {
    const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: object };
    const lines = blocksOf(page, 'sh').flatMap(({ text }) => text.split(/\n|&&/));
    const inTable = page === 'CONTRIBUTING.md' ? tableOf(page, 'command', 'what it does') : [];
    const commands = [...lines, ...inTable.flatMap(([cell]) => codesIn(cell!))].map((line) => line.trim());
    const unknown = commands.filter((command) => {
      // The tests of the packed package run these lines.
      if (page === 'README.md' && command.startsWith('curl ')) return false;
      if (command === '' || command.startsWith('psql ')) return false;
      const [, ours] = /^npx nestjs-database ([\w:]+)/.exec(command) ?? [];
      if (ours !== undefined) return !COMMANDS.some(({ name }) => name === ours);
      const [, script] = /^npm (?:run )?([\w:]+)/.exec(command) ?? [];
      return script === undefined || !['ci', 'install', 'pack', ...Object.keys(scripts)].includes(script);
    });
    expect(unknown).toEqual([]);
  });
});

it('README has one command that starts the example, and one that runs the tests', () => {
  const commands = blocksOf('README.md', 'sh').map(({ text }) => text);
  expect(commands).toEqual(expect.arrayContaining(['npm ci && npm start', 'npm ci && npm test']));
});

it('README names the peers and the engine that package.json requires', () => {
  const { engines, peerDependencies } = JSON.parse(readFileSync('package.json', 'utf8')) as {
    engines: { node: string };
    peerDependencies: Record<string, string>;
  };
  const accepted = Object.fromEntries(
    tableOf('README.md', 'what', 'accepted', 'tested with').map(([what, versions]) => [what!, versions!]),
  );
  const versions = (range: string) =>
    [...range.matchAll(/\d+(?:\.\d+)*/g)].map(([version]) => version.replace(/(?:\.0)+$/, ''));
  expect(versions(accepted['Node.js']!)).toEqual(versions(engines.node));
  for (const [name, range] of Object.entries(peerDependencies)) {
    const what = Object.keys(accepted).find((cell) => codesIn(cell).includes(name));
    if (what !== undefined) expect([name, versions(accepted[what]!)]).toEqual([name, versions(range)]);
  }
});
