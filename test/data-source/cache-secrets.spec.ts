import { inspect } from 'node:util';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { Test } from '@nestjs/testing';
import { DatabaseModule } from 'nestjs-database';
import { DataSource } from 'typeorm';
import type { QueryResultCache } from 'typeorm/cache/QueryResultCache.js';
import { CapturingLogger } from '../support/capturing-logger.js';
import { createTestDatabase } from '../support/database.js';
import type { TestDatabase } from '../support/database.js';

const SECRET = 'the password of the cache';

/** Keeps its options, as the client of a cache does. */
class Cache implements QueryResultCache {
  readonly client = { options: { url: `redis://:${SECRET}@cache:6379` } };
  connect = () => Promise.resolve();
  disconnect = () => Promise.resolve();
  synchronize = () => Promise.resolve();
  getFromCache = () => Promise.resolve(undefined);
  storeInCache = () => Promise.resolve();
  isExpired = () => true;
  clear = () => Promise.resolve();
  remove = () => Promise.resolve();
}

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

it('a data source does not show the password of its cache when it is printed', async () => {
  const module = await Test.createTestingModule({
    imports: [DatabaseModule.forRoot({ url: database.url, cache: { provider: () => new Cache() } })],
  })
    .setLogger(new CapturingLogger())
    .compile();
  const dataSource = module.get(DataSource);
  expect(dataSource.queryResultCache).toBeInstanceOf(Cache);
  expect(inspect(dataSource, { depth: 12 })).not.toContain(SECRET);
  await module.close();
});
