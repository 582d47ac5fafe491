import { randomBytes } from 'node:crypto';
import pg from 'pg';

export interface TestDatabase {
  readonly name: string;
  /** The URL for `app`, an ordinary user that owns the database. */
  readonly url: string;
  readonly superuserUrl: string;
  /** Runs one statement as superuser, in autocommit, and resolves with its rows. */
  sql<Row extends pg.QueryResultRow = pg.QueryResultRow>(
    text: string,
    parameters?: unknown[],
  ): Promise<Row[]>;
  /** Removes the database and closes the connections to it. */
  drop(): Promise<void>;
}

/** Creates an empty database on the server that all specs share. */
export async function createTestDatabase(): Promise<TestDatabase> {
  const name = `test_${randomBytes(8).toString('hex')}`;
  const admin = fromEnvironment('TEST_DATABASE_SUPERUSER_URL');
  const superuserUrl = withDatabase(admin, name);
  // The strategy FILE_COPY takes a third of the time of the default one.
  await runOnce(admin, `CREATE DATABASE ${name} OWNER app STRATEGY file_copy`);
  const superuser = new SuperuserConnection(superuserUrl);
  return {
    name,
    url: withDatabase(fromEnvironment('TEST_DATABASE_URL'), name),
    superuserUrl,
    sql: (text, parameters) => superuser.query(text, parameters),
    drop: async () => {
      await superuser.close();
      await runOnce(admin, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
    },
  };
}

/** Keeps one connection open between statements: a login for each statement would cost more than most statements. */
class SuperuserConnection {
  private idle: pg.Client | undefined;

  constructor(private readonly url: string) {}

  async query<Row extends pg.QueryResultRow>(text: string, parameters: unknown[] = []): Promise<Row[]> {
    const { idle } = this;
    // Before the wait: another statement may make its connection the idle one meanwhile, which would be lost.
    this.idle = undefined;
    const client = idle ?? (await this.open());
    let rows: Row[];
    try {
      ({ rows } = await client.query<Row>(text, parameters));
    } catch (error) {
      // The error may be the loss of the connection.
      await client.end();
      throw error;
    }
    // Concurrent statements have a connection each, one of which is kept.
    if (this.idle) await client.end();
    else this.idle = client;
    return rows;
  }

  async close(): Promise<void> {
    const { idle } = this;
    this.idle = undefined;
    await idle?.end();
  }

  private async open(): Promise<pg.Client> {
    const client = await connect(this.url);
    client.once('end', () => {
      if (this.idle === client) this.idle = undefined;
    });
    return client;
  }
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

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client(url);
  // The query reports the loss of the connection.
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

async function runOnce(url: string, text: string): Promise<void> {
  const client = await connect(url);
  try {
    await client.query(text);
  } finally {
    await client.end();
  }
}
