import { afterEach, describe, expect, it } from '@jest/globals';
import { Query } from 'pg';
import { ScriptedServer } from '../../../test/support/scripted-server.js';
import { Connection } from '../connection.js';

let server: ScriptedServer;
let connection: Connection;
/** The sockets of cancel requests, which no server answers. */
let cancels: ScriptedServer[];

async function open(): Promise<void> {
  server = new ScriptedServer();
  cancels = [];
  const stream = () => {
    if (server.connecting) return server as never;
    const cancel = new ScriptedServer();
    cancel.silent = true;
    cancels.push(cancel);
    return cancel as never;
  };
  connection = new Connection({ user: 'app', stream });
  connection.on('error', () => undefined);
  await connection.connect();
}

afterEach(() => connection.close());

describe('QueryQueue', () => {
  it('emits drain after the last statement, and not between them', async () => {
    await open();
    const drained: number[] = [];
    connection.on('drain', () => void drained.push(server.statements.length));
    await Promise.all(['one', 'two', 'three'].map((text) => connection.query(text)));
    await connection.query('four');
    expect(drained).toEqual([3, 4]);
  });

  it('lets a listener of drain end the client after all queued statements', async () => {
    await open();
    connection.on('drain', () => void connection.end());
    const answers = await Promise.all(['one', 'two', 'three'].map((text) => connection.query(text)));
    expect(answers).toHaveLength(3);
  });

  it('rejects a statement that pg refuses, and sends the ones behind it', async () => {
    await open();
    const query = connection.query.bind(connection) as (...request: unknown[]) => Promise<unknown>;
    const first = query('first');
    const mistaken = [query('second', [], 'no function'), query('third', [], 'no function')];
    const last = query('last');
    for (const refused of mistaken) await expect(refused).rejects.toThrow('callback is not a function');
    await Promise.all([first, last]);
    expect(server.statements).toEqual(['first', 'last']);
  });

  it('rejects all its statements when the connection ends, with the cause', async () => {
    await open();
    const heard = new Promise<void>((resolve) => {
      server.answer = () => void resolve();
    });
    const running = connection.query('running').catch((error: Error) => error);
    const query = connection.query.bind(connection) as (...request: unknown[]) => unknown;
    const byCallback = new Promise((resolve) => query('by callback', resolve));
    const bySubmittable = new Promise((resolve) => query(new Query('submitted', resolve as never)));
    const byPromise = (query('by promise') as Promise<unknown>).catch((error: unknown) => error);
    await heard;
    server.destroy();
    const gone = { message: 'Connection terminated unexpectedly' };
    const never = { ...gone, cause: gone };
    expect(await running).toMatchObject(gone);
    expect(await Promise.all([byCallback, bySubmittable, byPromise])).toMatchObject([never, never, never]);
    expect(server.statements).toEqual(['running']);
  });

  it('rejects all its statements when end() does not wait for them', async () => {
    await open();
    server.answer = () => undefined;
    const asked = [1, 2].map((n) => connection.query(`${n}`).catch((error: Error) => error.message));
    await connection.end();
    expect(await Promise.all(asked)).toEqual(['Connection terminated', 'Connection terminated']);
  });

  it('gives an error the stack of the code that awaits it, whether the statement was queued or not', async () => {
    await open();
    server.answer = () => ({ error: { severity: 'ERROR', code: '42703' } });
    async function sendFirst() {
      await connection.query('bad');
    }
    async function sendQueued() {
      await connection.query('worse');
    }
    const stacks = await Promise.all(
      [sendFirst(), sendQueued()].map((answer) => answer.catch((error: Error) => error.stack)),
    );
    expect(stacks).toEqual([expect.stringContaining('sendFirst'), expect.stringContaining('sendQueued')]);
  });

  it('sends a missing text as an empty statement, as pg does', async () => {
    await open();
    const query = connection.query.bind(connection) as (config: unknown) => Promise<unknown>;
    await Promise.all([query({ text: '' }), query({ name: 'none', text: null })]);
    expect(connection.lastSql).toBe('');
  });

  it.each(['the next', 'a waiting'])(
    'holds %s statement back while a cancel of the one before it is in flight',
    async (which) => {
      await open();
      const drained: number[] = [];
      connection.on('drain', () => void drained.push(server.statements.length));
      const heard = new Promise<void>((resolve) => {
        server.answer = () => void resolve();
      });
      const first = connection.query('first');
      const early = which === 'a waiting' ? [connection.query('second')] : [];
      await heard;
      const cancelled = connection.cancelRunning(10_000);
      server.answer = () => ({ tag: 'SELECT 0' });
      // The first statement ends by itself, while the cancel request is still in flight.
      server.say('C', 'SELECT 0\0');
      server.say('Z', 'I');
      await first;
      const asked = [...early, connection.query('third')];
      await new Promise(setImmediate);
      await new Promise(setImmediate);
      expect(server.statements).toEqual(['first']);
      cancels[0]?.destroy();
      await cancelled;
      await Promise.all(asked);
      expect(server.statements).toEqual(['first', ...(early.length > 0 ? ['second'] : []), 'third']);
      expect(drained).toEqual(early.length > 0 ? [3] : [1, 2]);
    },
  );

  it('sends the next statement only when one that has outlasted its cancel request ends', async () => {
    await open();
    const heard = new Promise<void>((resolve) => {
      server.answer = () => void resolve();
    });
    const asked = [connection.query('first'), connection.query('second')];
    await heard;
    await connection.cancelRunning(0);
    await new Promise(setImmediate);
    expect([server.statements, connection.queuedStatements]).toEqual([['first'], 1]);
    server.answer = () => ({ tag: 'SELECT 0' });
    server.say('C', 'SELECT 0\0');
    server.say('Z', 'I');
    await Promise.all(asked);
    expect(server.statements).toEqual(['first', 'second']);
  });
});
