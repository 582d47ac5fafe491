import { once } from 'node:events';
import type { Socket, AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { TLSSocket } from 'node:tls';
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Query } from 'pg';
import { createAuthority } from '../../test/support/certificates.js';
import { ScriptedServer } from '../../test/support/scripted-server.js';
import { Connection } from './connection.js';
import type { ConnectionOptions } from './connection.js';
import type { PgWire } from './wire/pg-internals.js';

let server: ScriptedServer;
beforeEach(() => {
  server = new ScriptedServer();
});
afterEach(() => {
  jest.restoreAllMocks();
  server.destroy();
});

function make(options: ConnectionOptions = {}): Connection {
  const connection = new Connection({
    user: 'u',
    database: 'd',
    host: 'h',
    stream: () => server,
    ...options,
  });
  connection.on('error', () => undefined);
  return connection;
}

async function open(options: ConnectionOptions = {}): Promise<Connection> {
  const connection = make(options);
  await connection.connect();
  connection.finishSetup();
  return connection;
}

/** A port of this machine where `greet` does as it likes with who comes, and which is closed after `work`. */
async function listening(
  greet: (socket: Socket) => void,
  work: (port: number) => Promise<void>,
): Promise<void> {
  const sockets: Socket[] = [];
  const listener = createServer((socket) => {
    sockets.push(socket.on('error', () => undefined));
    greet(socket);
  }).listen(0, '127.0.0.1');
  await once(listener, 'listening');
  try {
    await work((listener.address() as AddressInfo).port);
  } finally {
    for (const socket of sockets) socket.destroy();
    listener.close();
  }
}

/** The times that were set for a timer while `work` ran. */
async function timersOf(work: () => unknown): Promise<number[]> {
  const timers = jest.spyOn(globalThis, 'setTimeout');
  const pending = work();
  await Promise.resolve();
  const times = timers.mock.calls.map(([, ms]) => ms ?? 0);
  timers.mockRestore();
  await pending;
  return times;
}

describe('the deadline of the dial', () => {
  it.each<[ConnectionOptions, number[]]>([
    [{}, [10_000]],
    [{ connectTimeoutMs: 70 }, [70]],
    [{ connectTimeoutMs: 70, connectionTimeoutMillis: 80 }, [70]],
    [{ connectionTimeoutMillis: 80 }, [80]],
    [{ connectionTimeoutMillis: 0 }, [10_000]],
    [{ connectTimeoutMs: 0 }, []],
  ])('of %j is set once', async (options, expected) => {
    const connection = make(options);
    expect(await timersOf(() => connection.connect())).toEqual(expected);
  });

  it('ends a dial that nobody answers', async () => {
    server.silent = true;
    await expect(make({ connectTimeoutMs: 20 }).connect()).rejects.toMatchObject({
      code: 'HANDSHAKE_TIMEOUT',
    });
    expect(server.destroyed).toBe(true);
  });
});

