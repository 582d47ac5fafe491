import { inspect } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import { maskedCopy, maskedSql, maskedStartupOptions, oneLine, redact, shortSql } from './masking.js';

const SECRET = 'hunter2';

describe('A statement for the log', () => {
  it.each([
    [`ALTER ROLE app PASSWORD 'hunter2'`, `ALTER ROLE app PASSWORD '***'`],
    [
      `alter role app password E'hunter2\\'x' VALID UNTIL '2030-01-01'`,
      `alter role app password E'***' VALID UNTIL '2030-01-01'`,
    ],
    [`ALTER ROLE app PASSWORD $$hunter2$$`, `ALTER ROLE app PASSWORD '***'`],
    [
      `ALTER ROLE app PASSWORD $x$hunter2$y$ $x$ VALID UNTIL '2030'`,
      `ALTER ROLE app PASSWORD '***' VALID UNTIL '2030'`,
    ],
    [`ALTER ROLE app PASSWORD U&'\\0068unter2'`, `ALTER ROLE app PASSWORD U&'***'`],
    [`ALTER ROLE app PASSWORD 'hunter2' -- 'x'`, `ALTER ROLE app PASSWORD '***' -- 'x'`],
    [`ALTER ROLE app PASSWORD/* it's */'hunter2'`, `ALTER ROLE app PASSWORD/* it's */'***'`],
    [`ALTER ROLE app PASSWORD 'hun'\n'hunter2'`, `ALTER ROLE app PASSWORD '***'\n'***'`],
    [`ALTER ROLE app PASSWORD 'hunter2`, `ALTER ROLE app PASSWORD '***'`],
    [
      `CREATE USER MAPPING FOR app SERVER s OPTIONS (user 'me', password 'hunter2')`,
      `CREATE USER MAPPING FOR app SERVER s OPTIONS (user 'me', password '***')`,
    ],
    [
      `CREATE SUBSCRIPTION s CONNECTION 'host=db user=me password=hunter2' PUBLICATION p`,
      `CREATE SUBSCRIPTION s CONNECTION 'host=db user=me password=***' PUBLICATION p`,
    ],
    [
      `ALTER SUBSCRIPTION s CONNECTION $$password = 'hunter2' host=db$$`,
      `ALTER SUBSCRIPTION s CONNECTION $$password=***$$`,
    ],
    [
      `CREATE SUBSCRIPTION s CONNECTION U&'p\\0061ssword=hunter2'`,
      `CREATE SUBSCRIPTION s CONNECTION U&'***'`,
    ],
    [
      `SELECT * FROM dblink('postgres://me:hunter2@db/app', 'SELECT 1') AS t(x int)`,
      `SELECT * FROM dblink('postgres://***@db/app', 'SELECT 1') AS t(x int)`,
    ],
    [
      `SELECT dblink_connect('c', 'host=db password=''hunter2 x''')`,
      `SELECT dblink_connect('c', 'host=db password=***')`,
    ],
    [
      `DO $$ BEGIN EXECUTE 'ALTER ROLE app PASSWORD ''hunter2'''; END $$`,
      `DO $$ BEGIN EXECUTE 'ALTER ROLE app PASSWORD=***$$`,
    ],
    [
      `UPDATE users SET password = crypt('hunter2', gen_salt('bf')) WHERE name = 'me'`,
      `UPDATE users SET password = crypt('***', gen_salt('bf')) WHERE name = 'me'`,
    ],
    [
      `UPDATE users SET "userPassword" = 'hunter2', name = 'me'`,
      `UPDATE users SET "userPassword" = '***', name = 'me'`,
    ],
  ])('hides the password of %s', (sql, shown) => {
    expect(maskedSql(sql)).toBe(shown);
    expect(shortSql(sql)).not.toContain(SECRET);
  });

  it.each([
    `SELECT * FROM users WHERE name = 'me' AND note = 'a; b -- c'`,
    `SELECT password, 'x', E'a\\'b', U&'\\0061', $1::text FROM users /* password 'y' */`,
    `INSERT INTO passwords (id) VALUES ('x')`,
    `SELECT $body$ it's $1 $body$, "a""b", 'it''s'`,
  ])('leaves %s unchanged', (sql) => {
    expect(maskedSql(sql)).toBe(sql);
  });

  it('is on one line, without control characters', () => {
    expect(oneLine('SELECT 1,\n\t  2 -- \u001b[31mred\u202e\u0000\u2028x')).toBe(
      'SELECT 1, 2 -- \\u001b[31mred\\u202e\\u0000\\u2028x',
    );
    expect(shortSql('SELECT 1\r\n  \u0007')).toBe('SELECT 1 \\u0007');
  });
});

