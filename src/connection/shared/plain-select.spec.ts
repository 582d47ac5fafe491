import { describe, expect, it } from '@jest/globals';
import { isPlainSelect } from './plain-select.js';

describe('isPlainSelect', () => {
  it.each([
    'SELECT id FROM item WHERE id = $1',
    'select "Item"."update", \'into\' AS share_price FROM "Item" WHERE updated_at > $1',
    "SELECT nextval('s'), count(*), lower(name) FROM item WHERE id = $1 GROUP BY name -- FOR UPDATE",
    'WITH recent AS (SELECT id FROM item) SELECT * FROM recent WHERE id = $1',
    'SELECT pg_size_pretty($1::bigint), current_database()',
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
    'VALUES ($1)',
    "SELECT 'a backslash \\' or $1",
    'SELECT $1 /* not closed',
  ])('refuses %s', (text) => expect(isPlainSelect(text)).toBe(false));
});
