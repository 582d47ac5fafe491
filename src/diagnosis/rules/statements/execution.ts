import type { FailureRule } from '../../failure-rule.js';

/** Statements that were stopped, exceeded a limit, or failed inside the server. */
export const EXECUTION: readonly FailureRule[] = [
  {
    code: 'STATEMENT_TIMEOUT',
    category: 'statement',
    meaning: 'the statement exceeded its time limit',
    hint: 'Make the statement faster, or raise DB_STATEMENT_TIMEOUT.',
    httpStatus: 504,
    signs: [
      {
        message: /due to statement timeout/,
        example: 'canceling statement due to statement timeout',
        codes: ['57014'],
      },
    ],
  },
  {
    code: 'STATEMENT_CANCELLED',
    category: 'statement',
    meaning: 'the statement was cancelled',
    hint: 'Possible causes are pg_cancel_backend, a shutdown, and a client that disconnected (cancelOnDisconnect).',
    signs: ['57014'],
  },
  {
    code: 'SERVER_OVERLOADED',
    category: 'statement',
    meaning: 'the server lacks memory or disk',
    hint: 'See the log of the server.',
    transient: true,
    signs: ['53xxx'],
  },
  {
    code: 'LIMIT_EXCEEDED',
    category: 'statement',
    meaning: 'the statement exceeds a limit of the server',
    hint: 'Make the statement smaller, or raise the limit that the message names.',
    signs: ['53400', '54xxx'],
  },
  {
    code: 'RAISED_EXCEPTION',
    category: 'statement',
    meaning: 'a function or a trigger of the database raised this error',
    hint: 'See the message of the error, and its property where, which names the function.',
    signs: ['P0xxx', '38xxx', '39xxx', '09xxx'],
  },
  {
    code: 'FOREIGN_SERVER_FAILED',
    category: 'statement',
    meaning:
      'a foreign server (dblink, foreign table) that the statement uses failed or could not be reached',
    hint: 'See the message of the error, and the user mapping of the foreign server.',
    signs: ['08xxx', 'HVxxx'],
  },
  {
    code: 'SERVER_SYSTEM_ERROR',
    category: 'statement',
    meaning: "the server's operating system reported an error",
    hint: 'See the log of the server.',
    signs: ['58xxx'],
  },
  {
    code: 'SERVER_INTERNAL',
    category: 'statement',
    meaning: 'the server encountered an internal error or damaged data',
    hint: 'See the log of the server.',
    signs: ['XXxxx'],
  },
];
