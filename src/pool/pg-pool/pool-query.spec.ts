import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import type { FakeClient } from '../../../test/support/fake-client.js';
import { FakePool } from '../../../test/support/fake-pool.js';
import { flushPromises } from '../../../test/support/virtual-clock.js';

type Query = (text: unknown, values?: unknown, callback?: unknown) => Promise<unknown> | undefined;
type Answer = (error: Error | null, result?: unknown) => void;

let fake: FakePool;
let query: Query;
let sent: jest.SpiedFunction<FakeClient['query']>;
beforeEach(async () => {
  fake = new FakePool({ max: 1, leakThresholdMs: 60_000, acquireTimeoutMs: 500 });
  query = fake.pool.query;
  const client = await fake.pool.acquire();
  sent = jest.spyOn(client, 'query');
  client.release();
});
afterEach(() => fake.close());

/** The arguments of the callback, and whether it was called before `query` had returned. */
async function callbackCall(
  call: (done: Answer) => unknown,
): Promise<{ args: unknown[]; returned: unknown }> {
  let returned: unknown = 'not yet';
  const args = await new Promise<unknown[]>((resolve) => {
    returned = call((...given) => resolve([...given, returned === 'not yet' ? 'synchronously' : 'later']));
  });
  return { args, returned };
}

const answers = (answer: (done: Answer) => void) =>
  sent.mockImplementation((_text, _values, done) => answer(done as Answer));

describe('pool.query', () => {
  it('sends a text, with values or without', async () => {
    expect(await query('SELECT 1')).toEqual({ rows: [{ text: 'SELECT 1', values: undefined }] });
    expect(await query('SELECT $1', [2])).toEqual({ rows: [{ text: 'SELECT $1', values: [2] }] });
  });

  it('sends a config and a submittable unchanged', async () => {
    const config = { text: 'SELECT $1', values: [3], rowMode: 'array' };
    const submittable = { text: 'FETCH', submit: () => undefined };
    await query(config);
    await query(submittable, [4]);
    expect(sent.mock.calls.map(([text, values]) => [text, values])).toEqual([
      [config, undefined],
      [submittable, [4]],
    ]);
    expect(sent.mock.calls[0]?.[0]).toBe(config);
    expect(sent.mock.calls[1]?.[0]).toBe(submittable);
  });

  it('calls back instead of returning a promise when the last argument is a function', async () => {
    const rows = (text: string, values?: unknown) => ({ rows: [{ text, values }] });
    expect(await callbackCall((done) => query('SELECT 1', done))).toEqual({
      args: [undefined, rows('SELECT 1'), 'later'],
      returned: undefined,
    });
    expect(await callbackCall((done) => query('SELECT $1', [2], done))).toEqual({
      args: [undefined, rows('SELECT $1', [2]), 'later'],
      returned: undefined,
    });
    expect(await callbackCall((done) => query('SELECT 1', undefined, done))).toMatchObject({
      args: [undefined, rows('SELECT 1'), 'later'],
    });
  });

  it('passes the error of a statement, or of a closed pool, to the callback', async () => {
    answers((done) => done(new Error('no such table')));
    expect((await callbackCall((done) => query('SELECT nothing', done))).args).toEqual([
      expect.objectContaining({ message: 'no such table' }),
      'later',
    ]);
    await fake.pool.end();
    expect((await callbackCall((done) => query('SELECT 1', done))).args).toEqual([
      expect.objectContaining({ code: 'POOL_CLOSED' }),
      'later',
    ]);
    await expect(query('SELECT 1')).rejects.toMatchObject({ code: 'POOL_CLOSED' });
  });

  it('calls the callback where its errors are uncaught exceptions, not unhandled rejections', async () => {
    const ticks = jest.spyOn(process, 'nextTick').mockImplementation(() => undefined);
    const done = () => undefined;
    void query('SELECT 1', done);
    await flushPromises();
    answers((answered) => answered(new Error('refused')));
    void query('SELECT 2', done);
    await flushPromises();
    const calls = ticks.mock.calls.filter(([called]) => called === done);
    ticks.mockRestore();
    expect(calls).toEqual([
      [done, undefined, { rows: [{ text: 'SELECT 1', values: undefined }] }],
      [done, expect.objectContaining({ message: 'refused' })],
    ]);
  });

  it('refuses a function as its first parameter, and acquires no connection for it', async () => {
    const { acquired } = fake.pool.snapshot().counters;
    const { args } = await callbackCall((done) => query(done));
    expect(args).toEqual([
      expect.objectContaining({
        message: 'Passing a function as the first parameter to pool.query is not supported',
      }),
      'later',
    ]);
    expect(fake.pool.snapshot().counters.acquired).toBe(acquired);
  });

  it('keeps the connection after an error of its statement, sent or not', async () => {
    answers((done) => done(new Error('no such table')));
    await expect(query('SELECT nothing')).rejects.toThrow('no such table');
    sent.mockImplementation(() => {
      throw new TypeError('no text');
    });
    await expect(query(null)).rejects.toThrow('no text');
    expect(fake.pool.snapshot()).toMatchObject({ leased: 0, idle: 1, counters: { created: 1 } });
  });

  it('rejects when its connection is lost before the statement is answered, and releases the connection', async () => {
    answers(() => undefined);
    const asked = query('SELECT pg_sleep(60)');
    await flushPromises();
    fake.server.clients[0]?.disconnect(new Error('Connection terminated unexpectedly'));
    await expect(asked).rejects.toThrow('Connection terminated unexpectedly');
    expect(fake.pool.snapshot()).toMatchObject({
      leased: 0,
      total: 0,
      counters: { destroyed: { broken: 1 } },
    });
  });

  it('leaves no listener on the connection, after success and failure', async () => {
    const listeners = () => fake.server.clients[0]?.listenerCount('error');
    const before = listeners();
    await query('SELECT 1');
    answers((done) => done(new Error('no')));
    await expect(query('SELECT 2')).rejects.toThrow('no');
    expect(listeners()).toBe(before);
  });

  it('is the borrower pool.query while its statement runs', async () => {
    let answer!: Answer;
    answers((done) => (answer = done));
    const asked = query('SELECT 1');
    await flushPromises();
    expect(fake.pool.leases()).toMatchObject([{ borrower: 'pool.query' }]);
    answer(null);
    await asked;
    expect(fake.pool.leases()).toEqual([]);
  });

  it('shows its caller in the stack of an error of its statement', async () => {
    answers((done) => setImmediate(done, new Error('no such table')));
    async function usersService() {
      await query('SELECT nothing');
    }
    const stack = await usersService().catch((error: Error) => error.stack);
    expect(stack).toMatch(/^Error: no such table\n[^]* {4}at .*usersService .*pool-query\.spec\.ts/);
  });

  it('shows its caller in the stack of an error of the pool, and of a leaked lease', async () => {
    async function usersService() {
      await query('SELECT 1');
    }
    answers(() => undefined);
    usersService().catch(() => undefined);
    await flushPromises();
    expect(fake.pool.leases()[0]?.stack).toMatch(/^ {4}at .*pool-query\.spec\.ts/);
    const late = usersService().catch((error: Error) => error.stack);
    await fake.clock.advance(500);
    expect(await late).toMatch(
      /^Error: timeout exceeded when trying to connect\n[^]* {4}at .*usersService .*pool-query\.spec\.ts/,
    );
  });
});
