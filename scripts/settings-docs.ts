// The parts of the documentation that derive from the table of settings: `.env.example`, the tables in README.md and
// docs/configuration.md, and what the TSDoc comments of the options must say.
import type { Bounds, NumberType } from '../src/config/settings/setting-types.js';
import { LONGEST_TIMER_MS } from '../src/config/settings/setting-types.js';
import { GROUPS, SETTING_ROWS, valueText } from '../src/config/settings/settings.js';
import type { Setting } from '../src/config/settings/settings.js';
import { VARIABLES } from '../src/config/settings/variables.js';
import type { Variable } from '../src/config/settings/variables.js';
import type { DatabaseProfile } from '../src/database.options.js';
import { EXTRA_REPLACED, REPLACED } from '../src/config/options/known-options.js';
import { spaced } from '../src/config/problems/value-shape.js';

/** Documents and the tables in them, by the name in their markers: `<!-- settings: variables -->`. */
export const TABLES: Readonly<Record<string, Readonly<Record<string, () => string>>>> = {
  'README.md': { essential: essentialTable },
  'docs/configuration.md': {
    variables: variableTable,
    'in code only': codeTable,
    profiles: profileTable,
    replaced: replacedTable,
  },
};

/** The text of a document with its tables as the settings demand. */
export function withTables(document: string, text: string): string {
  return Object.entries(TABLES[document] ?? {}).reduce((current, [name, table]) => {
    const [start, end] = [`<!-- settings: ${name} -->`, '<!-- end of settings -->'];
    const from = current.indexOf(start);
    const to = current.indexOf(end, from);
    if (from < 0 || to < 0) throw new Error(`${document} has no lines ${start} and ${end} below it`);
    return `${current.slice(0, from)}${start}\n\n${table()}\n\n${current.slice(to)}`;
  }, text);
}

export function envExample(): string {
  const entries = VARIABLES.map((variable) => {
    const { name, example, alias } = variable;
    const text =
      alias === undefined ? variable.text : `${variable.text} ${alias} is read if ${name} is not set.`;
    const facts = `Allowed: ${allowedIn(variable)}. Default: ${defaultIn(variable)}.`;
    // The one that every app needs is not commented out.
    return `# ${text}\n# ${facts}\n${name === 'DB_URL' ? '' : '#'}${name}=${example}`.replaceAll('`', '');
  });
  const head =
    '# All variables that nestjs-database reads. Copy this file to .env. An empty variable is not set.';
  return `${[head, ...entries].join('\n\n')}\n`;
}

function variableTable(): string {
  const rows = VARIABLES.map((variable) => [
    namesOf(variable),
    code(variable.path),
    defaultIn(variable),
    shortened(allowedIn(variable)),
    variable.text,
  ]);
  return table(['variable', 'option', 'default', 'allowed', 'what it sets'], rows);
}

function essentialTable(): string {
  const rows = VARIABLES.filter(({ setting, isFile }) => setting.essential && !isFile).map((variable) => [
    namesOf(variable),
    code(variable.path),
    shortDefaultIn(variable),
    variable.text,
  ]);
  return table(['variable', 'option', 'default', 'what it sets'], rows);
}

function codeTable(): string {
  const rows = SETTING_ROWS.filter(({ variable }) => variable === undefined).map((row) => [
    code(row.path),
    defaultInCode(row),
    row.type.allowed,
    row.text,
  ]);
  return table(['option', 'default', 'allowed', 'what it sets'], rows);
}

function profileTable(): string {
  const settings = Object.entries(GROUPS.pool).filter(([, { profiles }]) => profiles);
  const names = ['production', 'development', 'serverless'] as const satisfies DatabaseProfile[];
  const rows = names.map((profile) => [
    code(profile),
    ...settings.map(([, row]) => valueText(row, row.profiles?.[profile] ?? row.default)),
  ]);
  return table(['profile', ...settings.map(([key]) => code(`pool.${key}`))], rows);
}

function replacedTable(): string {
  const extra = Object.entries(EXTRA_REPLACED).map(([key, instead]) => [`extra.${key}`, instead] as const);
  const rows = [...Object.entries(REPLACED), ...extra].map(([key, instead]) => [code(key), instead]);
  return table(['option', 'instead'], rows);
}

/** The default as code writes it, durations in milliseconds: `5; development and serverless: 2`. */
export const defaultInCode = (row: Setting): string =>
  defaultText(row, (value) => (typeof value === 'number' ? spaced(value) : String(value)));

/** What a TSDoc comment says of unit and bounds: `Milliseconds, 1 000 to 300 000.` Undefined for a type without bounds. */
export function boundsInCode({ type }: Setting): string | undefined {
  if (!('bounds' in type)) return undefined;
  const { bounds, unit } = type as NumberType;
  return unit === 'milliseconds' ? `Milliseconds, ${range(bounds)}.` : `${capitalized(range(bounds))}.`;
}

function range({ min, max, off }: Bounds): string {
  const numbers = max === LONGEST_TIMER_MS ? `at least ${spaced(min)}` : `${spaced(min)} to ${spaced(max)}`;
  return off ? `${numbers}, or 0 for off` : numbers;
}

const capitalized = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);

const code = (text: string) => `\`${text}\``;

const namesOf = ({ name, alias }: Variable) =>
  alias === undefined ? code(name) : `${code(name)}, else ${code(alias)}`;

const allowedIn = ({ isFile, path, setting: { type } }: Variable) =>
  isFile ? `the path of a file that contains the ${path === 'url' ? 'URL' : path}` : type.allowedText;

/** Kind and units of numbers are explained above the table. */
const shortened = (allowed: string) =>
  allowed.replace(/^a (?:duration|whole number) (?:of |from )?/, '').replace(/,? as 30, .*$/, '');

const defaultIn = ({ setting, isFile }: Variable) =>
  isFile ? 'none' : defaultText(setting, (value) => valueText(setting, value));

/** The default of production, without those of other profiles: the README names the profile. */
const shortDefaultIn = ({ setting }: Variable) =>
  setting.shortDefault ?? setting.defaultText ?? valueText(setting, setting.default);

/** The default of production, then those of the other profiles that differ. */
function defaultText(row: Setting, write: (value: unknown) => string): string {
  if (row.defaultText !== undefined) return row.defaultText;
  const profilesByValue = new Map<string, string[]>();
  for (const [profile, value] of Object.entries(row.profiles ?? {}))
    profilesByValue.set(write(value), [...(profilesByValue.get(write(value)) ?? []), profile]);
  const others = [...profilesByValue].map(([text, profiles]) => `; ${profiles.join(' and ')}: ${text}`);
  return write(row.default) + others.join('');
}

/** A table in the form that Prettier gives it. */
function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((_, column) => Math.max(...[head, ...rows].map((row) => row[column]!.length)));
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column]!)).join(' | ')} |`;
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n');
}
