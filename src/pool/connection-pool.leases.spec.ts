import { describe, expect, it, jest } from '@jest/globals';
import { inspect } from 'node:util';
import { clock, fake, open, pool, server } from '../../test/support/open-fake-pool.js';
import { FakePool, observe } from '../../test/support/fake-pool.js';
import type { LeasedFakeClient } from '../../test/support/fake-pool.js';
import { flushPromises } from '../../test/support/virtual-clock.js';
import { ConnectionPool } from './connection-pool.js';

describe('Leak detection', () => {
  it('warns once of a lease above the threshold, with stack, borrower, age, last SQL and transaction', async () => {
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

  it('ignores a connection that runs a statement, and measures again from its end', async () => {
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

  it("keeps the frames of the user's code far below the pool", async () => {
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

  it('does not warn of a connection that was released in time', async () => {
    open({ leakThresholdMs: 2_000 });
    for (let round = 0; round < 5; round += 1) {
      const client = await pool.acquire();
      await clock.advance(1_500);
      client.release();
    }
    expect(fake.warnings).toEqual([]);
  });

  it('forcibly reclaims a connection after reclaimAfterMs, frees its capacity, and accepts the late release', async () => {
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

  it('reclaims a connection whose onReclaimed throws, and rethrows that error', async () => {
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

  it('allows the borrower to be named after the acquire, and lists the leases', async () => {
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

describe('Snapshots and messages', () => {
  it('count waits and uses in histograms', async () => {
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

  it('show the age of the oldest lease and of the oldest waiter', async () => {
    open({ max: 1 });
    await pool.acquire();
    await clock.advance(100);
    observe(pool.acquire());
    await clock.advance(50);
    expect(pool.snapshot()).toMatchObject({ oldestLeaseMs: 150, oldestWaiterMs: 50 });
  });

  it("contain neither password nor TLS key in inspect and JSON, and leave the caller's options unchanged", () => {
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

  it('mask the password in a statement of an error or warning', async () => {
    open({ max: 1, leakThresholdMs: 1_000 });
    const client = await pool.acquire();
    client.lastSql = "ALTER ROLE app PASSWORD 's3cret''s'";
    await clock.advance(1_000);
    expect(JSON.stringify(fake.warnings)).toContain("PASSWORD '***'");
    expect(JSON.stringify(fake.warnings)).not.toContain('s3cret');
  });

  it('are process warnings without onWarning, and nothing with onWarning: false', async () => {
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

  it('are complete when a listener throws, and its error is rethrown', async () => {
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

  it('pass debug messages about connections to log, and none about leases', async () => {
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

  it('cost no timer and no validation', async () => {
    open({ minIdle: 1 });
    await flushPromises();
    const timers = clock.timerCount;
    for (let round = 0; round < 100; round += 1) pool.snapshot();
    expect([clock.timerCount, server.clients.map(({ validations }) => validations)]).toEqual([timers, [0]]);
  });

  it('refs a leased client and unrefs an idle one with allowExitOnIdle', async () => {
    open({ allowExitOnIdle: true });
    const client = await pool.acquire();
    client.release();
    await pool.acquire();
    expect(client.refs).toEqual(['ref', 'unref', 'ref']);
  });

  it('name every invalid option in one error', () => {
    expect(() => new ConnectionPool({ size: -1, maxOverflow: Number.NaN, reset: 'hard' as never })).toThrow(
      /size[^]*maxOverflow[^]*reset/,
    );
    expect(() => new ConnectionPool({ size: 0, maxOverflow: 0 })).toThrow(/both 0/);
    expect(() => new ConnectionPool({ max: -2 })).toThrow(/max/);
  });
});
