import { inspect } from 'node:util';
import { afterEach, describe, expect, it, jest } from '@jest/globals';
import type { FakeClient, FakeServer } from '../../test/support/fake-client.js';
import { FakePool, observe } from '../../test/support/fake-pool.js';
import type { LeasedFakeClient } from '../../test/support/fake-pool.js';
import type { VirtualClock } from '../../test/support/virtual-clock.js';
import { flushPromises } from '../../test/support/virtual-clock.js';
import { ConnectionPool } from './connection-pool.js';
import type { PoolOptions } from './pool.options.js';

let fake: FakePool;
let clock: VirtualClock;
let server: FakeServer;
let pool: ConnectionPool<FakeClient>;

function open(options: PoolOptions<FakeClient> = {}): void {
  fake = new FakePool(options);
  ({ clock, server, pool } = fake);
}

afterEach(async () => {
  jest.restoreAllMocks();
  await fake.close();
});

describe('leaks', () => {
  it('warns once of a connection that is out for long, with stack, borrower, age, last SQL and transaction', async () => {
    open({ leakThresholdMs: 2_000 });
    async function usersController() {
      return pool.acquire({ borrower: 'GET /users' });
    }
    const client = await usersController();
    client.transactionStatus = 'T';
    client.lastSql = 'SELECT 1';
    await clock.advance(1_999);
    expect(fake.warnings).toEqual([]);
    await clock.advance(10_000);
    expect(fake.warnings).toMatchObject([
      {
        code: 'CONNECTION_LEAK',
        level: 'warn',
        message: expect.stringContaining('held for 2.0 s by GET /users, in transaction, last SQL SELECT 1'),
        lease: {
          borrower: 'GET /users',
          heldMs: 2_000,
          inTransaction: true,
          lastSql: 'SELECT 1',
          stack: expect.stringContaining('usersController'),
        },
      },
    ]);
    client.release();
    expect(fake.warningCodes()).toEqual(['CONNECTION_LEAK', 'CONNECTION_LEAK_ENDED']);
    expect(pool.snapshot().counters.leakWarnings).toBe(1);
  });

  it('takes a connection that runs a statement for no leak, and looks again once that has ended', async () => {
    open({ leakThresholdMs: 2_000 });
    const client = await pool.acquire({ borrower: 'GET /report' });
    client.isReadyForQuery = false;
    await clock.advance(9_000);
    expect(fake.warnings).toEqual([]);
    client.isReadyForQuery = true;
    await clock.advance(2_000);
    expect(fake.warningCodes()).toEqual(['CONNECTION_LEAK']);
    client.release();
  });

  it('keeps frames far below the pool, where the code of a user stands', async () => {
    open({ leakThresholdMs: 2_000 });
    const deep = (depth: number): Promise<LeasedFakeClient> => (depth > 0 ? deep(depth - 1) : pool.acquire());
    async function outermost() {
      return deep(20);
    }
    const limit = Error.stackTraceLimit;
    Error.stackTraceLimit = 10;
    for (const how of ['opened for it', 'idle before']) {
      const client = await outermost();
      expect([how, pool.leaseOf(client)?.stack]).toEqual([how, expect.stringContaining('outermost')]);
      expect(Error.stackTraceLimit).toBe(10);
      client.release();
    }
    Error.stackTraceLimit = limit;
  });

  it('captures no stack and sets no timer when it is off', async () => {
    open();
    const client = await pool.acquire();
    client.release();
    const again = await pool.acquire();
    expect(pool.leaseOf(again)?.stack).toBeUndefined();
    await clock.advance(1_000_000);
    expect(fake.warnings).toEqual([]);
  });

  it('does not warn of one that came back in time', async () => {
    open({ leakThresholdMs: 2_000 });
    for (let round = 0; round < 5; round += 1) {
      const client = await pool.acquire();
      await clock.advance(1_500);
      client.release();
    }
    expect(fake.warnings).toEqual([]);
  });

  it('takes one back by force after reclaimAfterMs: its place is free, and the late owner is told', async () => {
    open({ max: 1, leakThresholdMs: 2_000, reclaimAfterMs: 5_000 });
    const released = jest.fn();
    const client = await pool.acquire({ borrower: 'job' });
    pool.on('release', released);
    const waiting = observe(pool.acquire());
    await clock.advance(5_000);
    expect(waiting.client).toBe(server.clients[1]);
    expect(client.destroyedBy).toMatchObject({
      code: 'POOL_LEASE_RECLAIMED',
      message: expect.stringContaining('job'),
    });
    expect(released).toHaveBeenCalledTimes(1);
    expect(pool.snapshot().counters.destroyed.reclaimed).toBe(1);
    expect(fake.warningCodes()).toEqual(['CONNECTION_LEAK', 'CONNECTION_RECLAIMED']);
    client.release();
    expect(fake.warningCodes()).toContain('CONNECTION_LEAK_ENDED');
    expect(() => client.release()).toThrow('already been released');
    expect(pool.snapshot()).toMatchObject({ leased: 1, counters: { acquired: 2, released: 0 } });
  });

  it('takes one back whose hook for that throws, and its error is not lost', async () => {
    open({ max: 1, reclaimAfterMs: 5_000 });
    const thrown = new Error('the hook failed');
    await pool.acquire({
      onReclaimed: () => {
        throw thrown;
      },
    });
    const waiting = observe(pool.acquire());
    const later: unknown[] = [];
    jest.spyOn(process, 'nextTick').mockImplementation((callback) => {
      try {
        (callback as () => void)();
      } catch (error) {
        later.push(error);
      }
    });
    await clock.advance(5_000);
    jest.restoreAllMocks();
    expect(waiting.client).toBe(server.clients[1]);
    expect(later).toEqual([thrown]);
  });

  it('lets the borrower be named after the acquire, and lists who has what', async () => {
    open();
    const client = await pool.acquire({ borrower: 'request' });
    const lease = pool.leaseOf(client);
    if (lease) lease.borrower = 'GET /orders/:id';
    await clock.advance(50);
    const inTransaction = (['I', 'T', 'E', null] as const).map((status) => {
      client.transactionStatus = status;
      return pool.leases()[0]?.inTransaction;
    });
    expect(inTransaction).toEqual([false, true, true, false]);
    expect(pool.leases()).toMatchObject([{ borrower: 'GET /orders/:id', heldMs: 50, inTransaction: false }]);
    client.release();
    expect(pool.leaseOf(client)).toBeUndefined();
  });
});

