import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { Connection, ConnectionPool } from '../../src/pool/index.js';
import type { ConnectionOptions } from '../../src/pool/index.js';
import { createTestDatabase } from '../support/database.js';
import type { TestDatabase } from '../support/database.js';
import { startTcpProxy } from '../support/tcp-proxy.js';
import type { TcpProxy } from '../support/tcp-proxy.js';

let database: TestDatabase;
let proxy: TcpProxy;
/** The types of the messages that the clients have sent: P is Parse, B Bind, D Describe, E Execute, C Close, S Sync. */
let sent = '';

beforeAll(async () => {
  database = await createTestDatabase();
  proxy = await startTcpProxy({ port: Number(new URL(database.url).port) });
  proxy.on('data', (_connection, direction, chunk) => {
    if (direction === 'to-server') sent += typesOf(chunk);
  });
});
afterAll(async () => {
  await proxy.close();
  await database.drop();
});

/** The types of the messages in a packet. The startup packet has no type, and its first byte is 0. */
function typesOf(packet: Buffer): string {
  let types = '';
  for (let at = 0; at + 5 <= packet.length && packet[at] !== 0; at += 1 + packet.readInt32BE(at + 1))
    types += String.fromCharCode(packet[at]!);
  return types;
}

const open: pg.Client[] = [];

async function connect(options: ConnectionOptions = {}): Promise<Connection> {
  const connection = new Connection({
    connectionString: proxy.through(database.url),
    preparedStatements: { threshold: 2 },
    ...options,
  });
  connection.on('error', () => undefined);
  await connection.connect();
  connection.finishSetup();
  open.push(connection);
  return connection;
}

async function connectPlain(): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: database.url });
  client.on('error', () => undefined);
  await client.connect();
  open.push(client);
  return client;
}

afterEach(async () => {
  await Promise.all(open.splice(0).map((client) => client.end()));
});

/** The messages that `work` sends. */
async function messagesOf(work: () => Promise<unknown>): Promise<string> {
  sent = '';
  await work();
  return sent;
}

const NUMBER = 'SELECT $1::int AS n';

/** Runs a statement several times, so that the last execution uses the prepared statement. */
async function repeat(client: pg.Client, request: unknown[], times = 4): Promise<unknown[]> {
  const answers = [];
  for (let n = 0; n < times; n += 1)
    answers.push(
      await (client.query as (...given: unknown[]) => Promise<unknown>)
        .apply(client, request)
        .catch((error: Error) => ({ ...error, message: error.message })),
    );
  return answers;
}

/** The names of the prepared statements that the session of the server has, by their texts. */
async function prepared(connection: Connection): Promise<string[]> {
  const { rows } = await connection.query<{ statement: string }>(
    'SELECT statement FROM pg_prepared_statements ORDER BY prepare_time, statement',
  );
  return rows.map(({ statement }) => statement);
}

