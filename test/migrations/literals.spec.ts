import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import pg from 'pg';
import { keyOf } from '../../src/data-source/startup/schema-lock.js';
import { TAKE_LOCKS } from '../../src/migrations/offline/guards.js';
import { renderStatement } from '../../src/migrations/offline/literals.js';
import { createTestDatabase } from '../support/database.js';
import type { TestDatabase } from '../support/database.js';
import { describeWithPostgresTools, runTool } from '../support/postgres-tools.js';
import { TemporaryFolder } from '../support/temporary-folder.js';

/** Parts of texts that a quoting could get wrong. */
const AWKWARD_PARTS = [
  "'",
  '"',
  '\\',
  "\\'",
  '$1',
  '$$',
  '$a$',
  ';',
  '--',
  '/*',
  '*/',
  '\n',
  '\r\n',
  ':name',
  ":'name'",
  '\\! touch pwned',
  '\\q',
  "'; DROP TABLE results; --",
  "E'",
  'U&',
  '{}',
  'ü',
  '🦜',
  '\t',
  '\u2028',
  '%',
];

const awkwardText = fc
  .array(
    fc.oneof(
      fc.constantFrom(...AWKWARD_PARTS),
      fc.string({ unit: 'grapheme' }).filter((text) => !text.includes('\0')),
    ),
    { maxLength: 6 },
  )
  .map((parts) => parts.join(''));

/** A value and the type that it is sent for. */
const typedValue: fc.Arbitrary<{ type: string; value: unknown }> = fc.oneof(
  awkwardText.map((value) => ({ type: 'text', value })),
  fc.array(fc.option(awkwardText), { maxLength: 4 }).map((value) => ({ type: 'text[]', value })),
  fc.dictionary(awkwardText, awkwardText, { maxKeys: 3 }).map((value) => ({ type: 'jsonb', value })),
  fc.uint8Array({ maxLength: 20 }).map((bytes) => ({ type: 'bytea', value: Buffer.from(bytes) })),
  fc.array(fc.uint8Array({ maxLength: 5 }), { maxLength: 3 }).map((list) => ({
    type: 'bytea[]',
    value: list.map((bytes) => Buffer.from(bytes)),
  })),
  fc
    .date({ min: new Date('1000-01-01'), max: new Date('9000-01-01'), noInvalidDate: true })
    .map((value) => ({ type: 'timestamptz', value })),
  fc.double().map((value) => ({ type: 'float8', value })),
  fc.integer().map((value) => ({ type: 'int', value })),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map((value) => ({ type: 'bigint', value })),
  fc.boolean().map((value) => ({ type: 'boolean', value })),
  fc.constantFrom(null, undefined).map((value) => ({ type: 'text', value })),
  awkwardText.map((text) => ({ type: 'text', value: { toPostgres: () => text } })),
);

/** Expressions with a text that looks like a parameter, and is none. */
const decoy = fc.constantFrom(
  `'$1 it''s'`,
  `E'\\'$1'`,
  '$tag$ $1 $$ $tag$',
  '$$ $2 $$',
  '/* $1 /* $2 */ */ 1',
  '1 -- $3\n',
  `'a' AS "$1"`,
  `'::'::text`,
  `(ARRAY[1, 2])[1:2]`,
);

