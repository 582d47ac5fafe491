import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { Connection, ConnectionPool } from '../../src/pool/index.js';
import { createTestDatabase } from '../support/database.js';
import type { TestDatabase } from '../support/database.js';
import { startPostgres } from '../support/postgres-server.js';

let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
  await database.sql(`
    CREATE FUNCTION to_tokyo() RETURNS void LANGUAGE plpgsql AS $$
    BEGIN PERFORM set_config('TimeZone', 'Asia/Tokyo', false); END $$`);
});
afterAll(() => database.drop());

async function open(connectionString = database.url): Promise<Connection> {
  const connection = new Connection({ connectionString, session: { TimeZone: 'Europe/Berlin' } });
  connection.on('error', () => undefined);
  await connection.connect();
  connection.finishSetup();
  return connection;
}

async function timeZoneOf(connection: Connection): Promise<string> {
  return (await connection.query('SHOW TimeZone')).rows[0].TimeZone;
}

it.each([
  ['a function', 'SELECT to_tokyo()'],
  ['an update of pg_settings', "UPDATE pg_settings SET setting = 'Asia/Tokyo' WHERE name = 'TimeZone'"],
])('A setting that the server reports changes the session, however it was set: by %s', async (_, sql) => {
  const connection = await open();
  expect(connection.isSessionChanged).toBe(false);
  await connection.query(sql);
  expect([connection.isSessionChanged, await timeZoneOf(connection)]).toEqual([true, 'Asia/Tokyo']);
  expect(await connection.reset('smart', 5_000)).toEqual({ rolledBack: false, cleared: true });
  expect([connection.isSessionChanged, await timeZoneOf(connection)]).toEqual([false, 'Europe/Berlin']);
  expect(connection.reset('smart', 5_000)).toBeUndefined();
  await connection.close();
});

it('A setting whose old value is reported at the end of the transaction has not changed the session', async () => {
  const connection = await open();
  for (const end of ['COMMIT', 'ROLLBACK']) {
    await connection.query('BEGIN');
    await connection.query("SET LOCAL TimeZone = 'Asia/Tokyo'");
    expect(await timeZoneOf(connection)).toBe('Asia/Tokyo');
    await connection.query(end);
    expect(connection.isSessionChanged).toBe(false);
  }
  await connection.query('BEGIN');
  await connection.query("SET LOCAL TimeZone = 'Asia/Tokyo'");
  expect(await connection.reset('smart', 5_000)).toEqual({ rolledBack: true, cleared: false });
  await connection.close();
});

it('A setting of a connect hook belongs to the clean session, even when a function has set it', async () => {
  const connection = new Connection({ connectionString: database.url });
  await connection.connect();
  await connection.query('SELECT to_tokyo()');
  connection.finishSetup();
  expect(connection.isSessionChanged).toBe(false);
  await connection.query("SET TimeZone = 'UTC'");
  await connection.reset('smart', 5_000);
  expect(connection.reset('smart', 5_000)).toBeUndefined();
  await connection.close();
});

it('A new default of the server causes at most one reset, and none when a validation receives it', async () => {
  const server = await startPostgres();
  try {
    const connections = await Promise.all([open(server.url), open(server.url)]);
    const reload = async (style: string) => {
      await server.sql(`ALTER SYSTEM SET DateStyle = '${style}'`);
      await server.sql('SELECT pg_reload_conf()');
    };
    const [first, second] = connections;
    const styleOf = async (connection: Connection) =>
      (await connection.query('SHOW DateStyle')).rows[0].DateStyle;
    await reload('ISO, DMY');
    while ((await styleOf(first)) !== 'ISO, DMY');
    expect(first.isSessionChanged).toBe(true);
    expect(await first.reset('smart', 5_000)).toEqual({ rolledBack: false, cleared: true });
    expect(first.reset('smart', 5_000)).toBeUndefined();
    await second.validate(5_000);
    expect([second.isSessionChanged, await styleOf(second)]).toEqual([false, 'ISO, DMY']);
    expect(second.isSessionChanged).toBe(false);
    await Promise.all(connections.map((connection) => connection.close()));
  } finally {
    await server.dispose();
  }
}, 60_000);

it.each([
  [
    'has an active statement',
    async (client: Connection) => void client.query('SELECT pg_sleep(60)').catch(() => undefined),
  ],
  ['has its session changed', (client: Connection) => client.query('SELECT to_tokyo()')],
  ['is in a transaction', (client: Connection) => client.query('BEGIN')],
])('A connection that was used after its release and %s is not leased again', async (_, useAfterRelease) => {
  const warnings: string[] = [];
  const pool = new ConnectionPool({
    connectionString: database.url,
    size: 1,
    maxOverflow: 0,
    onWarning: ({ code }) => warnings.push(code),
  });
  const client = await pool.connect();
  const { processID } = client as unknown as { processID: number };
  client.release();
  await useAfterRelease(client);
  const next = await pool.connect();
  expect((next as unknown as { processID: number }).processID).not.toBe(processID);
  expect(warnings).toEqual(['USED_AFTER_RELEASE']);
  await expect(client.query('SELECT 1')).rejects.toMatchObject({ code: 'CONNECTION_RESET_FAILED' });
  const alive = 'SELECT 1 FROM pg_stat_activity WHERE pid = $1';
  while ((await database.sql(alive, [processID])).length > 0);
  next.release();
  await pool.end();
});