describe('Masking takes time that is linear in the length of the text', () => {
  const LENGTH = 100_000;
  const repeated = (part: string) => part.repeat(Math.ceil(LENGTH / part.length));

  it.each(
    [
      ...[
        '/',
        '//',
        "'",
        "''",
        '"',
        '$',
        '$a',
        '$a$',
        '/*',
        '*/',
        '--',
        '\\',
        ' ',
        '\t\n',
        '@',
        ':',
        '\u001b',
      ],
      ...[
        'password',
        'password ',
        "password '",
        'password=',
        "password=''",
        "E'",
        "U&'",
        'pass',
        'password$',
      ],
      ...[
        'postgres://',
        'postgres://@',
        'postgres://a@\n',
        'dblink(',
        "connection '",
        "'pass ",
        '$$password ',
        'x=\\',
      ],
    ].flatMap((part) => [repeated(part), `password '${repeated(part)}`, `dblink('${repeated(part)}@`]),
  )('%.20s…', (text) => {
    const since = performance.now();
    for (const mask of [maskedSql, redact, oneLine, maskedStartupOptions]) mask(text);
    shortSql(text, LENGTH);
    // Linear time is milliseconds here; quadratic time is seconds.
    expect(performance.now() - since).toBeLessThan(1_000);
  });
});

describe('A copy for printing', () => {
  it('hides the values of secret keys and the credentials of URLs, and contains class instances unchanged', () => {
    class Client {
      password = SECRET;
    }
    const client = new Client();
    const circle: Record<string, unknown> = {
      url: 'redis://me:hunter2@cache:6379',
      client,
      retries: 3,
      list: ['a://b:hunter2@c'],
    };
    circle['self'] = circle;
    const copy = maskedCopy({
      circle,
      'app.jwt_secret': SECRET,
      apiKey: SECRET,
      options: { PASSWORD: 42, port: 1 },
    });
    expect(copy).toMatchObject({
      circle: { url: 'redis://***@cache:6379', retries: 3, list: ['a://***@c'] },
      'app.jwt_secret': '***',
      apiKey: '***',
      options: { PASSWORD: '***', port: 1 },
    });
    expect(copy.circle['client']).toBe(client);
    expect(copy.circle['self']).toBe(copy.circle);
    expect(circle['url']).toContain(SECRET);
    expect(inspect(maskedCopy(JSON.parse('{"__proto__":{"password":"hunter2"}}')))).not.toContain(SECRET);
  });

  it('hides secrets in the options of a startup packet', () => {
    expect(maskedStartupOptions('-c geqo=off -c app.token=hunter2\\ x -c a.b=1')).toBe(
      '-c geqo=off -c app.token=*** -c a.b=1',
    );
  });
});

describe('masked texts', () => {
  it('show no credentials of a URL', () => {
    for (const secret of [`p'w`, 'p"w', 'p w', 'p@w'])
      expect(redact(`cannot reach postgres://app:${secret}@db today`)).toBe(
        'cannot reach postgres://***@db today',
      );
    const frame = '    at Injector (file:///app/node_modules/@nestjs/core/injector.js:1:2)';
    expect(redact(frame)).toBe(frame);
    expect(redact('file:///a,redis://app:secret@cache')).not.toContain('secret');
    expect(redact('postgres://db/app?user=me&password=secret&x=1')).toBe(
      'postgres://db/app?user=me&password=***&x=1',
    );
    expect(redact('cannot reach postgres://me:p@ss/w#rd@host/db today')).toBe(
      'cannot reach postgres://***@host/db today',
    );
  });

  it.each([
    ["'secret'", "'***'"],
    ["'it''s secret' VALID UNTIL 'x'", "'***' VALID UNTIL 'x'"],
    [String.raw`E'it\'s secret', b`, "E'***', b"],
    ["U&'secret'; SELECT 'x'", "U&'***'; SELECT 'x'"],
    ['$$secret$$, b', "'***', b"],
    ['$a$secret $$ password$a$;', "'***';"],
    ["'secret", "'***'"],
    ['$a$secret$', "'***'"],
    // Where standard_conforming_strings is off, the literal goes on behind the quote.
    [String.raw`'a\'secret' x`, "'***'"],
  ])('show no password that a statement sets: %s', (literal, masked) => {
    for (const begin of ['ALTER ROLE app PASSWORD ', 'create role b encrypted password\n']) {
      expect(maskedSql(begin + literal)).toBe(begin + masked);
      expect(shortSql(begin + literal)).toBe((begin + masked).replace('\n', ' '));
    }
  });

  it('leave a statement that sets no password unchanged', () => {
    for (const sql of ['SELECT password FROM users', 'UPDATE t SET password = $1'])
      expect(maskedSql(sql)).toBe(sql);
  });
});
