import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { DatabaseModuleOptions } from 'nestjs-database';
import pg from 'pg';
import { createTestDatabase } from '../../support/database.js';
import type { TestDatabase } from '../../support/database.js';
import { NestModule } from '../../support/nest-module.js';

describe.each(['lazy', 'verify'] as const)('a TypeORM setting with startup %s', (startup) => {
  let database: TestDatabase;
  const nest = new NestModule();

  const start = async (options: DatabaseModuleOptions) => {
    return nest.start({ url: database.url, startup, ...options });
  };

  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterEach(async () => {
    // A setting of the whole process.
    pg.defaults.parseInt8 = false;
    await nest.close();
  });
  afterAll(() => database.drop());

  it('parses bigints as numbers with parseInt8', async () => {
    const dataSource = await start({ parseInt8: true });
    expect(await dataSource.query('SELECT 42::int8 AS answer')).toEqual([{ answer: 42 }]);
  });

  it('logs notices and notifications of every connection with logNotifications', async () => {
    const dataSource = await start({ logNotifications: true, logging: ['info'], pool: { size: 2 } });
    const runners = [dataSource.createQueryRunner(), dataSource.createQueryRunner()];
    for (const [index, runner] of runners.entries())
      await runner.query(`DO $$ BEGIN RAISE NOTICE 'heard on connection ${index}'; END $$`);
    await runners[0]!.query('LISTEN news');
    await runners[0]!.query(`NOTIFY news, 'it works'`);
    expect(nest.logger.text).toContain('heard on connection 0');
    expect(nest.logger.text).toContain('heard on connection 1');
    expect(nest.logger.text).toContain('Received NOTIFY on channel news: it works.');
    await Promise.all(runners.map((runner) => runner.release()));
  });

  it('fails the start with an isolation level that PostgreSQL does not have', async () => {
    await expect(start({ isolationLevel: 'SNAPSHOT' })).rejects.toThrow(
      'SNAPSHOT isolation level is not supported',
    );
  });
});