/** One connection that is asked whether it is alive as soon as somebody wants it, one that is being cleaned; dials take time. */
async function halfway(): Promise<
  [checked: LeasedFakeClient, cleaned: { client: LeasedFakeClient; done(): void }]
> {
  const [checked, client] = (await fake.acquireAll(2)) as [LeasedFakeClient, LeasedFakeClient];
  checked.release();
  await clock.advance(1_000);
  server.isValidationManual = true;
  server.isConnectManual = true;
  let done!: () => void;
  client.resetResult = new Promise((resolve) => {
    done = () => resolve({ rolledBack: false, cleared: true });
  });
  client.release();
  client.resetResult = undefined;
  return [checked, { client, done }];
}

describe('the end', () => {
  it('rejects those who wait, closes what is idle, and resolves when what is out has come back', async () => {
    open({ size: 2, maxOverflow: 0 });
    const [out, idle] = (await fake.acquireAll(2)) as [LeasedFakeClient, LeasedFakeClient];
    const waiting = observe(pool.acquire());
    idle.release();
    await flushPromises();
    const second = waiting.client as LeasedFakeClient;
    const rejected = observe(pool.acquire());
    const ended = jest.fn();
    void pool.end().then(ended);
    await flushPromises();
    expect(rejected.error?.code).toBe('POOL_CLOSED');
    expect(pool.snapshot().counters.closed).toBe(1);
    expect([pool.ending, pool.snapshot().state]).toEqual([true, 'ending']);
    out.release();
    await flushPromises();
    expect(ended).not.toHaveBeenCalled();
    second.release();
    await flushPromises();
    expect(ended).toHaveBeenCalled();
    expect(pool.ended).toBe(true);
    expect(pool.snapshot().state).toBe('ended');
  });

  it('ends at once when nothing was ever opened', async () => {
    open();
    await pool.end();
    expect(pool.ended).toBe(true);
  });

  it('rejects a second end, and every acquire after the first', async () => {
    open();
    await pool.end();
    await expect(pool.end()).rejects.toThrow('Called end on pool more than once');
    await expect(pool.acquire()).rejects.toMatchObject({
      code: 'POOL_CLOSED',
      message: expect.stringContaining('Cannot use a pool after calling end on the pool'),
    });
  });

  it('serves those for whom a connection is being opened, asked or cleaned, and keeps no more than wait', async () => {
    open({ size: 4, maxOverflow: 0 });
    const [checked, cleaned] = await halfway();
    const asked = [1, 2, 3].map(() => observe(pool.acquire()));
    const givesUp = new AbortController();
    const fourth = observe(pool.acquire({ signal: givesUp.signal }));
    const beyond = observe(pool.acquire());
    await flushPromises();
    expect(pool.snapshot()).toMatchObject({ connecting: 2, validating: 1, resetting: 1 });
    const ended = jest.fn();
    void pool.end().then(ended);
    await flushPromises();
    expect(beyond.error?.code).toBe('POOL_CLOSED');
    givesUp.abort();
    await flushPromises();
    expect(fourth.error?.code).toBe('POOL_ACQUIRE_CANCELLED');
    expect(pool.snapshot()).toMatchObject({ state: 'ending', total: 3, waiting: 3, connecting: 1 });
    checked.completeValidation();
    cleaned.done();
    server.clients[2]?.completeConnect();
    await flushPromises();
    const served = asked.map(({ client }) => client);
    expect(served).toEqual([checked, cleaned.client, server.clients[2]]);
    expect(ended).not.toHaveBeenCalled();
    for (const client of served) client?.release();
    await flushPromises();
    expect(ended).toHaveBeenCalled();
  });

  it('rejects a waiter whose dial or check fails, since there will be no other, and tells why', async () => {
    open({ size: 3, maxOverflow: 0 });
    const [checked, cleaned] = await halfway();
    const asked = [1, 2, 3].map(() => observe(pool.acquire()));
    await flushPromises();
    const ended = pool.end();
    checked.completeValidation(new Error('dead'));
    await flushPromises();
    server.clients[2]?.completeConnect(new Error('refused'));
    await flushPromises();
    expect(asked.map(({ error }) => error?.code)).toEqual([undefined, 'POOL_CLOSED', 'POOL_CLOSED']);
    expect(asked.map(({ error }) => (error?.cause as Error | undefined)?.message)).toEqual([
      undefined,
      'refused',
      expect.stringContaining('dead'),
    ]);
    cleaned.done();
    await flushPromises();
    asked[0]?.client?.release();
    await ended;
    expect(server.clients.length).toBe(3);
  });

  it('leaves a dial that nobody waits for any more, also when the last one was too late', async () => {
    open({ size: 1, maxOverflow: 0 });
    server.isConnectManual = true;
    const late = observe(pool.acquire({ deadlineMs: 50 }));
    const ended = jest.fn();
    void pool.end().then(ended);
    await clock.advance(50);
    expect(late.error?.code).toBe('POOL_ACQUIRE_TIMEOUT');
    expect(ended).toHaveBeenCalled();
  });

  it('of a drain destroys connections that are still being opened, asked or cleaned, also after an end', async () => {
    for (const ended of [false, true]) {
      open({ size: 3, maxOverflow: 0 });
      await halfway();
      const asked = [1, 2, 3].map(() => observe(pool.acquire()));
      await flushPromises();
      expect(pool.snapshot()).toMatchObject({ connecting: 1, validating: 1, resetting: 1 });
      if (ended) void pool.end();
      await flushPromises();
      expect(pool.snapshot().waiting).toBe(3);
      const drained = pool.drain({ timeoutMs: 10 });
      await clock.advance(10);
      await drained;
      expect(asked.map(({ error }) => error?.code)).toEqual(['POOL_CLOSED', 'POOL_CLOSED', 'POOL_CLOSED']);
      expect(server.open).toEqual([]);
    }
  });
});

