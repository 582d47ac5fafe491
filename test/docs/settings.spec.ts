import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import ts from 'typescript';
import { boundsInCode, defaultInCode, envExample, TABLES, withTables } from '../../scripts/settings-docs.js';
import { SETTING_ROWS } from '../../src/config/settings/settings.js';
import type { Setting } from '../../src/config/settings/settings.js';
import { codesIn, tableOf, textOf } from './markdown.js';

const RUN = 'run npm run docs:settings';

describe('The documentation that is generated from the table of settings', () => {
  it(`is up to date in .env.example; otherwise ${RUN}`, () => {
    expect(textOf('.env.example')).toBe(envExample());
  });

  it.each(Object.keys(TABLES))(`is written to the tables of %s (else ${RUN})`, (document) => {
    expect(textOf(document)).toBe(withTables(document, textOf(document)));
  });

  it('shows a variable with its option, default and bounds', () => {
    const rows = tableOf('docs/configuration.md', 'variable', 'option', 'default', 'allowed', 'what it sets');
    const row = (name: string) => rows.find(([variable]) => variable === `\`${name}\``)?.slice(1, 4);
    expect(row('DB_POOL_SIZE')).toEqual(['`pool.size`', '5; development and serverless: 2', '1 to 100']);
    expect(row('DB_LEAK_THRESHOLD')).toEqual([
      '`pool.leakThresholdMs`',
      'off; development: 30s',
      'at least 2 s, 0 for off',
    ]);
  });

  it('shows every setting once, with its variable or among the options in code', () => {
    const variables = tableOf(
      'docs/configuration.md',
      'variable',
      'option',
      'default',
      'allowed',
      'what it sets',
    );
    const inCode = tableOf('docs/configuration.md', 'option', 'default', 'allowed', 'what it sets');
    const shown = [...variables.map(([, option]) => option!), ...inCode.map(([option]) => option!)];
    expect(new Set(shown.flatMap(codesIn))).toEqual(new Set(SETTING_ROWS.map(({ path }) => path)));
  });

  it('lists ten settings in the README', () => {
    expect(tableOf('README.md', 'variable', 'option', 'default', 'what it sets')).toHaveLength(10);
  });
});

/** The interface of the options that declares the settings of a group. */
const INTERFACES: Readonly<Record<string, string>> = {
  '': 'DatabaseSettings',
  pool: 'PoolSettings',
  timeouts: 'TimeoutSettings',
  ssl: 'SslSettings',
  connectRetry: 'ConnectRetrySettings',
  echo: 'EchoSettings',
  preparedStatements: 'PreparedStatementSettings',
  multiplex: 'MultiplexSettings',
  replication: 'ReplicationSettings',
};

/** The TSDoc comments of `database.options.ts`, in one line each, by interface and member. */
const COMMENTS: ReadonlyMap<string, string> = commentsOf('src/database.options.ts');

function commentsOf(path: string): Map<string, string> {
  const text = readFileSync(path, 'utf8');
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
  const comments = new Map<string, string>();
  for (const statement of source.statements) {
    if (!ts.isInterfaceDeclaration(statement)) continue;
    for (const member of statement.members) {
      const [range] = ts.getLeadingCommentRanges(text, member.pos)?.slice(-1) ?? [];
      if (!member.name || !range) continue;
      const lines = text.slice(range.pos + 3, range.end - 2).split('\n');
      const comment = lines.map((line) => line.replace(/^\s*\*? ?/, '').trim()).join(' ');
      comments.set(`${statement.name.text}.${member.name.getText()}`, comment.replaceAll(/\s+/g, ' ').trim());
    }
  }
  return comments;
}

describe('The TSDoc comment of an option', () => {
  const rows = SETTING_ROWS.filter(
    // Options of `tls.connect`, which @types/node describes.
    ({ path }) => !['ssl.rejectUnauthorized', 'ssl.servername', 'ssl.passphrase'].includes(path),
  );
  const commentOf = (path: string) => {
    const [name, key] = path.split('.') as [string, string?];
    return COMMENTS.get(`${INTERFACES[key === undefined ? '' : name]!}.${key ?? name}`) ?? 'no comment';
  };
  const plain = (text: string) => text.replaceAll('`', '');

  it.each(rows.filter(boundsInCode).map((row) => [row.path, row] as const))(
    'names the unit and the bounds of %s',
    (path, row) => {
      expect(commentOf(path)).toContain(boundsInCode(row));
    },
  );

  it.each(rows.filter(({ variable }) => variable).map((row) => [row.path, row] as const))(
    'names the variables of %s',
    (path, { variable, alias, file }: Setting) => {
      for (const name of [variable, alias, file?.variable])
        if (name !== undefined) expect(commentOf(path)).toContain(`\`${name}\``);
    },
  );

  it.each(
    rows.filter((row) => !defaultInCode(row).startsWith('none')).map((row) => [row.path, row] as const),
  )('gives the default of %s', (path, row) => {
    const given = /@defaultValue (.*?)(?: @\w+.*)?$/.exec(commentOf(path))?.[1];
    expect(plain(given ?? 'no default')).toBe(plain(defaultInCode(row)));
  });
});
