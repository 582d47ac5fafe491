import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Test } from '@nestjs/testing';
import type { TestingModule } from '@nestjs/testing';
import type { ManagedDataSource } from 'nestjs-database';
import { DatabaseModule } from 'nestjs-database';
import { DataSource } from 'typeorm';
import { CapturingLogger } from '../../support/capturing-logger.js';
import { startPostgres } from '../../support/postgres-server.js';
import type { PostgresServer } from '../../support/postgres-server.js';

let server: PostgresServer;
let module: TestingModule | undefined;
let logger: CapturingLogger;

beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server?.dispose());
afterEach(async () => {
  await module?.close();
  module = undefined;
});

async function start(kind: string, retries = 0, onWarning?: () => void): Promise<DataSource> {
  logger = new CapturingLogger();
  const warn = logger.warn.bind(logger);
  logger.warn = (...line: [unknown, ...unknown[]]) => {
    warn(...line);
    onWarning?.();
  };
  module = await Test.createTestingModule({
    imports: [
      DatabaseModule.forRoot({
        url: `${server.url}?target_session_attrs=${kind}`,
        connectRetry: retries,
        pool: { size: 1, maxOverflow: 0 },
      }),
    ],
  })
    .setLogger(logger)
    .compile();
  return module.get<DataSource, ManagedDataSource>(DataSource);
}

/** Connects with each value and returns the accepted ones. The errors of the others must name the reason. */
async function letIn(): Promise<string[]> {
  const kinds: string[] = [];
  for (const kind of ['any', 'read-write', 'read-only', 'primary', 'standby', 'prefer-standby']) {
    try {
      await start(kind);
      kinds.push(kind);
    } catch (error) {
      expect(error).toMatchObject({
        code: 'SERVER_KIND_REFUSED',
        message: expect.stringContaining(`target_session_attrs is ${kind}`),
      });
      expect(await connections()).toBe(0);
    }
    await module?.close();
    module = undefined;
  }
  return kinds;
}

/** Waits until the server has ended the sessions, which takes a moment. */
async function connections(): Promise<number> {
  for (let tries = 0; ; tries += 1) {
    const [row] = await server.sql<{ n: string }>(
      "SELECT count(*) AS n FROM pg_stat_activity WHERE usename = 'app'",
      [],
      'postgres',
    );
    if (Number(row?.n) === 0 || tries === 200) return Number(row?.n);
  }
}

describe('target_session_attrs', () => {
  it('accepts a primary with any, read-write, primary and prefer-standby', async () => {
    expect(await letIn()).toEqual(['any', 'read-write', 'primary', 'prefer-standby']);
  });

  it('accepts a primary with read-only transactions with any, read-only, primary and prefer-standby', async () => {
    await server.reload({ default_transaction_read_only: 'on' });
    expect(await letIn()).toEqual(['any', 'read-only', 'primary', 'prefer-standby']);
    await server.reload({ default_transaction_read_only: 'off' });
  });

  describe('with a standby', () => {
    beforeAll(() => server.becomeStandby(), 60_000);

    it('accepts it with any, read-only, standby and prefer-standby', async () => {
      expect(await letIn()).toEqual(['any', 'read-only', 'standby', 'prefer-standby']);
    });

    it('retries the start with primary until the standby is promoted', async () => {
      let promoted: Promise<unknown> | undefined;
      const dataSource = await start('primary', 20, () => {
        promoted ??= server.sql('SELECT pg_promote()', [], 'postgres');
      });
      await promoted;
      expect(logger.text).toContain('The server is a standby, and target_session_attrs is primary.');
      await dataSource.query('CREATE TABLE written (id int)');
    });
  });
});