describe('A parameterised statement', () => {
  it('is prepared at the threshold, and is then sent without Parse and Describe', async () => {
    const connection = await connect({ preparedStatements: { threshold: 3 } });
    const messages = [];
    for (let n = 1; n <= 5; n += 1)
      messages.push(
        await messagesOf(async () => {
          const { rows } = await connection.query(NUMBER, [n]);
          expect(rows).toEqual([{ n }]);
        }),
      );
    expect(messages).toEqual(['PBDES', 'PBDES', 'PBDES', 'BES', 'BES']);
    const { rows } = await connection.query('SELECT name, statement FROM pg_prepared_statements');
    expect(rows).toEqual([{ name: expect.stringMatching(/^ndb_[\w-]{24}$/), statement: NUMBER }]);
  });

  it('counts for all connections of a pool', async () => {
    const pool = new ConnectionPool({
      connectionString: proxy.through(database.url),
      size: 2,
      preparedStatements: { threshold: 5 },
    });
    const [first, second] = await Promise.all([pool.connect(), pool.connect()]);
    const messages = [];
    for (const client of [first, second, first, second, first, first, second, second])
      messages.push(await messagesOf(() => client.query(NUMBER, [1])));
    expect(messages).toEqual(['PBDES', 'PBDES', 'PBDES', 'PBDES', 'PBDES', 'BES', 'PBDES', 'BES']);
    expect(await prepared(first)).toEqual([NUMBER]);
    first.release();
    second.release();
    await pool.end();
  });

  it('is never prepared when preparedStatements is false', async () => {
    const connection = await connect({ preparedStatements: false });
    expect(await messagesOf(() => repeat(connection, [NUMBER, [1]], 10))).toBe('PBDES'.repeat(10));
  });

  it.each([
    [
      'several columns',
      'SELECT $1::int AS a, $2::text AS b, $3::timestamptz AS c, $4::jsonb AS d',
      [1, 'x', '2020-01-01Z', { e: [1] }],
    ],
    ['two columns of one name', 'SELECT $1::int AS n, 2 AS n', [1]],
    ['a column named __proto__', 'SELECT $1::int AS "__proto__", 2 AS constructor', [1]],
    ['NULL values', 'SELECT $1::int AS a, $2::text AS b', [null, undefined]],
    ['arrays and binary values', 'SELECT $1::int[] AS a, $2::bytea AS b', [[1, 2], Buffer.from([0, 255])]],
    ['no rows', 'SELECT 1 AS one WHERE $1', [false]],
    ['no columns', 'SELECT FROM generate_series(1, $1)', [3]],
    ['many rows', 'SELECT n, n * 2 AS twice FROM generate_series(1, $1::int) AS n', [500]],
    ['an INSERT', 'INSERT INTO notes (text) VALUES ($1)', ['x']],
    ['an INSERT with RETURNING', 'INSERT INTO notes (text) VALUES ($1) RETURNING text', ['x']],
    ['an UPDATE', 'UPDATE notes SET text = $1 WHERE text = $2', ['a', 'b']],
    ['a DELETE', 'DELETE FROM notes WHERE text = $1', ['x']],
    ['a WITH', 'WITH a AS (SELECT $1::int AS n) SELECT n + 1 AS m FROM a', [1]],
    ['a config', { text: 'SELECT $1::int AS n', values: [1] }, undefined],
    [
      'rowMode array',
      { text: 'SELECT $1::int AS n, $2::text AS t', values: [1, 'x'], rowMode: 'array' },
      undefined,
    ],
    [
      'type parsers of its own',
      {
        text: 'SELECT $1::int AS n',
        values: [1],
        types: { getTypeParser: () => (value: string) => `<${value}>` },
      },
      undefined,
    ],
    [
      'types of the parameters',
      { text: 'INSERT INTO notes (text) VALUES ($1)', values: [1], types: [25] },
      undefined,
    ],
    ['a syntax error', 'SELEC $1', [1]],
    ['a missing table', 'SELECT * FROM nowhere WHERE id = $1', [1]],
    ['an undetermined type', 'SELECT $1 IS NULL', [1]],
    ['two statements', 'SELECT $1::int; SELECT 2', [1]],
    ['a wrong number of values', 'SELECT $1::int + $2::int', [1]],
    ['a value of the wrong type', 'SELECT $1::int', ['x']],
    ['an error at the execution', 'SELECT 1 / $1::int', [0]],
    ['a violated constraint', 'INSERT INTO notes (id, text) VALUES (1, $1)', ['x']],
    ['a deferred constraint', 'INSERT INTO replies (note) VALUES ($1)', [-1]],
    ['a trailing comment', 'SELECT $1::int AS n /* at the end */', [1]],
  ])('has the same results and errors as in pg, with %s', async (_, text, values) => {
    const setUp = async () => {
      await database.sql('DROP TABLE IF EXISTS replies, notes');
      await database.sql('CREATE TABLE notes (id serial PRIMARY KEY, text text)');
      await database.sql("INSERT INTO notes (text) VALUES ('b')");
      await database.sql('CREATE TABLE replies (note int REFERENCES notes DEFERRABLE INITIALLY DEFERRED)');
      await database.sql('GRANT ALL ON ALL TABLES IN SCHEMA public TO app');
      await database.sql('GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO app');
    };
    const run = async (client: pg.Client) => {
      await setUp();
      const answers = await repeat(client, [text, values]);
      return JSON.parse(
        JSON.stringify(answers, (key, value: unknown) =>
          // The table is another one for each client.
          ['tableID', '_types'].includes(key) ? undefined : value,
        ),
      ) as unknown;
    };
    expect(await run(await connect())).toEqual(await run(await connectPlain()));
  });

  it('has an own list of fields in each result, which its caller may change', async () => {
    const connection = await connect();
    for (let n = 0; n < 4; n += 1) {
      const { fields, rows } = await connection.query(NUMBER, [n]);
      expect([fields.map(({ name }) => name), rows]).toEqual([['n'], [{ n }]]);
      fields[0]!.name = 'changed';
      fields.length = 0;
    }
  });

  it('is parsed with the type parsers of the moment, also with those set after it was prepared', async () => {
    const connection = await connect();
    const text = 'SELECT $1::int AS n, $2::date AS d';
    const row = async () => (await connection.query(text, [1, '2020-02-03'])).rows[0] as unknown;
    const original = pg.types.getTypeParser(pg.types.builtins.DATE);
    for (let n = 0; n < 3; n += 1) await row();
    connection.setTypeParser(23, (value: string) => `client ${value}`);
    pg.types.setTypeParser(pg.types.builtins.DATE, (value) => `global ${value}`);
    try {
      expect(await row()).toEqual({ n: 'client 1', d: 'global 2020-02-03' });
      expect(await row()).toEqual({ n: 'client 1', d: 'global 2020-02-03' });
      connection.setTypeParser(23, Number);
    } finally {
      pg.types.setTypeParser(pg.types.builtins.DATE, original);
    }
    expect(await row()).toEqual({ n: 1, d: new Date(2020, 1, 3) });
  });

  it('reports to callbacks, events and submitted queries as in pg', async () => {
    const observe = async (client: pg.Client) => {
      const seen: unknown[] = [];
      for (let n = 0; n < 4; n += 1) {
        await new Promise<void>((resolve) => {
          client.query(NUMBER, [n], (error, result) => {
            seen.push(['callback', error, result.rows]);
            resolve();
          });
        });
        const withCallback = new pg.Query(NUMBER, [n], (error: unknown, result: pg.QueryResult) =>
          seen.push(['submitted', error, result.rows, result.fields.length]),
        );
        withCallback.on('row', (row) => seen.push(['row', row]));
        client.query(withCallback);
        await new Promise((resolve) => withCallback.on('end', resolve));
        const withEvents = client.query(new pg.Query(NUMBER, [n]));
        // After the statement has been sent: `pg` does not accumulate the rows then.
        withEvents.on('row', (row, result) => seen.push(['row', row, result?.fields.length]));
        await new Promise<void>((resolve) =>
          withEvents.on('end', (result) => {
            seen.push(['end', result.rows, result.rowCount]);
            resolve();
          }),
        );
        const withoutRows = client.query(new pg.Query(NUMBER, [n]));
        await new Promise<void>((resolve) =>
          withoutRows.on('end', (result) => {
            seen.push(['end', result.rows]);
            resolve();
          }),
        );
        const failing = client.query(new pg.Query(NUMBER, ['x']));
        await new Promise<void>((resolve) =>
          failing.on('error', (error) => {
            seen.push(['error', error.message]);
            resolve();
          }),
        );
      }
      return seen;
    };
    expect(await observe(await connect())).toEqual(await observe(await connectPlain()));
  });

  it('is described to a query of a derived class, which may read the description itself', async () => {
    const described: unknown[] = [];
    class Reader extends pg.Query {
      handleRowDescription(message: { fields: unknown[] }): void {
        described.push(message.fields.length);
        const { handleRowDescription } = pg.Query.prototype as never as typeof this;
        handleRowDescription.call(this, message);
      }
    }
    const connection = await connect();
    await repeat(connection, [NUMBER, [1]]);
    for (let n = 0; n < 3; n += 1)
      await new Promise((resolve) => connection.query(new Reader(NUMBER, [n], resolve as never)));
    expect(described).toEqual([1, 1, 1]);
  });

  it('rejects a value that cannot be sent, and is used again afterwards', async () => {
    const connection = await connect();
    const bad = {
      toPostgres: () => {
        throw new Error('not a value');
      },
    };
    for (let n = 0; n < 4; n += 1) {
      await expect(connection.query(NUMBER, [bad])).rejects.toThrow('not a value');
      expect((await connection.query(NUMBER, [n])).rows).toEqual([{ n }]);
    }
    expect(await messagesOf(() => connection.query(NUMBER, [1]))).toBe('BES');
  });

  it('may be larger than a packet', async () => {
    const connection = await connect();
    const text = 'SELECT length($1::text) AS n';
    const large = 'x'.repeat(300_000);
    for (let n = 0; n < 4; n += 1)
      expect((await connection.query(text, [large])).rows).toEqual([{ n: 300_000 }]);
  });

  it('is queued, cancelled and limited as any other one', async () => {
    const connection = await connect({ statement_timeout: 1_000, statementLimitMs: 20_000 });
    const sleep = 'SELECT pg_sleep($1::float)';
    const codeOf = (answer: Promise<unknown>) =>
      answer.then(
        () => 'ok',
        ({ code }: { code: string }) => code,
      );
    const codes = [];
    for (let n = 0; n < 3; n += 1) {
      codes.push(await codeOf(connection.query(sleep, [5])));
      const running = codeOf(connection.query(sleep, [5]));
      await connection.cancelRunning();
      codes.push(await running);
      codes.push(
        ...(await Promise.all([0, 0, 0].map((seconds) => codeOf(connection.query(sleep, [seconds]))))),
      );
    }
    expect(codes).toEqual(Array(3).fill(['57014', '57014', 'ok', 'ok', 'ok']).flat());
    expect(await messagesOf(() => connection.query(sleep, [0]))).toBe('BES');
  });
});

