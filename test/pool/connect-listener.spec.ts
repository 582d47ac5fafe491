import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { ConnectionPool } from '../../src/pool/index.js';
import type { Connection } from '../../src/pool/index.js';
import { createTestDatabase } from '../support/database.js';
import type { TestDatabase } from '../support/database.js';

let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

it('The pool keeps every setting of a connect listener that does not wait for its statements', async () => {
  const pool = new ConnectionPool({ connectionString: database.url, size: 1, maxOverflow: 0 });
  pool.on('connect', (client: Connection) => {
    void client.query("SET application_name = 'first'");
    void client.query("SET work_mem = '5MB'");
    void client.query('SELECT set_config($1, $2, false)', ['app.third', 'yes']);
  });
  const settings = async (client: Connection) =>
    (
      await client.query(
        `SELECT current_setting('application_name') AS first, current_setting('work_mem') AS second,
                current_setting('app.third', true) AS third, current_setting('lock_timeout') AS own`,
      )
    ).rows[0];
  const expected = { first: 'first', second: '5MB', third: 'yes', own: '0' };
  for (let lease = 1; lease <= 3; lease += 1) {
    const client = await pool.connect();
    expect(await settings(client)).toEqual(expected);
    client.release();
  }
  // The settings of the listener are no change by a borrower.
  expect(pool.snapshot().counters.resets).toBe(0);
  const client = await pool.connect();
  await client.query("SET lock_timeout = '1s'; SET work_mem = '9MB'");
  client.release();
  const next = await pool.connect();
  expect(await settings(next)).toEqual(expected);
  next.release();
  expect(pool.snapshot().counters.resets).toBe(1);
  await pool.end();
});
