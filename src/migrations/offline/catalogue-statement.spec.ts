import { describe, expect, it } from '@jest/globals';
import { readsOnlyCatalogue } from './catalogue-statement.js';

describe('readsOnlyCatalogue', () => {
  it.each([
    `SELECT to_regclass('users') IS NOT NULL AS found`,
    'SELECT 1 FROM pg_class WHERE relname = $1',
    'SELECT count(*) FROM pg_catalog.pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, pg_index;',
    `SELECT * FROM "information_schema"."columns" WHERE table_name = 'a' AND column_name IN ('b', 'c')`,
    'SELECT exists(SELECT FROM pg_type WHERE typname = $1)',
    'SELECT current_database(), version()',
  ])('%s reads the schema alone', (sql) => {
    expect(readsOnlyCatalogue(sql)).toBe(true);
  });

  it.each([
    'SELECT 1',
    'SELECT * FROM users',
    'SELECT * FROM pg_class, users',
    'SELECT * FROM pg_class "where", users',
    'SELECT * FROM pg_class c JOIN users u ON true',
    'SELECT (SELECT count(*) FROM users) FROM pg_class',
    'SELECT 1 FROM pg_class WHERE EXISTS (SELECT 1 FROM users)',
    'SELECT * FROM public.pg_class',
    `SELECT 1 FROM pg_roles WHERE rolname = 'app'`,
    'SELECT * FROM pg_catalog.pg_stat_activity',
    'SELECT datname FROM pg_database',
    `SELECT to_regrole('app')`,
    `SELECT has_table_privilege('users', 'SELECT') FROM pg_class`,
    'SELECT pg_get_userbyid(relowner) FROM pg_class',
    'SELECT current_user, version()',
    'SELECT current_date, version()',
    'SELECT * FROM pg_temp.users',
    `SELECT setval('numbers', 1)`,
    `SELECT "setval"('numbers', 1)`,
    'SELECT * INTO copy FROM pg_class',
    'SELECT * FROM pg_class FOR UPDATE',
    'SELECT 1 FROM pg_class; DELETE FROM users',
    'WITH gone AS (DELETE FROM users RETURNING 1) SELECT * FROM gone',
    'SELECT * FROM generate_series(1, 2)',
    'UPDATE pg_class SET relname = relname',
    `SELECT 'a\\'' FROM users --'`,
    '',
  ])('%s may read or change something else', (sql) => {
    expect(readsOnlyCatalogue(sql)).toBe(false);
  });
});