describe('a drain', () => {
  it('lends on until nothing is out and nobody waits, then closes', async () => {
    open({ max: 1 });
    const first = await pool.acquire();
    const drained = pool.drain({ timeoutMs: 10_000 });
    expect(pool.snapshot().state).toBe('draining');
    const second = observe(pool.acquire());
    first.release();
    await flushPromises();
    expect(second.client).toBe(first);
    second.client?.release();
    await flushPromises();
    expect(await drained).toEqual({ released: 2, destroyed: 0, rejected: 0 });
    expect(pool.ended).toBe(true);
    await expect(pool.acquire()).rejects.toMatchObject({ code: 'POOL_CLOSED' });
  });

  it('goes on while one of several is out, and while one of several waits', async () => {
    open({ size: 2, maxOverflow: 0 });
    const [first, second] = (await fake.acquireAll(2)) as [LeasedFakeClient, LeasedFakeClient];
    const drained = pool.drain({ timeoutMs: 10_000 });
    first.release();
    await flushPromises();
    expect(pool.snapshot().state).toBe('draining');
    second.release(true);
    await drained;
    open({ size: 2, maxOverflow: 0 });
    server.isConnectManual = true;
    const abort = new AbortController();
    const asked = observe(pool.acquire());
    const givenUp = observe(pool.acquire({ signal: abort.signal }));
    const drainedToo = pool.drain({ timeoutMs: 10_000 });
    abort.abort();
    await flushPromises();
    expect([givenUp.error?.code, pool.snapshot().state]).toEqual(['POOL_ACQUIRE_CANCELLED', 'draining']);
    for (const client of server.clients) client.completeConnect();
    await flushPromises();
    asked.client?.release();
    expect(await drainedToo).toEqual({ released: 1, destroyed: 0, rejected: 0 });
  });

  it('ends at once when nothing is out and nobody waits', async () => {
    open();
    (await pool.acquire()).release();
    expect(await pool.drain({ timeoutMs: 10_000 })).toEqual({ released: 0, destroyed: 0, rejected: 0 });
  });

  it('cancels what still runs at its end, and lets a borrower give back what was cancelled', async () => {
    open({ max: 1 });
    const client = await pool.acquire();
    const waiting = observe(pool.acquire());
    const drained = pool.drain({ timeoutMs: 1_000 });
    await clock.advance(1_000);
    expect(client.cancelCount).toBe(1);
    expect(waiting.error?.code).toBe('POOL_CLOSED');
    client.release();
    await flushPromises();
    expect(await drained).toEqual({ released: 1, destroyed: 0, rejected: 1 });
    expect(client.destroyedBy).toBeUndefined();
  });

  it('gives each of several half a second after the cancel, whoever comes back first', async () => {
    open({ size: 2, maxOverflow: 0 });
    const [first, second] = (await fake.acquireAll(2)) as [LeasedFakeClient, LeasedFakeClient];
    const drained = pool.drain({ timeoutMs: 1_000 });
    await clock.advance(1_000);
    first.release();
    await clock.advance(499);
    expect(second.destroyedBy).toBeUndefined();
    second.release();
    expect(await drained).toEqual({ released: 2, destroyed: 0, rejected: 0 });
  });

  it('cuts what does not come back even then', async () => {
    open({ max: 1 });
    const client = await pool.acquire();
    const drained = pool.drain({ timeoutMs: 1_000 });
    await clock.advance(1_500);
    expect(await drained).toEqual({ released: 0, destroyed: 1, rejected: 0 });
    expect(client.destroyedBy).toMatchObject({ code: 'POOL_CLOSED' });
    client.release();
    expect(pool.snapshot().counters.released).toBe(0);
  });

  it('is the same drain when it is called again, and an end after it waits for it', async () => {
    open({ max: 1 });
    const client = await pool.acquire();
    const drained = pool.drain({ timeoutMs: 1_000 });
    expect(pool.drain({ timeoutMs: 5 })).toBe(drained);
    client.release();
    await drained;
    await pool.end();
  });

  it('ends an end that would wait for ever', async () => {
    open({ max: 1 });
    await pool.acquire();
    const ended = jest.fn();
    void pool.end().then(ended);
    const drained = pool.drain({ timeoutMs: 100 });
    await clock.advance(600);
    await drained;
    await flushPromises();
    expect(ended).toHaveBeenCalled();
  });
});

