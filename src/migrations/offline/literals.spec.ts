import { describe, expect, it } from '@jest/globals';
import { CURRENT_DATABASE, quoteLiteral, renderStatement } from './literals.js';

describe('renderStatement', () => {
  const render = (sql: string, ...parameters: unknown[]) => renderStatement(sql, parameters).sql;

  it('renders values as pg would send them', () => {
    const sql = 'SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9';
    const values = [1, 'a', null, undefined, true, 10n, ['a', null], { a: 1 }, Buffer.from('a')];
    expect(render(sql, ...values)).toBe(
      `SELECT '1', 'a', NULL, NULL, 'true', '10', '{"a",NULL}', '{"a":1}', decode('61', 'hex')`,
    );
    expect(render('SELECT $1', { toPostgres: () => "x'" })).toBe(`SELECT 'x'''`);
    expect(render('SELECT $1', CURRENT_DATABASE)).toBe('SELECT current_database()::text');
  });

  it('escapes backslashes and line breaks in a literal whose meaning depends on no setting', () => {
    expect(quoteLiteral("it's")).toBe("'it''s'");
    expect(quoteLiteral("\\'\r\n")).toBe(String.raw`E'\\''\r\n'`);
  });

  it('keeps a literal apart from what stands beside it', () => {
    expect(render('SELECT U&$1', 'a')).toBe(`SELECT U& 'a'`);
    expect(render(`SELECT $1'a'`, 'b')).toBe(`SELECT 'b' 'a'`);
    expect(render('SELECT -$1', -1)).toBe(`SELECT -'-1'`);
  });

  it.each([
    'CREATE OR REPLACE FUNCTION f(int) RETURNS int LANGUAGE sql RETURN $1 + 1',
    'CREATE PROCEDURE p(int) LANGUAGE sql BEGIN ATOMIC INSERT INTO a VALUES ($1); END',
    'PREPARE insert_a AS INSERT INTO a VALUES ($1)',
  ])('keeps the parameters of what it defines: %s', (sql) => {
    expect(render(sql)).toBe(sql);
  });

  it.each(['CREATE UNLOGGED TABLE b AS SELECT', '(SELECT', 'EXPLAIN SELECT', 'WITH a AS (SELECT 1) SELECT'])(
    'renders parameters of %s',
    (begin) => {
      expect(render(`${begin} $1`, 1)).toBe(`${begin} '1'`);
    },
  );

  it('separates what psql would read as a variable', () => {
    expect(render(`SELECT a[1:n], b::text, ':n'`)).toBe(`SELECT a[1: n], b::text, ':n'`);
  });

  it('separates the semicolon and the comments behind it', () => {
    expect(renderStatement('SELECT 1; -- end')).toMatchObject({ sql: 'SELECT 1', rest: ' -- end' });
    expect(renderStatement('SELECT 1 -- end')).toMatchObject({ sql: 'SELECT 1', rest: ' -- end' });
  });

  it.each([
    ['SELECT $1', [], /1 parameter\(s\), and 0 are given/],
    ['SELECT 1', [1], /0 parameter\(s\), and 1 are given/],
    ['SELECT $2', [1], /2 parameter\(s\), and 1 are given/],
    ['SELECT $0', [], /\$0/],
    ['SELECT $1, $3', [1, 2, 3], /does not use all 3/],
    ['ALTER TABLE a ALTER b SET DEFAULT $1', [1], /cannot have parameters/],
    ['CREATE FUNCTION f(int) RETURNS int RETURN $1', [1], /cannot have parameters/],
    ['SELECT $1; SELECT 2', [1], /single statement/],
    ['SELECT $1', ['a\0b'], /\$1 contains a NUL character/],
    ['SELECT 1 \0', [], /NUL character/],
    ["SELECT 'a", [], /ends inside a literal/],
    ['SELECT 1 \\! ls', [], /backslash/],
    ['COPY users FROM STDIN', [], /COPY/],
  ])('refuses %s with %j', (sql, parameters, message) => {
    expect(() => renderStatement(sql, parameters)).toThrow(
      expect.objectContaining({ code: 'MIGRATION_VALUE', message: expect.stringMatching(message) }),
    );
  });

  it('refuses a value whose conversion fails, with the error as its cause', () => {
    const cause = new Error('no');
    const value = {
      toPostgres: () => {
        throw cause;
      },
    };
    expect(() => render('SELECT $1', value)).toThrow(
      expect.objectContaining({ code: 'MIGRATION_VALUE', cause }),
    );
  });
});
