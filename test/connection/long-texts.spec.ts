import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { ConnectionPool } from '../../src/pool/index.js';
import { createTestDatabase } from '../support/database.js';
import type { TestDatabase } from '../support/database.js';

let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

it('A script of 8000 statements takes less than five seconds: its text is not read again for each command tag', async () => {
  await database.sql('CREATE TABLE notes (id int, text text); GRANT ALL ON notes TO app');
  const pool = new ConnectionPool({ connectionString: database.url });
  const script = Array.from(
    { length: 8_000 },
    (_, id) => `INSERT INTO notes (id, text) VALUES (${id}, '${'x'.repeat(100)}');`,
  ).join('\n');
  const began = performance.now();
  await pool.query(script);
  expect(performance.now() - began).toBeLessThan(5_000);
  expect((await pool.query('SELECT count(*)::int AS n FROM notes')).rows).toEqual([{ n: 8_000 }]);
  expect(pool.snapshot().counters.resets).toBe(0);
  await pool.end();
});
