import { runInNewContext } from 'node:vm';
import { describe, expect, it } from '@jest/globals';
import {
  isTraceparent,
  tagDropsPreparedStatements,
  tagChangesSchema,
  tagChangesSession,
  tagMayExpireStatements,
  tagResetsSettings,
  textChangesSession,
  onlySetsApplicationName,
  mentionsStatementTimeout,
} from './statement-effects.js';

describe('A command tag', () => {
  it.each(['SET', 'LISTEN', 'DO', 'CALL', 'PREPARE', 'LOAD'])('%s changes the session', (tag) => {
    expect(tagChangesSession(tag, undefined)).toBe(true);
    expect(tagChangesSession(tag, '/* whatever */ text')).toBe(true);
  });

  it.each(['SELECT 1', 'INSERT 0 1', 'BEGIN', 'COMMIT', 'ROLLBACK', 'RESET', 'DISCARD ALL', 'UNLISTEN'])(
    '%s does not change the session',
    (tag) => {
      expect(tagChangesSession(tag, undefined)).toBe(false);
    },
  );

  it.each([
    'SET LOCAL search_path TO x',
    ' set transaction isolation level serializable;',
    'SET  LOCAL search_path TO x ; ',
    'SET LOCAL ROLE app',
    "SET LOCAL app.tenant = 'a;b'; -- one",
    '/* one */ SET/**/LOCAL a.b = 1',
  ])('SET does not change the session when its effect ends with the transaction: %s', (text) => {
    expect(tagChangesSession('SET', text)).toBe(false);
  });

  it.each([
    'SET LOCAL a.b = 1; SET c.d = 2',
    'SET LOCAL a.b=1;SET/**/c.d=2',
    'SET search_path TO x',
    '/* SET LOCAL */ SET search_path TO x',
    'SET ROLE app',
    "SET LOCAL a.b = 'x';;",
    String.raw`SET LOCAL a.b = '\', '; SET c.d = '2'`,
  ])('SET changes the session in any other form: %s', (text) => {
    expect(tagChangesSession('SET', text)).toBe(true);
  });

  it('DECLARE CURSOR changes the session only WITH HOLD', () => {
    expect(tagChangesSession('DECLARE CURSOR', 'DECLARE c CURSOR FOR SELECT 1')).toBe(false);
    expect(tagChangesSession('DECLARE CURSOR', 'DECLARE c CURSOR WITH HOLD FOR SELECT 1')).toBe(true);
    expect(tagChangesSession('DECLARE CURSOR', undefined)).toBe(true);
  });

  it('shows whether the settings are those of the startup packet again', () => {
    const tags = ['RESET', 'DISCARD ALL', 'DISCARD PLANS', 'SET'];
    expect(tags.map(tagResetsSettings)).toEqual([true, true, false, false]);
  });

  it('shows whether the server has dropped its prepared statements', () => {
    expect(
      ['DISCARD ALL', 'DEALLOCATE ALL', 'DEALLOCATE', 'SELECT 1'].map(tagDropsPreparedStatements),
    ).toEqual([true, true, false, false]);
  });
});

describe('A command tag of a change of the schema', () => {
  it.each([
    ['ALTER TABLE', true, true],
    ['CREATE INDEX', true, true],
    ['IMPORT FOREIGN SCHEMA', true, true],
    ['DROP TABLE', true, false],
    ['DO', true, false],
    ['CALL', true, false],
    ['DEALLOCATE', true, false],
    ['SELECT 1', false, false],
    ['INSERT 0 1', false, false],
    ['BEGIN', false, false],
    ['COMMIT', false, false],
    ['SET', false, false],
  ])('%s may expire the statements of its session: %s, of all sessions: %s', (tag, ofSession, ofAll) => {
    expect([tagMayExpireStatements(tag), tagChangesSchema(tag)]).toEqual([ofSession, ofAll]);
  });
});

