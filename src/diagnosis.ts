/** What a failure means and what can be done about it. */
export interface Diagnosis {
  /** Stable, for programs. */
  code: string;
  /** What happened, as the end of a sentence. */
  meaning: string;
  /** Which setting or person can change it. */
  cure: string;
  /** Whether it may pass by itself, so that another try makes sense. */
  transient: boolean;
}

type Row = [code: string, meaning: string, cure: string, transient?: 'transient'];

/** Node's errno and TLS codes, and SQLSTATEs of https://www.postgresql.org/docs/current/errcodes-appendix.html. */
const BY_CODE: Record<string, Row> = {
  ECONNREFUSED: [
    'CONNECTION_REFUSED',
    'nothing accepts connections at this address',
    'Start PostgreSQL, or correct host and port in DB_URL; in a container, localhost is the container itself.',
    'transient',
  ],
  ENOENT: [
    'CONNECTION_REFUSED',
    'there is no PostgreSQL socket at this path',
    'Start PostgreSQL, or correct the socket path in DB_URL.',
    'transient',
  ],
  ECONNRESET: [
    'CONNECTION_RESET',
    'the other side closed the connection',
    'See the log of the server, or of the proxy or firewall in between.',
    'transient',
  ],
  EPIPE: [
    'CONNECTION_RESET',
    'the other side closed the connection',
    'See the log of the server, or of the proxy or firewall in between.',
    'transient',
  ],
  ENOTFOUND: ['HOST_NOT_FOUND', 'this host name is unknown', 'Correct the host in DB_URL.'],
  EAI_AGAIN: [
    'DNS_TEMPORARY_FAILURE',
    'the name service did not answer',
    'Check the name server of this machine or container.',
    'transient',
  ],
  ETIMEDOUT: [
    'CONNECT_TIMEOUT',
    'the server did not answer in time',
    'Check firewall and network between here and the server; DB_CONNECT_TIMEOUT sets the limit.',
    'transient',
  ],
  EHOSTUNREACH: [
    'HOST_UNREACHABLE',
    'there is no route to this host',
    'Check the network between here and the server.',
    'transient',
  ],
  ENETUNREACH: [
    'HOST_UNREACHABLE',
    'there is no route to this network',
    'Check the network between here and the server.',
    'transient',
  ],
  SELF_SIGNED_CERT_IN_CHAIN: untrusted(),
  DEPTH_ZERO_SELF_SIGNED_CERT: untrusted(),
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: untrusted(),
  UNABLE_TO_GET_ISSUER_CERT: untrusted(),
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: untrusted(),
  CERT_HAS_EXPIRED: [
    'TLS_CERTIFICATE_EXPIRED',
    "the server's certificate has expired",
    'Renew it on the server.',
  ],
  ERR_TLS_CERT_ALTNAME_INVALID: [
    'TLS_HOST_MISMATCH',
    "the server's certificate is for another host name",
    'Connect by a name that is in the certificate, or have one issued for this name.',
  ],
  CHANNEL_BINDING_MISSING: [
    'CHANNEL_BINDING_MISSING',
    'the server offers no login that is bound to the TLS connection',
    'Turn TLS and scram-sha-256 on at the server, or take channel_binding=require out of DB_URL.',
  ],
  '28P01': ['PASSWORD_WRONG', 'the password was refused', 'Correct user and password in DB_URL.'],
  '28000': [
    'LOGIN_REFUSED',
    'the server refused this login',
    'Check that the role exists and may log in, and that pg_hba.conf (or the IP allow-list) admits this client.',
  ],
  '3D000': ['DATABASE_UNKNOWN', 'there is no such database', 'Create it, or correct its name in DB_URL.'],
  '42501': ['PERMISSION_DENIED', 'this role lacks a privilege', 'GRANT it, or use another role in DB_URL.'],
  '53300': [
    'TOO_MANY_CONNECTIONS',
    'the server has no connection left',
    'Lower DB_POOL_SIZE and DB_MAX_OVERFLOW or the number of instances, raise max_connections, or use a pooler.',
    'transient',
  ],
  '57P01': [
    'SERVER_SHUTTING_DOWN',
    'an administrator ended the connection, or the server is stopping',
    'Try again when it is back.',
    'transient',
  ],
  '57P02': [
    'SERVER_CRASHED',
    'the server is restarting after a crash',
    'See the log of the server.',
    'transient',
  ],
  '57P03': [
    'SERVER_STARTING',
    'the server is starting up',
    'Wait until it accepts connections.',
    'transient',
  ],
  '57014': [
    'STATEMENT_TIMEOUT',
    'the statement was cancelled',
    'Make it faster, or raise DB_STATEMENT_TIMEOUT if that was its limit.',
  ],
  '55P03': [
    'LOCK_TIMEOUT',
    'a lock was not to be had in time',
    'See who holds it in pg_locks, or raise DB_LOCK_TIMEOUT.',
  ],
  '25P03': [
    'IDLE_IN_TRANSACTION_TIMEOUT',
    'the server ended a connection that idled in a transaction',
    'End transactions sooner, or raise DB_IDLE_IN_TRANSACTION_TIMEOUT.',
    'transient',
  ],
  '08P01': [
    'PROTOCOL_VIOLATION',
    'the server, or a pooler before it, refused the start of the connection',
    'A pooler may refuse start-up parameters: see its message.',
  ],
  DATA_SOURCE_CLOSED: [
    'DATA_SOURCE_CLOSED',
    'the data source is not started yet, or the app is stopping',
    "Wait for the app's start; with startup 'off' call initialize() of the data source.",
  ],
  CONNECT_TIMEOUT: [
    'CONNECT_TIMEOUT',
    'the server did not answer in time',
    'Check firewall and network between here and the server; DB_CONNECT_TIMEOUT sets the limit.',
    'transient',
  ],
  POOL_ACQUIRE_TIMEOUT: [
    'POOL_ACQUIRE_TIMEOUT',
    'no connection became free in time',
    'Release connections sooner, or raise DB_POOL_SIZE, DB_MAX_OVERFLOW or DB_POOL_TIMEOUT.',
    'transient',
  ],
};

