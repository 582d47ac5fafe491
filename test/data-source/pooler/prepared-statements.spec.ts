import { afterAll, afterEach, beforeAll, expect, it } from '@jest/globals';
import type { DatabaseModuleOptions } from 'nestjs-database';
import { ConnectionPool } from '../../../src/pool/index.js';
import { describeWithPgBouncer } from '../../support/describe-with-pgbouncer.js';
import { NestModule } from '../../support/nest-module.js';
import { startPgBouncer } from '../../support/pgbouncer.js';
import type { PgBouncer, PoolMode } from '../../support/pgbouncer.js';
import { startPostgres } from '../../support/postgres-server.js';
import type { PostgresServer } from '../../support/postgres-server.js';

const TEXT = 'SELECT $1::int AS n';
const preparedTexts = `SELECT count(*)::int AS n FROM pg_prepared_statements WHERE name LIKE 'ndb_%'`;

describeWithPgBouncer('Prepared statements behind a PgBouncer', () => {
  let server: PostgresServer;
  const bouncers = new Map<PoolMode, PgBouncer>();
  const nest = new NestModule();

  beforeAll(async () => {
    server = await startPostgres();
    for (const mode of ['transaction', 'session'] as const)
      bouncers.set(
        mode,
        // Without max_prepared_statements, and in versions before 1.21, PgBouncer does not support prepared statements.
        await startPgBouncer({ url: server.url, mode, settings: { default_pool_size: 3 } }),
      );
  });
  afterEach(() => nest.close());
  afterAll(async () => {
    for (const bouncer of bouncers.values()) await bouncer.stop();
    await server.stop();
  });

  const start = (mode: PoolMode, options: DatabaseModuleOptions = {}) =>
    nest.start({ url: bouncers.get(mode)!.url, pool: { size: 3, maxOverflow: 0 }, ...options });
  const startLine = () =>
    nest.logger.of('DatabaseModule').find((line) => line.startsWith('Connected to database'));
  /** Runs statements on all connections at the same time. */
  const work = (query: (text: string, values: unknown[]) => Promise<{ n: number }[]>) =>
    Promise.all(
      Array.from({ length: 60 }, async (_, n) => {
        expect(await query(TEXT, [n])).toEqual([{ n }]);
      }),
    );

  it('in transaction mode are not used, and the start says so', async () => {
    const dataSource = await start('transaction');
    expect(startLine()).toContain(
      'pooler (detected, transaction mode assumed), no prepared statements, pool',
    );
    await work((text, values) => dataSource.query(text, values));
    expect(await dataSource.query(preparedTexts)).toEqual([{ n: 0 }]);
  });

  /** TEST_PREPARED_STATEMENTS replaces the default. */
  const itByDefault = process.env.TEST_PREPARED_STATEMENTS === undefined ? it : it.skip;
  itByDefault('in session mode are used', async () => {
    const dataSource = await start('session', { pooler: 'session' });
    expect(startLine()).toContain('pooler in session mode, pool');
    await work((text, values) => dataSource.query(text, values));
    expect(await dataSource.query(preparedTexts)).toEqual([{ n: 1 }]);
  });

  it('are used when the app says that the pooler supports them, and given up when it does not', async () => {
    const dataSource = await start('transaction', { preparedStatements: { threshold: 2 } });
    expect(startLine()).not.toContain('no prepared statements');
    await work((text, values) => dataSource.query(text, values));
    await work((text, values) => dataSource.query(text, values));
  });

  it('are given up by a pool that knows of no pooler, and its callers do not notice', async () => {
    const pool = new ConnectionPool({
      connectionString: bouncers.get('transaction')!.url,
      max: 6,
      preparedStatements: { threshold: 1 },
    });
    const query = async (text: string, values: unknown[]) =>
      (await pool.query<{ n: number }>(text, values)).rows;
    await work(query);
    // Transactions take the sessions of the server from each other.
    await Promise.all(
      [1, 2, 3, 4, 5, 6].map(async () => {
        const client = await pool.connect();
        await client.query('BEGIN');
        await client.query('SELECT pg_sleep(0.01)');
        await client.query('COMMIT');
        client.release();
      }),
    );
    await work(query);
    await pool.end();
  });
});
