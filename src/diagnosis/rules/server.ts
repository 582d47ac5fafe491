import type { FailureRule } from '../failure-rule.js';

/** Failures of a server that was reached: it does not serve the connection, or ends it. */
export const SERVER: readonly FailureRule[] = [
  {
    code: 'TOO_MANY_CONNECTIONS',
    category: 'server',
    meaning: 'the server has no connection left',
    hint: 'Lower DB_POOL_SIZE, DB_MAX_OVERFLOW or the number of instances, raise max_connections, or use a pooler.',
    transient: true,
    httpStatus: 503,
    signs: [
      '53300',
      {
        message: /no more connections allowed/,
        example: 'no more connections allowed (max_client_conn)',
        codes: ['08P01'],
      },
    ],
  },
  {
    code: 'SERVER_STARTING',
    category: 'server',
    meaning: 'the server is starting up',
    hint: 'Wait until it accepts connections.',
    transient: true,
    isWaking: true,
    httpStatus: 503,
    signs: ['57P03'],
  },
  {
    code: 'SERVER_SHUTTING_DOWN',
    category: 'server',
    meaning: 'the server is shutting down',
    hint: 'Try again when the server runs again.',
    transient: true,
    httpStatus: 503,
    signs: [
      {
        message: /shutting down/,
        example: 'the database system is shutting down',
        codes: ['57P03', '08P01'],
      },
    ],
  },
  {
    code: 'SERVER_RECOVERING',
    category: 'server',
    meaning: 'the server is recovering, or is a standby that accepts no connections',
    hint: 'Wait until recovery ends. On a standby, turn hot_standby on, or name the primary in DB_URL.',
    transient: true,
    httpStatus: 503,
    signs: [
      {
        message: /in recovery mode|not accepting connections|not yet accepting connections/,
        example: 'the database system is in recovery mode',
        codes: ['57P03'],
      },
    ],
  },
  {
    code: 'SERVER_CRASHED',
    category: 'server',
    meaning: 'the server is restarting after a crash',
    hint: 'See the log of the server.',
    transient: true,
    httpStatus: 503,
    signs: ['57P02'],
  },
  {
    code: 'CONNECTION_KILLED',
    category: 'server',
    meaning: 'an administrator ended the connection, or the server is shutting down',
    hint: 'No change is needed: the next connection is a new one.',
    transient: true,
    httpStatus: 503,
    signs: ['57P01'],
  },
  {
    code: 'CONNECTION_KILLED',
    category: 'server',
    meaning: 'the server ended a connection that was idle for too long',
    hint: 'Raise idle_session_timeout of the server or the role, or set pool.keepaliveMs to less than that.',
    transient: true,
    httpStatus: 503,
    signs: ['57P05'],
  },
  {
    code: 'SERVER_READ_ONLY',
    category: 'server',
    meaning: 'the server or the transaction is read-only; a standby always is',
    hint: 'Name the primary in DB_URL, or see default_transaction_read_only of the role.',
    signs: ['25006', 'CONNECTION_STANDBY'],
  },
  {
    code: 'SERVER_KIND_REFUSED',
    category: 'server',
    meaning: 'the server is not of the kind that target_session_attrs requires',
    hint: 'Name another server in DB_URL. During a failover, this failure is temporary.',
    transient: true,
    signs: ['SERVER_KIND_REFUSED'],
  },
  {
    code: 'SERVER_OVERLOADED',
    category: 'server',
    meaning: 'the server lacks memory or disk, or could not accept the connection',
    hint: 'See the log of the server.',
    transient: true,
    signs: [
      '53000',
      '53100',
      '53200',
      {
        message: /error establishing an SSL connection/,
        example: 'There was an error establishing an SSL connection',
      },
    ],
  },
  {
    code: 'PROTOCOL_VIOLATION',
    category: 'server',
    meaning: 'the server, or a pooler in front of it, did not understand a message of the protocol',
    hint: 'See the message of the error. A pooler may support only a part of the protocol.',
    signs: ['08P01'],
  },
];

/** A connection could not be opened, or the server ended it, for a reason that no other rule recognises. */
export const CONNECTION_FAILED: FailureRule = {
  code: 'CONNECTION_FAILED',
  category: 'server',
  meaning: 'the connection failed',
  hint: 'See the cause of the error, and the log of the server.',
  signs: ['08xxx'],
};
