/** How a failure shows: by a code alone (SQLSTATE, errno, ours), or by words, which then count only with one of `codes`. */
export type Sign =
  | string
  | {
      /** What is searched in the message. Bounded (`.{0,300}`, not `.*`): a long message must not cost its length squared. */
      readonly words: RegExp;
      /** A message that has them, for the documentation. */
      readonly example: string;
      /** The codes that such a message comes with; none is an error of `pg` itself, which has no code. */
      readonly codes?: readonly string[];
    };

/** One row of the table: what a failure means and what can be done about it. */
export interface Failure {
  /** Stable, for programs. */
  readonly code: string;
  /** What happened, as the end of a sentence. */
  readonly meaning: string;
  /** Which setting or person can change it. */
  readonly hint: string;
  /** Whether it may pass by itself, so that another try makes sense. */
  readonly transient: boolean;
  readonly signs: readonly Sign[];
}

const CONNECT_HINT =
  'Check host, port, firewall and network between here and the server; DB_CONNECT_TIMEOUT sets the limit.';
const LOGS = 'See the log of the server, or of the proxy or firewall in between.';

/** A sign by words; `codes` are those that such a message comes with. */
export const says = (example: string, words: RegExp, ...codes: string[]): Sign => ({ example, words, codes });

/** A failure that may pass by itself. */
export const passing = (code: string, meaning: string, hint: string, ...signs: Sign[]): Failure => ({
  code,
  meaning,
  hint,
  transient: true,
  signs,
});

/** A failure that stays until somebody changes something. */
export const lasting = (code: string, meaning: string, hint: string, ...signs: Sign[]): Failure => ({
  code,
  meaning,
  hint,
  transient: false,
  signs,
});

/** What is said of a connection that could not be opened for a reason that is not known. */
export const CONNECTION_FAILED = lasting(
  'CONNECTION_FAILED',
  'the connection failed',
  "See the cause, and the server's log.",
  '08xxx',
);

/**
 * Every failure of a connection that is known, by errno and TLS codes of Node, SQLSTATEs of
 * https://www.postgresql.org/docs/current/errcodes-appendix.html, and the words of `pg`, PgBouncer and Neon's proxy, which
 * answers everything with XX000. The first row whose words fit speaks; where none does, the row that has the code alone.
 */
