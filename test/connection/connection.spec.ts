import { once } from 'node:events';
import { inspect } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import Cursor from 'pg-cursor';
import { from as copyFrom } from 'pg-copy-streams';
import { Connection } from '../../src/pool/index.js';
import type { ConnectionOptions } from '../../src/pool/index.js';
import { createTestDatabase } from '../support/database.js';
import type { TestDatabase } from '../support/database.js';
import { startTcpProxy } from '../support/tcp-proxy.js';
import type { TcpProxy } from '../support/tcp-proxy.js';

let database: TestDatabase;
let proxy: TcpProxy;
const opened: Connection[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());
beforeEach(async () => {
  const { port } = new URL(database.url);
  proxy = await startTcpProxy({ port: Number(port) });
});
afterEach(async () => {
  for (const connection of opened.splice(0)) connection.destroy();
  await proxy.close();
});

function make(options: ConnectionOptions = {}): Connection {
  const connection = new Connection({ connectionString: proxy.through(database.url), ...options });
  connection.on('error', () => undefined);
  opened.push(connection);
  return connection;
}

async function open(options: ConnectionOptions = {}): Promise<Connection> {
  const connection = make(options);
  await connection.connect();
  connection.finishSetup();
  return connection;
}

async function setting(connection: Connection, name: string): Promise<unknown> {
  const { rows } = await connection.query('SELECT current_setting($1, true) AS value', [name]);
  return rows[0].value;
}

/** Resolves when the server executes the statement: an earlier cancel request would have no effect. */
async function whenSleeping(connection: Connection): Promise<void> {
  for (;;) {
    const rows = await database.sql(
      "SELECT 1 FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'",
      [pidOf(connection)],
    );
    if (rows.length > 0) return;
  }
}

const pidOf = (connection: Connection) => (connection as unknown as { processID: number }).processID;

describe('connect()', () => {
  it('has the session settings in force before the first query', async () => {
    const connection = await open({
      session: { search_path: 'app, public', 'app.note': 'a \\ b', jit: false },
      statement_timeout: 4_321,
      lock_timeout: 1_234,
      idle_in_transaction_session_timeout: 9_876,
      application_name: 'spec',
    });
    expect(await setting(connection, 'search_path')).toBe('app, public');
    expect(await setting(connection, 'app.note')).toBe('a \\ b');
    expect(await setting(connection, 'jit')).toBe('off');
    expect(await setting(connection, 'statement_timeout')).toBe('4321ms');
    expect(await setting(connection, 'lock_timeout')).toBe('1234ms');
    expect(await setting(connection, 'idle_in_transaction_session_timeout')).toBe('9876ms');
    expect(await setting(connection, 'application_name')).toBe('spec');
  });

  it('turns TCP keepalive on, unless keepAlive is false', async () => {
    const keepAliveOf = (options: ConnectionOptions) =>
      (make(options).connection as unknown as { _keepAlive: boolean })._keepAlive;
    expect([keepAliveOf({}), keepAliveOf({ keepAlive: false })]).toEqual([true, false]);
  });

  it('adds the session settings to the startup options of the URL', async () => {
    const url = `${proxy.through(database.url)}?options=${encodeURIComponent('-c work_mem=5MB')}`;
    const connection = await open({ connectionString: url, session: { jit: 'off' } });
    expect(await setting(connection, 'work_mem')).toBe('5MB');
    expect(await setting(connection, 'jit')).toBe('off');
  });

  it('accepts a connection string as its only option, and calls a callback', async () => {
    const connection = new Connection(database.url);
    connection.on('error', () => undefined);
    opened.push(connection);
    const client = await new Promise((resolve, reject) =>
      connection.connect((error: Error | null, connected?: unknown) =>
        error ? reject(error) : resolve(connected),
      ),
    );
    expect(client).toBe(connection);
  });

  it('rejects at the connect timeout on a frozen network, and destroys the socket', async () => {
    proxy.freeze();
    const connection = make({ connectTimeoutMs: 100 });
    await expect(connection.connect()).rejects.toMatchObject({
      name: 'ConnectTimeoutError',
      code: 'HANDSHAKE_TIMEOUT',
      message: expect.stringContaining(`127.0.0.1:${proxy.port}`),
    });
    expect(connection.connection.stream.destroyed).toBe(true);
  });

  it('rejects at the connect timeout while a password function does not answer', async () => {
    const url = new URL(proxy.through(database.url));
    const connection = make({
      connectionString: undefined,
      host: '127.0.0.1',
      port: proxy.port,
      user: url.username,
      database: database.name,
      password: () => new Promise<string>(() => undefined),
      connectionTimeoutMillis: 200,
    });
    const failed = new Promise((resolve) => connection.connect(resolve as never));
    expect(await failed).toMatchObject({ code: 'HANDSHAKE_TIMEOUT' });
  });

  it('rejects with the error of the server or of the socket', async () => {
    await expect(make({ connectionString: `${database.url}_missing` }).connect()).rejects.toMatchObject({
      code: '3D000',
    });
    await proxy.refuse();
    await expect(make().connect()).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });

  it('does not change the TLS options object of the caller', () => {
    const ssl = { key: 'k', ca: 'c' };
    make({ ssl });
    expect(Object.keys(ssl)).toEqual(['key', 'ca']);
  });

  it('hides secrets from inspect and JSON', () => {
    const connection = make({ password: 's3cret', ssl: { key: 's3cret', passphrase: 's3cret' } });
    expect(inspect(connection, { depth: 10 })).not.toContain('s3cret');
    expect(inspect({ deep: { connection } }, { depth: 10 })).toContain('Connection {');
    expect(JSON.stringify(connection)).not.toContain('s3cret');
  });
});

