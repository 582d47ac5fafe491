import type { FailureRule } from '../../failure-rule.js';

/** Conflicts with other transactions. */
export const CONCURRENCY: readonly FailureRule[] = [
  {
    code: 'SERIALIZATION_FAILURE',
    category: 'statement',
    meaning: 'the transaction conflicts with others that ran at the same time',
    hint: 'Run the whole transaction again.',
    transient: true,
    signs: ['40001'],
  },
  {
    code: 'DEADLOCK',
    category: 'statement',
    meaning: 'the transaction and another one waited for each other',
    hint: 'Run the whole transaction again, and take locks in the same order everywhere.',
    transient: true,
    signs: ['40P01'],
  },
  {
    code: 'LOCK_TIMEOUT',
    category: 'statement',
    meaning: 'the statement waited for a lock for too long',
    hint: 'See pg_locks for the transaction that holds the lock, or raise DB_LOCK_TIMEOUT.',
    transient: true,
    signs: [
      {
        message: /due to lock timeout/,
        example: 'canceling statement due to lock timeout',
        codes: ['55P03'],
      },
    ],
  },
  {
    code: 'LOCK_NOT_AVAILABLE',
    category: 'statement',
    meaning: 'another transaction holds the lock, and the statement does not wait for it',
    hint: 'Try again, use SKIP LOCKED, or leave out NOWAIT.',
    transient: true,
    signs: ['55P03'],
  },
  {
    code: 'TRANSACTION_ROLLED_BACK',
    category: 'statement',
    meaning: 'the server has rolled the transaction back',
    hint: 'See the message of the error.',
    signs: ['40xxx'],
  },
];