describe('the limit of a statement', () => {
  it.each<[ConnectionOptions, number[]]>([
    [{}, []],
    [{ statement_timeout: 1_000 }, [1_500]],
    [{ statement_timeout: 3_000 }, [3_750]],
    [{ statement_timeout: 30_000 }, [35_000]],
    [{ statement_timeout: 1_000, statementGraceMs: 50 }, [1_050]],
    [{ statement_timeout: 1_000, statementLimitMs: 30_000 }, [30_000]],
    [{ statement_timeout: 1_000, statementLimitMs: 0 }, []],
    [{ statementLimitMs: 30_000 }, [30_000]],
    [{ query_timeout: 700 }, [700]],
    [{ query_timeout: 700, statement_timeout: 1_000 }, [700]],
    [{ query_timeout: 70_000, statement_timeout: 1_000 }, [1_500]],
  ])('of %j', async (options, expected) => {
    const connection = await open(options);
    expect(await timersOf(() => connection.query('SELECT 1'))).toEqual(expected);
    expect(await timersOf(() => connection.query('SELECT $1', [1]))).toEqual(expected);
  });

  it('is kept alone where there is none at the server, as it is known then', async () => {
    const terms = {
      statementLimitMs: 0,
      idleInTransactionMs: 0,
      isSessionShared: false,
      allowsNamedStatements: true,
    };
    const connection = await open({ poolerTerms: terms });
    expect(await timersOf(() => connection.query('SELECT 1'))).toEqual([]);
    terms.statementLimitMs = 700;
    expect(await timersOf(() => connection.query('SELECT 1'))).toEqual([700]);
  });

  it('does not end a cursor that lies open when its rows are here and its reader takes his time', async () => {
    jest.useFakeTimers({ doNotFake: ['setImmediate', 'clearImmediate', 'nextTick', 'queueMicrotask'] });
    try {
      const connection = await open({ statementLimitMs: 1_000 });
      const cancel = jest.spyOn(connection, 'cancelRunning').mockResolvedValue();
      const turns = async (ms: number) => {
        for (let passed = 0; passed < ms; passed += 500) {
          jest.advanceTimersByTime(500);
          await new Promise((resolve) => setImmediate(resolve));
        }
      };
      const cursor = {
        submit: (wire: PgWire) => wire.parse({ text: 'SELECT 1' }),
        handlePortalSuspended: jest.fn(),
        handleError: () => undefined,
      };
      connection.query(cursor as never);
      await turns(500);
      server.say('s');
      await turns(5_000);
      expect(cursor.handlePortalSuspended).toHaveBeenCalledTimes(1);
      expect(cancel).not.toHaveBeenCalled();
      (connection as unknown as { connection: PgWire }).connection.parse({ text: 'the next rows' });
      await turns(5_000);
      expect(cancel).toHaveBeenCalled();
    } finally {
      jest.useRealTimers();
    }
  });

  it('is left to the borrower from the statement on that speaks of it, until the next borrower', async () => {
    const connection = await open({ statementLimitMs: 30_000 });
    await connection.query("SET LOCAL statement_timeout = '1h'");
    expect(await timersOf(() => connection.query('SELECT 1'))).toEqual([]);
    connection.onAcquired();
    expect(await timersOf(() => connection.query('SELECT 1'))).toEqual([30_000]);
  });
});