describe('isReadyForQuery', () => {
  it('is false between the error of a statement and ReadyForQuery, while the transaction status is out of date', async () => {
    const connection = await open();
    expect(connection.connection.stream).toBeDefined();
    const seen: unknown[] = [];
    await new Promise<void>((resolve) => {
      connection.query('BEGIN; SELECT 1/0', (error: Error) => {
        seen.push(
          (error as { code?: string }).code,
          connection.isReadyForQuery,
          connection.transactionStatus,
        );
        resolve();
      });
    });
    expect(seen).toEqual(['22012', false, 'I']);
    expect(await connection.reset('smart', 5_000)).toEqual({ rolledBack: true, cleared: false });
    expect([connection.isReadyForQuery, connection.transactionStatus]).toEqual([true, 'I']);
  });

  it('is false while a statement is queued or active', async () => {
    const connection = await open();
    const first = connection.query('SELECT 1');
    expect(connection.isReadyForQuery).toBe(false);
    const second = connection.query('SELECT 2');
    await first;
    expect(connection.isReadyForQuery).toBe(false);
    await second;
    expect(connection.isReadyForQuery).toBe(true);
  });

  it('is awaited by a reset of a connection whose BEGIN is still active', async () => {
    const connection = await open();
    void connection.query('BEGIN');
    expect(connection.transactionStatus).toBe('I');
    expect(await connection.reset('smart', 5_000)).toEqual({ rolledBack: true, cleared: false });
    expect(connection.transactionStatus).toBe('I');
  });
});

