import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { to as copyTo } from 'pg-copy-streams';
import Cursor from 'pg-cursor';
import QueryStream from 'pg-query-stream';
import { Connection } from '../../src/pool/index.js';
import type { ConnectionOptions } from '../../src/connection/connection.js';
import { createTestDatabase } from '../support/database.js';
import type { TestDatabase } from '../support/database.js';
import { startTcpProxy } from '../support/tcp-proxy.js';
import type { TcpProxy } from '../support/tcp-proxy.js';

const ROWS = 'SELECT n, repeat($$x$$, 1000) AS text FROM generate_series(1, 100000) n';
const LIMIT_MS = 1_000;
/** The interval of the stall checks, the time for a cancel request, and a margin for a busy machine. */
const GRACE_MS = 2_500;

let database: TestDatabase;
let proxy: TcpProxy;
const warnings: Error[] = [];
const onWarning = (warning: Error) => warnings.push(warning);

beforeAll(async () => {
  database = await createTestDatabase();
  proxy = await startTcpProxy({ port: Number(new URL(database.url).port) });
  process.on('warning', onWarning);
});
afterAll(async () => {
  process.off('warning', onWarning);
  await proxy.close();
  await database.drop();
});

async function open(options: ConnectionOptions = {}): Promise<Connection> {
  const connection = new Connection({ connectionString: database.url, ...options });
  connection.on('error', () => undefined);
  await connection.connect();
  return connection;
}

const pidOf = (connection: Connection) => (connection as unknown as { processID: number }).processID;
/** Resolves when the backend has exited: its FATAL error has arrived, and a later write cannot fail before it is read. */
const terminate = (connection: Connection) =>
  database.sql('SELECT pg_terminate_backend($1, 5000)', [pidOf(connection)]);

/** Does the same, while this process reads nothing from its sockets. */
function terminateUnnoticed(connection: Connection): void {
  const script = `
    const client = new (require('pg').Client)(process.env.URL);
    client.connect();
    client.query('SELECT pg_terminate_backend($1, 5000)', [process.env.PID]).then(() => client.end());`;
  execFileSync(process.execPath, ['-e', script], {
    env: { ...process.env, NODE_OPTIONS: '', URL: database.url, PID: String(pidOf(connection)) },
  });
}

/** Reads a stream to its end or its error, which it returns. Calls `onFirstRow` after the first row. */
async function readToTheEnd(
  stream: AsyncIterable<unknown>,
  onFirstRow: () => Promise<unknown> | void = () => {},
) {
  let rows = 0;
  try {
    for await (const row of stream) {
      rows += row ? 1 : 0;
      if (rows === 1) await onFirstRow();
    }
  } catch (error) {
    return { rows, error: error as Error & { code?: string } };
  }
  return { rows, error: undefined };
}

const SOURCES = {
  'pg-query-stream': (sql: string) => new QueryStream(sql, [], { batchSize: 10 }),
  'COPY TO': (sql: string) => copyTo(`COPY (${sql}) TO STDOUT`),
};

