import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Test } from '@nestjs/testing';
import type { TestingModule } from '@nestjs/testing';
import type { ManagedDataSource, DatabaseModuleOptions } from 'nestjs-database';
import { DatabaseModule } from 'nestjs-database';
import pg from 'pg';
import { DataSource } from 'typeorm';
import { CapturingLogger } from '../../support/capturing-logger.js';
import { createTestDatabase } from '../../support/database.js';
import type { TestDatabase } from '../../support/database.js';

describe.each(['lazy', 'verify'] as const)('with startup: %s', (startup) => {
  let database: TestDatabase;
  let module: TestingModule | undefined;
  let logger: CapturingLogger;

  const start = async (options: DatabaseModuleOptions) => {
    logger = new CapturingLogger();
    module = await Test.createTestingModule({
      imports: [DatabaseModule.forRoot({ url: database.url, startup, ...options })],
    })
      .setLogger(logger)
      .compile();
    return module.get<DataSource, ManagedDataSource>(DataSource);
  };

  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterEach(async () => {
    // One for the process.
    pg.defaults.parseInt8 = false;
    await module?.close();
    module = undefined;
  });
  afterAll(() => database.drop());

  it('parseInt8 makes numbers of bigints', async () => {
    const dataSource = await start({ parseInt8: true });
    expect(await dataSource.query('SELECT 42::int8 AS answer')).toEqual([{ answer: 42 }]);
  });

  it('logNotifications logs notices and notifications of every connection', async () => {
    const dataSource = await start({ logNotifications: true, logging: ['info'], pool: { size: 2 } });
    const runners = [dataSource.createQueryRunner(), dataSource.createQueryRunner()];
    for (const [index, runner] of runners.entries())
      await runner.query(`DO $$ BEGIN RAISE NOTICE 'heard on connection ${index}'; END $$`);
    await runners[0]!.query('LISTEN news');
    await runners[0]!.query(`NOTIFY news, 'it works'`);
    expect(logger.text).toContain('heard on connection 0');
    expect(logger.text).toContain('heard on connection 1');
    expect(logger.text).toContain('Received NOTIFY on channel news: it works.');
    await Promise.all(runners.map((runner) => runner.release()));
  });

  it('an isolation level that PostgreSQL does not have fails the start', async () => {
    await expect(start({ isolationLevel: 'SNAPSHOT' })).rejects.toThrow(
      'SNAPSHOT isolation level is not supported',
    );
  });
});
