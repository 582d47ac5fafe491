import { AsyncLocalStorage } from 'node:async_hooks';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { ConnectionPool } from '../../src/pool/index.js';
import type { PoolOptions, PoolWarning } from '../../src/pool/index.js';
import type { Connection } from '../../src/pool/index.js';
import { createTestDatabase } from '../support/database.js';
import type { TestDatabase } from '../support/database.js';

describe('ConnectionPool on a real server', () => {
  let database: TestDatabase;
  let pool: ConnectionPool;
  let warnings: PoolWarning[];

  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterAll(() => database.drop());
  afterEach(() => pool.drain({ timeoutMs: 0 }));

  const open = (options: PoolOptions<Connection> = {}) => {
    warnings = [];
    pool = new ConnectionPool({
      connectionString: database.url,
      onWarning: (warning) => void warnings.push(warning),
      ...options,
    });
    return pool;
  };

  it('leases a connection, which runs a query and returns to the pool at its release', async () => {
    open();
    const client = await pool.connect();
    const { rows } = await client.query('SELECT 1 AS one');
    client.release();
    expect(rows).toEqual([{ one: 1 }]);
    expect(pool.snapshot()).toMatchObject({ idle: 1, leased: 0, total: 1 });
    expect(() => client.release()).toThrow('already been released');
  });

  it('opens connections outside the async context of the borrower, which their sockets would keep', async () => {
    open({ max: 1 });
    const context = new AsyncLocalStorage<string>();
    const client = await context.run('the first borrower', () => pool.connect());
    const contextOfCallback = await new Promise((resolve) => {
      client.query('SELECT 1', () => resolve(context.getStore()));
    });
    client.release();
    expect(contextOfCallback).toBeUndefined();
  });

  it('shows the last statement of the current borrower, not of an earlier one', async () => {
    open({ max: 1 });
    const first = await pool.connect();
    await first.query('SELECT 1 AS first_statement');
    expect(pool.leaseOf(first)?.lastSql).toBe('SELECT 1 AS first_statement');
    first.release();
    const second = await pool.connect();
    expect(second).toBe(first);
    expect(pool.leaseOf(second)?.lastSql).toBeUndefined();
    second.release();
  });

  it.each(['RESET ALL', 'DISCARD ALL', 'RESET search_path'])(
    'restores the settings of onConnect after a borrower has run %s',
    async (statement) => {
      open({ max: 1, onConnect: (client) => client.query('SET search_path = tenant_a') });
      await pool.query(statement);
      const { rows } = await pool.query('SHOW search_path');
      expect(rows).toEqual([{ search_path: 'tenant_a' }]);
    },
  );

  it('rolls back a transaction that was left open before the next lease, and names its borrower', async () => {
    open({ max: 1 });
    const first = await pool.acquire({ borrower: 'GET /forgotten' });
    await first.query('CREATE TABLE forgotten (id int)');
    await first.query('BEGIN');
    await first.query('INSERT INTO forgotten VALUES (1)');
    first.release();
    const second = await pool.connect();
    await second.query('COMMIT');
    const { rows } = await second.query('SELECT * FROM forgotten');
    second.release();
    expect(rows).toEqual([]);
    expect(warnings).toMatchObject([
      { code: 'TRANSACTION_LEFT_OPEN', lease: { borrower: 'GET /forgotten', inTransaction: true } },
    ]);
  });

  it('undoes the settings of a borrower before the next lease, and keeps those of the pool', async () => {
    open({ max: 1, session: { search_path: 'pg_catalog' }, statement_timeout: 12_345 });
    const first = await pool.connect();
    await first.query("SET search_path TO public; SET statement_timeout TO '1s'");
    first.release();
    const { rows } = await pool.query(
      "SELECT current_setting('search_path') AS path, current_setting('statement_timeout') AS timeout",
    );
    expect(rows).toEqual([{ path: 'pg_catalog', timeout: '12345ms' }]);
    expect(pool.snapshot().counters.resets).toBe(1);
  });
});