describe.each(Object.entries(SOURCES))('%s', (name, make) => {
  it('ends with the error of the server when its backend is terminated, on each of five connections', async () => {
    const connections = await Promise.all(Array.from({ length: 5 }, () => open()));
    const ends = await Promise.all(
      connections.map((connection) =>
        readToTheEnd(connection.query(make(ROWS)), () => terminate(connection)),
      ),
    );
    // A server that cannot write, since the reader is slow, ends without an error message.
    const withoutMessage = { message: 'Connection terminated unexpectedly' };
    for (const { error } of ends)
      expect(error).toMatchObject(
        name === 'COPY TO' && error?.code === undefined ? withoutMessage : { code: '57P01' },
      );
    for (const connection of connections) expect(connection.isUsable).toBe(false);
  });

  it('ends with QUERY_TIMEOUT when the network freezes, on each of five connections', async () => {
    const connections = await Promise.all(
      Array.from({ length: 5 }, () =>
        open({ connectionString: proxy.through(database.url), statementLimitMs: LIMIT_MS }),
      ),
    );
    let frozenAt = 0;
    const ends = await Promise.all(
      connections.map(async (connection) => {
        const end = await readToTheEnd(connection.query(make(ROWS)), () => {
          frozenAt ||= performance.now();
          proxy.freeze();
        });
        return { ...end, ms: performance.now() - frozenAt };
      }),
    );
    await proxy.pass();
    for (const { error, ms } of ends) {
      expect(error).toMatchObject({ code: 'QUERY_TIMEOUT' });
      expect(ms).toBeLessThan(LIMIT_MS + GRACE_MS);
    }
    for (const connection of connections) expect(connection.isUsable).toBe(false);
  });

  it('ends with the reason of destroy(), while it is queued and while it is read', async () => {
    const connection = await open();
    const first = connection.query(make(ROWS));
    const second = connection.query(make(ROWS));
    const reason = new Error('destroyed');
    const waiting = readToTheEnd(second);
    const { error } = await readToTheEnd(first, () => connection.destroy(reason));
    expect(error).toBe(reason);
    expect((await waiting).error).toBe(reason);
  });

  it('ends when its connection is closed', async () => {
    const connection = await open();
    const { error } = await readToTheEnd(connection.query(make(ROWS)), () => connection.close());
    expect(error).toMatchObject({ message: 'Connection terminated' });
  });

  it('keeps the rows that it has received when the connection ends after it', async () => {
    const connection = await open();
    const stream = connection.query(make('SELECT generate_series(1, 7)'));
    stream.once('readable', () => undefined);
    await connection.whenReadyForQuery();
    await connection.close();
    let rows = '';
    for await (const row of stream) rows += Buffer.isBuffer(row) ? String(row) : JSON.stringify(row);
    expect(rows).toContain('7');
  });

  it('leaves no listener on the connection', async () => {
    const connection = await open();
    const wire = (connection as unknown as { connection: NodeJS.EventEmitter }).connection;
    const count = () =>
      [connection, wire, (wire as never as { stream: NodeJS.EventEmitter }).stream].map((emitter) =>
        emitter.eventNames().reduce((sum, name) => sum + emitter.listenerCount(name), 0),
      );
    const before = count();
    for (let round = 0; round < 40; round += 1) {
      await readToTheEnd(connection.query(make('SELECT 1')));
      await readToTheEnd(connection.query(make('SELECT 1 / 0')));
    }
    await connection.query('SELECT 1');
    expect(count()).toEqual(before);
    expect(warnings).toEqual([]);
    await connection.close();
  });
});

