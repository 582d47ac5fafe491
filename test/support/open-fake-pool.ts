import { afterEach, jest } from '@jest/globals';
import type { ConnectionPool, PoolOptions } from '../../src/pool/index.js';
import type { FakeClient, FakeServer } from './fake-client.js';
import { FakePool } from './fake-pool.js';
import type { VirtualClock } from './virtual-clock.js';

// The parts of the pool that the running test has opened. Each spec file has a copy of this module of its own.
export let fake: FakePool;
export let clock: VirtualClock;
export let server: FakeServer;
export let pool: ConnectionPool<FakeClient>;

/** Opens the pool of a test. It is closed after the test, which fails if a connection or a timer is left. */
export function open(options: PoolOptions<FakeClient> = {}): FakePool {
  fake = new FakePool(options);
  ({ clock, server, pool } = fake);
  return fake;
}

afterEach(async () => {
  jest.restoreAllMocks();
  await fake.close();
});
