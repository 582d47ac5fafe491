import type { FailureRule } from '../failure-rule.js';

/** Failures that PgBouncer or a similar pooler reports. */
export const POOLER: readonly FailureRule[] = [
  {
    code: 'POOLER_PARAMETER_REFUSED',
    category: 'server',
    meaning: 'the pooler refuses a setting in the startup packet',
    hint: 'Set DB_POOLER to the mode of the pooler (session, transaction or statement), and remove the parameter options from DB_URL.',
    signs: [
      {
        message: /unsupported startup parameter/i,
        example: 'unsupported startup parameter: statement_timeout',
        codes: ['08P01'],
      },
    ],
  },
  {
    code: 'POOLER_QUEUE_TIMEOUT',
    category: 'server',
    meaning: 'no server connection of the pooler became free in time',
    hint: "Raise the pooler's pool size or the server's max_connections, or lower DB_POOL_SIZE and DB_MAX_OVERFLOW.",
    transient: true,
    httpStatus: 503,
    signs: [{ message: /query_wait_timeout/, example: 'query_wait_timeout', codes: ['08P01', '57014'] }],
  },
  {
    code: 'POOLER_SERVER_UNREACHABLE',
    category: 'server',
    meaning: 'the pooler cannot connect to its server',
    hint: "See the log of the pooler. Its server may be down, or may refuse the pooler's login.",
    transient: true,
    httpStatus: 503,
    // PgBouncer quotes the server: "server login has been failing, cached error: …"
    precedes: [
      'PASSWORD_WRONG',
      'ROLE_UNKNOWN',
      'DATABASE_UNKNOWN',
      'DATABASE_CLOSED',
      'SERVER_SHUTTING_DOWN',
    ],
    signs: [
      {
        message:
          /pgbouncer cannot connect|server_login_retry|server login (has been )?fail|server conn crashed|server closed the connection|client_login_timeout/i,
        example: 'pgbouncer cannot connect to server',
        codes: ['08P01', '08006', '58000'],
      },
    ],
  },
];
