import { readFileSync, writeFileSync } from 'node:fs';
import prettier from 'prettier';

/**
 * Replaces what a page has between its markers `<!-- measured: name -->` and `<!-- end of measured -->`.
 *
 * @param sections Markdown by the names of the markers
 * @throws Error when the page has no such section
 */
export async function writeSections(page: string, sections: Readonly<Record<string, string>>): Promise<void> {
  let text = readFileSync(page, 'utf8');
  for (const [name, section] of Object.entries(sections)) {
    const [begin, end] = [`<!-- measured: ${name} -->`, '<!-- end of measured -->'];
    const from = text.indexOf(begin);
    const to = text.indexOf(end, from);
    if (from < 0 || to < 0) throw new Error(`${page} has no section ${begin} … ${end}`);
    text = `${text.slice(0, from)}${begin}\n\n${section}\n\n${text.slice(to)}`;
  }
  const options = await prettier.resolveConfig(page);
  writeFileSync(page, await prettier.format(text, { ...options, parser: 'markdown' }));
}