describe('what is known of a session', () => {
  it.each([
    ['SELECT 1', 'SELECT 1', false],
    ["SET app.x = '1'", 'SET', true],
    ['SET LOCAL app.x = 1', 'SET', false],
    ["SELECT set_config('app.x', '1', false)", 'SELECT 1', true],
    ['LISTEN x', 'LISTEN', true],
  ])('after %s, answered %s: dirty is %s', async (text, tag, dirty) => {
    const connection = await open();
    server.answer = () => ({ tag });
    await connection.query(text);
    expect([connection.isSessionChanged, connection.lastSql]).toEqual([dirty, text]);
    connection.onAcquired();
    expect(connection.lastSql).toBeUndefined();
  });

  it('is dirty as soon as the statement is sent, when its text says so', async () => {
    const connection = await open();
    server.answer = () => undefined;
    void connection.query('SELECT pg_advisory_lock(1)').catch(() => undefined);
    expect(connection.isSessionChanged).toBe(true);
    server = new ScriptedServer();
    const other = await open();
    server.answer = () => undefined;
    void other.query('SET search_path = a').catch(() => undefined);
    expect(other.isSessionChanged).toBe(false);
  });

  it('what is sent before the hooks are done is sent again after DISCARD ALL, once and in order', async () => {
    const connection = make();
    await connection.connect();
    server.answer = (text) => ({ tag: text.split(' ')[0] ?? '' });
    await connection.query("SET app.a = '1'");
    await connection.query('SELECT 1');
    await connection.query("SELECT set_config('app.c', '3', false)");
    const late = connection.query("SET app.b = '2'");
    connection.finishSetup();
    await late;
    expect(connection.isSessionChanged).toBe(false);
    await connection.query('RESET ALL');
    expect(connection.isSessionChanged).toBe(true);
    server.statements.length = 0;
    expect(await connection.reset('smart', 1_000)).toEqual({ rolledBack: false, cleared: true });
    expect(server.statements).toEqual([
      'DISCARD ALL',
      "SET app.a = '1'",
      "SELECT set_config('app.c', '3', false)",
      "SET app.b = '2'",
    ]);
    expect(connection.isSessionChanged).toBe(false);
  });

  it('what several statements in one have set is sent again once', async () => {
    const connection = make();
    await connection.connect();
    server.answer = (text) => ({ tag: text.startsWith('SET') ? ['SET', 'SET'] : 'DISCARD ALL' });
    await connection.query('SET app.a = 1; SET app.b = 2');
    connection.finishSetup();
    await connection.reset('discard', 1_000);
    expect(server.statements.slice(1)).toEqual(['DISCARD ALL', 'SET app.a = 1; SET app.b = 2']);
  });

  it('an answer that nobody has asked for ends the connection, and nothing is sent again for it', async () => {
    for (const [inSetup, tag, dirty] of [
      [true, 'SET', false],
      [false, 'SET', true],
      [false, 'SELECT 1', false],
    ] as const) {
      server = new ScriptedServer();
      const connection = make();
      await connection.connect();
      if (!inSetup) connection.finishSetup();
      const failed = once(connection, 'error');
      server.say('C', `${tag}\0`);
      await failed;
      expect([connection.isUsable, connection.isSessionChanged]).toEqual([false, dirty]);
    }
  });

  it('the text of a named statement is known too when only its name is sent', async () => {
    const connection = await open();
    for (let round = 0; round < 2; round += 1) {
      const { statementCount } = connection;
      await connection.query({ name: 'a', text: 'SELECT $1', values: [1] });
      expect(connection.lastSql).toBe('SELECT $1');
      expect(connection.statementCount).toBeGreaterThan(statementCount);
      connection.onAcquired();
    }
  });

  it('tells whether the server has completed the statement that it runs, from its answer until the next one is sent', async () => {
    const connection = await open();
    expect(connection.commandCompleted).toBe(false);
    await connection.query('SELECT 1');
    expect(connection.commandCompleted).toBe(true);
    server.answer = () => ({ error: { severity: 'ERROR', code: '42601' } });
    const failed = connection.query('SELECT 2');
    expect(connection.commandCompleted).toBe(false);
    await expect(failed).rejects.toMatchObject({ code: '42601' });
    expect(connection.commandCompleted).toBe(false);
    for (const tag of ['SELECT 1', undefined]) {
      server = new ScriptedServer();
      const ended = await open();
      server.answer = () => ({ tag, error: { severity: 'FATAL', code: '57P01' } });
      await expect(ended.query({ name: 'a', text: 'SELECT $1', values: [1] })).rejects.toMatchObject({
        code: '57P01',
      });
      expect(ended.commandCompleted).toBe(tag !== undefined);
    }
  });

  it('RESET alone dirties nothing where no hook has set anything', async () => {
    const connection = await open();
    server.answer = () => ({ tag: 'RESET' });
    await connection.query('RESET ALL');
    expect(connection.isSessionChanged).toBe(false);
  });

  it('named statements are forgotten with the tags that drop them', async () => {
    for (const tag of ['DISCARD ALL', 'DEALLOCATE ALL', 'SELECT 1']) {
      const connection = await open();
      const wire = (connection as unknown as { connection: Record<string, unknown> }).connection;
      wire.parsedStatements = { a: 'SELECT 1' };
      wire.submittedNamedStatements = { a: 'SELECT 1' };
      server.answer = () => ({ tag });
      await connection.query(tag);
      const kept = tag === 'SELECT 1' ? { a: 'SELECT 1' } : {};
      expect([wire.parsedStatements, wire.submittedNamedStatements]).toEqual([kept, kept]);
      server = new ScriptedServer();
    }
  });
});

