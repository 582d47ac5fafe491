import { describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { createTestDatabase } from './database.js';

describe('createTestDatabase', () => {
  it('creates independent databases', async () => {
    const [one, other] = await Promise.all([createTestDatabase(), createTestDatabase()]);
    try {
      await one.sql('CREATE TABLE only_here (id int)');
      expect(await one.sql("SELECT to_regclass('only_here')::text AS found")).toEqual([
        { found: 'only_here' },
      ]);
      expect(await other.sql("SELECT to_regclass('only_here')::text AS found")).toEqual([{ found: null }]);
    } finally {
      await Promise.all([one.drop(), other.drop()]);
    }
  });

  it('accepts an ordinary user, which owns the database', async () => {
    const database = await createTestDatabase();
    const client = new pg.Client(database.url);
    await client.connect();
    try {
      await client.query('CREATE SCHEMA shop CREATE TABLE items (id int)');
      const { rows } = await client.query(
        'SELECT current_user, current_database(), rolsuper FROM pg_roles WHERE rolname = current_user',
      );
      expect(rows).toEqual([{ current_user: 'app', current_database: database.name, rolsuper: false }]);
    } finally {
      await client.end();
      await database.drop();
    }
  });

  it('drops a database with open connections', async () => {
    const database = await createTestDatabase();
    const client = new pg.Client(database.url);
    const lost = new Promise((resolve) => client.once('error', resolve));
    client.on('error', () => undefined);
    await client.connect();
    await database.drop();
    expect(await lost).toMatchObject({ code: '57P01' });
    await expect(database.sql('SELECT 1')).rejects.toMatchObject({ code: '3D000' });
  });
});