describe('reset()', () => {
  it('sends nothing when the session is clean', async () => {
    const connection = await open();
    await connection.query('SELECT 1');
    await connection.query('BEGIN; SET LOCAL search_path TO x; COMMIT');
    await connection.query('SELECT set_config($1, $2, true)', ['a.b', 'c']).catch(() => undefined);
    await connection.query("SELECT set_config('a.b', 'c', true)");
    const clean = await open();
    await clean.query('BEGIN');
    await clean.query('SET LOCAL search_path TO x');
    await clean.query('COMMIT');
    expect(clean.reset('smart', 5_000)).toBeUndefined();
    expect(clean.isSessionChanged).toBe(false);
  });

  it.each([
    ['SET', "SET app.note = 'x'"],
    ['a SET behind a comment and another statement', "SELECT 1; /* x */ SET app.note = 'x'"],
    ['set_config', "SELECT set_config('app.note', 'x', false)"],
    ['set_config inside DO', "DO $$ BEGIN PERFORM set_config('app.note', 'x', false); END $$"],
  ])('undoes %s', async (_, text) => {
    const connection = await open({ session: { 'app.note': 'clean' } });
    await connection.query(text);
    expect(connection.isSessionChanged).toBe(true);
    expect(await connection.reset('smart', 5_000)).toEqual({ rolledBack: false, cleared: true });
    expect(connection.isSessionChanged).toBe(false);
    expect(await setting(connection, 'app.note')).toBe('clean');
  });

  it('undoes LISTEN, temporary tables, roles, prepared statements and advisory locks', async () => {
    const connection = await open();
    await connection.query('LISTEN news');
    await connection.query('CREATE TEMP TABLE scratch (id int)');
    await connection.query('PREPARE p AS SELECT 1');
    await connection.query('SELECT pg_advisory_lock(42)');
    await connection.query('SET ROLE app');
    await connection.reset('smart', 5_000);
    const { rows } = await connection.query(`SELECT
      (SELECT count(*)::int FROM pg_listening_channels()) AS channels,
      to_regclass('pg_temp.scratch') AS scratch,
      (SELECT count(*)::int FROM pg_prepared_statements) AS prepared,
      (SELECT count(*)::int FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()) AS locks,
      current_setting('role') AS role`);
    expect(rows).toEqual([{ channels: 0, scratch: null, prepared: 0, locks: 0, role: 'none' }]);
  });

  it('releases an advisory lock whose statement failed after it was acquired', async () => {
    const connection = await open();
    await connection.query('SELECT pg_advisory_lock(43), 1/(SELECT 0)').catch(() => undefined);
    expect(await connection.reset('smart', 5_000)).toMatchObject({ cleared: true });
  });

  it('keeps the role that the session options set', async () => {
    const connection = await open({ session: { role: 'app' } });
    await connection.query("SET app.note = 'x'");
    await connection.reset('smart', 5_000);
    expect(await setting(connection, 'role')).toBe('app');
  });

  it('restores what the connect hooks had set', async () => {
    const connection = make();
    await connection.connect();
    await connection.query("SET app.note = 'from a hook'");
    await connection.query("SELECT set_config($1, 'from a hook', false)", ['app.other']);
    void connection.query('LISTEN always');
    connection.finishSetup();
    await connection.query('SELECT 1');
    expect(connection.isSessionChanged).toBe(false);
    await connection.query("SET app.note = 'from a borrower'; SET app.other = 'too'");
    expect(await connection.reset('smart', 5_000)).toMatchObject({ cleared: true });
    expect(await setting(connection, 'app.note')).toBe('from a hook');
    expect(await setting(connection, 'app.other')).toBe('from a hook');
    const { rows } = await connection.query('SELECT pg_listening_channels() AS channel');
    expect(rows).toEqual([{ channel: 'always' }]);
  });

  it('leaves named statements usable after the server has dropped them', async () => {
    const connection = await open();
    const named = { name: 'one', text: 'SELECT 1 AS one' };
    await connection.query(named);
    await connection.query("SET app.note = 'x'");
    await connection.reset('smart', 5_000);
    expect((await connection.query(named)).rows).toEqual([{ one: 1 }]);
    await connection.query('DISCARD ALL');
    expect((await connection.query(named)).rows).toEqual([{ one: 1 }]);
  });

  it('recognises a session change by a named statement that was prepared earlier', async () => {
    const connection = await open();
    const named = { name: 'config', text: 'SELECT set_config($1, $2, false)', values: ['app.note', 'x'] };
    await connection.query(named);
    await connection.reset('rollback', 5_000);
    expect(connection.isSessionChanged).toBe(true);
    const again = await open();
    await again.query({ name: 'lock', text: 'SELECT pg_advisory_lock($1)', values: [1] });
    await again.reset('smart', 5_000);
    await again.query({ name: 'lock', text: 'SELECT pg_advisory_lock($1)', values: [1] });
    expect(again.isSessionChanged).toBe(true);
  });

  it('rolls back and clears the session in one call', async () => {
    const connection = await open();
    await connection.query("BEGIN; SET app.note = 'x'");
    expect(await connection.reset('smart', 5_000)).toEqual({ rolledBack: true, cleared: true });
  });

  it('follows its mode', async () => {
    const connection = await open();
    await connection.query("SET app.note = 'x'");
    expect(connection.reset('none', 5_000)).toBeUndefined();
    expect(connection.reset('rollback', 5_000)).toBeUndefined();
    expect(await setting(connection, 'app.note')).toBe('x');
    const discard = await open();
    expect(await discard.reset('discard', 5_000)).toEqual({ rolledBack: false, cleared: true });
  });

  it('waits for a cancel request that is in flight, which could cancel a statement of the next borrower', async () => {
    const connection = await open();
    const order: string[] = [];
    proxy.once('connection', (cancel) => cancel.freeze());
    const answered = connection.query('SELECT pg_sleep(0.2)');
    const cancelled = connection.cancelRunning(5_000).then(() => order.push('cancelled'));
    await answered;
    expect(connection.isReadyForQuery).toBe(true);
    const reset = connection.reset('smart', 5_000)?.then(() => order.push('reset'));
    // A round trip of another connection: time enough for a reset that does not wait.
    await database.sql('SELECT 1');
    await proxy.pass();
    await Promise.all([cancelled, reset]);
    expect(order).toEqual(['cancelled', 'reset']);
  });

  it('rejects after its timeout when a statement does not end', async () => {
    const connection = await open();
    const sleeping = connection.query('SELECT pg_sleep(60)').catch((error: Error) => error);
    await expect(connection.reset('smart', 100)).rejects.toMatchObject({ code: 'CONNECTION_RESET_FAILED' });
    await connection.terminate(new Error('enough'));
    expect(await sleeping).toMatchObject({ message: expect.any(String) });
  });

  it('rejects after its timeout when a COPY FROM STDIN gets no data', async () => {
    const connection = await open();
    await connection.query('CREATE TABLE fed (id int)');
    const stream = connection.query(copyFrom('COPY fed FROM STDIN'));
    stream.on('error', () => undefined);
    await expect(connection.reset('smart', 100)).rejects.toMatchObject({ code: 'CONNECTION_RESET_FAILED' });
  });

  it('rejects when the connection ends during the reset', async () => {
    const connection = await open();
    connection.query('SELECT pg_sleep(60)').catch(() => undefined);
    const failed = expect(connection.reset('smart', 30_000)).rejects.toThrow();
    await database.sql('SELECT pg_terminate_backend($1)', [pidOf(connection)]);
    await failed;
    expect(connection.isUsable).toBe(false);
  });

  it('keeps the connection after a write that a read-only transaction refused, when the server is a primary', async () => {
    const connection = await open();
    await connection.query('BEGIN READ ONLY');
    await expect(connection.query('CREATE TABLE nowhere (id int)')).rejects.toMatchObject({ code: '25006' });
    expect(await connection.reset('smart', 5_000)).toEqual({ rolledBack: true, cleared: false });
    expect(connection.isUsable).toBe(true);
    await expect(connection.validate(5_000, true)).resolves.toBeUndefined();
  });
});