describe('Statements that are not prepared', () => {
  it.each([
    ['without values', ['SELECT 1 AS n']],
    ['with a name', [{ name: 'mine', text: NUMBER, values: [1] }]],
    ['with limited rows', [{ text: NUMBER, values: [1], rows: 1 }]],
    ['in binary', [{ text: NUMBER, values: [1], binary: true }]],
    ['that may commit inside', ['CALL nothing($1)', [1]]],
    ['that are longer than 16 384 characters', [`SELECT $1::int AS n --${'x'.repeat(16_384)}`, [1]]],
    ['with a backslash before a quote', [String.raw`SELECT $1::int, '\' AS b`, [1]]],
  ])('are those %s', async (_, request) => {
    const connection = await connect();
    await database.sql('CREATE OR REPLACE PROCEDURE nothing(n int) LANGUAGE sql AS $$ $$');
    for (const answer of await repeat(connection, request)) expect(answer).not.toHaveProperty('severity');
    expect((await prepared(connection)).filter((text) => text !== NUMBER)).toEqual([]);
    const { rows } = await connection.query('SELECT name FROM pg_prepared_statements');
    expect(rows.filter(({ name }) => name !== 'mine')).toEqual([]);
  });

  it('are those used once, of any number: they displace neither counters nor prepared statements', async () => {
    const connection = await connect();
    await repeat(connection, [NUMBER, [1]]);
    for (let n = 1; n <= 1_500; n += 1) {
      const values = Array.from({ length: (n % 40) + 1 }, (_value, index) => index);
      const list = values.map((_value, index) => `$${index + 1}`).join();
      await connection.query(`SELECT 1 WHERE 1 IN (${list}) OR ${n} = 0`, values);
      if (n % 500 === 0) expect(await messagesOf(() => connection.query(NUMBER, [1]))).toBe('BES');
    }
    expect(await prepared(connection)).toEqual([NUMBER]);
  });
});