describe('The text of a statement', () => {
  it.each([
    String.raw`SELECT U&"set\005fconfig"('app.user', 'x', false)`,
    "SELECT set_config('app.user', 'x', false)",
    'select set_config($1, $2, $3)',
    "SELECT set_config('a', 'b', true), set_config('c', 'd', false)",
    'SELECT pg_advisory_lock(1)',
    'SELECT pg_try_advisory_lock_shared(1)',
    'SELECT pg_advisory_unlock(1)',
    'CREATE TEMP TABLE t (id int)',
    'create /* not seen by a tag */ temporary view v as select 1',
    'create or replace local/**/temp recursive view v (n) as select 1',
    'SELECT 1 INTO TEMP t',
    "INSERT INTO readings (temp) VALUES (1); SELECT 'a' AS b INTO GLOBAL -- c\n TEMPORARY TABLE t",
    // With standard_conforming_strings = off the second line is a statement.
    "SELECT 'create \\' ' ;\n create temp table t (id int); --'",
    'CREATE TABLE pg_temp.t (id int)',
    'SELECT setseed(0.5)',
    "SELECT dblink_connect('other')",
    "UPDATE pg_settings SET setting = 'x' WHERE name = 'search_path'",
    'update pg_catalog."pg_settings" set setting = $1 where name = $2',
  ])('changes the session: %s', (text) => {
    expect(textChangesSession(text)).toBe(true);
  });

  it.each([
    'SELECT 1',
    'SELECT temp FROM readings',
    'SELECT template FROM mails',
    'INSERT INTO "reading"("temp") VALUES ($1)',
    'INSERT INTO readings (id, temp) SELECT id, temp FROM others',
    "INSERT INTO mails (text) VALUES ('we create temp tables')",
    'CREATE TABLE readings (temp int, temporary boolean)',
    'SELECT pg_advisory_xact_lock(1)',
    "SELECT set_config('app.tenant', $1, true)",
    "SELECT set_config('app.tenant', $1::text, TRUE), set_config($2, 'x', true)",
    "SELECT set_config ( 'app.tenant'::text , 'some tenant'::text ,  true )",
    'SELECT set_config($10,$11,true)',
    "SELECT set_config('app.tenant'::text,  '',true)",
    'CREATE TABLE templates (id int)',
    'SELECT setting FROM pg_settings WHERE name = $1',
    "SELECT set_config('a.b', 'x', true) FROM pg_settings",
  ])('does not change the session: %s', (text) => {
    expect(textChangesSession(text)).toBe(false);
  });

  it.each([
    ["SET application_name = 'x'", true],
    ["set session application_name to 'x y' ;", true],
    ["SET application_name='x' /*traceparent='00-1-2-01'*/", true],
    ["SET application_name = 'x'; SET role admin", false],
    ["SET application_name = 'x' /* a */ ; SET role admin -- */", false],
    ["SET application_name = E'x\\''; LISTEN a --'", false],
    ["SET application_names = 'x'", false],
    ["SET LOCAL application_name = 'x'", false],
    ['SET application_name = DEFAULT', false],
    [`SET application_name = '${"'".repeat(50_000)}`, false],
  ])('is checked for setting application_name alone: %.60s', (text, expected) => {
    expect(onlySetsApplicationName(text)).toBe(expected);
  });

  it('is a trace context when it has the form of one', () => {
    expect(isTraceparent('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01')).toBe(true);
    expect(isTraceparent('my app')).toBe(false);
  });

  it('is checked for a mention of statement_timeout', () => {
    expect(mentionsStatementTimeout("SET LOCAL statement_timeout = '1h'")).toBe(true);
    expect(mentionsStatementTimeout('SELECT 1')).toBe(false);
  });
});

describe('A script of many statements', () => {
  const inserts = 'INSERT INTO notes (id, text) VALUES (1, $$a note$$);\n'.repeat(50_000);

  it('is read in linear time, since it blocks the event loop', () => {
    // A pattern that searches from each INTO to the end would block the process for minutes; the timeout ends it.
    const context = { textChangesSession, inserts };
    expect(runInNewContext('textChangesSession(inserts)', context, { timeout: 10_000 })).toBe(false);
  });

  it('that begins like a SET of application_name is read in linear time', () => {
    const script = `SET application_name = 'x'${' '.repeat(200_000)}SELECT 1`;
    const context = { onlySetsApplicationName, script };
    expect(runInNewContext('onlySetsApplicationName(script)', context, { timeout: 2_000 })).toBe(false);
    expect(onlySetsApplicationName("SET application_name = 'x' /* by a tool */ ; ")).toBe(true);
  });

  it('changes the session even by its last statement, but not by the word TEMP before CREATE', () => {
    expect(textChangesSession(`${inserts}CREATE TEMP TABLE t (id int)`)).toBe(true);
    expect(textChangesSession('SELECT temp FROM readings; CREATE TABLE u (id int)')).toBe(false);
  });
});