/** Failures of `pg` and its pool that carry a text only. */
const BY_TEXT: [RegExp, Row][] = [
  [
    /does not support SSL/i,
    [
      'TLS_NOT_OFFERED',
      'TLS is demanded, and the server does not offer it',
      'Turn TLS on at the server; for a server that you trust the network to, set DB_SSL_MODE=disable.',
    ],
  ],
  [
    /timeout (expired|exceeded)|connection timeout|timed out/i,
    [
      'CONNECT_TIMEOUT',
      'the server did not answer in time',
      'Check firewall and network between here and the server; DB_CONNECT_TIMEOUT sets the limit.',
      'transient',
    ],
  ],
  [
    /Connection terminated|connection ended|socket hang up|Client network socket disconnected/i,
    [
      'CONNECTION_RESET',
      'the other side closed the connection',
      'See the log of the server, or of the proxy or firewall in between.',
      'transient',
    ],
  ],
  [
    /client password must be a (non-empty )?string|no password supplied/i,
    ['PASSWORD_MISSING', 'the server asks for a password and none is set', 'Put the password into DB_URL.'],
  ],
];

function untrusted(): Row {
  return [
    'TLS_CERTIFICATE_UNTRUSTED',
    "the server's certificate is not signed by a trusted authority",
    "Set DB_SSL_CA to the authority's certificate (PEM text or a path).",
  ];
}

/**
 * Explains a failure by SQLSTATE, errno or text, looking through `cause` and the several addresses of one name.
 * @param localHost whether the host's name is a local one: those appear late (a compose service), so an unknown one
 * is worth another try
 */
export function diagnose(error: unknown, { localHost = false } = {}): Diagnosis {
  // Not `instanceof`: errors of Node itself come from another realm under Jest.
  for (let e = error, depth = 0; typeof e === 'object' && e !== null && depth < 8; e = below(e), depth++) {
    const { code, message, cause } = e as { code?: unknown; message?: unknown; cause?: unknown };
    // While connections can't be opened the wait for one ends at its deadline: the reason is the failed dial.
    if (code === 'POOL_ACQUIRE_TIMEOUT' && cause !== undefined) continue;
    const row =
      (typeof code === 'string' && Object.hasOwn(BY_CODE, code) ? BY_CODE[code] : undefined) ??
      BY_TEXT.find(([text]) => typeof message === 'string' && text.test(message))?.[1];
    if (row) {
      const [name, meaning, cure, transient] = row;
      return {
        code: name,
        meaning,
        cure,
        transient: !!transient || (localHost && name === 'HOST_NOT_FOUND'),
      };
    }
  }
  return {
    code: 'CONNECTION_FAILED',
    meaning: 'the connection failed',
    cure: "See the cause, and the server's log.",
    transient: false,
  };
}

/** An AggregateError holds one error per address that a name resolved to; the first speaks for them. */
function below(error: object): unknown {
  const { cause, errors } = error as { cause?: unknown; errors?: unknown[] };
  return cause ?? (Array.isArray(errors) ? errors[0] : undefined);
}
