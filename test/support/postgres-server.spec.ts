import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { freePort } from './ports.js';
import { startPostgres } from './postgres-server.js';
import type { PostgresServer } from './postgres-server.js';
import { childrenOf, ended } from './processes.js';

async function connected(url: string): Promise<{ client: pg.Client; lost: Promise<unknown> }> {
  const client = new pg.Client(url);
  const lost = new Promise((resolve) => client.once('error', resolve));
  client.on('error', () => undefined);
  await client.connect();
  return { client, lost };
}

describe('startPostgres', () => {
  let server: PostgresServer;
  beforeAll(async () => {
    server = await startPostgres({ settings: { max_connections: 17, application_name: "it's" } });
  });
  afterAll(() => server?.dispose());

  it('answers on 127.0.0.1 to an ordinary user with a password, in UTF8, C and UTC', async () => {
    const { client } = await connected(server.url);
    const { rows } = await client.query(`
      SELECT current_user, current_database(), inet_server_addr()::text AS address,
             (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS super,
             pg_encoding_to_char(encoding) AS encoding, datcollate, current_setting('timezone') AS zone
        FROM pg_database WHERE datname = current_database()`);
    await client.end();
    expect(rows).toEqual([
      {
        current_user: 'app',
        current_database: 'app',
        address: '127.0.0.1/32',
        super: false,
        encoding: 'UTF8',
        datcollate: 'C',
        zone: 'UTC',
      },
    ]);
    const wrong = new URL(server.url);
    wrong.password = 'wrong';
    await expect(new pg.Client(wrong.href).connect()).rejects.toMatchObject({ code: '28P01' });
  });

  it('has the settings that were asked for', async () => {
    expect(await server.sql('SHOW max_connections')).toEqual([{ max_connections: '17' }]);
    expect(await server.sql('SHOW fsync')).toEqual([{ fsync: 'off' }]);
    expect(
      await server.sql("SELECT setting, source FROM pg_settings WHERE name = 'application_name'"),
    ).toEqual([{ setting: "it's", source: 'configuration file' }]);
  });

  it('runs statements as superuser', async () => {
    expect(await server.sql('SELECT current_user, $1::int + 1 AS sum', [41])).toEqual([
      { current_user: 'postgres', sum: 42 },
    ]);
    await expect(server.sql('SELECT nothing')).rejects.toMatchObject({ code: '42703' });
  });

  it('creates further databases', async () => {
    const { client } = await connected(await server.createDatabase('Second "one"'));
    const { rows } = await client.query('SELECT current_database()');
    await client.end();
    expect(rows).toEqual([{ current_database: 'Second "one"' }]);
  });

  it('reloads settings and host rules', async () => {
    await server.reload({ work_mem: '7MB' });
    expect(await server.sql('SHOW work_mem')).toEqual([{ work_mem: '7MB' }]);
    await server.hba(['host all all all reject']);
    await expect(new pg.Client(server.url).connect()).rejects.toMatchObject({ code: '28000' });
    await server.hba();
    await (await connected(server.url)).client.end();
  });

  it('restarts on the same port with the same data, however it was stopped', async () => {
    await server.sql('CREATE TABLE kept (how text)');
    const { port } = server;
    for (const mode of ['smart', 'fast', 'immediate'] as const) {
      await server.sql('INSERT INTO kept VALUES ($1)', [mode]);
      await server.sql('CHECKPOINT');
      await server.stop(mode);
      expect(server.pid).toBeUndefined();
      await expect(new pg.Client(server.url).connect()).rejects.toMatchObject({ code: 'ECONNREFUSED' });
      await server.start();
    }
    expect(server.port).toBe(port);
    expect(await server.sql('SELECT how FROM kept')).toEqual([
      { how: 'smart' },
      { how: 'fast' },
      { how: 'immediate' },
    ]);
  });

  it('waits for its clients in a smart stop and disconnects them in a fast one', async () => {
    const first = await connected(server.url);
    const stopping = server.stop('smart');
    expect((await first.client.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
    await first.client.end();
    await stopping;
    await server.start();
    const second = await connected(server.url);
    await server.restart('fast');
    expect(await second.lost).toMatchObject({ code: '57P01' });
  });

  it('can be killed without a message to its clients, and recovers', async () => {
    await server.sql('CREATE TABLE survived AS SELECT 1 AS id');
    await server.sql('CHECKPOINT');
    const { client, lost } = await connected(server.url);
    const processes = [server.pid ?? 0, ...childrenOf(server.pid ?? 0)];
    expect(processes.length).toBeGreaterThan(3);
    await server.kill();
    await ended(processes, 0);
    expect(await lost).not.toHaveProperty('severity');
    expect(client).toBeDefined();
    await server.start();
    expect(server.log).toContain('not properly shut down');
    expect(await server.sql('SELECT id FROM survived')).toEqual([{ id: 1 }]);
  });

  it('runs several servers at the same time and leaves nothing behind', async () => {
    const servers = await Promise.all([startPostgres(), startPostgres(), startPostgres()]);
    expect(new Set(servers.map(({ port }) => port)).size).toBe(3);
    const processes = servers.flatMap(({ pid = 0 }) => [pid, ...childrenOf(pid)]);
    await Promise.all(servers.map((each) => each.dispose()));
    await ended(processes, 0);
    expect(servers.filter(({ folder }) => existsSync(folder))).toEqual([]);
  });

  it('takes another port when the one that was free a moment ago is taken', async () => {
    const occupant = createServer().listen(0, '127.0.0.1');
    await once(occupant, 'listening');
    const taken = (occupant.address() as AddressInfo).port;
    const ports = [taken, await freePort()];
    try {
      const other = await startPostgres({ port: async () => ports.shift() ?? freePort() });
      expect(other.port).not.toBe(taken);
      await other.dispose();
      await expect(startPostgres({ port: taken })).rejects.toThrow('Address already in use');
    } finally {
      occupant.close();
    }
  });
});
