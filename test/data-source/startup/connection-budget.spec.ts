import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Test } from '@nestjs/testing';
import type { TestingModule } from '@nestjs/testing';
import { DatabaseModule } from 'nestjs-database';
import type { DatabaseModuleOptions } from 'nestjs-database';
import pg from 'pg';
import { DataSource } from 'typeorm';
import { CapturingLogger } from '../../support/capturing-logger.js';
import { startPostgres } from '../../support/postgres-server.js';
import type { PostgresServer } from '../../support/postgres-server.js';

describe('the connection budget at start', () => {
  let server: PostgresServer;
  const modules: TestingModule[] = [];

  /** The warnings of a start. The app keeps running. */
  const start = async (options: DatabaseModuleOptions = {}) => {
    const logger = new CapturingLogger();
    const module = await Test.createTestingModule({
      imports: [
        DatabaseModule.forRoot({
          url: server.url,
          applicationName: 'mine',
          profile: 'production',
          ...options,
        }),
      ],
    })
      .setLogger(logger)
      .compile();
    modules.push(module);
    expect(await module.get(DataSource).query('SELECT 1 AS one')).toEqual([{ one: 1 }]);
    return logger.lines.filter(({ level }) => level === 'warn').map(({ message }) => message);
  };

  beforeAll(async () => {
    // 40 connections, less 3 for superusers and 2 reserved ones: 35.
    server = await startPostgres({ settings: { max_connections: 40, reserved_connections: 2 } });
  });
  afterEach(async () => {
    await Promise.all(modules.splice(0).map((module) => module.close()));
  });
  afterAll(() => server?.dispose());

  it('suffices for two instances and causes a warning for three', async () => {
    expect(await start({ instances: 2 })).toEqual([]);
    expect(await start({ instances: 3 })).toEqual([
      expect.stringMatching(
        /may open 45 connections: .* × 3 instance.* has 35 for it \(max_connections 40, 5 of them reserved; 0 in use/,
      ),
    ]);
  });

  it("counts the app's other instances as its own, and another app's connections as taken", async () => {
    const url = new URL(server.url);
    await start({ pool: { minIdle: 4 } });
    expect(await start({ instances: 2 })).toEqual([]);
    // Each of another role: an ordinary role sees few columns of their sessions.
    await server.sql(`CREATE ROLE another LOGIN PASSWORD 'x'`);
    for (let i = 0; i < 6; i += 1)
      await start({
        url: `postgres://another:x@${url.host}${url.pathname}`,
        applicationName: 'theirs',
        pool: { size: 1, maxOverflow: 0 },
      });
    expect(await start({ instances: 2 })).toEqual([
      expect.stringMatching(/has 29 for it .* 6 in use by others/),
    ]);
  });

  it('counts connections of the app whose name a tracing tool has changed as its own', async () => {
    const client = new pg.Client(server.url);
    await client.connect();
    await client.query("SET application_name = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'");
    try {
      expect(await start({ instances: 1, pool: { size: 20, maxOverflow: 15 } })).toEqual([]);
      expect(await start({ instances: 3 })).toEqual([expect.stringContaining('0 in use by others')]);
    } finally {
      await client.end();
    }
  });

  it('includes the connection limits of the role and of the database', async () => {
    await server.sql('ALTER ROLE app CONNECTION LIMIT 14');
    await server.sql('ALTER DATABASE app CONNECTION LIMIT 12');
    try {
      expect(await start()).toEqual([
        expect.stringContaining('has 14 for it (CONNECTION LIMIT 14 of the role'),
        expect.stringContaining('has 12 for it (CONNECTION LIMIT 12 of the database'),
      ]);
    } finally {
      await server.sql('ALTER ROLE app CONNECTION LIMIT -1');
      await server.sql('ALTER DATABASE app CONNECTION LIMIT -1');
    }
  });

  it('is skipped for a role that may not read the figures, and the start succeeds', async () => {
    await server.sql('REVOKE SELECT ON pg_stat_activity FROM PUBLIC');
    try {
      expect(await start({ instances: 1_000 })).toEqual([]);
    } finally {
      await server.sql('GRANT SELECT ON pg_stat_activity TO PUBLIC');
    }
  });

  it('costs one query', async () => {
    await server.reload({ log_statement: 'all' });
    const before = server.log.length;
    await start();
    await server.reload({ log_statement: 'none' });
    const asked = server.log
      .slice(before)
      .split('\n')
      .filter((line) => /execute .*(server_version|max_connections|pg_settings)/.test(line));
    expect(asked).toHaveLength(1);
  });
});
