import { describe, expect, it } from '@jest/globals';
import { scanStatements, transactionEffect } from './statement-text.js';

describe('scanStatements', () => {
  it('finds the heads of the statements, not semicolons inside literals, comments and parentheses', () => {
    const text = `SELECT ';' ; /* ; */ create RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2); $$ ; $$ --;`;
    expect(scanStatements(text).heads).toEqual(['select', 'create rule r as on', '']);
  });

  it('reads the body of a function as a part of its statement', () => {
    const body = `LANGUAGE sql BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END`;
    const text = `CREATE OR REPLACE FUNCTION f() RETURNS int ${body}; CREATE PROCEDURE p() ${body}; BEGIN; END`;
    expect(scanStatements(text).heads).toEqual([
      'create or replace function f',
      'create procedure p language sql',
      'begin',
      'end',
    ]);
  });

  it.each([
    ['SELECT 1', false],
    ['SELECT 1;', true],
    ['SELECT 1; -- the end', true],
    ['SELECT 1 -- ;', false],
    ['-- nothing', false],
  ])('%s ends in a semicolon: %s', (text, isTerminated) => {
    expect(scanStatements(text).isTerminated).toBe(isTerminated);
  });

  it('finds parameters outside of literals, identifiers and comments', () => {
    const text = `SELECT $1, '$2', "$3", $4$ $5 $4$, $$ $6 $$, a$7, -- $8\n /* $9 */ $10`;
    const { parameters } = scanStatements(text);
    expect(parameters.map(({ number, start, end }) => [number, text.slice(start, end)])).toEqual([
      [1, '$1'],
      [4, '$4'],
      [5, '$5'],
      [4, '$4'],
      [10, '$10'],
    ]);
  });

  it('finds the colons that psql reads as variables', () => {
    const text = `SELECT a[1:n], b::text, f(c := 1), ':d', "x":"y", z:'w', j : k, :{?v}`;
    const { colons } = scanStatements(text);
    expect(colons.map((at) => text.slice(at, at + 2))).toEqual([':n', ':"', `:'`, ':{']);
  });

  it.each([`SELECT '`, 'SELECT "', 'SELECT $a$ $b$', 'SELECT /* /* */', `SELECT E'\\'`])(
    '%s is incomplete',
    (text) => {
      expect(scanStatements(text).isIncomplete).toBe(true);
    },
  );

  it('finds a backslash outside of literals and comments', () => {
    expect(scanStatements(`SELECT '\\' /* \\ */ -- \\`).hasBackslash).toBe(false);
    expect(scanStatements('SELECT 1 \\! ls').hasBackslash).toBe(true);
  });
});

describe('transactionEffect', () => {
  it.each([
    ['begin', 'begins'],
    ['begin work', 'begins'],
    ['start transaction isolation level', 'begins'],
    ['commit', 'ends'],
    ['end', 'ends'],
    ['abort', 'ends'],
    ['rollback', 'ends'],
    ['rollback and no chain', 'ends'],
    ['rollback and chain', undefined],
    ['commit work and chain', undefined],
    ['rollback to savepoint a', undefined],
    ['rollback work to a', undefined],
    ['beginning', undefined],
    ['savepoint a', undefined],
    ['create table commit', undefined],
  ])('%s: %s', (head, effect) => {
    expect(transactionEffect(head)).toBe(effect);
  });
});