describe('the return', () => {
  it('is nothing for a session that is clean, and by mode for one that is not', async () => {
    const connection = await open();
    for (const mode of ['smart', 'rollback', 'none'] as const)
      expect(connection.reset(mode, 1_000)).toBeUndefined();
    server.answer = () => ({ tag: 'SET' });
    await connection.query("SET app.x = '1'");
    for (const mode of ['rollback', 'none'] as const) expect(connection.reset(mode, 1_000)).toBeUndefined();
    server.statements.length = 0;
    expect(await connection.reset('discard', 1_000)).toEqual({ rolledBack: false, cleared: true });
    expect(server.statements).toEqual(['DISCARD ALL']);
  });

  it.each(['T', 'E'] as const)('rolls back in status %s', async (status) => {
    const connection = await open();
    server.answer = (text) => ({ tag: text, status: text === 'BEGIN' ? status : 'I' });
    await connection.query('BEGIN');
    expect(connection.transactionStatus).toBe(status);
    expect(connection.reset('none', 1_000)).toBeUndefined();
    expect(await connection.reset('rollback', 1_000)).toEqual({ rolledBack: true, cleared: false });
    expect(connection.transactionStatus).toBe('I');
  });

  it('tells of nothing that was left in a session of its own', async () => {
    const connection = await open();
    server.answer = (text) => ({ tag: text.split(' ')[0] ?? '', status: text === 'ROLLBACK' ? 'I' : 'T' });
    await connection.query("SET app.x = '1'");
    const restored = await connection.reset('rollback', 1_000);
    expect(restored).toStrictEqual({ rolledBack: true, cleared: false });
  });

  it('asks for a standby once after a write that was refused as read-only', async () => {
    const connection = await open();
    server.answer = () => ({ error: { severity: 'ERROR', code: '25006' } });
    await expect(connection.query('INSERT')).rejects.toMatchObject({ code: '25006' });
    server.statements.length = 0;
    server.answer = () => ({ tag: 'SELECT 0' });
    await connection.reset('smart', 1_000);
    expect(server.statements).toEqual(['SELECT pg_is_in_recovery() AS standby']);
    expect(connection.reset('smart', 1_000)).toBeUndefined();
  });

  it('refuses a server that has become a standby', async () => {
    const connection = await open();
    jest.spyOn(connection, 'ownQuery').mockResolvedValue({ rows: [{ standby: true }] } as never);
    await expect(connection.validate(1_000, true)).rejects.toMatchObject({
      code: 'CONNECTION_STANDBY',
      message: 'The server is a standby now; it was a primary before.',
    });
  });

  it('leaves no listener behind', async () => {
    const connection = await open();
    const { connection: wire } = connection as unknown as { connection: typeof connection };
    const listeners = () => [wire.listenerCount('readyForQuery'), connection.listenerCount('end')];
    const before = listeners();
    void connection.query('SELECT 1');
    const quiet = connection.whenReadyForQuery();
    expect(listeners()).toEqual(before.map((count) => count + 1));
    await quiet;
    expect(listeners()).toEqual(before);
  });

  it('waits for the statements that run and wait, and fails when the connection ends first', async () => {
    const connection = await open();
    await connection.whenReadyForQuery();
    void connection.query('SELECT 1');
    void connection.query('SELECT 2');
    await connection.whenReadyForQuery();
    expect([connection.isReadyForQuery, server.statements]).toEqual([true, ['SELECT 1', 'SELECT 2']]);
    server.answer = () => undefined;
    void connection.query('SELECT 3').catch(() => undefined);
    const quiet = connection.whenReadyForQuery();
    connection.destroy();
    await expect(quiet).rejects.toThrow('Connection terminated');
  });

  it('is bounded', async () => {
    const connection = await open();
    server.answer = () => undefined;
    void connection.query('SELECT 1').catch(() => undefined);
    await expect(connection.reset('smart', 20)).rejects.toMatchObject({
      code: 'CONNECTION_RESET_FAILED',
      message: 'The reset of the connection took longer than 20 ms.',
    });
  });

  it('check asks, with primary for a primary, and is bounded', async () => {
    const connection = await open();
    await connection.validate(1_000);
    await connection.validate(1_000, true);
    expect(server.statements).toEqual(['SELECT 1', 'SELECT pg_is_in_recovery() AS standby']);
    server.answer = () => undefined;
    await expect(connection.validate(20)).rejects.toMatchObject({
      code: 'CONNECTION_SILENT',
      message: expect.stringContaining('20 ms'),
    });
  });
});

