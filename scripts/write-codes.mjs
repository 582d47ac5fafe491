// Writes the tables of codes in docs/troubleshooting.md from the rules in src/diagnosis.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { TABLES_OF_CODES } from '../test/docs/tables-of-codes.ts';

const PAGE = 'docs/troubleshooting.md';
const line = (cells) => `| ${cells.join(' | ')} |\n`;

let page = readFileSync(PAGE, 'utf8');
for (const { header, rows } of TABLES_OF_CODES) {
  const table = line(header) + line(header.map(() => '---')) + rows.map(line).join('');
  const written = new RegExp(`^\\|${header.map((cell) => ` ${cell} +\\|`).join('')}\\n(?:\\|.*\\n)+`, 'm');
  if (!written.test(page)) throw new Error(`${PAGE} has no table | ${header.join(' | ')} |`);
  page = page.replace(written, () => table);
}
writeFileSync(PAGE, page);
execFileSync('npx', ['prettier', '--write', PAGE], { stdio: 'inherit' });
