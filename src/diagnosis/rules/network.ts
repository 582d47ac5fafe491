import type { FailureRule } from '../failure-rule.js';

/** Errors of the socket, by the error codes of Node.js. */
export const NETWORK: readonly FailureRule[] = [
  {
    code: 'CONNECTION_REFUSED',
    category: 'network',
    meaning: 'nothing accepts connections at this address',
    hint: 'Start PostgreSQL, or correct host and port in DB_URL. In a container, localhost is the container itself.',
    transient: true,
    httpStatus: 503,
    signs: ['ECONNREFUSED'],
  },
  {
    code: 'CONNECTION_REFUSED',
    category: 'network',
    meaning: 'there is no PostgreSQL socket at this path',
    hint: 'Start PostgreSQL, or correct the socket path in DB_URL.',
    transient: true,
    httpStatus: 503,
    // An ENOENT with another message is about a file.
    signs: [
      {
        message: /^connect ENOENT/,
        example: 'connect ENOENT /var/run/postgresql/.s.PGSQL.5432',
        codes: ['ENOENT'],
      },
    ],
  },
  {
    code: 'SOCKET_FORBIDDEN',
    category: 'network',
    meaning: 'the operating system does not allow this process to open the socket',
    hint: "Give the user of this process access to the socket's directory, or allow the connection in the sandbox or firewall of this machine.",
    signs: ['EACCES', 'EPERM'],
  },
  {
    code: 'CONNECT_TIMEOUT',
    category: 'network',
    meaning: 'the server did not answer in time',
    hint: 'Check host, port, and any firewall between this machine and the server. DB_CONNECT_TIMEOUT sets the limit.',
    transient: true,
    httpStatus: 503,
    signs: [
      'ETIMEDOUT',
      'CONNECT_TIMEOUT',
      // Messages of `pg` and `pg-pool`, matched in full: timeouts of other code are not about the connection.
      {
        message: /^timeout expired$|^timeout exceeded when trying to connect$|due to connection timeout$/,
        example: 'timeout expired',
      },
    ],
  },
  {
    code: 'CONNECTION_RESET',
    category: 'network',
    meaning: 'the server, or a proxy in front of it, closed the connection',
    hint: 'See the log of the server, and of any proxy or firewall in front of it.',
    transient: true,
    httpStatus: 503,
    signs: [
      'ECONNRESET',
      'EPIPE',
      {
        message: /Connection terminated|connection ended|is not queryable$/i,
        example: 'Connection terminated unexpectedly',
      },
    ],
  },
  {
    code: 'HOST_NOT_FOUND',
    category: 'network',
    meaning: 'the host name does not exist',
    hint: 'Correct the host in DB_URL.',
    signs: ['ENOTFOUND'],
  },
  {
    code: 'DNS_TEMPORARY_FAILURE',
    category: 'network',
    meaning: 'the name server did not answer',
    hint: 'Check the name server of this machine or container.',
    transient: true,
    httpStatus: 503,
    signs: ['EAI_AGAIN'],
  },
  {
    code: 'HOST_UNREACHABLE',
    category: 'network',
    meaning: 'there is no route to the host',
    hint: 'Check the network between this machine and the server. An IPv6 address needs a network that routes IPv6.',
    transient: true,
    httpStatus: 503,
    signs: ['EHOSTUNREACH', 'EHOSTDOWN', 'ENETUNREACH', 'ENETDOWN', 'EADDRNOTAVAIL'],
  },
  {
    code: 'HANDSHAKE_TIMEOUT',
    category: 'network',
    meaning: 'the server accepted the connection but then sent nothing',
    hint: 'Check that PostgreSQL listens on this port and is not overloaded. A forwarded port without a target behaves in the same way. DB_CONNECT_TIMEOUT sets the limit.',
    transient: true,
    httpStatus: 503,
    signs: ['HANDSHAKE_TIMEOUT'],
  },
  {
    code: 'NOT_POSTGRESQL',
    category: 'network',
    meaning: 'the program at this address is not PostgreSQL',
    hint: 'Correct host and port in DB_URL.',
    signs: ['NOT_POSTGRESQL'],
  },
  {
    code: 'TOO_MANY_OPEN_FILES',
    category: 'network',
    meaning: 'this process has no file descriptor left',
    hint: 'Raise its limit of open files (ulimit -n), and check which code leaves files or sockets open.',
    transient: true,
    signs: ['EMFILE', 'ENFILE'],
  },
];
