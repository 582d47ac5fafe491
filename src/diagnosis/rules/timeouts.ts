import type { FailureRule } from '../failure-rule.js';

/** Time limits that end a connection, or that the client enforces because the server did not. */
export const TIMEOUTS: readonly FailureRule[] = [
  {
    code: 'STATEMENT_TIMEOUT',
    category: 'statement',
    meaning: 'the statement exceeded its time limit',
    hint: 'Make the statement faster, or raise DB_STATEMENT_TIMEOUT.',
    httpStatus: 504,
    signs: [
      { message: /^query_timeout$/, example: 'query_timeout', codes: ['08P01'] },
      { message: /^Query read timeout$/, example: 'Query read timeout' },
      'QUERY_TIMEOUT',
    ],
  },
  {
    code: 'IDLE_IN_TRANSACTION_TIMEOUT',
    category: 'statement',
    meaning: 'the server ended a connection that was idle in a transaction for too long',
    hint: 'End transactions sooner, or raise DB_IDLE_IN_TRANSACTION_TIMEOUT.',
    transient: true,
    signs: [
      '25P03',
      {
        message: /^idle[_ ]transaction[_ ]timeout|^transaction_timeout$/,
        example: 'idle_transaction_timeout',
        codes: ['08P01'],
      },
    ],
  },
  {
    code: 'TRANSACTION_TIMEOUT',
    category: 'statement',
    meaning: 'the transaction exceeded its time limit',
    hint: 'Make the transaction shorter, or raise transaction_timeout of the role or the database.',
    signs: ['25P04'],
  },
  {
    code: 'CONNECTION_SILENT',
    category: 'server',
    meaning: 'the server did not answer on an open connection',
    hint: 'See the log of the server, and of any proxy or firewall in front of it.',
    transient: true,
    httpStatus: 503,
    signs: ['CONNECTION_SILENT'],
  },
];