describe('A trailing comment', () => {
  it('does not make another statement of a text', async () => {
    const connection = await connect();
    const messages = [];
    for (let n = 0; n < 4; n += 1)
      messages.push(
        await messagesOf(() => connection.query(`${NUMBER} /*traceparent='00-${n}-01',route='%2Fa'*/`, [1])),
      );
    expect(messages).toEqual(['PBDES', 'PBDES', 'BES', 'BES']);
    expect(connection.lastSql).toContain('00-3-01');
    expect(await prepared(connection)).toEqual([NUMBER]);
  });

  it.each([
    ["SELECT '/*' || $1::text AS t --*/", '/*x'],
    ["SELECT '/* ' || $1::text || ' */' AS t /* a */", '/* x */'],
    ["SELECT $1::text || '/* a */' AS t /* b *//* c */", 'x/* a */'],
    ['SELECT $1::text AS t -- /* a */', 'x'],
    ['SELECT $1::text AS t /* a /* b */ */', 'x'],
    ["SELECT $1::text || $q$/* $q$ AS t /*'*/", 'x/* '],
  ])('is found as PostgreSQL finds it: %s', async (text, t) => {
    const connection = await connect();
    for (const answer of await repeat(connection, [text, ['x']]))
      expect((answer as pg.QueryResult).rows).toEqual([{ t }]);
  });
});

