import { describe, expect, it } from '@jest/globals';
import { isSingleRepeatableStatement } from './repeatable-statement.js';

describe('isSingleRepeatableStatement', () => {
  it.each([
    'SELECT 1',
    'select',
    'SELECT(1)',
    ' \n-- a comment\n/* another; /* nested; */ */ ( (SELECT 1) UNION SELECT 2) ; -- end',
    'SELECT 1;;',
    "INSERT INTO t VALUES ('a;b'), (E'a\\';b'), ($$;$$), ($x$ ; $$ $x$)",
    'INSERT /* INTO */ INTO "a;b" SELECT 1 RETURNING id',
    'UPDATE t SET a = $1',
    'DELETE FROM t',
    'MERGE INTO t USING s ON t.id = s.id WHEN MATCHED THEN DELETE',
    'VALUES (1)',
    'TABLE t',
    'WITH x AS (INSERT INTO t VALUES (1) RETURNING id) SELECT * FROM x',
    'WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x',
    'WITH x AS (SELECT 1) MERGE INTO t USING x ON true WHEN MATCHED THEN DELETE',
    '(WITH x AS (SELECT 1), y AS (INSERT INTO t SELECT * FROM x RETURNING id) SELECT (id) FROM y)',
    'SELECT "into" FROM t',
    "SELECT 'a' 'into' FROM t FOR UPDATE",
    'SELECT pointinto, into_ FROM t',
  ])('is true for one query or one DML statement: %s', (text) => {
    expect(isSingleRepeatableStatement(text)).toBe(true);
  });

  it.each([
    '',
    ';',
    '-- SELECT 1',
    '/* SELECT 1 */',
    '"select" 1',
    'SELECT 1; SELECT 2',
    'SELECT 1; COPY t TO STDOUT',
    'SELECT 1; -- a\n DELETE FROM t',
    "SELECT 1; ''",
    'SELECT * INTO copies FROM t',
    'SELECT 1 INTO TEMP t',
    'WITH x AS (SELECT 1) SELECT * INTO t FROM x',
    '(SELECT 1 INTO t)',
    'SELECT 1 AS insert INTO t',
    '(SELECT 1, merge INTO t FROM s)',
    'WITH x AS (SELECT 1) SELECT (1) insert INTO t',
    'COPY t FROM STDIN',
    'CALL p()',
    'DO $$ BEGIN END $$',
    'EXPLAIN ANALYZE DELETE FROM t',
    'BEGIN',
    'PREPARE p AS SELECT 1',
    'EXECUTE p',
    'CREATE TABLE t AS SELECT 1',
    'REFRESH MATERIALIZED VIEW v',
    'SELECTED',
    'SELECT$ 1',
    '1 SELECT',
  ])('is false for anything else: %s', (text) => {
    expect(isSingleRepeatableStatement(text)).toBe(false);
  });

  it.each([
    // With standard_conforming_strings = off, COPY is a separate statement.
    String.raw`SELECT '\', '; COPY t TO STDOUT; --'`,
    String.raw`SELECT 'it\''s'`,
    // The second part of the literal has escapes too.
    "SELECT E'a'\n'\\', '; COPY t TO STDOUT; --'",
    "SELECT 'open",
    'SELECT "open',
    'SELECT $$open',
    'SELECT 1 /* open',
  ])('is false for an ambiguous text: %s', (text) => {
    expect(isSingleRepeatableStatement(text)).toBe(false);
  });
});
