import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { Connection, ConnectionPool } from '../../src/pool/index.js';
import { createTestDatabase } from '../support/database.js';
import type { TestDatabase } from '../support/database.js';

let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

const seen: unknown[] = [];

/** Overrides `query` as JavaScript does: in TypeScript, an override must repeat each overload of `pg`. */
class Observed extends Connection {
  static {
    const query = Connection.prototype.query as (...request: unknown[]) => unknown;
    Object.defineProperty(this.prototype, 'query', {
      value: function (this: Observed, ...request: unknown[]) {
        seen.push(request[0]);
        return query.apply(this, request);
      },
    });
  }
}

it('A class that extends Connection may override query, and its statements are still queued', async () => {
  const pool = new ConnectionPool({ connectionString: database.url, size: 1, maxOverflow: 0 }, Observed);
  const warned: Error[] = [];
  const onWarning = (warning: Error) => warned.push(warning);
  process.on('warning', onWarning);
  const client = await pool.connect();
  const answers = await Promise.all([client.query('SELECT 1 AS n'), client.query('SELECT 2 AS n')]);
  expect(answers.map(({ rows }) => rows[0].n)).toEqual([1, 2]);
  expect(seen).toEqual(['SELECT 1 AS n', 'SELECT 2 AS n']);
  const reason = new Error('terminated');
  client.destroy(reason);
  await expect(client.query('SELECT 3')).rejects.toBe(reason);
  client.release();
  await pool.end();
  process.off('warning', onWarning);
  expect(warned).toEqual([]);
});

it('A value that sends a statement on another connection while it is converted leaves both intact', async () => {
  const [outer, inner] = [1, 2].map(() => new Connection({ connectionString: database.url }));
  await Promise.all([outer!.connect(), inner!.connect()]);
  let nested: Promise<{ rows: unknown[] }> | undefined;
  const value = {
    toPostgres: () => {
      nested = inner!.query('SELECT $1::text AS value', ['inner']);
      return 'outer';
    },
  };
  const text = 'SELECT $1::text AS first, $2::text AS second';
  expect((await outer!.query(text, ['before', value])).rows).toEqual([{ first: 'before', second: 'outer' }]);
  expect((await nested)!.rows).toEqual([{ value: 'inner' }]);
  await Promise.all([outer!.end(), inner!.end()]);
});