describe('a statement with its parameters as literals', () => {
  let database: TestDatabase;
  let client: pg.Client;

  beforeAll(async () => {
    database = await createTestDatabase();
    client = new pg.Client(database.url);
    await client.connect();
  });

  afterAll(async () => {
    await client?.end();
    await database?.drop();
  });

  it.each(['on', 'off'])(
    'returns what it returns with parameters, with standard_conforming_strings = %s',
    async (setting) => {
      const expressions = fc.array(fc.oneof(typedValue, decoy), { minLength: 1, maxLength: 6 });
      await fc.assert(
        fc.asyncProperty(expressions, async (list) => {
          const values: unknown[] = [];
          const columns = list.map((expression) => {
            if (typeof expression === 'string') return expression;
            values.push(expression.value);
            return `$${values.length}::${expression.type}`;
          });
          const sql = `SELECT ${columns.join(', ')}`;
          const rendered = renderStatement(sql, values).sql;
          await client.query('SET standard_conforming_strings = on');
          const sent = await client.query({ text: sql, values, rowMode: 'array' });
          await client.query(`SET standard_conforming_strings = ${setting}`);
          const literal = await client.query({ text: rendered, rowMode: 'array' });
          expect(literal.rows).toEqual(sent.rows);
        }),
        { numRuns: Number(process.env.LITERALS_RUNS ?? 300) },
      );
    },
    60_000,
  );

  it('resolves the types of the parameters as the server resolves those of parameters', async () => {
    await client.query(
      'CREATE TABLE typed (id int, big bigint, num numeric, doc jsonb, day date, list int[])',
    );
    const insert = 'INSERT INTO typed VALUES ($1, $2, $3, $4, $5, $6)';
    const values = [1, 2n ** 40n, 1.5, { a: [1] }, '2024-02-29', [1, 2]];
    await client.query(insert, values);
    await client.query(renderStatement(insert, values).sql);
    const where =
      'SELECT count(*) FROM typed WHERE id = $1 AND big > $2 AND doc @> $3 AND list = $4 AND num - $5 = 1 LIMIT $6';
    const conditions = [1, 5, { a: [1] }, [1, 2], 0.5, 10];
    const { rows } = await client.query(renderStatement(where, conditions).sql);
    expect(rows).toEqual((await client.query(where, conditions)).rows);
    expect(rows).toEqual([{ count: '2' }]);
  });

  it('follows a guard that takes the locks of a run', async () => {
    await client.query(TAKE_LOCKS);
    const { rows } = await client.query<{ key: string }>(
      `SELECT ((classid::bigint << 32) | objid::bigint)::text AS key FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()`,
    );
    const keys = ['schema', 'migration session'].map((subject) => keyOf(database.name, subject));
    expect(rows.map(({ key }) => key).sort()).toEqual(keys.sort());
  });
});

describeWithPostgresTools('a file of statements in psql', (bin) => {
  let database: TestDatabase;
  let folder: TemporaryFolder;

  beforeAll(async () => {
    database = await createTestDatabase();
    folder = TemporaryFolder.create('literals');
  });

  afterAll(async () => {
    await database?.drop();
    await folder?.remove();
  });

  it('has the values that were given: psql finds neither variables nor commands in it', async () => {
    const values = [...AWKWARD_PARTS, ...fc.sample(awkwardText, { numRuns: 300, seed: 7 })];
    await database.sql('CREATE TABLE results (id int, value text); GRANT ALL ON results TO app');
    const lines = values.map(
      (value, id) => `${renderStatement('INSERT INTO results VALUES ($1, $2)', [id, value]).sql};`,
    );
    const file = join(folder.path, 'values.sql');
    await writeFile(file, lines.join('\n'));
    const variables = ['name=2', 'x=1'].flatMap((variable) => ['-v', variable]);
    await runTool(bin, 'psql', ['-X', '-q', '-v', 'ON_ERROR_STOP=1', ...variables, '-f', file, database.url]);
    const rows = await database.sql<{ value: string }>('SELECT value FROM results ORDER BY id');
    expect(rows.map(({ value }) => value)).toEqual(values);
    expect(existsSync('pwned')).toBe(false);
  });

  it('has no variables outside of literals', async () => {
    const { sql } = renderStatement(`SELECT (ARRAY[5,6,7])[two:three] FROM (SELECT 2, 3) AS at (two, three)`);
    const [given] = await database.sql<{ array: number[] }>(sql);
    const file = join(folder.path, 'slice.sql');
    await writeFile(file, `${sql};`);
    const printed = await runTool(bin, 'psql', ['-X', '-A', '-t', '-v', 'three=2', '-f', file, database.url]);
    expect(printed.trim()).toBe(`{${given!.array.join(',')}}`);
    await writeFile(file, 'SELECT (ARRAY[5,6,7])[two:three] FROM (SELECT 2, 3) AS at (two, three);');
    expect(
      (await runTool(bin, 'psql', ['-X', '-A', '-t', '-v', 'three=2', '-f', file, database.url])).trim(),
    ).not.toBe(printed.trim());
  });
});
