import { randomBytes } from 'node:crypto';
import pg from 'pg';

export interface TestDatabase {
  readonly name: string;
  /** For `app`, an ordinary user who owns the database. */
  readonly url: string;
  readonly superuserUrl: string;
  /** One statement as superuser on a connection of its own; the answer is its rows. */
  sql<Row extends pg.QueryResultRow = pg.QueryResultRow>(
    text: string,
    parameters?: unknown[],
  ): Promise<Row[]>;
  /** Removes the database; whoever is still connected is thrown out. */
  drop(): Promise<void>;
}

/** A new, empty database on the server that all specs share. */
export async function createTestDatabase(): Promise<TestDatabase> {
  const name = `test_${randomBytes(8).toString('hex')}`;
  const admin = fromEnvironment('TEST_DATABASE_SUPERUSER_URL');
  const superuserUrl = withDatabase(admin, name);
  await query(admin, `CREATE DATABASE ${name} OWNER app`);
  return {
    name,
    url: withDatabase(fromEnvironment('TEST_DATABASE_URL'), name),
    superuserUrl,
    sql: (text, parameters) => query(superuserUrl, text, parameters),
    drop: async () => {
      await query(admin, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
    },
  };
}

function fromEnvironment(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set: global-setup.mjs has to run first`);
  return value;
}

function withDatabase(url: string, database: string): string {
  const changed = new URL(url);
  changed.pathname = `/${database}`;
  return changed.href;
}

async function query<Row extends pg.QueryResultRow>(
  url: string,
  text: string,
  parameters: unknown[] = [],
): Promise<Row[]> {
  const client = new pg.Client(url);
  // A server that goes away meanwhile is reported by the query.
  client.on('error', () => undefined);
  await client.connect();
  try {
    return (await client.query<Row>(text, parameters)).rows;
  } finally {
    await client.end();
  }
}
