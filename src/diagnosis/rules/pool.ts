import type { FailureRule } from '../failure-rule.js';

/** Failures of the pool and the data source, by the codes of this package. */
export const POOL: readonly FailureRule[] = [
  {
    code: 'POOL_ACQUIRE_TIMEOUT',
    category: 'pool',
    meaning: 'no connection became free in time',
    hint: 'Release connections sooner, or raise DB_POOL_SIZE, DB_MAX_OVERFLOW or DB_POOL_TIMEOUT.',
    transient: true,
    signs: ['POOL_ACQUIRE_TIMEOUT'],
  },
  {
    code: 'POOL_QUEUE_FULL',
    category: 'pool',
    meaning: 'too many callers are already waiting for a connection',
    hint: 'Release connections sooner, or raise DB_POOL_SIZE, DB_MAX_OVERFLOW or pool.maxWaiting.',
    transient: true,
    signs: ['POOL_QUEUE_FULL'],
  },
  {
    code: 'POOL_SELF_DEADLOCK',
    category: 'pool',
    meaning: 'every connection belongs to a transaction or a pinned runner that waits for another connection',
    hint: 'Use the connection that the transaction or the pinned runner already holds, or raise DB_POOL_SIZE.',
    signs: ['POOL_SELF_DEADLOCK'],
  },
  {
    code: 'POOL_LEASE_RECLAIMED',
    category: 'pool',
    meaning: 'the connection was leased for too long and was reclaimed',
    hint: 'Release it sooner, or raise pool.reclaimAfterMs.',
    signs: ['POOL_LEASE_RECLAIMED'],
  },
  {
    code: 'DATA_SOURCE_CLOSED',
    category: 'pool',
    meaning: 'the data source is not started yet, or the app is stopping',
    hint: "Wait until the app has started. With startup 'off', call initialize() of the data source.",
    httpStatus: 503,
    signs: ['DATA_SOURCE_CLOSED', 'POOL_CLOSED'],
  },
];
