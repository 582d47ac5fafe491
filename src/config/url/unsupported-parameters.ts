/** A parameter of a URL that other programs support and this module does not. */
interface Unsupported {
  /** Values that mean what this module does in any case. */
  readonly harmless?: RegExp;
  /** Values that are refused. Ignoring them could mean another server, another user, or less security. */
  readonly refused?: RegExp;
  /** What to use instead, or what applies. */
  readonly instead: string;
}

const ANY = /^/;
const NO_GSS = 'GSSAPI is not supported';
const NO_OAUTH = 'a login by OAuth is not supported';

/** Parameters of libpq (https://www.postgresql.org/docs/current/libpq-connect.html), then those of other libraries. */
export const UNSUPPORTED: Readonly<Record<string, Unsupported>> = {
  hostaddr: {
    refused: ANY,
    instead: 'give the address as the host, and the name in its certificate as ssl.servername',
  },
  passfile: { refused: ANY, instead: 'give the password in the URL or in code' },
  service: { refused: ANY, instead: 'name the server in the URL' },
  servicefile: { refused: ANY, instead: 'name the server in the URL' },
  requirepeer: { refused: ANY, instead: 'the owner of the process behind a socket is not checked' },
  scram_client_key: { refused: ANY, instead: 'give the password' },
  scram_server_key: { refused: ANY, instead: 'give the password' },
  sslcrldir: { refused: ANY, instead: 'use sslcrl, with one file' },
  sslcertmode: {
    harmless: /^allow$/,
    refused: ANY,
    instead: 'a client certificate is sent where one is given and the server asks for it',
  },
  gssencmode: { harmless: /^disable$/, refused: /^(?!prefer$)/, instead: `${NO_GSS}; sslmode decides` },
  replication: {
    harmless: /^(?:false|off|no|0)$/i,
    refused: ANY,
    instead: 'connections for replication are not supported',
  },
  min_protocol_version: { harmless: /^3\.0$/, refused: ANY, instead: 'the protocol is version 3.0' },
  max_protocol_version: {
    harmless: /^(?:3\.\d+|latest)$/,
    refused: ANY,
    instead: 'the protocol is version 3.0',
  },
  krbsrvname: { instead: NO_GSS },
  gsslib: { instead: NO_GSS },
  gssdelegation: { harmless: /^0$/, instead: NO_GSS },
  oauth_issuer: { instead: NO_OAUTH },
  oauth_client_id: { instead: NO_OAUTH },
  oauth_client_secret: { instead: NO_OAUTH },
  oauth_scope: { instead: NO_OAUTH },
  sslsni: { harmless: /^1$/, instead: 'the name of the host is always sent' },
  sslcompression: { harmless: /^0$/, instead: 'TLS compression is never used' },
  sslkeylogfile: { instead: 'use --tls-keylog of Node.js' },
  keepalives: { harmless: /^1$/, instead: 'use extra: { keepAlive: false }' },
  keepalives_idle: { instead: 'use extra: { keepAliveInitialDelayMillis: … }' },
  keepalives_interval: { instead: "the operating system's setting applies" },
  keepalives_count: { instead: "the operating system's setting applies" },
  tcp_user_timeout: { instead: 'timeouts.statementMs bounds the wait for an answer' },
  load_balance_hosts: { harmless: /^disable$/, instead: 'only one host is supported' },
  client_encoding: { harmless: /^(?:auto|utf-?8|unicode)$/i, instead: 'it is always UTF8' },
  uselibpqcompat: { instead: 'sslmode=require always verifies here' },
  connection_limit: { instead: 'use pool.size and pool.maxOverflow' },
  pool_timeout: { instead: 'use pool.acquireTimeoutMs' },
  max_connections: { instead: 'use pool.size and pool.maxOverflow' },
  schema: { instead: "use session: { search_path: '…' }" },
  search_path: { instead: "use session: { search_path: '…' }" },
};

/** Refuses the remaining parameters or warns of them, by name. Messages show no value, since it may be a secret. */
export function checkUnsupported(
  given: ReadonlyMap<string, string>,
  problems: string[],
  warnings: string[],
): void {
  for (const [name, value] of given) {
    const known = Object.hasOwn(UNSUPPORTED, name) ? UNSUPPORTED[name] : undefined;
    if (known !== undefined && (value === '' || known.harmless?.test(value))) continue;
    if (known?.refused?.test(value)) {
      problems.push(`the parameter ${name} is not supported; ${known.instead}`);
      continue;
    }
    // Without the form of a name, or with an @ in the value, this may be the rest of a password that contains a ?.
    const isName = /^[a-z][a-z_]{2,40}$/.test(name) && !value.includes('@');
    const shown = isName ? `the parameter ${name}` : 'a parameter';
    warnings.push(`${shown} has no effect here${known ? `; ${known.instead}` : ''}`);
  }
}
