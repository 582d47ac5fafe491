import { expect } from '@jest/globals';
import { ConnectionPool } from '../../src/pool/index.js';
import type { LeasedClient, PoolOptions, PoolWarning } from '../../src/pool/index.js';
import { FakeServer } from './fake-client.js';
import type { FakeClient } from './fake-client.js';
import { VirtualClock } from './virtual-clock.js';

export type LeasedFakeClient = LeasedClient<FakeClient>;

/** The outcome of an acquire so far. */
export interface AcquireOutcome {
  client?: LeasedFakeClient;
  error?: Error & { code?: string };
}

export function observe(acquired: Promise<LeasedFakeClient>): AcquireOutcome {
  const outcome: AcquireOutcome = {};
  acquired.then(
    (client) => (outcome.client = client),
    (error: Error) => (outcome.error = error),
  );
  return outcome;
}

/** A pool with fake connections, a virtual clock, and recorded warnings. */
export class FakePool {
  readonly clock = new VirtualClock();
  readonly server = new FakeServer();
  readonly warnings: PoolWarning[] = [];
  readonly pool: ConnectionPool<FakeClient>;

  constructor(options: PoolOptions<FakeClient> = {}) {
    this.pool = new ConnectionPool<FakeClient>(
      {
        clock: this.clock,
        onWarning: (warning) => void this.warnings.push(warning),
        maxLifetimeMs: 0,
        ...options,
      },
      this.server.Client,
    );
  }

  acquireAll(count: number): Promise<LeasedFakeClient[]> {
    return Promise.all(Array.from({ length: count }, () => this.pool.acquire()));
  }

  warningCodes(): string[] {
    return this.warnings.map(({ code }) => code);
  }

  /** Closes the pool and checks that no connection and no timer is left, and that the counters add up. */
  async close(): Promise<void> {
    const drained = this.pool.drain({ timeoutMs: 0 });
    await this.clock.advance(60_000);
    await drained;
    const { counters, ...left } = this.pool.snapshot();
    expect({ ...left, open: this.server.open.length }).toMatchObject({
      total: 0,
      idle: 0,
      leased: 0,
      connecting: 0,
      validating: 0,
      resetting: 0,
      waiting: 0,
      open: 0,
    });
    expect(Object.values(counters.destroyed).reduce((sum, count) => sum + count, 0)).toBe(counters.created);
    expect(this.clock.timerCount).toBe(0);
  }
}