describe('A connection with more statements than `max`', () => {
  it('closes the least recently used one in the packet of the next one', async () => {
    const connection = await connect({ preparedStatements: { threshold: 1, max: 2 } });
    const [a, b, c] = ['a', 'b', 'c'].map((name) => `SELECT $1::int AS ${name}`) as [string, string, string];
    const messages = [];
    for (const text of [a, b, a, c, a, b]) messages.push(await messagesOf(() => connection.query(text, [1])));
    expect(messages).toEqual(['PBDES', 'PBDES', 'BES', 'CPBDES', 'BES', 'CPBDES']);
    expect((await prepared(connection)).toSorted()).toEqual([a, b]);
  });

  it('closes one also in an aborted transaction', async () => {
    const connection = await connect({ preparedStatements: { threshold: 1, max: 1 } });
    await connection.query(NUMBER, [1]);
    await connection.query('BEGIN');
    await expect(connection.query('SELECT 1/0')).rejects.toThrow('division');
    const answer = connection.query('SELECT $1::int AS other', [1]);
    await expect(answer).rejects.toMatchObject({ code: '25P02' });
    await expect(connection.query(NUMBER, [1])).rejects.toMatchObject({ code: '25P02' });
    await connection.query('ROLLBACK');
    await connection.query(NUMBER, [1]);
    expect(await prepared(connection)).toEqual([NUMBER]);
  });
});