describe('the end', () => {
  it('is known from a FATAL answer on, with its error, and not from others', async () => {
    const connection = await open();
    server.answer = () => ({ error: { severity: 'ERROR', code: '08006' } });
    await expect(connection.query('SELECT 1')).rejects.toMatchObject({ code: '08006' });
    expect([connection.isUsable, connection.closeReason]).toEqual([true, undefined]);
    expect(connection.reset('smart', 1_000)).toBeUndefined();
    server.answer = () => ({ error: { severity: 'FATAL', code: '57P01' } });
    await expect(connection.query('SELECT 1')).rejects.toMatchObject({ code: '57P01' });
    expect([connection.isUsable, connection.closeReason]).toEqual([
      false,
      expect.objectContaining({ code: '57P01' }),
    ]);
  });

  it('is known when the socket fails or ends against our will, and no loss after a goodbye of ours', async () => {
    const failed = await open();
    const error = new Error('read ECONNRESET');
    server.destroy(error);
    await new Promise((resolve) => setImmediate(resolve));
    expect([failed.isUsable, failed.closeReason]).toEqual([false, error]);
    server = new ScriptedServer();
    const ended = await open();
    server.destroy();
    await new Promise((resolve) => setImmediate(resolve));
    expect(ended.closeReason?.message).toBe('Connection terminated unexpectedly');
    server = new ScriptedServer();
    const closed = await open();
    await closed.close();
    expect([closed.isUsable, closed.closeReason]).toEqual([false, undefined]);
  });

  it('comes at the deadline of a goodbye that nobody answers', async () => {
    const connection = await open();
    jest.spyOn(server, 'push').mockReturnValue(true);
    const closed = connection.close(20);
    expect(server.destroyed).toBe(false);
    await closed;
    expect(server.destroyed).toBe(true);
  });

  it('with a reason fails every later statement by it, in each form of query', async () => {
    const connection = await open();
    const reason = new Error('taken back');
    connection.destroy(reason);
    connection.destroy(new Error('a second reason'));
    expect(connection.closeReason).toBe(reason);
    await expect(connection.query('SELECT 1')).rejects.toBe(reason);
    await expect(connection.query({ text: 'SELECT 1' })).rejects.toBe(reason);
    await expect(connection.query(undefined as never)).rejects.toBe(reason);
    const query = connection.query.bind(connection) as (...request: unknown[]) => unknown;
    const called: unknown[] = [];
    expect(query('SELECT 1', (error: Error) => called.push(error))).toBeUndefined();
    query('SELECT 1', [], (error: Error) => called.push(error));
    query({ text: 'SELECT 1', callback: (error: Error) => called.push(error) });
    const submittable = { submit: () => undefined, handleError: (error: Error) => called.push(error) };
    expect(query(submittable)).toBe(submittable);
    query({ submit: () => undefined });
    expect(called).toEqual([]);
    await new Promise((resolve) => setImmediate(resolve));
    expect(called).toEqual([reason, reason, reason, reason]);
    expect(server.statements).toEqual([]);
  });

  it('without a reason leaves the words to pg', async () => {
    const connection = await open();
    connection.destroy();
    expect(server.destroyed).toBe(true);
    await expect(connection.query('SELECT 1')).rejects.toThrow();
  });

  it('cuts a quiet connection without a cancel, and one that runs something after it', async () => {
    const quiet = await open();
    const cancel = jest.spyOn(quiet, 'cancelRunning');
    await quiet.terminate(new Error('over'));
    expect(cancel).not.toHaveBeenCalled();
    expect(server.destroyed).toBe(true);
    server = new ScriptedServer();
    const busy = await open();
    server.answer = () => undefined;
    void busy.query('SELECT 1').catch(() => undefined);
    const told = jest.spyOn(busy, 'cancelRunning').mockImplementation(async () => {
      expect(server.destroyed).toBe(false);
      await expect(busy.query('SELECT 2')).rejects.toThrow('over');
    });
    await busy.terminate(new Error('over'));
    expect(told).toHaveBeenCalledTimes(1);
    expect(server.destroyed).toBe(true);
  });

  it('asks the server to stop what runs, once at a time, and nobody where nothing does', async () => {
    const asked: ScriptedServer[] = [];
    const dial = () => {
      if (server.connecting) return server;
      const other = new ScriptedServer();
      other.silent = true;
      asked.push(other);
      return other;
    };
    const connection = new Connection({ user: 'u', stream: dial });
    connection.on('error', () => undefined);
    await connection.connect();
    await connection.cancelRunning(20);
    expect(asked).toHaveLength(0);
    server.answer = () => undefined;
    void connection.query('SELECT 1').catch(() => undefined);
    await Promise.all([connection.cancelRunning(20), connection.cancelRunning(20)]);
    await connection.cancelRunning(20);
    const cancel = '\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x07\0\0\0\x08';
    expect(asked.map(({ startup }) => startup)).toEqual([cancel, cancel]);
  });

  it('waits no longer than it takes: no timer is left of a goodbye', async () => {
    const connection = await open();
    const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
    const before = timers();
    const closed = connection.close();
    expect(timers()).toBe(before + 1);
    await closed;
    expect(timers()).toBe(before);
  });
});

