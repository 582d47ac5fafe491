import { afterAll, afterEach, beforeAll, expect, it } from '@jest/globals';
import { MigrationError } from 'nestjs-database';
import type { DatabaseModuleOptions } from 'nestjs-database';
import { createTestDatabase } from '../../support/database.js';
import type { TestDatabase } from '../../support/database.js';
import { describeWithPgBouncer } from '../../support/describe-with-pgbouncer.js';
import { NestModule } from '../../support/nest-module.js';
import { startPgBouncer } from '../../support/pgbouncer.js';
import type { PgBouncer, PoolMode } from '../../support/pgbouncer.js';
import { migrationClass } from './migration-classes.js';

const first = migrationClass('first', 1, 'CREATE TABLE first (id int)', { down: 'DROP TABLE first' });

describeWithPgBouncer('migrations through PgBouncer', () => {
  let database: TestDatabase;
  let bouncer: PgBouncer | undefined;
  const nest = new NestModule();

  const start = async (mode: PoolMode, options: DatabaseModuleOptions = {}) => {
    bouncer = await startPgBouncer({ url: database.url, mode });
    return nest.start({ url: bouncer.url, migrations: [first], ...options });
  };
  const exists = async (table: string) =>
    (await database.sql<{ found: unknown }>('SELECT to_regclass($1) AS found', [table]))[0]!.found !== null;
  const sessions = () =>
    database.sql(`SELECT 1 FROM pg_locks WHERE locktype = 'advisory'
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`);

  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterEach(async () => {
    await nest.close();
    await bouncer?.dispose();
    bouncer = undefined;
    await database.sql('DROP TABLE IF EXISTS first, migrations');
  });
  afterAll(() => database.drop());

  it('in transaction mode are refused with what to do, before anything is changed', async () => {
    const dataSource = await start('transaction');
    for (const refused of [
      () => dataSource.runMigrations(),
      () => dataSource.undoLastMigration(),
      () => dataSource.migrator.plan(),
    ]) {
      const error = (await refused().catch((thrown: unknown) => thrown)) as MigrationError;
      expect(error).toBeInstanceOf(MigrationError);
      expect(error).toMatchObject({
        code: 'MIGRATION_POOLER',
        message:
          'The connection passes a pooler in transaction mode. Migrations are not run through it: their lock and their settings ' +
          '(lock_timeout, statement_timeout) belong to a session, and the pooler runs the next statement in the session of another client. Nothing was changed.',
        hint: expect.stringMatching(/^Set DB_DIRECT_URL/),
      });
    }
    expect(await dataSource.migrator.status()).toMatchObject({ executed: [], pending: [{}] });
    expect(await exists('migrations')).toBe(false);
  });

  it('in statement mode are refused as well', async () => {
    const dataSource = await start('statement', { pooler: 'statement' });
    await expect(dataSource.runMigrations()).rejects.toMatchObject({ code: 'MIGRATION_POOLER' });
  });

  it('fail the start before `dropSchema` drops anything', async () => {
    await database.sql('CREATE TABLE first (id int)');
    await expect(start('transaction', { migrationsRun: true, dropSchema: true })).rejects.toMatchObject({
      code: 'MIGRATION_POOLER',
    });
    expect(await exists('first')).toBe(true);
  });

  it('run on the direct connection, at the start and later', async () => {
    const dataSource = await start('transaction', { directUrl: database.url, migrationsRun: true });
    expect(await exists('first')).toBe(true);
    await dataSource.undoLastMigration();
    expect(await exists('first')).toBe(false);
    expect(await dataSource.runMigrations()).toHaveLength(1);
    expect(await sessions()).toEqual([]);
  });

  it('are refused when the direct connection passes a pooler too', async () => {
    const dataSource = await start('transaction');
    await nest.close();
    expect(dataSource.isInitialized).toBe(false);
    const again = await nest.start({ url: database.url, directUrl: bouncer!.url, migrations: [first] });
    await expect(again.runMigrations()).rejects.toMatchObject({
      code: 'MIGRATION_POOLER',
      message: expect.stringMatching(/^DB_DIRECT_URL leads through a pooler in transaction mode as well\./),
    });
  });

  it('in session mode run, and leave the session as it was', async () => {
    const dataSource = await start('session', { pooler: 'session', timeouts: { lockMs: 1_234 } });
    expect(await dataSource.runMigrations()).toHaveLength(1);
    expect(await dataSource.query('SHOW lock_timeout')).toEqual([{ lock_timeout: '1234ms' }]);
    expect(await sessions()).toEqual([]);
  });
});
