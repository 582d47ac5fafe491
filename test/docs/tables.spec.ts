import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { describe, expect, it } from '@jest/globals';
import { EXIT } from '../../src/cli/exit-codes.js';
import { POSTGRES_LIMITS } from '../../src/config/settings/settings.js';
import { readEnvironment } from '../../src/config/environment/environment.js';
import { UNSUPPORTED } from '../../src/config/url/unsupported-parameters.js';
import { parseDatabaseUrl } from '../../src/config/url/database-url.js';
import { COMMANDS } from '../../src/cli/commands.js';
import { DATA_SOURCE_OPTIONS } from '../../src/cli/data-source/options.js';
import * as configErrors from '../../src/errors/config.errors.js';
import * as connectionErrors from '../../src/errors/connection.errors.js';
import * as migrationErrors from '../../src/errors/migration.errors.js';
import * as poolErrors from '../../src/errors/pool.errors.js';
import { blocksOf, codesIn, proseOf, tableOf } from './markdown.js';
import { TABLES_OF_CODES } from './tables-of-codes.js';

const CONFIGURATION = 'docs/configuration.md';
const TROUBLESHOOTING = 'docs/troubleshooting.md';

describe('A parameter of the URL', () => {
  const reading = (name: string, value: string) =>
    parseDatabaseUrl(`postgres://user@localhost/app?${name}=${value}`);

  it('is read when the table names the setting for it', () => {
    const names = tableOf(CONFIGURATION, 'parameter', 'what it sets').flatMap(([cell]) => codesIn(cell!));
    expect(names.length).toBeGreaterThan(15);
    for (const name of names) expect([name, reading(name, '5').warnings]).toEqual([name, []]);
  });

  it('causes a warning when the table gives a replacement', () => {
    for (const [cell, instead] of tableOf(CONFIGURATION, 'parameter', 'instead'))
      expect(reading(codesIn(cell!)[0]!, '5').warnings).toEqual([
        `the parameter ${codesIn(cell!)[0]} has no effect here; ${instead}`,
      ]);
  });

  const REFUSED = ['parameter', 'allowed', 'what applies, or what to use'];
  it('is refused when the table lists it as refused, except for the values that the table allows', () => {
    for (const [cell, allowed, instead] of tableOf(CONFIGURATION, ...REFUSED)) {
      const name = codesIn(cell!)[0]!;
      expect(reading(name, '5').problems).toEqual([`the parameter ${name} is not supported; ${instead}`]);
      for (const value of codesIn(allowed!)) expect(reading(name, value).problems).toEqual([]);
    }
  });

  it('is in one of the tables when the code knows it', () => {
    const inTable = (...header: string[]) =>
      tableOf(CONFIGURATION, ...header).map(([cell]) => codesIn(cell!));
    expect([...inTable(...REFUSED), ...inTable('parameter', 'instead')].flat().sort()).toEqual(
      Object.keys(UNSUPPORTED).sort(),
    );
    const source = readFileSync('src/config/url/url-parameters.ts', 'utf8');
    const named = [...source.matchAll(/\b(?:text|oneOf)\('(\w+)'/g)].map(([, name]) => name!);
    const read = [...named, ...POSTGRES_LIMITS.keys()];
    expect(inTable('parameter', 'what it sets').flat().sort()).toEqual(read.sort());
  });
});

it('The error of invalid settings is the one that docs/configuration.md shows', () => {
  const shown = blocksOf(CONFIGURATION, 'text').find(({ text }) => text.startsWith('The database settings'));
  const env = { DB_URL: 'postgres://me@localhost/app', DB_POOL_SIZE: '0', DB_POOL_TIMEOUT: '30 parsecs' };
  expect(() => readEnvironment(env)).toThrow(shown!.text);
});

describe('The tables of codes', () => {
  it.each(TABLES_OF_CODES)(
    '| $header | match the code; otherwise run `npm run docs:codes`',
    ({ header, rows }) => {
      expect(tableOf(TROUBLESHOOTING, ...header)).toEqual(rows);
    },
  );

  it('contain every code that the symptoms above them name', () => {
    const known = TABLES_OF_CODES.flatMap(({ rows }) => rows.flatMap((cells) => cells.flatMap(codesIn)));
    const symptoms = proseOf(TROUBLESHOOTING).split('\n## Codes\n')[0]!;
    const named = codesIn(symptoms).filter((code) => /^(?!DB_|NODE_ENV)[A-Z]+(?:_[A-Z]+)+$/.test(code));
    expect(named.length).toBeGreaterThan(15);
    for (const code of named) expect(known).toContain(code);
  });
});

it('The table of exit codes matches the code', () => {
  const rows = tableOf('docs/doctor.md', 'code', 'class').map(([exit, words]) => [
    words!.split(':')[0],
    Number(exit),
  ]);
  expect(Object.fromEntries(rows)).toEqual(EXIT);
});

it('The table of migration commands names the options that only some of them have', () => {
  const rows = tableOf('docs/migrations.md', 'command', 'its own options').map(([command, options]) => [
    codesIn(command!)[0]!.split(' ')[0]!,
    codesIn(options!).map((option) => option.split(' ')[0]!.slice(2)),
  ]);
  const common = [...Object.keys(DATA_SOURCE_OPTIONS), 'json'];
  const own = COMMANDS.filter(({ name }) => name.startsWith('migration:')).map(({ name, options }) => [
    name,
    Object.keys(options).filter((option) => !common.includes(option)),
  ]);
  const sorted = (table: unknown[][]) =>
    Object.fromEntries(table.map(([name, options]) => [name, [...(options as string[])].sort()])) as object;
  expect(sorted(rows)).toEqual(sorted(own));
});

describe('The tables of errors', () => {
  const rows = tableOf('docs/errors.md', 'class', 'code', 'when').map(
    ([type, codes]) => [codesIn(type!)[0]!, codesIn(codes!)] as const,
  );

  it('contain every error class except mere base classes', () => {
    const parents = ['DatabaseError', 'ConnectionError', 'PoolError'];
    const errors = { ...configErrors, ...connectionErrors, ...migrationErrors, ...poolErrors };
    const classes = Object.entries(errors)
      .filter(
        ([name, value]) => typeof value === 'function' && /Error$/.test(name) && !parents.includes(name),
      )
      .map(([name]) => name);
    const named = new Set(rows.map(([type]) => type).filter((type) => !parents.includes(type)));
    expect([...named].sort()).toEqual(classes.sort());
  });

  it('contain every code that an error in the sources has', () => {
    // The codes in these files, and in `diagnosis`, are those of diagnoses and warnings.
    const others = [
      'data-source/pools/pool-stats.ts',
      'data-source/pools/probe.ts',
      'pool/reporting/pool-warning.ts',
    ];
    const files = (readdirSync('src', { recursive: true }) as string[]).filter(
      (file) => /(?<!\.spec)\.ts$/.test(file) && !file.startsWith('diagnosis/') && !others.includes(file),
    );
    const lines = files.flatMap((file) => readFileSync(`src/${file}`, 'utf8').split('\n'));
    const given = lines
      .filter((line) => /\bcode(?:: | = )/.test(line))
      .flatMap((line) => [...line.matchAll(/'([A-Z]+_[A-Z_]+)'/g)].map(([, name]) => name!));
    expect([...new Set(rows.flatMap(([, codes]) => codes))].sort()).toEqual([...new Set(given)].sort());
  });
});

it('The table of layers in CONTRIBUTING.md matches the lint rules', () => {
  const { layers } = createRequire(import.meta.url)('../../scripts/layers.cjs') as {
    layers: readonly { level: number; paths: readonly string[]; content: string }[];
  };
  expect(tableOf('CONTRIBUTING.md', 'layer', 'paths', 'content')).toEqual(
    layers.map(({ level, paths, content }) => [
      String(level),
      paths.map((path) => `\`${path}\``).join(', '),
      content,
    ]),
  );
});