export const FAILURES: readonly Failure[] = [
  // The way there
  passing(
    'CONNECTION_REFUSED',
    'nothing accepts connections at this address',
    'Start PostgreSQL, or correct host and port in DB_URL; in a container, localhost is the container itself.',
    'ECONNREFUSED',
  ),
  passing(
    'CONNECTION_REFUSED',
    'there is no PostgreSQL socket at this path',
    'Start PostgreSQL, or correct the socket path in DB_URL.',
    // Another ENOENT is of a file that was read.
    says('connect ENOENT /var/run/postgresql/.s.PGSQL.5432', /^connect ENOENT/, 'ENOENT'),
  ),
  lasting(
    'SOCKET_FORBIDDEN',
    'this process may not open the socket',
    "Give its user access to the socket's folder, or let the sandbox or firewall of this machine pass it.",
    'EACCES',
    'EPERM',
  ),
  passing(
    'CONNECT_TIMEOUT',
    'the server did not answer in time',
    CONNECT_HINT,
    'ETIMEDOUT',
    'CONNECT_TIMEOUT',
    // The words of `pg` and `pg-pool`; that something else has timed out says nothing of a connection.
    says(
      'timeout expired',
      /^timeout expired$|^timeout exceeded when trying to connect$|due to connection timeout$/,
    ),
  ),
  passing(
    'CONNECTION_RESET',
    'the other side closed the connection',
    LOGS,
    'ECONNRESET',
    'EPIPE',
    says('Connection terminated unexpectedly', /Connection terminated|connection ended|is not queryable$/i),
  ),
  lasting('HOST_NOT_FOUND', 'this host name is unknown', 'Correct the host in DB_URL.', 'ENOTFOUND'),
  passing(
    'DNS_TEMPORARY_FAILURE',
    'the name service did not answer',
    'Check the name server of this machine or container.',
    'EAI_AGAIN',
  ),
  passing(
    'HOST_UNREACHABLE',
    'there is no route to this host',
    'Check the network between here and the server, and whether the address is one of IPv6 where only IPv4 is routed.',
    'EHOSTUNREACH',
    'EHOSTDOWN',
    'ENETUNREACH',
    'ENETDOWN',
    'EADDRNOTAVAIL',
  ),
  passing(
    'HANDSHAKE_TIMEOUT',
    'something took the connection and then kept silent',
    'Is it PostgreSQL that listens there, and is it overloaded? A port forwarded to nowhere does this too; DB_CONNECT_TIMEOUT sets the limit.',
    'HANDSHAKE_TIMEOUT',
  ),
  lasting(
    'NOT_POSTGRESQL',
    'what answers at this address is not PostgreSQL',
    'Correct host and port in DB_URL.',
    'NOT_POSTGRESQL',
  ),
  passing(
    'TOO_MANY_OPEN_FILES',
    'this process has no file handle left',
    'Raise its limit of open files (ulimit -n), and look for what keeps them open.',
    'EMFILE',
    'ENFILE',
  ),

  // TLS
  lasting(
    'TLS_NOT_OFFERED',
    'TLS is demanded, and the server does not offer it',
    'Turn TLS on at the server; for a server that you trust the network to, set DB_SSL_MODE=disable.',
    says('The server does not support SSL connections', /does not support SSL/i),
  ),
  lasting(
    'TLS_REQUIRED',
    'the server lets this user in by TLS only, and none was asked for',
    'Set DB_SSL_MODE=verify-full, with DB_SSL_CA for a private authority.',
    says(
      'no pg_hba.conf entry for host "127.0.0.1", user "app", database "app", no encryption',
      /no pg_hba\.conf entry .{0,300}(no encryption|SSL off)/,
      '28000',
    ),
    says('connection is insecure (try using `sslmode=require`)', /connection is insecure/i, 'XX000', '08P01'),
    says('SSL required', /^(SSL|TLS) (is )?required/i, '08P01', '28000'),
  ),
  lasting(
    'TLS_CERTIFICATE_UNTRUSTED',
    "the server's certificate is not signed by a trusted authority",
    "Set DB_SSL_CA to the authority's certificate (PEM text or a path).",
    'SELF_SIGNED_CERT_IN_CHAIN',
    'DEPTH_ZERO_SELF_SIGNED_CERT',
    'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    'UNABLE_TO_GET_ISSUER_CERT',
    'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
    'CERT_SIGNATURE_FAILURE',
    'INVALID_CA',
  ),
  lasting(
    'TLS_CERTIFICATE_EXPIRED',
    "the server's certificate has expired",
    'Renew it on the server; or correct the clock of this machine.',
    'CERT_HAS_EXPIRED',
  ),
  lasting(
    'TLS_CERTIFICATE_NOT_YET_VALID',
    "the server's certificate is not valid yet",
    'Correct the clock of this machine, or of the one that issued it.',
    'CERT_NOT_YET_VALID',
  ),
  lasting(
    'TLS_HOST_MISMATCH',
    "the server's certificate is for another host name",
    'Connect by a name that is in the certificate, or have one issued for this name.',
    'ERR_TLS_CERT_ALTNAME_INVALID',
  ),
  lasting(
    'TLS_CERTIFICATE_REVOKED',
    "the server's certificate has been revoked",
    'Have another one issued for the server.',
    'CERT_REVOKED',
  ),
  lasting(
    'TLS_REVOCATION_UNKNOWN',
    "there is no list in force that says whether the server's certificate was revoked",
    'Give a new list of its authority, and one of each authority above it, in ssl.crl or sslcrl.',
    'UNABLE_TO_GET_CRL',
    'CRL_HAS_EXPIRED',
    'CRL_NOT_YET_VALID',
  ),
  lasting(
    'TLS_TAMPERED',
    'TLS was promised, and something else came',
    'See what stands between here and the server: a proxy that knows no TLS, or somebody who wants to read along.',
    'TLS_TAMPERED',
    says('wrong version number', /wrong version number/, 'EPROTO'),
    'ERR_SSL_WRONG_VERSION_NUMBER',
  ),
  lasting(
    'TLS_DIRECT_REFUSED',
    'the other side does not take TLS that begins at once',
    'Take sslnegotiation=direct out of DB_URL: PostgreSQL knows it from version 17 on, and a proxy must pass it on.',
    'TLS_DIRECT_REFUSED',
    says('tlsv1 alert no application protocol', /no application protocol/, 'EPROTO'),
    'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL',
  ),
  lasting(
    'TLS_VERSION_UNSUPPORTED',
    'the two sides have no version of TLS in common',
    'Turn TLS 1.2 or newer on at the server (ssl_max_protocol_version).',
    // What ends the handshake shows as EPROTO, since the start-up packet waits to be sent.
    says('tlsv1 alert protocol version', /alert protocol version|unsupported protocol/, 'EPROTO'),
    'ERR_SSL_UNSUPPORTED_PROTOCOL',
    'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION',
  ),
  lasting(
    'TLS_CLIENT_CERTIFICATE_MISSING',
    'the server demands a certificate of the client',
    'Set DB_SSL_CERT and DB_SSL_KEY.',
    says(
      'connection requires a valid client certificate',
      /requires a valid client certificate|TLS client certificate required/i,
      '28000',
      '08P01',
    ),
    says('tlsv13 alert certificate required', /alert certificate required/, 'EPROTO'),
    'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED',
  ),
  lasting(
    'TLS_CLIENT_CERTIFICATE_REFUSED',
    'the server does not accept the certificate of the client',
    "Have DB_SSL_CERT issued by an authority that the server trusts (ssl_ca_file), for this role's name.",
    says(
      'tlsv1 alert unknown ca',
      /alert (unknown ca|bad certificate|unsupported certificate|certificate (revoked|expired|unknown))/,
      'EPROTO',
    ),
    'ERR_SSL_TLSV1_ALERT_UNKNOWN_CA',
    'ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE',
    'ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED',
    'ERR_SSL_SSLV3_ALERT_CERTIFICATE_UNKNOWN',
    says(
      'certificate authentication failed for user "app"',
      /certificate authentication failed/,
      '28000',
      '08P01',
    ),
  ),
  lasting(
    'TLS_FAILED',
    'the TLS handshake failed',
    'See its message and the log of the server; ciphers, curves or keys of the two sides may not fit.',
    'EPROTO',
    'ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE',
  ),
  lasting(
    'CHANNEL_BINDING_MISSING',
    'the server offers no login that is bound to the TLS connection',
    'Turn TLS and scram-sha-256 on at the server, or take channel_binding=require out of DB_URL.',
    'CHANNEL_BINDING_MISSING',
  ),
  lasting(
    'LOGIN_METHOD_REFUSED',
    'the server asks for the login in a way that require_auth does not allow',
    'Have the server ask in one that it allows (pg_hba.conf), or change require_auth in DB_URL.',
    'LOGIN_METHOD_REFUSED',
  ),

  // Neon
  lasting(
    'NEON_ENDPOINT_UNNAMED',
    'Neon cannot tell which endpoint is meant: no server name came with the TLS connection',
    'Connect by the host name that Neon gives, with TLS; or add ?options=endpoint%3D<endpoint-id> to DB_URL.',
    says('Endpoint ID is not specified.', /endpoint ID is not specified/i, 'XX000', '08P01'),
  ),
  lasting(
    'NEON_ENDPOINT_NOT_FOUND',
    'Neon knows no such endpoint or project',
    "Copy the host in DB_URL again from Neon's console: the branch or its compute may have been deleted.",
    says(
      "The requested endpoint could not be found, or you don't have access to it.",
      /(endpoint|project|branch|resource) (cannot|could not) be found|(endpoint|project|branch) not found/i,
      'XX000',
      '08P01',
    ),
  ),
  lasting(
    'NEON_ENDPOINT_DISABLED',
    'this endpoint of Neon is disabled',
    "Enable it in Neon's console.",
    says(
      'The endpoint has been disabled. Enable it using Neon API and retry.',
      /endpoint (is|has been) disabled/i,
      'XX000',
      '08P01',
    ),
  ),
  lasting(
    'NEON_QUOTA_EXCEEDED',
    'a quota of the Neon project is used up',
    "See the usage in Neon's console; a larger plan or the next billing period lifts it.",
    says(
      'Your account or project has exceeded the compute time quota.',
      /exceeded the .{0,300}(quota|limit)/i,
      'XX000',
      '08P01',
    ),
  ),
  lasting(
    'CLIENT_NOT_ALLOWED',
    "the provider's list of addresses does not have this client's",
    "Add the address of this machine to the list (Neon: IP Allow in the project's settings).",
    says(
      'This IP address 192.0.2.1 is not allowed to connect to this endpoint.',
      /IP address.{0,300} is not allowed to connect/i,
      'XX000',
      '08P01',
    ),
  ),
  passing(
    'NEON_TOO_MANY_ATTEMPTS',
    'Neon takes no further attempts to connect for a moment',
    'Lower DB_POOL_SIZE and DB_MAX_OVERFLOW or the number of instances that start at once; use the -pooler host.',
    says(
      'Too many connections attempts',
      /too many (database )?connections? (attempts|to this endpoint)|rate limit/i,
      'XX000',
      '08P01',
    ),
  ),
  passing(
    'NEON_UNAVAILABLE',
    'Neon could not wake the endpoint',
    'It mostly passes within seconds; else see the status page of Neon and the quotas of the project.',
    says(
      'Control plane request failed',
      /control plane request failed|endpoint is temporarily unavailable|could ?n.t connect to compute node|could not be authorized due to an internal error/i,
      'XX000',
      '08P01',
      '58000',
    ),
  ),

  // A pooler in between
  lasting(
    'POOLER_PARAMETER_REFUSED',
    'a pooler in between refuses a setting in the start-up packet',
    'Set DB_POOLER to its mode (session, transaction or statement); what stands in options of DB_URL has to go.',
    says('unsupported startup parameter: statement_timeout', /unsupported startup parameter/i, '08P01'),
  ),
  passing(
    'POOLER_QUEUE_TIMEOUT',
    'the pooler in between had no connection to the server in time',
    'Raise its pool size or max_connections of the server, or lower DB_POOL_SIZE and DB_MAX_OVERFLOW.',
    says('query_wait_timeout', /query_wait_timeout/, '08P01', '57014'),
  ),
  passing(
    'POOLER_SERVER_UNREACHABLE',
    'the pooler in between does not reach its server',
    'See the log of the pooler: its server may be down or refuse its login.',
    says(
      'pgbouncer cannot connect to server',
      /pgbouncer cannot connect|server_login_retry|server login (has been )?fail|server conn crashed|server closed the connection|client_login_timeout/i,
      '08P01',
      '08006',
      '58000',
    ),
  ),

  // Login
  lasting(
    'PASSWORD_WRONG',
    'user or password were refused',
    'Correct them in DB_URL, with @ / ? # % in the password percent-encoded; for a role that does not exist the server says the same.',
    '28P01',
    says(
      'password authentication failed for user',
      /(password|SASL) authentication failed/,
      'XX000',
      '08P01',
      '28000',
    ),
  ),
  passing(
    'PASSWORD_UNAVAILABLE',
    'the password function failed, or did not answer in time',
    'See its error; DB_CONNECT_TIMEOUT bounds it.',
    'PASSWORD_UNAVAILABLE',
  ),
  lasting(
    'PASSWORD_INVALID',
    'the password function gave something that is no password',
    'Have it return a text, or { password, expiresAt }.',
    'PASSWORD_INVALID',
  ),
  lasting(
    'PASSWORD_MISSING',
    'the server asks for a password and none is set',
    'Put the password into DB_URL.',
    says(
      'client password must be a string',
      /client password must be a (non-empty )?string|no password supplied/i,
    ),
  ),
  lasting(
    'ROLE_UNKNOWN',
    'there is no such role',
    'Correct the user in DB_URL, or CREATE ROLE it.',
    says(
      'role "app" does not exist',
      /role ".{0,300}" does not exist|no such user|tenant or user not found/i,
      '28000',
      '08P01',
      'XX000',
    ),
  ),
  lasting(
    'CLIENT_NOT_ALLOWED',
    'pg_hba.conf admits no such user, database and address',
    "Add a line for them to the server's pg_hba.conf, or connect from an address that it admits.",
    says(
      'no pg_hba.conf entry for host "127.0.0.1", user "app", database "app", SSL encryption',
      /no pg_hba\.conf entry|pg_hba\.conf rejects/,
      '28000',
    ),
  ),
  lasting(
    'LOGIN_REFUSED',
    'the server refused this login',
    'Check that the role may log in (ALTER ROLE … LOGIN) and by which method pg_hba.conf wants it.',
    '28000',
  ),
  lasting(
    'DATABASE_UNKNOWN',
    'there is no such database',
    'Create it, or correct its name in DB_URL.',
    '3D000',
    says('no such database: app', /no such database/, '08P01'),
  ),
  lasting(
    'DATABASE_CLOSED',
    'this database takes no connections',
    'ALTER DATABASE … ALLOW_CONNECTIONS true, or another database in DB_URL.',
    says(
      'database "app" is not currently accepting connections',
      /not (currently )?accept(ing)? connections|does not allow connections|database .{0,300} is disabled/i,
      '55000',
      '08P01',
    ),
  ),
  lasting(
    'SESSION_SETTING_INVALID',
    'the server does not know a setting of the session, or not with this value',
    'Correct the option session, or options in DB_URL.',
    says(
      'unrecognized configuration parameter "work_men"',
      /unrecognized configuration parameter|invalid (configuration parameter name|value for parameter)/,
      '42704',
      '22023',
      '42602',
    ),
  ),
  lasting(
    'PERMISSION_DENIED',
    'this role lacks a privilege',
    'GRANT it, or use another role in DB_URL.',
    '42501',
  ),

  // The server
  passing(
    'TOO_MANY_CONNECTIONS',
    'the server has no connection left',
    'Lower DB_POOL_SIZE and DB_MAX_OVERFLOW or the number of instances, raise max_connections, or use a pooler.',
    '53300',
    says('no more connections allowed (max_client_conn)', /no more connections allowed/, '08P01'),
  ),
  passing('SERVER_STARTING', 'the server is starting up', 'Wait until it accepts connections.', '57P03'),
  passing(
    'SERVER_SHUTTING_DOWN',
    'the server is shutting down',
    'Try again when it is back.',
    says('the database system is shutting down', /shutting down/, '57P03', '08P01'),
  ),
  passing(
    'SERVER_RECOVERING',
    'the server is recovering, or a standby that admits nobody',
    'Wait for its recovery; on a standby set hot_standby, or name the primary in DB_URL.',
    says(
      'the database system is in recovery mode',
      /in recovery mode|not accepting connections|not yet accepting connections/,
      '57P03',
    ),
  ),
  passing('SERVER_CRASHED', 'the server is restarting after a crash', 'See the log of the server.', '57P02'),
  passing(
    'CONNECTION_KILLED',
    'an administrator ended the connection, or the server is stopping',
    'Nothing to be changed here: the next connection is a new one.',
    '57P01',
  ),
  passing(
    'CONNECTION_KILLED',
    'the server ended a connection that was idle for too long',
    'Raise idle_session_timeout of the server or the role, or set pool.keepaliveMs below it.',
    '57P05',
  ),
  lasting(
    'SERVER_READ_ONLY',
    'the server or the transaction is read-only; a standby always is',
    'Name the primary in DB_URL; or see default_transaction_read_only of the role.',
    '25006',
    'CONNECTION_STANDBY',
  ),
  passing(
    'SERVER_KIND_REFUSED',
    'the server is not of the kind that target_session_attrs asks for',
    'Name another server in DB_URL; during a failover it passes.',
    'SERVER_KIND_REFUSED',
  ),
  passing(
    'SERVER_OVERLOADED',
    'the server lacks memory or disk, or could not take the connection',
    'See the log of the server.',
    '53000',
    '53100',
    '53200',
    says('There was an error establishing an SSL connection', /error establishing an SSL connection/),
  ),

  // Time limits
  lasting(
    'STATEMENT_TIMEOUT',
    'the statement took longer than it may',
    'Make it faster, or raise DB_STATEMENT_TIMEOUT.',
    says('query_timeout', /^query_timeout$/, '08P01'),
    says('Query read timeout', /^Query read timeout$/),
    'QUERY_TIMEOUT',
  ),
  passing(
    'IDLE_IN_TRANSACTION_TIMEOUT',
    'the server ended a connection that idled in a transaction',
    'End transactions sooner, or raise DB_IDLE_IN_TRANSACTION_TIMEOUT.',
    '25P03',
    says('idle_transaction_timeout', /^idle[_ ]transaction[_ ]timeout|^transaction_timeout$/, '08P01'),
  ),
  lasting(
    'TRANSACTION_TIMEOUT',
    'the transaction took longer than it may',
    'Make it shorter, or raise transaction_timeout of the role or the database.',
    '25P04',
  ),
  lasting(
    'PROTOCOL_VIOLATION',
    'the server, or a pooler before it, could not make sense of what it was sent',
    'See its message; a pooler may not support all of the protocol.',
    '08P01',
  ),
  CONNECTION_FAILED,

  // Our own
  passing(
    'POOL_ACQUIRE_TIMEOUT',
    'no connection became free in time',
    'Release connections sooner, or raise DB_POOL_SIZE, DB_MAX_OVERFLOW or DB_POOL_TIMEOUT.',
    'POOL_ACQUIRE_TIMEOUT',
  ),
  passing(
    'POOL_QUEUE_FULL',
    'as many as may are waiting for a connection already',
    'Release connections sooner, or raise DB_POOL_SIZE, DB_MAX_OVERFLOW or pool.maxWaiting.',
    'POOL_QUEUE_FULL',
  ),
  lasting(
    'POOL_SELF_DEADLOCK',
    'every connection has an explicit holder that waits for another one',
    'Use the connection that the transaction or the pinned runner already holds, or raise DB_POOL_SIZE.',
    'POOL_SELF_DEADLOCK',
  ),
  passing(
    'CONNECTION_SILENT',
    'the server did not answer on a connection that was open',
    LOGS,
    'CONNECTION_SILENT',
  ),
  lasting(
    'POOL_LEASE_RECLAIMED',
    'the connection was held for too long and was taken back',
    'Release it sooner, or raise pool.reclaimAfterMs.',
    'POOL_LEASE_RECLAIMED',
  ),
  lasting(
    'DATA_SOURCE_CLOSED',
    'the data source is not started yet, or the app is stopping',
    "Wait for the app's start; with startup 'off' call initialize() of the data source.",
    'DATA_SOURCE_CLOSED',
    'POOL_CLOSED',
  ),
];