describe('figures and words', () => {
  it('counts waits and uses in histograms', async () => {
    open({ max: 1 });
    const first = await pool.acquire();
    const second = observe(pool.acquire());
    await clock.advance(150);
    first.release();
    await flushPromises();
    await clock.advance(3);
    second.client?.release();
    const { wait, use, counters } = pool.snapshot();
    expect(wait).toMatchObject({ count: 2, sumMs: 150, maxMs: 150 });
    expect(use).toMatchObject({ count: 2, sumMs: 153, maxMs: 150 });
    expect(wait.counts[wait.boundsMs.indexOf(200)]).toBe(1);
    expect(counters).toMatchObject({ acquired: 2, released: 2, created: 1 });
  });

  it('tells the age of the oldest lease and waiter', async () => {
    open({ max: 1 });
    await pool.acquire();
    await clock.advance(100);
    observe(pool.acquire());
    await clock.advance(50);
    expect(pool.snapshot()).toMatchObject({ oldestLeaseMs: 150, oldestWaiterMs: 50 });
  });

  it('shows neither password nor key of TLS in inspect and JSON, and leaves the options of its caller alone', () => {
    const options = {
      connectionString: 'postgres://u:s3cret@h/d',
      password: 's3cret',
      ssl: { key: 's3cret', passphrase: 's3cret' },
      max: 3,
    };
    const before = structuredClone(options);
    open(options);
    for (const thing of [pool, pool.options, pool.snapshot(), { pool }]) {
      expect(inspect(thing, { depth: 10, showHidden: false })).not.toContain('s3cret');
      expect(JSON.stringify(thing)).not.toContain('s3cret');
    }
    expect(pool.options).toMatchObject({ max: 3, password: 's3cret' });
    expect(options).toEqual(before);
  });

  it('hides the password of a statement from errors and warnings', async () => {
    open({ max: 1, leakThresholdMs: 1_000 });
    const client = await pool.acquire();
    client.lastSql = "ALTER ROLE app PASSWORD 's3cret''s'";
    await clock.advance(1_000);
    expect(JSON.stringify(fake.warnings)).toContain("PASSWORD '***'");
    expect(JSON.stringify(fake.warnings)).not.toContain('s3cret');
  });

  it('warns by the process when nobody was named to listen, and by nobody when that was asked for', async () => {
    const emitted = jest.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
    open({ onWarning: undefined, leakThresholdMs: 1_000 });
    await pool.acquire();
    await clock.advance(1_000);
    expect(emitted).toHaveBeenCalledWith(
      expect.stringContaining('Possible connection leak'),
      expect.objectContaining({ type: 'PoolWarning', code: 'CONNECTION_LEAK' }),
    );
    emitted.mockClear();
    const silent = new FakePool({ onWarning: false, leakThresholdMs: 1_000 });
    await silent.pool.acquire();
    await silent.clock.advance(1_000);
    expect(emitted).not.toHaveBeenCalled();
    await silent.close();
  });

  it('goes on when a listener throws, and lets the error surface on its own', async () => {
    const thrown: unknown[] = [];
    const nextTick = jest.spyOn(process, 'nextTick').mockImplementation((callback) => {
      try {
        (callback as () => void)();
      } catch (error) {
        thrown.push(error);
      }
    });
    open({
      onWarning: () => {
        throw new Error('from onWarning');
      },
      leakThresholdMs: 1_000,
    });
    pool.on('acquire', () => {
      throw new Error('from acquire');
    });
    const client = await pool.acquire();
    await clock.advance(1_000);
    client.release();
    nextTick.mockRestore();
    expect(thrown.map(String)).toEqual([
      'Error: from acquire',
      'Error: from onWarning',
      'Error: from onWarning',
    ]);
    expect(pool.snapshot()).toMatchObject({ idle: 1, leased: 0 });
  });

  it('tells log in words what it does with connections, and nothing of what it lends', async () => {
    const log = jest.fn();
    open({ log });
    const client = await pool.acquire();
    expect(log.mock.calls).toEqual([['opening a connection'], ['opened a connection']]);
    client.release();
    await clock.advance(501);
    log.mockClear();
    (await pool.acquire()).release(true);
    expect(log.mock.calls).toEqual([
      ['validating a connection'],
      ['closing a connection', 'released-with-error'],
    ]);
  });

  it('takes no timer and asks nobody for a snapshot', async () => {
    open({ minIdle: 1 });
    await flushPromises();
    const timers = clock.timerCount;
    for (let round = 0; round < 100; round += 1) pool.snapshot();
    expect([clock.timerCount, server.clients.map(({ validations }) => validations)]).toEqual([timers, [0]]);
  });

  it('unrefs idle connections and refs lent ones under allowExitOnIdle', async () => {
    open({ allowExitOnIdle: true });
    const client = await pool.acquire();
    client.release();
    await pool.acquire();
    expect(client.refs).toEqual(['ref', 'unref', 'ref']);
  });

  it('names every wrong option at once', () => {
    expect(() => new ConnectionPool({ size: -1, maxOverflow: Number.NaN, reset: 'hard' as never })).toThrow(
      /size[^]*maxOverflow[^]*reset/,
    );
    expect(() => new ConnectionPool({ size: 0, maxOverflow: 0 })).toThrow(/both 0/);
    expect(() => new ConnectionPool({ max: -2 })).toThrow(/max/);
  });
});