describe('pg-query-stream', () => {
  it('is destroyed with the error of the server while its reader is idle, and does not crash a process without an error listener', async () => {
    const connection = await open();
    const idle = connection.query(new QueryStream(ROWS, [], { batchSize: 2 }));
    idle.read();
    await once(idle, 'readable');
    const unsent = connection.query(new QueryStream(ROWS));
    const ended = new Promise((resolve) => connection.once('end', () => resolve(undefined)));
    const errors: Error[] = [];
    connection.on('error', (error) => errors.push(error));
    await terminate(connection);
    await ended;
    expect(errors).toEqual([expect.objectContaining({ message: 'Connection terminated unexpectedly' })]);
    for (const stream of [idle, unsent]) {
      expect(stream.destroyed).toBe(true);
      expect(stream.errored).toMatchObject({ code: '57P01' });
      expect((await readToTheEnd(stream)).error).toMatchObject({ code: '57P01' });
    }
  });

  it('keeps its own error when it was destroyed or abandoned before the connection ends', async () => {
    const connection = await open();
    for (let round = 0; round < 60; round += 1)
      for await (const row of connection.query(new QueryStream(ROWS, [], { batchSize: 2 }))) {
        expect(row).toBeDefined();
        break;
      }
    const own = new Error('its own');
    const stream = connection.query(new QueryStream(ROWS, [], { batchSize: 2 }));
    const failed = once(stream, 'error');
    stream.destroy(own);
    expect((await failed.catch((error: unknown) => [error]))[0]).toBe(own);
    await terminate(connection);
    await expect(connection.query('SELECT 1')).rejects.toThrow();
    expect(stream.errored).toBe(own);
    expect(warnings).toEqual([]);
  });

  it('does not block later statements when it is destroyed while it is queued', async () => {
    const connection = await open();
    const first = connection.query('SELECT pg_sleep(0.05)');
    const stream = connection.query(new QueryStream(ROWS));
    const last = connection.query('SELECT 1 AS n');
    stream.destroy();
    await first;
    expect((await last).rows).toEqual([{ n: 1 }]);
    await connection.close();
  });

  it('does not block later statements when it is read while it is queued, and destroyed before its first answer', async () => {
    const connection = await open();
    const before = connection.query('SELECT 1');
    const stream = connection.query(new QueryStream(ROWS));
    stream.on('data', () => undefined);
    await before;
    // It has been sent by now, and has no answer yet.
    expect((stream as unknown as { cursor: { state: string } }).cursor.state).toBe('submitted');
    stream.destroy();
    const { rows } = await connection.query('SELECT 2 AS two');
    expect(rows).toEqual([{ two: 2 }]);
    await connection.end();
  });

  it('leaves no listener when it is destroyed before the server answers by an error', async () => {
    const connection = await open();
    const { connection: wire } = connection as unknown as { connection: NodeJS.EventEmitter };
    const count = () => wire.listenerCount('noData') + wire.listenerCount('rowDescription');
    const before = count();
    const stream = connection.query(new QueryStream('SELECT nothing'));
    stream.read();
    stream.destroy();
    // Its answer has no RowDescription.
    await connection.query("SET application_name = 'x'");
    expect(count()).toBe(before);
    await connection.end();
  });

  it.each(['SELECT 1 AS one', 'SELECT 1 / (n - 1) FROM generate_series(1, 2) n', 'LISTEN something'])(
    'leaves each later statement its own rows when it is destroyed before its first answer: %s',
    async (text) => {
      const connection = await open();
      const stream = connection.query(new QueryStream(text));
      stream.read();
      stream.destroy();
      const answers = await Promise.all(
        [2, 3, 4].map((n) => connection.query(`SELECT ${n} AS n`).then(({ rows }) => rows as unknown)),
      );
      expect(answers).toEqual([[{ n: 2 }], [{ n: 3 }], [{ n: 4 }]]);
      await connection.end();
    },
  );

  it('closes when the connection ends while it waits for its cursor to be closed', async () => {
    const connection = await open({ connectionString: proxy.through(database.url) });
    const stream = connection.query(new QueryStream(ROWS, [], { batchSize: 2 }));
    stream.read();
    await once(stream, 'readable');
    proxy.freeze();
    stream.destroy();
    const closed = once(stream, 'close');
    connection.destroy();
    await closed;
    await proxy.pass();
  });
});

describe('A cursor', () => {
  it('is sent and read with one write, so that it meets the error of a server that has ended the session unnoticed', async () => {
    for (const when of ['sent', 'read']) {
      const connection = await open();
      const send = () => connection.query(new Cursor('SELECT generate_series(1, 5)'));
      const cursor = when === 'read' ? send() : undefined;
      await cursor?.read(2);
      terminateUnnoticed(connection);
      await expect((cursor ?? send()).read(2)).rejects.toMatchObject({ code: '57P01' });
    }
  });

  it('rejects its pending and later reads with the reason for the end of the connection, and can be closed', async () => {
    for (const end of [
      (connection: Connection) => terminate(connection),
      async (connection: Connection) =>
        connection.destroy(Object.assign(new Error('destroyed'), { code: '57P01' })),
    ]) {
      const connection = await open();
      const cursor = connection.query(
        new Cursor('SELECT pg_sleep(CASE WHEN n = 3 THEN 60 ELSE 0 END) FROM generate_series(1, 5) n'),
      );
      expect(await cursor.read(2)).toHaveLength(2);
      const pending = expect(cursor.read(2)).rejects.toMatchObject({ code: '57P01' });
      await end(connection);
      await pending;
      await expect(cursor.read(2)).rejects.toMatchObject({ code: '57P01' });
      await cursor.close();
    }
  });
});