describe('behind a pooler', () => {
  const terms = {
    statementLimitMs: 0,
    idleInTransactionMs: 0,
    isSessionShared: false,
    allowsNamedStatements: true,
  };

  it('a transaction that pauses for too long is ended from here, in the words of the server', async () => {
    const connection = await open({ poolerTerms: { ...terms, idleInTransactionMs: 20 } });
    server.answer = () => ({ tag: 'BEGIN', status: 'T' });
    await connection.query('BEGIN');
    await new Promise((resolve) => connection.once('end', resolve));
    expect(connection.closeReason).toMatchObject({ code: '25P03' });
    await expect(connection.query('SELECT 1')).rejects.toMatchObject({ code: '25P03' });
  });

  it('a session that is shared is not cleared, and what was left in it is told', async () => {
    const connection = await open({ poolerTerms: { ...terms, isSessionShared: true } });
    server.answer = () => ({ tag: 'SET' });
    await connection.query("SET app.x = '1'");
    const restored = await connection.reset('smart', 1_000);
    expect(restored).toMatchObject({ cleared: false, leftBehind: "SET app.x = '1'" });
    expect(server.statements).toEqual(["SET app.x = '1'"]);
    expect(connection.reset('smart', 1_000)).toBeUndefined();
    server.answer = (text) => ({ tag: text, status: text === 'BEGIN' ? 'T' : 'I' });
    await connection.query('BEGIN');
    expect(await connection.reset('smart', 1_000)).toStrictEqual({ rolledBack: true, cleared: false });
  });

  it('statements are sent without their names where the server could not find them later', async () => {
    const names = async (options: ConnectionOptions): Promise<string[]> => {
      server = new ScriptedServer();
      const connection = await open(options);
      await connection.query({ name: 'a', text: 'SELECT $1', values: [1] });
      return Object.keys((connection as unknown as { connection: PgWire }).connection.parsedStatements);
    };
    expect(await names({})).toEqual(['a']);
    expect(await names({ poolerTerms: terms })).toEqual(['a']);
    expect(await names({ poolerTerms: { ...terms, allowsNamedStatements: false } })).toEqual([]);
  });
});