describe('The limit of a statement', () => {
  it('expires after the statement_timeout of the server', async () => {
    const connection = await open({ statement_timeout: 50, statementGraceMs: 10_000 });
    await expect(connection.query('SELECT pg_sleep(60)')).rejects.toMatchObject({ code: '57014' });
    expect(connection.isUsable).toBe(true);
  });

  it('is in force again for the next borrower after a SET LOCAL statement_timeout', async () => {
    const connection = await open({ statement_timeout: 500, statementGraceMs: 500 });
    for (const statement of ['BEGIN', 'SET LOCAL statement_timeout = 0', 'COMMIT'])
      await connection.query(statement);
    expect(connection.reset('smart', 1_000)).toBeUndefined();
    connection.onAcquired();
    proxy.freeze();
    await expect(connection.query('SELECT 1')).rejects.toMatchObject({ code: 'QUERY_TIMEOUT' });
  });

  it('rejects the statement and closes the socket on a frozen network', async () => {
    const connection = await open({ statement_timeout: 50, statementGraceMs: 50 });
    const ended = new Promise((resolve) => connection.once('end', resolve));
    proxy.freeze();
    await expect(connection.query('SELECT 1')).rejects.toMatchObject({
      code: 'QUERY_TIMEOUT',
      message: expect.stringMatching(/Query read timeout: no answer within 100 ms, SQL SELECT 1;/),
    });
    await ended;
    expect(connection.isUsable).toBe(false);
    await expect(connection.query('SELECT 1')).rejects.toMatchObject({ code: 'QUERY_TIMEOUT' });
  });

  it('cancels the statement on the server, and the connection stays usable', async () => {
    const connection = await open({ query_timeout: 1_000 });
    await expect(connection.query('SELECT pg_sleep(60)')).rejects.toMatchObject({ code: 'QUERY_TIMEOUT' });
    expect(await connection.reset('smart', 5_000)).toEqual({ rolledBack: false, cleared: false });
    expect((await connection.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
    const running = await database.sql(
      "SELECT 1 FROM pg_stat_activity WHERE pid = $1 AND state = 'active' AND query LIKE '%pg_sleep%'",
      [pidOf(connection)],
    );
    expect(running).toEqual([]);
  });

  it('is suspended while the borrower has set a statement_timeout of its own', async () => {
    const connection = await open({ statementLimitMs: 500 });
    await connection.query('SET statement_timeout = 0');
    expect((await connection.query('SELECT 1 AS one FROM pg_sleep(0.8)')).rows).toEqual([{ one: 1 }]);
    await connection.reset('smart', 5_000);
    await expect(connection.query('SELECT pg_sleep(60)')).rejects.toMatchObject({ code: 'QUERY_TIMEOUT' });
  });

  it('applies to a named statement that the server has already prepared', async () => {
    const connection = await open({ statementLimitMs: 1_000 });
    const sleep = { name: 'sleep', text: 'SELECT pg_sleep($1)' };
    await connection.query({ ...sleep, values: [0] });
    await connection.query('SELECT 1');
    const slow = connection.query({ ...sleep, values: [60] });
    expect(connection.lastSql).toBe(sleep.text);
    await expect(slow).rejects.toMatchObject({ code: 'QUERY_TIMEOUT' });
  });

  it('does not expire while the reader of an open cursor is slow', async () => {
    const connection = await open({ statement_timeout: 0, statementLimitMs: 400 });
    const cursor = connection.query(new Cursor('SELECT generate_series(1, 10) AS n'));
    expect(await cursor.read(1)).toEqual([{ n: 1 }]);
    await new Promise((resolve) => setTimeout(resolve, 1_200));
    expect(await cursor.read(1)).toEqual([{ n: 2 }]);
    await cursor.close();
    expect(connection.isUsable).toBe(true);
    // No cancel request was sent.
    expect(proxy.total).toBe(1);
  });

  it('expires for a cursor whose answer does not arrive', async () => {
    const connection = await open({ statementLimitMs: 400 });
    const cursor = connection.query(new Cursor('SELECT generate_series(1, 10) AS n'));
    await cursor.read(1);
    proxy.freeze();
    await expect(cursor.read(1)).rejects.toThrow();
    expect(connection.isUsable).toBe(false);
  });

  it('applies to each queued statement separately', async () => {
    const connection = await open({ query_timeout: 1_000 });
    const all = await Promise.all([1, 2, 3].map((n) => connection.query(`SELECT ${n} AS n, pg_sleep(0.4)`)));
    expect(all.map(({ rows }) => rows[0].n)).toEqual([1, 2, 3]);
  });

  it('applies to each pipelined statement separately', async () => {
    const connection = await open({ query_timeout: 1_000, pipeline: true });
    const all = await Promise.all([1, 2, 3].map((n) => connection.query(`SELECT ${n} AS n, pg_sleep(0.4)`)));
    expect(all.map(({ rows }) => rows[0].n)).toEqual([1, 2, 3]);
  });
});

describe('The end of a connection', () => {
  it('is known as soon as a FATAL error arrives during a statement', async () => {
    const connection = await open();
    const seen: unknown[] = [];
    const failed = new Promise<void>((resolve) => {
      connection.query('SELECT pg_sleep(60)', (error: Error) => {
        seen.push((error as { code?: string }).code, connection.isUsable, connection.closeReason === error);
        resolve();
      });
    });
    await database.sql('SELECT pg_terminate_backend($1)', [pidOf(connection)]);
    await failed;
    expect(seen).toEqual(['57P01', false, true]);
  });

  it('is not inferred from an SQLSTATE of the connection class on a healthy connection', async () => {
    const connection = await open();
    await expect(connection.query('SELECT $1::int', [1, 2])).rejects.toMatchObject({ code: '08P01' });
    await expect(
      connection.query("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '08006'; END $$"),
    ).rejects.toMatchObject({ code: '08006' });
    expect(connection.isUsable).toBe(true);
  });

  it('by close() has no close reason, and close() can be called twice', async () => {
    const connection = await open();
    await connection.close();
    expect([connection.isUsable, connection.closeReason]).toEqual([false, undefined]);
    await connection.close();
  });

  it('comes at the timeout of close() on a frozen network', async () => {
    const connection = await open();
    proxy.freeze();
    await connection.close(50);
    expect(connection.connection.stream.destroyed).toBe(true);
  });

  it('comes immediately when close() is called before connect()', async () => {
    await make().close();
  });

  it('by terminate() rejects every later statement with the reason, in each form of query', async () => {
    const connection = await open();
    const reason = new Error('terminated');
    await connection.terminate(reason);
    await expect(connection.query('SELECT 1')).rejects.toBe(reason);
    expect(await new Promise((resolve) => connection.query('SELECT 1', resolve))).toBe(reason);
    const config = { text: 'SELECT 1', callback: undefined as unknown };
    expect(
      await new Promise((resolve) => {
        config.callback = resolve;
        connection.query(config as never);
      }),
    ).toBe(reason);
    const query = new pg.Query('SELECT 1');
    const failed = once(query, 'error').catch((error: unknown) => [error]);
    expect(connection.query(query)).toBe(query);
    expect(await failed).toEqual([reason]);
  });

  it('by terminate() rejects every further statement while the active one is still being cancelled', async () => {
    const connection = await open();
    const sleeping = expect(connection.query('SELECT pg_sleep(60)')).rejects.toThrow();
    await whenSleeping(connection);
    const reason = new Error('terminated');
    const ended = connection.terminate(reason);
    await expect(connection.query('SELECT 1')).rejects.toBe(reason);
    await Promise.all([ended, sleeping]);
    expect(connection.connection.stream.destroyed).toBe(true);
  });
});

describe('cancelRunning()', () => {
  it('sends nothing when no statement is active', async () => {
    const connection = await open();
    const before = proxy.total;
    await connection.cancelRunning();
    expect(proxy.total).toBe(before);
  });

  it('cancels the active statement through a Unix socket too', async () => {
    const [row] = await database.sql<{ directories: string }>(
      "SELECT current_setting('unix_socket_directories') AS directories",
    );
    const [directory] = (row?.directories ?? '').split(',');
    if (!directory) return;
    const { port, username, password } = new URL(database.url);
    const connection = await open({
      connectionString: undefined,
      host: directory,
      port: Number(port),
      user: username,
      password: decodeURIComponent(password),
      database: database.name,
    });
    const failed = expect(connection.query('SELECT pg_sleep(60)')).rejects.toMatchObject({ code: '57014' });
    await whenSleeping(connection);
    await connection.cancelRunning();
    await failed;
  });

  it('resolves after its timeout when the server does not confirm the request, and when the server is down', async () => {
    const connection = await open();
    connection.query('SELECT pg_sleep(60)').catch(() => undefined);
    proxy.freeze();
    await connection.cancelRunning(50);
    await proxy.refuse();
    await connection.cancelRunning(5_000);
  });
});

describe('validate()', () => {
  it('rejects with CONNECTION_SILENT when the server does not answer within the timeout', async () => {
    const connection = await open();
    proxy.freeze();
    await expect(connection.validate(50)).rejects.toMatchObject({ code: 'CONNECTION_SILENT' });
  });
});
