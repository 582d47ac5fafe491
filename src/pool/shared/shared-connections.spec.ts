import { expect, it } from '@jest/globals';
import { StatementFacts } from '../../connection/statements/statement-texts.js';
import type { ConnectionSet } from '../connections/connection-set.js';
import type { PoolableClient } from '../connections/pooled-connection.js';
import { resolveLimits } from '../pool.options.js';
import { systemClock } from '../support/clock.js';
import { SharedConnections } from './shared-connections.js';
import type { SharingWaiter } from './shared-connections.js';

it('Acquires that have got a connection of their own are forgotten in linear time', () => {
  const shared = new SharedConnections(
    {} as ConnectionSet<PoolableClient>,
    { takeFresh: () => undefined, onAdopted: () => undefined, onEmpty: () => undefined },
    { connections: 2, maxInFlight: 16, maxMeanMs: 5 },
    resolveLimits({}),
    systemClock,
  );
  let isWaiting = true;
  const add = () => {
    const links: Pick<SharingWaiter, 'previous' | 'next'> = { previous: undefined, next: undefined };
    const facts = new StatementFacts('SELECT $1');
    shared.addWaiter({ facts, ...links, isWaiting: () => isWaiting, move: () => undefined });
  };
  for (let count = 0; count < 300_000; count += 1) add();
  isWaiting = false;
  const startedAt = performance.now();
  add();
  // An array that is shifted takes half a minute.
  expect(performance.now() - startedAt).toBeLessThan(2_000);
});