describe('a login', () => {
  it('is refused when what answers does not speak as PostgreSQL does', async () => {
    server.silent = true;
    const connected = make().connect();
    setImmediate(() => server.push('HTTP/1.1 400 Bad Request'));
    await expect(connected).rejects.toMatchObject({ code: 'NOT_POSTGRESQL' });
    expect(server.destroyed).toBe(true);
  });

  it.each(['postgres', 'direct'] as const)(
    'through TLS goes on when TLS answers as it does (%s)',
    async (sslnegotiation) => {
      const authority = await createAuthority();
      const certificate = await authority.issueServer();
      const encrypt = (socket: Socket) => {
        const options = { isServer: true, ...certificate, ALPNProtocols: ['postgresql'] };
        const secure = new TLSSocket(socket, options).on('error', () => undefined);
        secure.pipe(server).pipe(secure);
      };
      const greet = (socket: Socket) => {
        if (sslnegotiation === 'direct') return encrypt(socket);
        socket.once('data', () => {
          socket.write('S');
          encrypt(socket);
        });
      };
      await listening(greet, async (port) => {
        const ssl = { ca: authority.cert };
        const connection = new Connection({ host: '127.0.0.1', port, user: 'u', ssl, sslnegotiation });
        await connection.connect();
        await connection.query('SELECT 1');
        expect(server.statements).toEqual(['SELECT 1']);
        await connection.close();
      });
    },
  );

  describe.each<[string, ConnectionOptions]>([
    ['in plain text', {}],
    ['asked for TLS', { ssl: {} }],
    ['begun with TLS', { ssl: {}, sslnegotiation: 'direct' }],
  ])('%s', (_how, options) => {
    it.each(['HTTP/1.1 400 Bad Request\r\n\r\n', '220 mail ESMTP\r\n', '\x4a\0\0\0\x0a8.4.0\0'])(
      'is refused by what speaks another protocol: %j',
      async (greeting) => {
        await listening(
          (socket) => socket.end(greeting),
          async (port) => {
            const connected = new Connection({ host: '127.0.0.1', port, user: 'u', ...options }).connect();
            await expect(connected).rejects.toMatchObject({ code: 'NOT_POSTGRESQL' });
          },
        );
      },
    );
  });

  it('that is not bound to its TLS connection is refused where it has to be', async () => {
    await expect(make({ requireChannelBinding: true }).connect()).rejects.toMatchObject({
      code: 'CHANNEL_BINDING_MISSING',
    });
    server = new ScriptedServer();
    await make({ requireChannelBinding: false }).connect();
  });

  it('by a method that is not allowed is refused', async () => {
    const connected = make({ requireAuth: ['scram-sha-256'] }).connect();
    await expect(connected).rejects.toMatchObject({ code: 'LOGIN_METHOD_REFUSED' });
    expect(server.destroyed).toBe(true);
    server = new ScriptedServer();
    await make({ requireAuth: ['none'] }).connect();
  });

  it('at a server of another kind than is wanted is refused, with a goodbye', async () => {
    const connection = make({ serverKind: 'primary' });
    // It neither reports what it is, nor has its answer a row.
    await expect(connection.connect()).rejects.toMatchObject({ code: 'SERVER_KIND_REFUSED' });
    expect([server.statements.length, connection.isUsable]).toEqual([1, false]);
    await once(connection, 'end');
    server = new ScriptedServer();
    const wanted = make({ serverKind: 'standby' });
    expect(await wanted.connect()).toBe(wanted);
    expect(wanted.isUsable).toBe(true);
  });

  it('asks for the password when the server does, and tells of one that was refused', async () => {
    const refused: string[] = [];
    const passwords = {
      ask: () => Promise.resolve('old'),
      refused: (password: string) => void refused.push(password),
    };
    server.password = 'old';
    await make({ passwords }).connect();
    server = new ScriptedServer();
    server.password = 'new';
    await expect(make({ passwords }).connect()).rejects.toMatchObject({ code: '28P01' });
    expect(refused).toEqual(['old']);
  });

  it('takes the password that was given where there is no function for it', async () => {
    server.password = 'given';
    await make({ password: 'given' }).connect();
  });
});

