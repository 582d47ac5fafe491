import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startPostgres } from '../../../test/support/postgres-server.js';
import type { PostgresServer } from '../../../test/support/postgres-server.js';
import { HARMLESS_AFTER, HARMLESS_BEFORE_PARENTHESIS, HARMLESS_FUNCTIONS } from './harmless-functions.js';
import { isPlainSelect } from './plain-select.js';

describe('isPlainSelect', () => {
  it.each([
    'SELECT id FROM item WHERE id = $1',
    'select "Item"."update", \'into\' AS share_price FROM "Item" WHERE updated_at > $1',
    'SELECT count(*), lower(name) FROM item WHERE id = $1 GROUP BY name -- FOR UPDATE',
    'WITH recent AS (SELECT id FROM item) SELECT * FROM recent WHERE id = $1',
    'SELECT pg_size_pretty($1::bigint), current_database()',
    'SELECT "u"."id" AS "u_id", COUNT(DISTINCT("u"."id")) AS "n" FROM "user" "u" WHERE "u"."id" IN ($1, $2) AND ("u"."a" = $3)',
    'SELECT DISTINCT ON (a) a::numeric(10, 2), row_number() OVER (PARTITION BY b) FROM (VALUES ($1)) AS t WHERE EXISTS (SELECT)',
    'SELECT $1 = ANY (tags), COALESCE (a, $2), CAST(b AS varchar(9)), max(c) FILTER (WHERE d) FROM item LEFT JOIN (SELECT) s ON (a = b)',
    'SELECT count(*) FILTER (WHERE a) OVER (PARTITION BY (b) ORDER BY (c)) FROM item GROUP BY GROUPING SETS ((a), (b))',
    'WITH t AS MATERIALIZED (SELECT a::character varying(9)) SELECT * FROM t JOIN (SELECT 1) u ON (a LIKE (b)) ORDER BY (a)',
    "SELECT /* set_config( */ id FROM item WHERE id = $1 /*traceparent='00-ab'*/",
  ])('accepts %s', (text) => expect(isPlainSelect(text)).toBe(true));

  it.each([
    'INSERT INTO item VALUES ($1)',
    'SELECT id FROM item WHERE id = $1 FOR UPDATE',
    'SELECT id FROM item WHERE id = $1 FOR NO KEY UPDATE SKIP LOCKED',
    'SELECT id FROM item WHERE id = $1 FOR KEY SHARE',
    'SELECT * INTO copy FROM item WHERE id = $1',
    'WITH gone AS (DELETE FROM item WHERE id = $1 RETURNING id) SELECT id FROM gone',
    'SELECT set_config($1, $2, false)',
    'SELECT "set_config"($1, $2, false)',
    'SELECT pg_advisory_lock($1)',
    'SELECT pg_try_advisory_xact_lock ($1)',
    "SELECT currval('s') + $1",
    'SELECT pg_sleep($1)',
    "SELECT pg_notify('channel', $1)",
    'SELECT lo_create($1)',
    "SELECT nextval('s'), $1",
    'SELECT pg_backend_pid(), $1',
    'SELECT a_function_of_the_app($1)',
    ...['filter', 'isnull', 'notnull', 'over', 'partition', 'rows', 'sets'].map(
      (name) => `SELECT ${name}($1)`,
    ),
    'SELECT app.lower($1)',
    'SELECT "lower"($1)',
    'SELECT id FROM a_function_of_the_app($1) AS t',
    'SELECT/**/pg_advisory_lock/**/($1)',
    'SELECT pg_sleep -- a comment\n ($1)',
    'SELECT U&"pg\\005fsleep"($1)',
    'SELECT id FROM item WHERE id = $1 FOR -- a comment\n UPDATE',
    'EXPLAIN SELECT $1',
    'TABLE item',
    '(SELECT $1)',
    'VALUES ($1)',
    "SELECT 'a backslash \\' or $1",
    'SELECT $1 /* not closed',
  ])('refuses %s', (text) => expect(isPlainSelect(text)).toBe(false));
});

describe('HARMLESS_FUNCTIONS', () => {
  /** They depend on the clock, on a generator of random numbers, or on what other sessions do at that moment. */
  const VOLATILE_BUT_HARMLESS = [
    ...['array_sample', 'array_shuffle', 'clock_timestamp', 'gen_random_uuid', 'random', 'random_normal'],
    ...['pg_database_size', 'pg_indexes_size', 'pg_is_in_recovery', 'pg_relation_size', 'pg_table_size'],
    ...['pg_total_relation_size', 'timeofday', 'uuidv4', 'uuidv7'],
  ];
  let server: PostgresServer;
  beforeAll(async () => {
    server = await startPostgres();
  }, 60_000);
  afterAll(() => server.dispose());

  it('contains only functions of PostgreSQL, and none that may change data or the session', async () => {
    const rows = await server.sql<{ name: string; isVolatile: boolean }>(
      `SELECT proname AS name, bool_or(provolatile = 'v') AS "isVolatile" FROM pg_proc
      WHERE pronamespace = 'pg_catalog'::regnamespace GROUP BY 1`,
    );
    const known = new Map(rows.map(({ name, isVolatile }) => [name, isVolatile]));
    const volatile = [...HARMLESS_FUNCTIONS].filter((name) => known.get(name)).sort();
    expect(VOLATILE_BUT_HARMLESS).toEqual(expect.arrayContaining(volatile));
    // New functions are missing in older servers.
    const unknown = [...HARMLESS_FUNCTIONS].filter((name) => !known.has(name));
    if (known.has('uuidv7')) expect(unknown).toEqual([]);
  });

  it('knows the keywords by which a function of the app can be called', async () => {
    await server.sql('CREATE TYPE argument AS (a int)');
    const callable: string[] = [];
    for (const word of [...HARMLESS_BEFORE_PARENTHESIS, ...HARMLESS_AFTER.keys()]) {
      if (HARMLESS_FUNCTIONS.has(word)) continue;
      await server.sql(
        `CREATE FUNCTION "${word}"(argument) RETURNS text LANGUAGE sql AS $$ SELECT 'called' $$`,
      );
      const text = `SELECT ${word}(value) AS result FROM (SELECT ROW(1)::argument AS value) AS item`;
      const rows = await server.sql(text).catch(() => []);
      if (JSON.stringify(rows).includes('called') && isPlainSelect(text)) callable.push(word);
    }
    // As keywords, they follow almost anything; the last ones are functions of PostgreSQL with a syntax of their own.
    expect(callable.sort()).toEqual(['cube', 'ilike', 'join', 'like', 'overlay', 'rollup', 'substring']);
  });
});