describe('A prepared statement that the server rejects', () => {
  const ALL = 'SELECT * FROM things WHERE id > $1';
  beforeEach(async () => {
    await database.sql('DROP TABLE IF EXISTS things');
    await database.sql('CREATE TABLE things (id int)');
    await database.sql('INSERT INTO things VALUES (1)');
    await database.sql('GRANT ALL ON things TO app');
    // As in a migration of another process.
    await database.sql('ALTER TABLE things OWNER TO app');
  });

  it('because its result type has changed is sent again unprepared, and its caller does not notice', async () => {
    const connection = await connect();
    await repeat(connection, [ALL, [0]]);
    const before = connection.statementCount;
    await database.sql(`ALTER TABLE things ADD text text DEFAULT 'new'`);
    const notices: unknown[] = [];
    connection.on('error', (error) => notices.push(error)).on('drain', () => notices.push('drain'));
    const messages = await messagesOf(async () => {
      const { rows, fields } = await connection.query(ALL, [0]);
      expect([rows, fields.length]).toEqual([[{ id: 1, text: 'new' }], 2]);
    });
    expect(messages).toBe('BESCPBDES');
    expect(notices).toEqual(['drain']);
    expect(connection.statementCount).toBe(before + 1);
    await repeat(connection, [ALL, [0]], 12);
    expect(await messagesOf(() => connection.query(ALL, [0]))).toBe('BES');
  });

  it('is sent again before those that are queued behind it', async () => {
    const connection = await connect();
    await repeat(connection, [ALL, [0]]);
    await database.sql('ALTER TABLE things RENAME id TO number');
    const all = 'SELECT count(*)::int AS n FROM things WHERE $1';
    const answers = await Promise.all([
      connection.query(`INSERT INTO things VALUES ($1)`, [2]),
      connection.query(ALL.replace('id', 'number'), [0]),
      connection.query(all, [true]),
    ]);
    expect(answers.map(({ rows }) => rows)).toEqual([[], [{ number: 1 }, { number: 2 }], [{ n: 2 }]]);
  });

  it('makes all connections of the pool parse their statements again, so that one transaction fails at most', async () => {
    const pool = new ConnectionPool({
      connectionString: proxy.through(database.url),
      size: 2,
      preparedStatements: { threshold: 1 },
    });
    const [first, second] = await Promise.all([pool.connect(), pool.connect()]);
    for (const client of [first, second]) await repeat(client, [ALL, [0]]);
    await database.sql('ALTER TABLE things ADD a int');
    await first.query('BEGIN');
    const failed = await first.query(ALL, [0]).catch((error: unknown) => error);
    expect(failed).toMatchObject({
      code: '0A000',
      hint: expect.stringContaining('Retry the transaction'),
    });
    await first.query('ROLLBACK');
    for (const client of [first, second]) {
      await client.query('BEGIN');
      expect((await client.query(ALL, [0])).rows).toEqual([{ id: 1, a: null }]);
      await client.query('COMMIT');
    }
    first.release();
    second.release();
    await pool.end();
  });

  it.each([
    ['a change of a column', 'ALTER TABLE things ALTER id TYPE text'],
    ['a new column', 'ALTER TABLE things ADD a int'],
    ['a table that hides the other one', 'CREATE TEMP TABLE things AS SELECT 7 AS id, 8 AS b'],
    ['a table of the same columns that hides the other one', 'CREATE TEMP TABLE things AS SELECT 7 AS id'],
    ['a DO', `DO 'BEGIN ALTER TABLE things ADD c int; END'`],
    ['DEALLOCATE ALL', 'DEALLOCATE ALL'],
    ['DISCARD PLANS', 'DISCARD PLANS'],
  ])(
    'is avoided when the session itself has changed the schema in the transaction, by %s',
    async (_, sql) => {
      const run = async (client: pg.Client) => {
        const rows: unknown[] = [];
        const read = async () => rows.push(await client.query(ALL, [0]).then((result) => result.rows));
        for (let n = 0; n < 4; n += 1) await read();
        await client.query('BEGIN');
        await client.query(sql);
        await read();
        await read();
        await client.query('SAVEPOINT s');
        await client.query('CREATE TEMP TABLE things2 (id int)');
        await read();
        await client.query('ROLLBACK TO s');
        await read();
        await client.query('ROLLBACK');
        await client.query('BEGIN');
        await read();
        await read();
        await client.query('COMMIT');
        return rows;
      };
      const expected = await run(await connectPlain());
      expect(await run(await connect())).toEqual(expected);
    },
  );

  it.each(['DEALLOCATE ALL', 'DISCARD ALL'])('is avoided after %s', async (sql) => {
    const connection = await connect();
    await repeat(connection, [ALL, [0]]);
    await connection.query(sql);
    await connection.query('BEGIN');
    expect(await messagesOf(() => connection.query(ALL, [0]))).toBe('PBDES');
    await connection.query('COMMIT');
    expect(await messagesOf(() => connection.query(ALL, [0]))).toBe('BES');
  });

  it.each([
    ['is sent again', false],
    ['fails with an explanation inside a transaction', true],
  ])('because it does not exist any more %s, and no more are prepared', async (_, inTransaction) => {
    const connection = await connect();
    await database.sql(
      `CREATE OR REPLACE FUNCTION forget() RETURNS void LANGUAGE plpgsql AS 'BEGIN EXECUTE ''DEALLOCATE ALL''; END'`,
    );
    await repeat(connection, [ALL, [0]]);
    await connection.query('SELECT forget()');
    if (inTransaction) {
      await connection.query('BEGIN');
      await expect(connection.query(ALL, [0])).rejects.toMatchObject({
        code: '26000',
        hint: expect.stringContaining('pooler'),
      });
      await connection.query('ROLLBACK');
    } else expect((await connection.query(ALL, [0])).rows).toEqual([{ id: 1 }]);
    expect((await connection.query(ALL, [0])).rows).toEqual([{ id: 1 }]);
    await repeat(connection, [ALL, [0]]);
    expect(await prepared(connection)).toEqual([]);
  });

  it.each([
    ['is sent again', false],
    ['fails with an explanation inside a transaction', true],
  ])('because its name is taken %s', async (_, inTransaction) => {
    const other = await connect();
    await repeat(other, [ALL, [0]]);
    const { rows } = await other.query('SELECT name FROM pg_prepared_statements');
    const connection = await connect();
    await connection.query(`PREPARE "${rows[0].name}" AS SELECT 1`);
    await connection.query(ALL, [0]);
    if (inTransaction) await connection.query('BEGIN');
    const answer = connection.query(ALL, [0]);
    if (inTransaction)
      await expect(answer).rejects.toMatchObject({ code: '42P05', hint: expect.any(String) });
    else expect((await answer).rows).toEqual([{ id: 1 }]);
    if (inTransaction) await connection.query('ROLLBACK');
    expect((await connection.query(ALL, [0])).rows).toEqual([{ id: 1 }]);
  });

  it('by the same error from inside a function is not sent again', async () => {
    const connection = await connect();
    await database.sql(`
      CREATE OR REPLACE FUNCTION reads(n int) RETURNS int LANGUAGE plpgsql AS
      'BEGIN EXECUTE ''EXECUTE missing''; RETURN 1; END'`);
    const answers = await repeat(connection, ['SELECT reads($1)', [1]]);
    expect(answers).toMatchObject(Array(4).fill({ code: '26000' }));
    expect(await messagesOf(() => connection.query(NUMBER, [1]))).toBe('PBDES');
    expect(await messagesOf(() => connection.query(NUMBER, [1]))).toBe('PBDES');
    expect(await messagesOf(() => connection.query(NUMBER, [1]))).toBe('BES');
  });

  it('again and again, as with another table for each search_path, is prepared less and less often', async () => {
    const connection = await connect();
    for (const [schema, type] of [
      ['one', 'int'],
      ['two', 'text'],
    ] as const) {
      await database.sql(`DROP SCHEMA IF EXISTS ${schema} CASCADE`);
      await database.sql(`CREATE SCHEMA ${schema} CREATE TABLE parts (id ${type})`);
      await database.sql(`INSERT INTO ${schema}.parts VALUES ('1')`);
      await database.sql(`GRANT ALL ON SCHEMA ${schema} TO app`);
      await database.sql(`GRANT ALL ON ${schema}.parts TO app`);
    }
    let failures = 0;
    for (let n = 0; n < 300; n += 1) {
      await connection.query('BEGIN');
      await connection.query(`SET LOCAL search_path TO ${n % 2 ? 'one' : 'two'}`);
      try {
        const { rows } = await connection.query('SELECT * FROM parts WHERE $1', [true]);
        expect(rows).toEqual([{ id: n % 2 ? 1 : '1' }]);
        await connection.query('COMMIT');
      } catch (error) {
        failures += 1;
        expect(error).toMatchObject({ code: '0A000' });
        await connection.query('ROLLBACK');
      }
    }
    expect(failures).toBe(3);
  });

  it('is not sent again when the connection is terminated or its socket ends meanwhile', async () => {
    for (const end of ['terminate', 'reset']) {
      const connection = await connect();
      await repeat(connection, [ALL, [0]]);
      await database.sql(`ALTER TABLE things ADD ${end} int`);
      const wire = (connection as unknown as { connection: NodeJS.EventEmitter }).connection;
      wire.once('errorMessage', () =>
        end === 'terminate' ? void connection.terminate(new Error('terminated')) : proxy.reset(),
      );
      await expect(connection.query(ALL, [0])).rejects.toThrow(/terminated|ECONNRESET/);
      await proxy.pass();
      open.length = 0;
    }
  });
});