describe('statements that wait for the one before them', () => {
  it('are sent in order, in each form of query, and one that cannot be sent holds nobody up', async () => {
    const connection = await open();
    const query = connection.query.bind(connection) as (...request: unknown[]) => unknown;
    const done: string[] = [];
    const note = (name: string) => () => void done.push(name);
    query('first', note('first'));
    expect(query('by callback', note('by callback'))).toBeUndefined();
    expect(query('by last callback', [], note('by last callback'))).toBeUndefined();
    expect(query({ text: 'by config', callback: note('by config') })).toBeUndefined();
    const submittable = new Query('submitted', note('submitted') as never);
    expect(query(submittable)).toBe(submittable);
    query({ text: 'odd', values: 'no list', callback: note('odd') });
    const second = query({ text: 'by promise of a config' }) as Promise<unknown>;
    const last = query('by promise') as Promise<unknown>;
    expect(() => query(undefined)).toThrow('null or undefined query');
    expect(() => query(null)).toThrow(TypeError);
    await Promise.all([second, last]);
    const byCallback = ['first', 'by callback', 'by last callback', 'by config', 'submitted'];
    expect(server.statements.filter((text) => text !== 'odd')).toEqual([
      ...byCallback,
      'by promise of a config',
      'by promise',
    ]);
    expect(done.filter((name) => name !== 'odd')).toEqual(byCallback);
  });

  it('are told when the connection ends meanwhile', async () => {
    const connection = await open();
    server.answer = () => undefined;
    const waiting = [1, 2, 3].map(() => connection.query('SELECT 1'));
    const reason = new Error('taken back');
    connection.destroy(reason);
    const ended = await Promise.allSettled(waiting);
    expect(ended.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
    expect(ended[2]).toMatchObject({ reason });
  });
});

describe('what is given and what is shown', () => {
  it('sends the settings of the session in the startup packet, beside options that were given', async () => {
    await open({ session: { search_path: 'app' }, options: '-c geqo=off' });
    expect(server.startup).toContain('options\0-c geqo=off -c search_path=app\0');
    server = new ScriptedServer();
    await open({ session: { search_path: 'app' } });
    expect(server.startup).toContain('options\0-c search_path=app\0');
    server = new ScriptedServer();
    await open();
    expect(server.startup).not.toContain('options\0');
  });

  it('takes options from PGOPTIONS, as pg does, unless they are said to be none', async () => {
    process.env.PGOPTIONS = '-c geqo=off';
    try {
      await open({ session: { work_mem: '8MB' } });
      expect(server.startup).toContain('-c geqo=off -c work_mem=8MB');
      server = new ScriptedServer();
      await open({ options: '', session: { work_mem: '8MB' } });
      expect(server.startup).toContain('options\0-c work_mem=8MB\0');
      server = new ScriptedServer();
      await open({ options: '' });
      expect(server.startup).not.toContain('options\0');
    } finally {
      delete process.env.PGOPTIONS;
    }
  });

  it('shows its address and neither password nor TLS, and copies the TLS options', async () => {
    const ssl = { key: 's3cret' };
    const connection = make({ password: 's3cret', ssl });
    const used = (connection as unknown as { ssl: typeof ssl }).ssl;
    expect([used === ssl, used.key]).toEqual([false, 's3cret']);
    expect(connection.toJSON()).toEqual({ host: 'h', port: 5432, database: 'd', processID: null });
    expect(inspect(connection)).toMatch(/^Connection \{ host: 'h', port: 5432/);
    expect(JSON.stringify({ ...connection })).not.toContain('s3cret');
    expect(Object.keys(connection)).not.toEqual(
      expect.arrayContaining([expect.stringMatching(/^(ssl|connection|connectionParameters)$/)]),
    );
    expect(ssl).toEqual({ key: 's3cret' });
  });

  it('keeps the TCP connection alive, unless it is told not to', async () => {
    await open();
    expect(server.keptAlive).toEqual([true, 30_000]);
    server = new ScriptedServer();
    await open({ keepAlive: false });
    expect(server.keptAlive).toEqual([]);
  });

  it('has a query that tools can wrap, as they do with a method', async () => {
    const connection = await open();
    const seen: unknown[] = [];
    const { query } = connection;
    Object.defineProperty(connection, 'query', {
      value: (text: string) => {
        seen.push(text);
        return Reflect.apply(query, connection, [text]) as unknown;
      },
      configurable: true,
      enumerable: true,
      writable: true,
    });
    await connection.query('SELECT 1');
    expect([seen, server.statements]).toEqual([['SELECT 1'], ['SELECT 1']]);
  });

  it('takes a key that is not enumerable, as pg.Pool leaves it in an object that it was given', () => {
    const ssl = Object.defineProperty({}, 'key', { value: 's3cret', enumerable: false });
    const connection = make({ ssl });
    expect((connection as unknown as { ssl: { key: string } }).ssl.key).toBe('s3cret');
  });

  it('takes a connection string alone', () => {
    expect(new Connection('postgres://u@somewhere:6543/d').toJSON()).toMatchObject({
      host: 'somewhere',
      port: 6543,
    });
  });

  it('connects by callback, never synchronously', async () => {
    const connection = make();
    const seen = await new Promise<unknown[]>((resolve) => {
      expect(connection.connect((...args: unknown[]) => resolve(args))).toBeUndefined();
    });
    expect(seen).toEqual([null, connection]);
    server = new ScriptedServer();
    server.silent = true;
    const error = await new Promise((resolve) => make({ connectTimeoutMs: 10 }).connect(resolve));
    expect(error).toMatchObject({ code: 'HANDSHAKE_TIMEOUT' });
  });

  it('is dialled once: a second time is refused, and harms neither the dial nor the connection', async () => {
    const connection = make();
    const first = connection.connect();
    await expect(connection.connect()).rejects.toThrow('Client has already been connected');
    expect(await first).toBe(connection);
    await expect(connection.connect()).rejects.toThrow('Client has already been connected');
    expect([server.destroyed, connection.isUsable]).toEqual([false, true]);
  });

  it('tells how many statements wait', async () => {
    const connection = await open();
    server.answer = () => undefined;
    expect(connection.queuedStatements).toBe(0);
    for (let i = 0; i < 3; i += 1) void connection.query('SELECT 1').catch(() => undefined);
    expect([connection.queuedStatements, connection.isReadyForQuery]).toEqual([2, false]);
  });
});
