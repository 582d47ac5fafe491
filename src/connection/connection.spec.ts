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

/** Listens on a local port while `work` runs; `greet` handles each socket. */
async function withListener(
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

/** The delays of the timers that `work` has started. */
async function timersOf(work: () => unknown): Promise<number[]> {
  const timers = jest.spyOn(globalThis, 'setTimeout');
  const pending = work();
  await Promise.resolve();
  const times = timers.mock.calls.map(([, ms]) => ms ?? 0);
  timers.mockRestore();
  await pending;
  return times;
}

describe('The connect timeout', () => {
  it.each<[ConnectionOptions, number[]]>([
    [{}, [10_000]],
    [{ connectTimeoutMs: 70 }, [70]],
    [{ connectTimeoutMs: 70, connectionTimeoutMillis: 80 }, [70]],
    [{ connectionTimeoutMillis: 80 }, [80]],
    [{ connectionTimeoutMillis: 0 }, [10_000]],
    [{ connectTimeoutMs: 0 }, []],
  ])('is started once with the options %j', async (options, expected) => {
    const connection = make(options);
    expect(await timersOf(() => connection.connect())).toEqual(expected);
  });

  it('rejects a connect that the server does not answer', async () => {
    server.silent = true;
    await expect(make({ connectTimeoutMs: 20 }).connect()).rejects.toMatchObject({
      code: 'HANDSHAKE_TIMEOUT',
    });
    expect(server.destroyed).toBe(true);
  });
});

describe('The limit of a statement', () => {
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
  ])('follows from the options %j', async (options, expected) => {
    const simple = await open(options);
    expect(await timersOf(() => simple.query('SELECT 1'))).toEqual(expected);
    server = new ScriptedServer();
    const parameterised = await open(options);
    expect(await timersOf(() => parameterised.query('SELECT $1', [1]))).toEqual(expected);
    // The timer that is running serves the next statements, too.
    expect(await timersOf(() => parameterised.query('SELECT $1', [1]))).toEqual([]);
  });

  it('is taken from the pooler terms each time a statement is sent', async () => {
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

  it('does not cancel an open cursor whose rows have arrived, however slow its reader is', async () => {
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

  it('is suspended by a statement that mentions statement_timeout, until the next borrower', async () => {
    const connection = await open({ statementLimitMs: 30_000 });
    await connection.query("SET LOCAL statement_timeout = '1h'");
    expect(await timersOf(() => connection.query('SELECT 1'))).toEqual([]);
    connection.onAcquired();
    expect(await timersOf(() => connection.query('SELECT 1'))).toEqual([30_000]);
  });
});

describe('The state of a session', () => {
  it.each([
    ['SELECT 1', 'SELECT 1', false],
    ["SET app.x = '1'", 'SET', true],
    ['SET LOCAL app.x = 1', 'SET', false],
    ["SELECT set_config('app.x', '1', false)", 'SELECT 1', true],
    ['LISTEN x', 'LISTEN', true],
  ])('after %s with the command tag %s has isSessionChanged %s', async (text, tag, isChanged) => {
    const connection = await open();
    server.answer = () => ({ tag });
    await connection.query(text);
    expect([connection.isSessionChanged, connection.lastSql]).toEqual([isChanged, text]);
    connection.onAcquired();
    expect(connection.lastSql).toBeUndefined();
  });

  it('is changed as soon as a statement is sent whose text changes the session', async () => {
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

  it('is restored after DISCARD ALL by the statements of the connect hooks, once and in order', async () => {
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

  it('is restored by one text with several statements, which is sent once', async () => {
    const connection = make();
    await connection.connect();
    server.answer = (text) => ({ tag: text.startsWith('SET') ? ['SET', 'SET'] : 'DISCARD ALL' });
    await connection.query('SET app.a = 1; SET app.b = 2');
    connection.finishSetup();
    await connection.reset('discard', 1_000);
    expect(server.statements.slice(1)).toEqual(['DISCARD ALL', 'SET app.a = 1; SET app.b = 2']);
  });

  it('is changed by a command tag of a borrower without an active statement, which ends the connection', async () => {
    for (const [inSetup, tag, isChanged] of [
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
      expect([connection.isUsable, connection.isSessionChanged]).toEqual([false, isChanged]);
    }
  });

  it('includes the text of a named statement of which only the name is sent', async () => {
    const connection = await open();
    for (let round = 0; round < 2; round += 1) {
      const { statementCount } = connection;
      await connection.query({ name: 'a', text: 'SELECT $1', values: [1] });
      expect(connection.lastSql).toBe('SELECT $1');
      expect(connection.statementCount).toBeGreaterThan(statementCount);
      connection.onAcquired();
    }
  });

  it('shows whether the server has completed the last statement, until the next one is sent', async () => {
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

  it('is not changed by RESET when no connect hook has set anything', async () => {
    const connection = await open();
    server.answer = () => ({ tag: 'RESET' });
    await connection.query('RESET ALL');
    expect(connection.isSessionChanged).toBe(false);
  });

  it('has no prepared statements after the command tags that drop them', async () => {
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

describe('A reset', () => {
  it('does nothing to a clean session, and follows its mode for a changed one', async () => {
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

  it.each(['T', 'E'] as const)('rolls back a transaction in status %s', async (status) => {
    const connection = await open();
    server.answer = (text) => ({ tag: text, status: text === 'BEGIN' ? status : 'I' });
    await connection.query('BEGIN');
    expect(connection.transactionStatus).toBe(status);
    expect(connection.reset('none', 1_000)).toBeUndefined();
    expect(await connection.reset('rollback', 1_000)).toEqual({ rolledBack: true, cleared: false });
    expect(connection.transactionStatus).toBe('I');
  });

  it('reports nothing left behind in a session that no pooler shares', async () => {
    const connection = await open();
    server.answer = (text) => ({ tag: text.split(' ')[0] ?? '', status: text === 'ROLLBACK' ? 'I' : 'T' });
    await connection.query("SET app.x = '1'");
    const result = await connection.reset('rollback', 1_000);
    expect(result).toStrictEqual({ rolledBack: true, cleared: false });
  });

  it('asks once whether the server is a standby after a write that was refused as read-only', async () => {
    const connection = await open();
    server.answer = () => ({ error: { severity: 'ERROR', code: '25006' } });
    await expect(connection.query('INSERT')).rejects.toMatchObject({ code: '25006' });
    server.statements.length = 0;
    server.answer = () => ({ tag: 'SELECT 0' });
    await connection.reset('smart', 1_000);
    expect(server.statements).toEqual(['SELECT pg_is_in_recovery() AS standby']);
    expect(connection.reset('smart', 1_000)).toBeUndefined();
  });

  it('rejects when the server has become a standby', async () => {
    const connection = await open();
    jest.spyOn(connection, 'ownQuery').mockResolvedValue({ rows: [{ standby: true }] } as never);
    await expect(connection.validate(1_000, true)).rejects.toMatchObject({
      code: 'CONNECTION_STANDBY',
      message: 'The server is a standby now; it was a primary before.',
    });
  });

  it('leaves no listener on the connection', async () => {
    const connection = await open();
    const { connection: wire } = connection as unknown as { connection: typeof connection };
    const listeners = () => [wire.listenerCount('readyForQuery'), connection.listenerCount('end')];
    const before = listeners();
    void connection.query('SELECT 1');
    const ready = connection.whenReadyForQuery();
    expect(listeners()).toEqual(before.map((count) => count + 1));
    await ready;
    expect(listeners()).toEqual(before);
  });

  it('waits for active and queued statements, and rejects when the connection ends first', async () => {
    const connection = await open();
    await connection.whenReadyForQuery();
    void connection.query('SELECT 1');
    void connection.query('SELECT 2');
    await connection.whenReadyForQuery();
    expect([connection.isReadyForQuery, server.statements]).toEqual([true, ['SELECT 1', 'SELECT 2']]);
    server.answer = () => undefined;
    void connection.query('SELECT 3').catch(() => undefined);
    const ready = connection.whenReadyForQuery();
    connection.destroy();
    await expect(ready).rejects.toThrow('Connection terminated');
  });

  it('rejects when it takes longer than its timeout', async () => {
    const connection = await open();
    server.answer = () => undefined;
    void connection.query('SELECT 1').catch(() => undefined);
    await expect(connection.reset('smart', 20)).rejects.toMatchObject({
      code: 'CONNECTION_RESET_FAILED',
      message: 'The reset of the connection took longer than 20 ms.',
    });
  });
});

describe('A validation', () => {
  it('queries the server, on request whether it is a primary, and rejects after its timeout', async () => {
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

describe('The end of a connection', () => {
  it('is known with its reason from a FATAL error on, and not from other errors', async () => {
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

  it('is known when the socket fails or ends, and has no close reason after close()', async () => {
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

  it('comes at the timeout of close() when the server does not answer', async () => {
    const connection = await open();
    jest.spyOn(server, 'push').mockReturnValue(true);
    const closed = connection.close(20);
    expect(server.destroyed).toBe(false);
    await closed;
    expect(server.destroyed).toBe(true);
  });

  it('by destroy(reason) rejects every later statement with the reason, in each form of query', async () => {
    const connection = await open();
    const reason = new Error('destroyed');
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

  it('by destroy() without a reason leaves the errors to pg', async () => {
    const connection = await open();
    connection.destroy();
    expect(server.destroyed).toBe(true);
    await expect(connection.query('SELECT 1')).rejects.toThrow();
  });

  it('by terminate() follows a cancel when a statement is active, and needs none otherwise', async () => {
    const idle = await open();
    const cancel = jest.spyOn(idle, 'cancelRunning');
    await idle.terminate(new Error('over'));
    expect(cancel).not.toHaveBeenCalled();
    expect(server.destroyed).toBe(true);
    server = new ScriptedServer();
    const busy = await open();
    server.answer = () => undefined;
    void busy.query('SELECT 1').catch(() => undefined);
    const cancelBusy = jest.spyOn(busy, 'cancelRunning').mockImplementation(async () => {
      expect(server.destroyed).toBe(false);
      await expect(busy.query('SELECT 2')).rejects.toThrow('over');
    });
    await busy.terminate(new Error('over'));
    expect(cancelBusy).toHaveBeenCalledTimes(1);
    expect(server.destroyed).toBe(true);
  });

  it('is preceded by one cancel request at a time, and by none when no statement is active', async () => {
    const cancels: ScriptedServer[] = [];
    const stream = () => {
      if (server.connecting) return server;
      const other = new ScriptedServer();
      other.silent = true;
      cancels.push(other);
      return other;
    };
    const connection = new Connection({ user: 'u', stream });
    connection.on('error', () => undefined);
    await connection.connect();
    await connection.cancelRunning(20);
    expect(cancels).toHaveLength(0);
    server.answer = () => undefined;
    void connection.query('SELECT 1').catch(() => undefined);
    await Promise.all([connection.cancelRunning(20), connection.cancelRunning(20)]);
    await connection.cancelRunning(20);
    const cancel = '\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x07\0\0\0\x08';
    expect(cancels.map(({ startup }) => startup)).toEqual([cancel, cancel]);
  });

  it('leaves no timer of close()', async () => {
    const connection = await open();
    const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
    const before = timers();
    const closed = connection.close();
    expect(timers()).toBe(before + 1);
    await closed;
    expect(timers()).toBe(before);
  });
});

describe('A connection behind a pooler', () => {
  const terms = {
    statementLimitMs: 0,
    idleInTransactionMs: 0,
    isSessionShared: false,
    allowsNamedStatements: true,
  };

  it('destroys itself when a transaction is idle for too long, with the error of the server', async () => {
    const connection = await open({ poolerTerms: { ...terms, idleInTransactionMs: 20 } });
    server.answer = () => ({ tag: 'BEGIN', status: 'T' });
    await connection.query('BEGIN');
    await new Promise((resolve) => connection.once('end', resolve));
    expect(connection.closeReason).toMatchObject({ code: '25P03' });
    await expect(connection.query('SELECT 1')).rejects.toMatchObject({ code: '25P03' });
  });

  it('does not clear a shared session, and reports what was left behind in it', async () => {
    const connection = await open({ poolerTerms: { ...terms, isSessionShared: true } });
    server.answer = () => ({ tag: 'SET' });
    await connection.query("SET app.x = '1'");
    const result = await connection.reset('smart', 1_000);
    expect(result).toMatchObject({ cleared: false, leftBehind: "SET app.x = '1'" });
    expect(server.statements).toEqual(["SET app.x = '1'"]);
    expect(connection.reset('smart', 1_000)).toBeUndefined();
    server.answer = (text) => ({ tag: text, status: text === 'BEGIN' ? 'T' : 'I' });
    await connection.query('BEGIN');
    expect(await connection.reset('smart', 1_000)).toStrictEqual({ rolledBack: true, cleared: false });
  });

  it('sends named statements without their names when the terms do not allow them', async () => {
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

describe('A login', () => {
  it('is refused when the server does not speak PostgreSQL’s protocol', async () => {
    server.silent = true;
    const connected = make().connect();
    setImmediate(() => server.push('HTTP/1.1 400 Bad Request'));
    await expect(connected).rejects.toMatchObject({ code: 'NOT_POSTGRESQL' });
    expect(server.destroyed).toBe(true);
  });

  it.each(['postgres', 'direct'] as const)('through TLS is completed (%s)', async (sslnegotiation) => {
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
    await withListener(greet, async (port) => {
      const ssl = { ca: authority.cert };
      const connection = new Connection({ host: '127.0.0.1', port, user: 'u', ssl, sslnegotiation });
      await connection.connect();
      await connection.query('SELECT 1');
      expect(server.statements).toEqual(['SELECT 1']);
      await connection.close();
    });
  });

  describe.each<[string, ConnectionOptions]>([
    ['in plain text', {}],
    ['with an SSLRequest', { ssl: {} }],
    ['with direct TLS', { ssl: {}, sslnegotiation: 'direct' }],
  ])('%s', (_how, options) => {
    it.each(['HTTP/1.1 400 Bad Request\r\n\r\n', '220 mail ESMTP\r\n', '\x4a\0\0\0\x0a8.4.0\0'])(
      'is refused when a server of another protocol answers: %j',
      async (greeting) => {
        await withListener(
          (socket) => socket.end(greeting),
          async (port) => {
            const connected = new Connection({ host: '127.0.0.1', port, user: 'u', ...options }).connect();
            await expect(connected).rejects.toMatchObject({ code: 'NOT_POSTGRESQL' });
          },
        );
      },
    );
  });

  it('that is not bound to its TLS connection is refused with requireChannelBinding', async () => {
    await expect(make({ requireChannelBinding: true }).connect()).rejects.toMatchObject({
      code: 'CHANNEL_BINDING_MISSING',
    });
    server = new ScriptedServer();
    await make({ requireChannelBinding: false }).connect();
  });

  it('by a method that is not in requireAuth is refused', async () => {
    const connected = make({ requireAuth: ['scram-sha-256'] }).connect();
    await expect(connected).rejects.toMatchObject({ code: 'LOGIN_METHOD_REFUSED' });
    expect(server.destroyed).toBe(true);
    server = new ScriptedServer();
    await make({ requireAuth: ['none'] }).connect();
  });

  it('at a server of another kind than serverKind is refused, and the connection is closed', async () => {
    const connection = make({ serverKind: 'primary' });
    // The server does not report its kind, and its answer has no row.
    await expect(connection.connect()).rejects.toMatchObject({ code: 'SERVER_KIND_REFUSED' });
    expect([server.statements.length, connection.isUsable]).toEqual([1, false]);
    await once(connection, 'end');
    server = new ScriptedServer();
    const wanted = make({ serverKind: 'standby' });
    expect(await wanted.connect()).toBe(wanted);
    expect(wanted.isUsable).toBe(true);
  });

  it('gets the password from its source when the server requests it, and reports a refused password to the source', async () => {
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

  it('uses the option password when there is no source', async () => {
    server.password = 'given';
    await make({ password: 'given' }).connect();
  });
});

describe('Queued statements', () => {
  it('are sent in order, in each form of query, and one that cannot be sent does not block the others', async () => {
    const connection = await open();
    const query = connection.query.bind(connection) as (...request: unknown[]) => unknown;
    const done: string[] = [];
    const record = (name: string) => () => void done.push(name);
    query('first', record('first'));
    expect(query('by callback', record('by callback'))).toBeUndefined();
    expect(query('by last callback', [], record('by last callback'))).toBeUndefined();
    expect(query({ text: 'by config', callback: record('by config') })).toBeUndefined();
    const submittable = new Query('submitted', record('submitted') as never);
    expect(query(submittable)).toBe(submittable);
    query({ text: 'odd', values: 'no list', callback: record('odd') });
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

  it('are rejected when the connection is destroyed', async () => {
    const connection = await open();
    server.answer = () => undefined;
    const waiting = [1, 2, 3].map(() => connection.query('SELECT 1'));
    const reason = new Error('destroyed');
    connection.destroy(reason);
    const ended = await Promise.allSettled(waiting);
    expect(ended.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
    expect(ended[2]).toMatchObject({ reason });
  });
});

describe('A connection', () => {
  it('sends its session settings in the startup packet, after the option options', async () => {
    await open({ session: { search_path: 'app' }, options: '-c geqo=off' });
    expect(server.startup).toContain('options\0-c geqo=off -c search_path=app\0');
    server = new ScriptedServer();
    await open({ session: { search_path: 'app' } });
    expect(server.startup).toContain('options\0-c search_path=app\0');
    server = new ScriptedServer();
    await open();
    expect(server.startup).not.toContain('options\0');
  });

  it('takes options from PGOPTIONS, as pg does, unless the option is empty', async () => {
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

  it('prints its address and neither its password nor its TLS options, which it copies', async () => {
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

  it('turns TCP keepalive on, unless keepAlive is false', async () => {
    await open();
    expect(server.keptAlive).toEqual([true, 30_000]);
    server = new ScriptedServer();
    await open({ keepAlive: false });
    expect(server.keptAlive).toEqual([]);
  });

  it('has a query that a tool can wrap on the object', async () => {
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

  it('accepts a TLS key that is not enumerable, as pg.Pool makes it', () => {
    const ssl = Object.defineProperty({}, 'key', { value: 's3cret', enumerable: false });
    const connection = make({ ssl });
    expect((connection as unknown as { ssl: { key: string } }).ssl.key).toBe('s3cret');
  });

  it('can be created with a connection string', () => {
    expect(new Connection('postgres://u@somewhere:6543/d').toJSON()).toMatchObject({
      host: 'somewhere',
      port: 6543,
    });
  });

  it('connects with a callback, which is never called synchronously', async () => {
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

  it('rejects a second connect without effect on the first or on the connection', async () => {
    const connection = make();
    const first = connection.connect();
    await expect(connection.connect()).rejects.toThrow('Client has already been connected');
    expect(await first).toBe(connection);
    await expect(connection.connect()).rejects.toThrow('Client has already been connected');
    expect([server.destroyed, connection.isUsable]).toEqual([false, true]);
  });

  it('counts its queued statements', async () => {
    const connection = await open();
    server.answer = () => undefined;
    expect(connection.queuedStatements).toBe(0);
    for (let i = 0; i < 3; i += 1) void connection.query('SELECT 1').catch(() => undefined);
    expect([connection.queuedStatements, connection.isReadyForQuery]).toEqual([2, false]);
  });
});
